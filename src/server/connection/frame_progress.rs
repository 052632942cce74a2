//! How far the frame of a connection has come, and by when more of it must come.

use std::time::Duration;

use crate::limits;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FrameProgress(Option<Frame>);

/// An incomplete frame. Its clock runs only while the server reads. Times are in
/// milliseconds since the start of the server: every connection holds one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    /// While the clock runs, the time at which it would have started without holds.
    /// While it is held, its reading.
    clock_ms: u64,
    /// The time on its clock when the last bytes arrived.
    heard_ms: u64,
    bytes: u32,
    /// The server doesn't read, so the clock stands.
    is_held: bool,
}

/// Why a frame is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lateness {
    /// No byte of it came for [`limits::FRAME_TIMEOUT`].
    Silent,
    /// It came more slowly than `frame_rate_min`.
    Slow,
}

impl FrameProgress {
    /// Begins with the first `bytes` of a frame.
    pub(super) fn begin(&mut self, now: Duration, bytes: usize) {
        self.0 = Some(Frame {
            clock_ms: millis(now),
            heard_ms: 0,
            bytes: saturated(bytes),
            is_held: false,
        });
    }

    /// Notes that `total` bytes have arrived, and lets the clock run; may begin a frame.
    pub(super) fn advance(&mut self, now: Duration, total: usize) {
        self.set_held(now, false);
        let Some(frame) = &mut self.0 else {
            return self.begin(now, total);
        };
        let total = saturated(total);
        if total > frame.bytes {
            frame.bytes = total;
            frame.heard_ms = millis(now).saturating_sub(frame.clock_ms);
        }
    }

    /// Stops the clock: the server reads no more for now.
    pub(super) fn hold(&mut self, now: Duration) {
        self.set_held(now, true);
    }

    fn set_held(&mut self, now: Duration, is_held: bool) {
        if let Some(frame) = &mut self.0
            && frame.is_held != is_held
        {
            frame.clock_ms = millis(now).saturating_sub(frame.clock_ms);
            frame.is_held = is_held;
        }
    }

    pub(super) fn end(&mut self) {
        self.0 = None;
    }

    /// The time by which more must come at a mean of `rate_min` bytes a second, and the
    /// fault if nothing does.
    pub(super) fn deadline(self, rate_min: usize) -> Option<(Duration, Lateness)> {
        let frame = self.0.filter(|frame| !frame.is_held)?;
        let paid_ms = u64::from(frame.bytes) * 1_000 / rate_min.max(1) as u64;
        let slow_ms = paid_ms.max(millis(limits::FRAME_GRACE));
        let silent_ms = frame.heard_ms.saturating_add(millis(limits::FRAME_TIMEOUT));
        let (after_ms, lateness) = if silent_ms <= slow_ms {
            (silent_ms, Lateness::Silent)
        } else {
            (slow_ms, Lateness::Slow)
        };
        let deadline = Duration::from_millis(frame.clock_ms.saturating_add(after_ms));
        Some((deadline, lateness))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn saturated(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: usize = 1024;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn begun(seconds: u64, bytes: usize) -> FrameProgress {
        let mut frame = FrameProgress::default();
        frame.begin(at(seconds), bytes);
        frame
    }

    /// Feeds a frame `bytes` every `every` from second 100 on, and gives the
    /// second after its beginning at which it is given up, if it is before it
    /// has `total` bytes.
    fn given_up(every: Duration, bytes: usize, total: usize) -> Option<(Duration, Lateness)> {
        let mut now = at(100);
        let mut frame = begun(100, bytes);
        let mut sent = bytes;
        while sent < total {
            now += every;
            let (deadline, lateness) = frame.deadline(RATE).unwrap();
            if deadline <= now {
                return Some((deadline - at(100), lateness));
            }
            sent += bytes;
            frame.advance(now, sent);
        }
        None
    }

    #[test]
    fn no_frame_has_no_deadline() {
        let mut frame = FrameProgress::default();
        assert_eq!(frame.deadline(RATE), None);
        frame.hold(at(1));
        assert_eq!(frame, FrameProgress::default());
        frame.begin(at(1), 10);
        frame.end();
        assert_eq!(frame.deadline(RATE), None);
    }

    #[test]
    fn silence_ends_a_frame_after_10_s() {
        let expected = Some((at(110), Lateness::Silent));
        assert_eq!(begun(100, 2).deadline(RATE), expected);
        assert_eq!(begun(100, 900_000).deadline(RATE), expected);
    }

    #[test]
    fn a_large_frame_over_a_slow_line_goes_through() {
        let second = at(1);
        assert_eq!(given_up(second, 20_000, 300_000), None);
        assert_eq!(given_up(second, 1_100, 300_000), None);
        assert_eq!(given_up(at(9), 10_000, 1_000_000), None);
    }

    #[test]
    fn bytes_that_drip_end_a_frame_once_the_grace_has_room() {
        let slow = Some((at(10), Lateness::Slow));
        assert_eq!(given_up(at(9), 1, 1_000), slow);
        assert_eq!(given_up(Duration::from_millis(100), 1, 1_000), slow);
        assert_eq!(given_up(at(1), 1_000, 300_000), slow, "just below the rate");
    }

    #[test]
    fn what_came_early_is_in_credit() {
        // 100 KiB at once pay for 100 s, of which 10 may be silent in a row.
        let mut frame = begun(0, 100 * 1_024);
        for (second, bytes) in (9..=99).step_by(9).zip(1..) {
            frame.advance(at(second), 100 * 1_024 + bytes);
        }
        let (deadline, lateness) = frame.deadline(RATE).unwrap();
        assert_eq!((deadline.as_secs(), lateness), (100, Lateness::Slow));
    }

    #[test]
    fn the_clock_stands_while_the_server_does_not_read() {
        let mut frame = begun(0, 100);
        frame.hold(at(4));
        assert_eq!(frame.deadline(RATE), None);
        frame.hold(at(50));
        frame.advance(at(1_000), 100);
        // Six of the ten seconds are left, of the silence as of the grace.
        assert_eq!(frame.deadline(RATE), Some((at(1_006), Lateness::Silent)));
        frame.advance(at(1_005), 101);
        assert_eq!(frame.deadline(RATE), Some((at(1_006), Lateness::Slow)));
    }

    #[test]
    fn no_value_overflows() {
        let mut frame = FrameProgress::default();
        frame.begin(Duration::MAX, usize::MAX);
        frame.advance(Duration::ZERO, usize::MAX);
        assert!(frame.deadline(0).is_some());
        frame.hold(Duration::ZERO);
        frame.advance(Duration::MAX, 0);
        assert!(frame.deadline(usize::MAX).is_some());
    }
}
