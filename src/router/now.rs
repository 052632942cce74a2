//! The time of a call into the router.

use std::time::Duration;

/// The time of one call, as the caller hands it in. The router reads no clock, so
/// tests can hand in any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Monotonic time since some fixed start. Deadlines are counted in it.
    pub mono: Duration,
    /// Wall-clock time in milliseconds since 1970-01-01T00:00:00Z. Answers
    /// carry it.
    pub unix_ms: i64,
}
