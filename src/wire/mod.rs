//! Floor 1: frames, envelopes, typed messages, answers.

mod answer;
mod code;
mod envelope;
mod refusal;

pub use answer::{
    AckTemplate, AdvertisedLimits, AnswerIds, AnswerTime, Answering, ErrorDetails, Granted,
    ServerIdentity, Welcome,
};
pub use code::ErrorCode;
pub use envelope::{Envelope, Header, Kind, Parser, Span, Validation};
pub use refusal::Refusal;
