//! Floor 1: frames, envelopes, typed messages, answers.

mod code;
mod envelope;
mod refusal;

pub use code::ErrorCode;
pub use envelope::{Envelope, Header, Kind, Parser, Span, Validation};
pub use refusal::Refusal;
