//! The session of one connection: everything that is decided about what it
//! sends.
//!
//! [`Session::receive`] takes the frames of one read. Consecutive frames of the
//! same kind, source and target are a *run*: settled (admitted, refused or
//! answered) together, forwarded as one slice. When an event meets a full
//! queue, the session stops right before it: answers so far may leave, the
//! rest of the window is kept by the caller and handed in again.

mod admission;
pub(super) mod answers;
mod claiming;
mod control;
mod forward;
#[cfg(test)]
mod inspect;
pub(crate) mod learning;
mod memory;
pub(crate) mod output;
mod read;
mod reports;
mod resume;
mod routes;
pub(crate) mod run;
pub(crate) mod shared;
mod stalls;
mod subscribing;
mod write_sources;

use std::io;
use std::sync::Arc;
use std::task::Waker;

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use crate::budget::Purpose;
use crate::ids::{ConnectionId, Name};
use crate::limits::REFUSED_IN_A_ROW_MAX;
use crate::router::broadcast::{BroadcastReceiver, Subscriptions};
use crate::router::connection::ConnectionHandle;
use crate::router::connection::accepted_ids::AcceptedIds;
use crate::router::mailbox::{Claim, Ownership, Pause, Write};
use crate::router::now::Now;
use crate::stats::Stats;
use crate::wire::{ErrorCode, ErrorDetails, Refusal};
use answers::Answers;
use claiming::NameState;
use learning::Learning;
use output::{Output, Progress};
use read::{Read, Stop, Stopped};
use routes::Routes;
use run::ReadScratch;
use shared::RouterShared;
use stalls::Stalls;

/// What became of the bytes handed in.
#[derive(Debug)]
#[must_use]
pub struct Step {
    /// Bytes taken off the front of the window. What is left is a partial
    /// frame, or waits for the pause to end.
    pub consumed: usize,
    /// Why the session stopped before the end, if it did.
    pub halt: Option<Halt>,
}

/// Why a session takes no more input for now, or ever.
#[derive(Debug)]
pub enum Halt {
    /// An event waits for room in a full queue.
    Pause(Pause),
    /// Too many answers wait to be written.
    AnswersFull,
    /// The connection is to be closed once its answers are written.
    Close,
}

/// What came to a session's attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Attention {
    /// Nothing that changes its life.
    Continue,
    /// Its last name was taken over: it is to be closed.
    Close,
}

/// Everything that is decided about what one connection sends, and everything
/// that waits to be written to it.
#[derive(Debug)]
pub struct Session {
    shared: Arc<RouterShared>,
    handle: Arc<ConnectionHandle>,
    receiver: Arc<BroadcastReceiver>,
    answers: Answers,
    claims: Vec<Claim>,
    ownership: Ownership,
    claiming: NameState,
    /// Its first name when its input ended.
    former_name: Option<Name>,
    routes: Routes,
    stalls: Stalls,
    subscriptions: Subscriptions,
    /// Whether it wants no broadcasts.
    wants_no_broadcasts: bool,
    output: Output,
    /// The ids of its accepted messages, if they are remembered.
    accepted_ids: Option<Arc<AcceptedIds>>,
    learning: Learning,
    invalid_in_a_row: u32,
    /// A message of the connection was accepted.
    has_accepted: bool,
    /// Bytes that are counted for its answers, and for what it has received and
    /// not taken.
    counted: (usize, usize),
    /// What was done since it was last added to the shared counters.
    done: Stats,
}

impl Session {
    pub(super) fn new(shared: Arc<RouterShared>, id: ConnectionId) -> Self {
        let handle = Arc::new(ConnectionHandle::new(id, &shared.budget));
        Self {
            answers: Answers::new(shared.config.name.clone(), Uuid::new_v4()),
            receiver: Arc::new(BroadcastReceiver::new(&handle)),
            handle,
            shared,
            claims: Vec::new(),
            ownership: Ownership::Sole,
            claiming: NameState::Unsettled,
            former_name: None,
            routes: Routes::default(),
            stalls: Stalls::default(),
            subscriptions: Subscriptions::default(),
            wants_no_broadcasts: false,
            accepted_ids: None,
            output: Output::default(),
            learning: Learning::default(),
            invalid_in_a_row: 0,
            has_accepted: false,
            counted: (0, 0),
            done: Stats::default(),
        }
    }

