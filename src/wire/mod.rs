//! Layer 1, the wire: bytes to checked frames, and messages to bytes.
//!
//! [`frame_state`] finds a frame in a stream, [`Parser`] checks it by every rule of
//! the protocol, and [`Message`] reads and writes it as typed values.
//! `docs/architecture.md` says what each file and folder holds.

mod answer;
#[cfg(feature = "client")]
mod checker;
#[cfg(feature = "codec")]
mod codec;
mod envelope;
pub(crate) mod filter;
mod frame;
mod frames;
#[cfg_attr(
    not(any(feature = "server", feature = "client")),
    allow(dead_code, reason = "programs ask for the type")
)]
mod head;
mod json;
mod message;
mod parser;
mod refusal;
mod request;
mod rules;
mod shape;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod testing;
#[cfg_attr(
    not(feature = "server"),
    allow(dead_code, reason = "programs send them")
)]
mod valid_frame;
mod words;

#[cfg(feature = "client")]
pub(crate) use answer::SpelledAcks;
pub(crate) use answer::{AckTemplate, AnswerIds, AnswerWriter, BatchAck, ErrorDetails};
#[cfg(any(feature = "server", feature = "client"))]
pub(crate) use answer::{Answer, AnswerReader};
#[cfg(feature = "client")]
pub(crate) use checker::{Head, check_envelope};
#[cfg(feature = "codec")]
#[cfg_attr(docsrs, doc(cfg(feature = "codec")))]
pub use codec::{FrameCodec, FrameCodecError};
pub use envelope::{Envelope, Header, Kind, Names, Span, Validation};
pub use frame::{FrameError, FrameState, frame_prefix, frame_state, write_frame};
pub(crate) use frames::{first_msg_id, frames, msg_ids};
pub(crate) use head::acknowledged_in;
#[cfg(any(feature = "server", feature = "client"))]
pub(crate) use head::{kind_in, msg_id_in, settlement_of};
pub use json::{line_and_column, locate};
#[cfg(any(feature = "server", feature = "client", test, fuzzing))]
pub(crate) use message::MillisText;
pub use message::{
    Ack, Acks, Bar, Batch, BatchedEvent, Broadcasts, Condition, DomainEvent, Durability,
    ErrorReport, EventType, Execution, FilterValue, Granted, GrantedLimits, Heartbeat, Hello,
    IngestEvent, Level, LogRecord, MarketData, Message, MessageError, Number, NumberError,
    OcoGroup, OcoGroupEvent, Operator, Order, OrderType, Payload, RawObject, RawObjectError,
    ServerIdentity, Side, StrategyEvent, StrategyInstance, Subscribe, SubscriptionMode, Target,
    Timestamp, TimestampError, Token, UnknownFields, UnknownWord, Unsubscribe, Welcome,
};
pub use parser::Parser;
pub use refusal::{ErrorCode, Refusal, Shortage, StoreFate};
pub(crate) use request::{HelloRequest, Mode, SubscribeRequest, UnsubscribeRequest};
pub(crate) use shape::{Hints, LearnOutcome, ShapeMatch, Shapes, Slots, Table};
pub(crate) use valid_frame::KnownFrame;
pub use valid_frame::ValidFrame;

/// Parts that the binary and the benchmarks need as well; no stable interface.
#[doc(hidden)]
pub mod internal {
    #[cfg(any(feature = "server", feature = "client"))]
    pub use super::answer::ServerMessage;
    pub use super::answer::{AckTemplate, AnswerIds, BatchAck};
    pub use super::json::{is_white_space, string_end};
    pub use super::shape::{Hints, Shapes};
}

#[cfg(test)]
mod tests;
