//! What a connection waits for no longer than it may: the rest of a frame, room
//! for an event, a byte that is taken, a sign of life.

use std::task::{Context, Poll, ready};

use tokio::time::{Instant, sleep_until};

use super::super::socket::{self, Pulse};
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
        let memory = match &self.intake {
            Intake::NoMemory(until) => Some(*until),
            _ => None,
        };
        [self.frame_deadline, pause, stall, memory, self.next_pulse]
            .into_iter()
            .flatten()
            .min()
    }

    fn meet_deadlines(&mut self, now: Instant) -> Option<Turn> {
        if self.frame_deadline.is_some_and(|deadline| deadline <= now) {
            return Some(Turn::End(End::FrameTimeout));
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
