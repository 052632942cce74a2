//! One connection: its client, the kernel's buffers in between, and the state
//! of its task.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;

use super::wakes::{ITSELF, READABLE, SESSION, WRITABLE, Wakes};
use crate::limits::{ANSWER_STALL_TIMEOUT, READ_BUFFER_BYTES};
use crate::router::tests::sim::model::Model;
use crate::router::{Pause, Session};

/// See the [module](self).
pub(in super::super) struct Connection {
    pub(super) session: Option<Session>,
    pub(super) name: &'static str,
    pub(super) wakes: Arc<Wakes>,
    // The client.
    pub(super) outgoing: BytesMut,
    /// Messages that it says, and where each ends in its stream.
    pub(super) said: Vec<(u64, usize)>,
    pub(super) said_bytes: u64,
    /// It has said its last.
    pub(super) hung_up: bool,
    pub(super) reads: bool,
    /// Bytes that it has read.
    pub(super) read_bytes: usize,
    /// It wants to be resumable.
    pub(super) is_resumable: bool,
    // The kernel.
    pub(super) inbound: BytesMut,
    /// Bytes that were written and not yet read.
    pub(super) outbound: usize,
    pub(super) kernel_bytes: usize,
    pub(super) line: Line,
    // The task.
    /// The part of the client's stream that the session has not taken yet.
    pub(super) rest: BytesMut,
    pub(super) taken_bytes: u64,
    pub(super) taken: usize,
    pub(super) intake: Intake,
    pub(super) expired: bool,
    pub(super) awaits_input: bool,
    pub(super) blocked: bool,
    pub(super) stalled_since: Option<Duration>,
    /// When the closing sequence must be over, if it has begun.
    pub(super) closing: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Stands,
    /// It is dead, and the task doesn't know.
    Cut,
    /// The task finds it dead.
    Broken,
}

#[derive(Debug)]
pub(super) enum Intake {
    Open,
    Paused(Pause),
    AnswersFull,
    Ended,
}

impl Connection {
    pub(super) fn new(session: Session, kernel_bytes: usize) -> Self {
        let wakes = Arc::new(Wakes::default());
        // A task runs once before it waits.
        wakes.add(ITSELF | SESSION);
        Self {
            session: Some(session),
            name: "",
            wakes,
            outgoing: BytesMut::new(),
            said: Vec::new(),
            said_bytes: 0,
            hung_up: false,
            reads: true,
            read_bytes: 0,
            is_resumable: false,
            inbound: BytesMut::new(),
            outbound: 0,
            kernel_bytes,
            line: Line::Stands,
            rest: BytesMut::new(),
            taken_bytes: 0,
            taken: 0,
            intake: Intake::Open,
            expired: false,
            awaits_input: false,
            blocked: false,
            stalled_since: None,
            closing: None,
        }
    }

    // ---- the client ----

    /// Whether the client still has any use for it.
    pub(super) fn is_usable(&self) -> bool {
        self.is_open() && self.line == Line::Stands && !self.hung_up
    }

    pub(super) fn can_speak(&self) -> bool {
        self.is_usable() && self.outgoing.len() < READ_BUFFER_BYTES
    }

    pub(super) fn say(&mut self, number: usize, frame: &[u8]) {
        self.outgoing.extend_from_slice(frame);
        self.said_bytes += frame.len() as u64;
        self.said.push((self.said_bytes, number));
    }

    /// The client says nothing more.
    pub(super) fn hang_up(&mut self) {
        self.hung_up = true;
        self.wake_reader();
    }

    pub(super) fn has_outgoing(&self) -> bool {
        self.line == Line::Stands && !self.outgoing.is_empty()
    }

    /// Up to `bytes` of the client's messages reach the kernel.
    pub(super) fn send(&mut self, bytes: usize) -> usize {
        if !self.has_outgoing() {
            return 0;
        }
        let bytes = bytes.min(self.outgoing.len());
        let sent = self.outgoing.split_to(bytes);
        self.inbound.extend_from_slice(&sent);
        self.wake_reader();
        bytes
    }

    fn wake_reader(&mut self) {
        if std::mem::take(&mut self.awaits_input) {
            self.wakes.add(READABLE);
        }
    }

    pub(super) fn can_read(&self) -> bool {
        self.reads && self.outbound > 0 && self.line == Line::Stands
    }

    /// The client reads up to `bytes`.
    pub(super) fn read(&mut self, bytes: usize) -> usize {
        if !self.can_read() {
            return 0;
        }
        let bytes = bytes.min(self.outbound);
        self.outbound -= bytes;
        self.read_bytes += bytes;
        if self.blocked {
            self.wakes.add(WRITABLE);
        }
        bytes
    }

    // ---- the line ----

    pub(super) fn is_cut(&self) -> bool {
        self.line != Line::Stands
    }

    /// Bytes that one side has written and the other not yet read are lost.
    pub(super) fn cut(&mut self) {
        self.line = Line::Cut;
    }

    /// The task comes to know that the line is dead.
    pub(super) fn notice(&mut self) {
        self.line = Line::Broken;
        self.wakes.add(READABLE);
    }

    // ---- the task ----

    pub(super) fn is_woken(&self) -> bool {
        self.session.is_some() && self.wakes.any()
    }

    /// Whether the connection takes part.
    pub(super) fn is_open(&self) -> bool {
        self.session.is_some() && self.closing.is_none() && !matches!(self.intake, Intake::Ended)
    }

    pub(super) fn took_everything(&self) -> bool {
        let all = self.taken == self.said.len() && self.rest.is_empty();
        all || self.closing.is_some()
    }

    /// When time alone has it do something.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.session.as_ref()?;
        let pause = match &self.intake {
            Intake::Paused(pause) if self.closing.is_none() => Some(pause.deadline),
            _ => None,
        };
        let stall = self.stalled_since.map(|since| since + ANSWER_STALL_TIMEOUT);
        [pause, stall, self.closing].into_iter().flatten().min()
    }

    /// The event that the task should have been woken for, and was not.
    pub(super) fn sleeps_over(&self, model: &Model, index: usize) -> Option<String> {
        let session = self.session.as_ref()?;
        if self.wakes.any() || self.closing.is_some() {
            return None;
        }
        if let Intake::Paused(pause) = &self.intake
            && pause.has_room()
        {
            return Some("there is room for what waits".to_owned());
        }
        if matches!(self.intake, Intake::AnswersFull) && !session.answers_are_full() {
            return Some("its answers have left".to_owned());
        }
        if session.has_reports() {
            return Some("something was reported".to_owned());
        }
        let queue = session.receiver().conflated_queue();
        let may_be_handed = model.may_be_handed(index);
        if queue.is_some_and(|queue| queue.has_mail()) && !self.blocked && may_be_handed {
            return Some("a broadcast waits in its conflated queue".to_owned());
        }
        let waits = model.waits_for(index).filter(|_| !self.blocked)?;
        Some(format!("{waits} waits for it"))
    }

    pub(super) fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("its task runs")
    }
}
