//! What a connection waits for no longer than it may: the rest of a frame, room
//! for an event, a byte that is taken, a sign of life.

use std::task::{Context, Poll, ready};

use tokio::time::{Instant, sleep_until};

use super::super::socket::{self, Pulse};
use super::frame_progress::Lateness;
use super::{Connection, End, Intake, PULSE_INTERVAL, Turn};
use crate::limits;

impl Connection {
    /// Waits for the earliest deadline, and does what is due.
    pub(super) fn poll_deadlines(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        loop {
            let Some(deadline) = self.next_deadline() else {
                // One that is armed may go off for nothing; that is cheaper
                // than to drop and to make it at every read.
                if let Some(timer) = &mut self.timer
                    && timer.as_mut().poll(cx).is_ready()
                {
                    self.timer = None;
                }
                return Poll::Pending;
            };
            let timer = match &mut self.timer {
                Some(timer) if timer.deadline() <= deadline => timer,
                _ => self.timer.insert(Box::pin(sleep_until(deadline))),
            };
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
            if let Some(turn) = self.meet_deadlines(Instant::now()) {
                return Poll::Ready(turn);
            }
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let pause = match &self.intake {
            Intake::Paused(pause) => Some(self.shared.clock.instant(pause.deadline)),
            _ => None,
        };
        let stall = self
            .stalled_since
            .map(|since| since + limits::ANSWER_STALL_TIMEOUT);
        let frame = self.frame_deadline().map(|(deadline, _)| deadline);
        let first_message = self.first_message_deadline();
        let memory = match &self.intake {
            Intake::NoMemory(until) => Some(*until),
            _ => None,
        };
        [frame, first_message, pause, stall, memory, self.next_pulse]
            .into_iter()
            .flatten()
            .min()
    }

    /// By when more must come of the frame that has begun.
    fn frame_deadline(&self) -> Option<(Instant, Lateness)> {
        let (deadline, lateness) = self.frame.deadline(self.shared.config.frame_rate_min)?;
        Some((self.shared.clock.instant(deadline), lateness))
    }

    /// By when a message must be accepted. A frame that has begun has a deadline
    /// of its own, and while the server doesn't read its peer can't do anything.
    fn first_message_deadline(&self) -> Option<Instant> {
        let may_send = matches!(self.intake, Intake::Open) && self.input.is_empty();
        self.first_message_by.filter(|_| may_send)
    }

    fn meet_deadlines(&mut self, now: Instant) -> Option<Turn> {
        if let Some((_, lateness)) = self.frame_deadline().filter(|(by, _)| *by <= now) {
            return Some(Turn::End(End::FrameTimeout(lateness)));
        }
        if self.first_message_deadline().is_some_and(|by| by <= now) {
            return Some(Turn::End(End::FirstMessageTimeout));
        }
        if matches!(self.intake, Intake::NoMemory(until) if until <= now) {
            return Some(Turn::End(End::NoMemory));
        }
        if self
            .stalled_since
            .is_some_and(|since| since + limits::ANSWER_STALL_TIMEOUT <= now)
        {
            return Some(Turn::End(End::Broken));
        }
        if self.next_pulse.is_some_and(|next| next <= now) {
            let sample = socket::in_flight(&self.stream);
            let mono = self.shared.clock.now().mono;
            match self.pulse.sample(sample, mono, limits::PEER_SILENCE_MAX) {
                Pulse::Quiet => {
                    // With the window closed nothing is in flight between two
                    // probes, so a peer may yet be dead.
                    self.next_pulse = self.blocked.then(|| now + PULSE_INTERVAL);
                    // Now and then, and not after each write: a buffer that is
                    // in use would have to grow again each time.
                    self.session.shrink();
                }
                Pulse::Waiting => self.next_pulse = Some(now + PULSE_INTERVAL),
                Pulse::Dead => return Some(Turn::End(End::Broken)),
            }
        }
        if let Intake::Paused(pause) = &self.intake
            && self.shared.clock.instant(pause.deadline) <= now
        {
            self.pause_expired = true;
            return Some(Turn::GiveWay);
        }
        None
    }
}
