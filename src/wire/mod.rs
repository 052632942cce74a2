//! Floor 1: frames, envelopes, typed messages, answers.

mod code;
mod envelope;
mod message;
mod refusal;

pub use code::ErrorCode;
pub use envelope::{Envelope, Header, Kind, Parser, Span, Validation};
pub use message::{
    Ack, Acks, Bar, Batch, BatchedEvent, Broadcasts, DomainEvent, ErrorReport, EventType,
    Execution, Granted, GrantedLimits, Heartbeat, Hello, IngestEvent, Level, LogRecord, MarketData,
    Message, MessageError, Number, NumberError, OcoGroup, OcoGroupEvent, Order, OrderType, Payload,
    RawObject, RawObjectError, ServerIdentity, Side, StrategyEvent, StrategyInstance, Target,
    Timestamp, TimestampError, Token, UnknownFields, UnknownWord, Welcome,
};
pub use refusal::Refusal;