    /// Which connection this is.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.handle.id()
    }

    // ---- input ----

    /// Takes the complete frames at the front of `input`. Everything that
    /// follows from them is done when this returns.
    pub fn receive(&mut self, scratch: &mut ReadScratch, input: &mut BytesMut, now: Now) -> Step {
        scratch.begin().read(self, input, now)
    }

    /// Like [`Session::receive`], but some of what was accepted may stay in the
    /// scratch buffers, for the reads that follow.
    fn read(&mut self, scratch: &mut ReadScratch, input: &mut BytesMut, now: Now) -> Step {
        scratch.parser.set_validation(self.shared.config.validation);
        self.answers.set_time(now);
        self.answers.set_short(self.shared.budget.is_short());
        self.retry_claim();
        let mut consumed = 0;
        let halt = loop {
            // A connection that resumes this one must find queued what is
            // accepted here.
            let accepted_ids = self.accepted_ids.clone();
            let _order = accepted_ids.as_deref().map(AcceptedIds::lock_order);
            let (taken, stop) = match Read::new(self, scratch, input, now).take_frames() {
                Ok(taken) => (taken, None),
                Err(Stopped { at, why }) => (at, Some(why)),
            };
            self.answers.close_batch();
            scratch.forward.commit(input, taken, &self.handle);
            consumed += taken;
            if accepted_ids.is_some() || matches!(stop, Some(Stop::Commit)) {
                scratch.flush();
            }
            match stop {
                Some(Stop::Commit) => {}
                Some(Stop::Halt(halt)) => break Some(halt),
                None => break None,
            }
        };
        let done = std::mem::take(&mut self.done);
        self.has_accepted |= done.accepted > 0;
        self.shared.counters.add(self.handle.id(), &done);
        self.count_answers();
        Step { consumed, halt }
    }

    /// Whether any message of the connection was accepted so far.
    #[must_use]
    pub fn has_accepted(&self) -> bool {
        self.has_accepted
    }

    // ---- refusals ----

    /// Answers with an error.
    ///
    /// # Errors
    /// Too many invalid frames in a row end the connection.
    fn refuse(&mut self, refusal: &Refusal) -> Result<(), Halt> {
        self.done.refused += 1;
        self.answers.refuse(refusal);
        if !refusal.code.is_invalid_frame() {
            self.invalid_in_a_row = 0;
            return Ok(());
        }
        self.invalid_in_a_row += 1;
        if self.invalid_in_a_row < REFUSED_IN_A_ROW_MAX {
            return Ok(());
        }
        let target = refusal.source.as_ref().map(Name::as_str);
        self.answers.error(
            target,
            ErrorCode::TooManyRefused,
            &format!("{REFUSED_IN_A_ROW_MAX} invalid frames in a row: the connection is closed"),
            &ErrorDetails::default(),
        );
        Err(Halt::Close)
    }

    /// A control message was carried out.
    fn note_accepted(&mut self) {
        self.done.accepted += 1;
        self.invalid_in_a_row = 0;
    }

    // ---- output ----

    /// Has `waker` woken when something new waits to be written or attended
    /// to. Call [`Session::handle_reports`] and [`Session::transmit`] afterwards.
    pub fn register(&self, waker: &Waker) {
        self.handle.register(waker);
    }

    /// Whether others reported something that [`Session::handle_reports`] should turn
    /// into answers.
    #[must_use]
    #[inline]
    pub fn has_reports(&self) -> bool {
        self.handle.has_reports()
    }

    /// A handle that wakes the task which registered last.
    #[must_use]
    pub fn waker(&self) -> SessionWaker {
        SessionWaker(Arc::clone(&self.handle))
    }

    /// Writes what waits, in its order, until nothing is left, `write` would
    /// block, or about `budget` bytes are written. Says how many were.
    ///
    /// # Errors
    /// What `write` says, but for `WouldBlock` and `Interrupted`.
    pub fn transmit(&mut self, budget: usize, write: Write<'_>) -> io::Result<(usize, Progress)> {
        let written = (self.output).transmit(
            &mut self.answers,
            &self.claims,
            &self.receiver,
            budget,
            write,
        );
        self.count_answers();
        let replaced = self.output.take_replaced();
        if replaced > 0 {
            let done = Stats {
                conflated: replaced,
                ..Stats::default()
            };
            self.shared.counters.add(self.handle.id(), &done);
        }
        written
    }

    /// Takes the answers that wait, as whole frames: how a peer inside the
    /// process gets them.
    #[must_use]
    pub fn take_answers(&mut self) -> Vec<u8> {
        let answers = self.answers.take();
        self.count_answers();
        answers
    }

    /// Takes the next frame addressed to one of the session's names, or the next
    /// run of broadcasts: how a program that embeds the router receives. Frames
    /// that are not taken go to the next owner, or are reported to their senders.
    #[must_use]
    pub fn take_run(&mut self) -> Option<Bytes> {
        self.output.take(&self.claims, &self.receiver)
    }

    /// Whether answers wait to be written.
    #[must_use]
    pub fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Whether so many answers wait that no input should be taken.
    #[must_use]
    pub fn answers_are_full(&self) -> bool {
        self.answers.is_full()
    }

    /// Gives back the buffers that an idle connection doesn't need.
    pub fn shrink(&mut self) {
        self.answers.shrink();
        self.count_answers();
        self.output.shrink(&self.claims);
    }

    // ---- the end ----

    /// The peer sends no more: its names are free at once, and what was queued
    /// for them waits for their next owners. Answers can still be written.
    pub fn end_input(&mut self) {
        self.former_name = self.name();
        for claim in std::mem::take(&mut self.claims) {
            self.shared.registry.release(&claim, &self.receiver);
        }
        self.claiming = NameState::ByHello;
        self.subscriptions = Subscriptions::default();
        self.shared.registry.members.leave(&self.receiver);
        self.accepted_ids = None;
        self.receiver.close_broadcasts();
        self.output.forget_broadcasts();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end_input();
        let budget = &self.shared.budget;
        budget.recount(Purpose::Queued, &mut self.counted.0, 0);
        budget.recount(Purpose::Input, &mut self.counted.1, 0);
    }
}

/// Wakes the task of one session, so that it looks at the state of its server.
#[derive(Debug, Clone)]
pub struct SessionWaker(Arc<ConnectionHandle>);

impl SessionWaker {
    /// Wakes it.
    pub fn wake(&self) {
        self.0.wake();
    }
}
