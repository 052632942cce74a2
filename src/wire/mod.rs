//! Floor 1: frames, envelopes, typed messages, answers.

mod answer;
mod batch_ack;
mod code;
#[cfg(feature = "codec")]
mod codec;
mod control;
mod control_payload;
mod echo;
mod envelope;
mod fields;
pub(crate) mod filter;
mod frame;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod json_fault;
mod keys;
mod locate;
mod message;
mod parser;
mod raw;
mod refusal;
mod rules;
mod run;
mod second_opinion;
mod shape;
mod tape;
mod timestamp;
mod value;

pub use answer::{AckTemplate, AnswerIds, AnswerTime, Answering, ErrorDetails};
pub use batch_ack::BatchAck;
pub use code::ErrorCode;
#[cfg(feature = "codec")]
#[cfg_attr(docsrs, doc(cfg(feature = "codec")))]
pub use codec::{FrameCodec, FrameCodecError};
pub(crate) use control::HelloRequest;
pub use envelope::{Envelope, Header, Kind, Names, Span, Validation};
pub use frame::{FrameError, FrameState, frame_prefix, frame_state, write_frame};
pub use locate::{line_and_column, locate};
pub use message::{
    Ack, Acks, Bar, Batch, BatchedEvent, Broadcasts, Condition, DomainEvent, ErrorReport,
    EventType, Execution, FilterValue, Granted, GrantedLimits, Heartbeat, Hello, IngestEvent,
    Level, LogRecord, MarketData, Message, MessageError, Number, NumberError, OcoGroup,
    OcoGroupEvent, Operator, Order, OrderType, Payload, RawObject, RawObjectError, ServerIdentity,
    Side, StrategyEvent, StrategyInstance, Subscribe, SubscriptionMode, Target, Timestamp,
    TimestampError, Token, UnknownFields, UnknownWord, Unsubscribe, Welcome,
};
pub use parser::Parser;
pub use refusal::{Refusal, Shortage};
pub(crate) use run::{first_msg_id, frames, msg_ids};
pub(crate) use shape::Slots;
pub use shape::{Hints, Learned, Recognized, ShapeIndex, Shapes, Table};

#[cfg(test)]
mod tests;
