//! The output of a connection, and the timers that watch it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;

use super::timer::Timer;
use super::{Connection, End, Intake, LIVENESS_INTERVAL};
use crate::limits;
use crate::router::Progress;
use crate::server::phase::Phase;

/// Bytes written after each read before the next.
const WRITE_BUDGET: usize = 512 * 1024;
/// Buffers are given back so long after a write, and not after each: a buffer that
/// is in use would have to grow again each time.
const SHRINK_DELAY: Duration = LIVENESS_INTERVAL;

impl Connection {
    /// Notes how far the output got, and returns the end that follows.
    pub(super) fn on_output(&mut self, progress: Progress) -> Option<End> {
        let is_storing = self.session.is_storing();
        if progress == Progress::Idle && !is_storing && self.shared.phases.now() == Phase::Draining
        {
            self.permits.draining = None;
        }
        let has_ended = matches!(self.intake, Intake::Ended);
        if is_storing && has_ended {
            self.start_unless_running(Timer::Store, limits::STORE_WAIT_MAX);
        } else {
            self.timers.stop(Timer::Store);
        }
        // A peer that sends no more still gets its answers; for other frames
        // that are begun, the closing sequence has its second.
        let answered = !self.session.has_answers() && !is_storing;
        (answered && has_ended).then_some(End::Settled)
    }

    pub(super) fn poll_output(&mut self, cx: &mut Context<'_>) -> io::Result<Progress> {
        let stream = &mut self.stream;
        let (bytes, progress) =
            self.session
                .transmit(WRITE_BUDGET, &mut |slices| match Pin::new(&mut *stream)
                    .poll_write_vectored(cx, slices)
                {
                    Poll::Ready(written) => written,
                    Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
                })?;
        self.is_blocked = progress == Progress::Blocked;
        self.set_output_timers(bytes > 0);
        Ok(progress)
    }

    fn set_output_timers(&mut self, has_written: bool) {
        if has_written || self.is_blocked {
            self.start_unless_running(Timer::Liveness, LIVENESS_INTERVAL);
            self.start_unless_running(Timer::Shrink, SHRINK_DELAY);
        }
        if has_written || !self.session.has_answers() {
            self.timers.stop(Timer::Answers);
        }
        if self.is_blocked && self.session.has_answers() {
            self.start_unless_running(Timer::Answers, limits::ANSWER_STALL_TIMEOUT);
        }
    }

    fn start_unless_running(&mut self, timer: Timer, delay: Duration) {
        if !self.timers.is_running(timer) {
            self.timers.set(timer, self.shared.clock.mono() + delay);
        }
    }
}
