//! Floor 1: frames, envelopes, typed messages, answers.

mod code;
#[cfg(feature = "codec")]
mod codec;
mod envelope;
mod frame;
mod message;
mod refusal;

pub use code::ErrorCode;
#[cfg(feature = "codec")]
#[cfg_attr(docsrs, doc(cfg(feature = "codec")))]
pub use codec::{FrameCodec, FrameCodecError};
pub use envelope::{Envelope, Header, Kind, Parser, Span, Validation};
pub use frame::{FrameError, FrameState, frame_prefix, frame_state, write_frame};
pub use message::{
    Ack, Acks, Bar, Batch, BatchedEvent, Broadcasts, DomainEvent, ErrorReport, EventType,
    Execution, Granted, GrantedLimits, Heartbeat, Hello, IngestEvent, Level, LogRecord, MarketData,
    Message, MessageError, Number, NumberError, OcoGroup, OcoGroupEvent, Order, OrderType, Payload,
    RawObject, RawObjectError, ServerIdentity, Side, StrategyEvent, StrategyInstance, Target,
    Timestamp, TimestampError, Token, UnknownFields, UnknownWord, Welcome,
};
pub use refusal::Refusal;
