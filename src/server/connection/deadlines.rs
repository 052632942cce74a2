//! The deadlines of a connection, and the ends that they lead to.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::super::socket::{self, PeerState};
use super::frame_progress::Lateness;
use super::timer::Timer;
use super::{Connection, End, Intake, LIVENESS_INTERVAL, Turn};
use crate::limits;

impl Connection {
    /// Waits for the earliest deadline, and acts on all that are due.
    pub(super) fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        loop {
            // Set only where the task is about to wait: every read changes them.
            let frame = self.frame_deadline().map(|(by, _)| by);
            self.timers.set(Timer::Frame, frame);
            let first_message = self.first_message_deadline();
            self.timers.set(Timer::FirstMessage, first_message);
            ready!(self.timers.poll_expiry(cx, &self.shared.clock));
            if let Some(turn) = self.meet_deadlines(self.shared.clock.mono()) {
                return Poll::Ready(turn);
            }
        }
    }

    /// The time by which more must come of the frame that has begun.
    fn frame_deadline(&self) -> Option<(Duration, Lateness)> {
        self.frame.deadline(self.shared.config.frame_rate_min)
    }

    /// The time by which a message must be accepted, unless a frame has begun (which has
    /// its own) or the server doesn't read.
    fn first_message_deadline(&self) -> Option<Duration> {
        let may_send = matches!(self.intake, Intake::Open) && self.input.is_empty();
        self.first_message_by.filter(|_| may_send)
    }

    fn meet_deadlines(&mut self, now: Duration) -> Option<Turn> {
        for timer in Timer::ALL {
            if !self.timers.take_expired(timer, now) {
                continue;
            }
            let end = match timer {
                Timer::Frame => {
                    let lateness = self.frame_deadline().map(|(_, lateness)| lateness);
                    End::FrameTimeout(lateness.unwrap_or(Lateness::Silent))
                }
                Timer::FirstMessage => End::FirstMessageTimeout,
                Timer::Memory => End::NoMemory,
                Timer::Answers | Timer::Store => End::Broken,
                Timer::Liveness if self.lives(now) => continue,
                Timer::Liveness => End::Broken,
                Timer::Shrink => {
                    self.session.shrink();
                    continue;
                }
                // The next turn hands the event in again.
                Timer::Pause => return Some(Turn::GiveWay),
            };
            return Some(Turn::End(end));
        }
        None
    }

    /// Looks for a sign of life, and returns whether the peer may be alive.
    fn lives(&mut self, now: Duration) -> bool {
        let sample = socket::in_flight(&self.stream);
        let state = (self.liveness).sample(sample, now, limits::PEER_SILENCE_MAX);
        // With a closed window nothing is in flight between two probes.
        if state == PeerState::Waiting || self.is_blocked {
            self.timers.set(Timer::Liveness, now + LIVENESS_INTERVAL);
        }
        state != PeerState::Dead
    }
}
