//! The session of one connection: input, answers, output.
//!
//! Consecutive frames of the same kind, source and target are a *run*. A run is
//! admitted in one step, as far as its queue has room. At an event for
//! a full queue, the session stops in front of the event: the answers so far may
//! leave, and the caller hands the rest of the input in again.

mod admission;
pub(super) mod answers;
mod claiming;
mod control;
mod forward;
pub(crate) mod learning;
pub(crate) mod output;
pub(crate) mod read;
mod recent;
mod reports;
mod resume;
mod routes;
pub(crate) mod shared;
mod stalls;
mod storing;
mod subscribing;
#[cfg(test)]
mod tests;
mod write_sources;

use std::io;
use std::sync::Arc;
use std::task::Waker;

use uuid::Uuid;

use crate::budget::Purpose;
use crate::ids::{ConnectionId, Name};
use crate::limits::REFUSED_IN_A_ROW_MAX;
use crate::router::broadcast::{BroadcastReceiver, Subscriptions};
use crate::router::connection::ConnectionHandle;
use crate::router::connection::accepted_ids::AcceptedIds;
use crate::router::mailbox::{Claim, Ownership, Pause, Taken, Write};
use crate::stats::Stats;
use crate::wire::{ErrorCode, ErrorDetails, Refusal};
use answers::Answers;
use claiming::NameState;
use learning::Learning;
use output::{Output, Progress};
use routes::Routes;
use shared::RouterShared;
use stalls::Stalls;
use storing::Storing;

/// The outcome of one call of [`Session::receive`].
#[derive(Debug)]
#[must_use]
pub struct Step {
    /// Bytes taken off the front of the input. The rest is a partial frame, or
    /// waits for the end of `halt`.
    pub consumed: usize,
    /// The reason, if the session stopped before the end of the input.
    pub halt: Option<Halt>,
}

/// The reason to take no more input, for now or for ever.
#[derive(Debug)]
pub enum Halt {
    /// An event waits for room in a full queue.
    Pause(Pause),
    /// Too many answers wait to be written.
    AnswersFull,
    /// The store has to catch up: call again when [`Session::may_store_more`] says so.
    Storing,
    /// The connection is to be closed once its answers are written.
    Close,
    /// The last message taken was refused; of a participant inside the process only.
    Refused,
}

/// The outcome of [`Session::handle_reports`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Attention {
    /// The connection goes on.
    Continue,
    /// The last name was taken over: the connection is to be closed.
    Close,
}

/// One connection: decides about the messages that it sends, and holds the output
/// that waits for it. The [module](crate::router) has an example of its use.
///
/// The methods are of five kinds:
///
/// - Getters: [`id`](Self::id), [`names`](Self::names),
///   [`has_accepted`](Self::has_accepted), [`has_reports`](Self::has_reports),
///   [`has_answers`](Self::has_answers), [`answers_are_full`](Self::answers_are_full),
///   [`is_storing`](Self::is_storing), [`may_store_more`](Self::may_store_more).
/// - Input: [`room_to_read`](Self::room_to_read) before a read,
///   [`receive`](Self::receive) with its bytes, [`hold_input`](Self::hold_input) with
///   the number of bytes that are left. While there is no room,
///   [`wait_to_read`](Self::wait_to_read). A participant inside the process takes its
///   name with [`own`](Self::own).
/// - Reports: [`handle_reports`](Self::handle_reports) after each wake-up.
/// - Output: [`register`](Self::register) a waker, and then
///   [`transmit`](Self::transmit), after input and reports. Inside the process,
///   [`take_answers`](Self::take_answers) and [`take_next`](Self::take_next) replace
///   `transmit`. [`shrink`](Self::shrink) an idle connection.
/// - The end: [`close_with`](Self::close_with) tells the client the reason,
///   [`end_input`](Self::end_input) frees its names. Then write the last answers, and
///   drop the session.
#[derive(Debug)]
pub struct Session {
    shared: Arc<RouterShared>,
    handle: Arc<ConnectionHandle>,
    receiver: Arc<BroadcastReceiver>,
    answers: Answers,
    claims: Vec<Claim>,
    ownership: Ownership,
    name_state: NameState,
    /// The first name at the end of the input.
    former_name: Option<Name>,
    routes: Routes,
    stalls: Stalls,
    /// Messages to durable names that are not answered.
    storing: Storing,
    subscriptions: Subscriptions,
    wants_no_broadcasts: bool,
    output: Output,
    /// The ids of the accepted messages, if they are remembered.
    accepted_ids: Option<Arc<AcceptedIds>>,
    learning: Learning,
    invalid_in_a_row: u32,
    /// A message was accepted.
    has_accepted: bool,
    /// Bytes that the budget counts for the answers.
    counted_answers: usize,
    /// Bytes that the budget counts for input that is not taken.
    counted_input: usize,
    /// Counts that are not added to the shared counters yet.
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
            name_state: NameState::Open,
            former_name: None,
            routes: Routes::default(),
            stalls: Stalls::default(),
            storing: Storing::default(),
            subscriptions: Subscriptions::default(),
            wants_no_broadcasts: false,
            accepted_ids: None,
            output: Output::default(),
            learning: Learning::default(),
            invalid_in_a_row: 0,
            has_accepted: false,
            counted_answers: 0,
            counted_input: 0,
            done: Stats::default(),
        }
    }

    /// Returns the id of the connection.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.handle.id()
    }

    /// Returns whether any message of the connection was accepted so far.
    #[must_use]
    pub fn has_accepted(&self) -> bool {
        self.has_accepted
    }

    // ---- memory ----

    /// Returns the bytes that may be read while `held` bytes of input are not
    /// taken: none while memory is short and `held` is above the share that every
    /// connection may have.
    #[must_use]
    pub fn room_to_read(&self, held: usize) -> usize {
        self.shared.budget.room_to_read(held)
    }

    /// Sets the bytes that are counted for input that is not taken.
    #[inline]
    pub fn hold_input(&mut self, bytes: usize) {
        (self.shared.budget).recount(Purpose::Input, &mut self.counted_input, bytes);
    }

    /// Registers `waker` for room to read, until [`Session::stop_waiting_to_read`].
    /// Call [`Session::room_to_read`] again afterwards.
    pub fn wait_to_read(&self, waker: &Waker) {
        self.shared.budget.wait_to_read(self.handle.id(), waker);
    }

    /// Takes back the waker of [`Session::wait_to_read`].
    pub fn stop_waiting_to_read(&self) {
        self.shared.budget.stop_waiting_to_read(self.handle.id());
    }

    #[inline]
    fn count_answers(&mut self) {
        let bytes = self.answers.held_bytes();
        (self.shared.budget).recount(Purpose::Queued, &mut self.counted_answers, bytes);
    }

    // ---- refusals ----

    /// Answers a frame with an error.
    ///
    /// # Errors
    /// Too many invalid frames in a row end the connection. Inside the process each
    /// refusal ends the read: the messages behind are the program's again.
    fn refuse(&mut self, refusal: &Refusal) -> Result<(), Halt> {
        self.done.refused += 1;
        self.answers.refuse(refusal);
        if self.answers.are_by_values() {
            return Err(Halt::Refused);
        }
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

    // ---- output ----

    /// Registers `waker` for new output and new reports. Call
    /// [`Session::handle_reports`] and [`Session::transmit`] afterwards.
    pub fn register(&self, waker: &Waker) {
        self.handle.register(waker);
    }

    /// Returns whether [`Session::handle_reports`] has reports to handle.
    #[must_use]
    #[inline]
    pub fn has_reports(&self) -> bool {
        self.handle.has_reports()
    }

    /// Returns a handle that wakes the task which registered last.
    #[must_use]
    pub fn waker(&self) -> SessionWaker {
        SessionWaker(Arc::clone(&self.handle))
    }

    /// Writes the waiting output in its order, until nothing is left, `write`
    /// would block, or about `budget` bytes are written. Returns the bytes written.
    ///
    /// # Errors
    /// Those of `write`, but for `WouldBlock` and `Interrupted`.
    pub fn transmit(&mut self, budget: usize, write: Write<'_>) -> io::Result<(usize, Progress)> {
        let (claims, receiver) = (&self.claims, &self.receiver);
        let written = (self.output).transmit(&mut self.answers, claims, receiver, budget, write);
        self.count_answers();
        let replaced = std::mem::take(&mut self.output.replaced);
        if replaced > 0 {
            let done = Stats {
                conflated: replaced,
                ..Stats::default()
            };
            self.shared.counters.add(self.handle.id(), &done);
        }
        written
    }

    /// Acknowledges messages by values from now on, for a participant inside the
    /// process. Refusals and requests are still answered by frames, and a read ends
    /// behind a message that is refused.
    pub fn acknowledge_by_values(&mut self) {
        self.answers.acknowledge_by_values();
    }

    /// Takes the acks that are values, in the order of the messages: for each that was
    /// accepted since the last call, the number of receivers that missed it.
    pub fn drain_accepted(&mut self) -> impl Iterator<Item = u32> {
        self.answers.drain_accepted()
    }

    /// Takes the waiting answers, as whole frames, for a participant inside the
    /// process.
    #[must_use]
    pub fn take_answers(&mut self) -> Vec<u8> {
        let answers = self.answers.take();
        self.count_answers();
        answers
    }

    /// Takes the next frame addressed to one of the session's names, or the next
    /// run of broadcasts, for a participant inside the process. Frames that are not
    /// taken go to the next owner, or are reported to their senders.
    #[must_use]
    pub fn take_next(&mut self) -> Option<Taken> {
        self.output.take_next(&self.claims, &self.receiver)
    }

    /// Returns whether answers wait to be written.
    #[must_use]
    pub fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Returns whether so many answers wait that no input should be taken.
    #[must_use]
    pub fn answers_are_full(&self) -> bool {
        self.answers.is_full()
    }

    /// Frees the buffers that an idle connection doesn't need.
    pub fn shrink(&mut self) {
        self.answers.shrink();
        self.storing.shrink();
        self.count_answers();
        self.output.shrink(&self.claims);
    }

    // ---- the end ----

    /// Ends the input. The names are free at once, and the messages queued for
    /// them wait for their next owners. Answers can still be written.
    pub fn end_input(&mut self) {
        self.former_name = self.name();
        for claim in std::mem::take(&mut self.claims) {
            self.shared.registry.release(&claim, &self.receiver);
        }
        self.name_state = NameState::ByHello;
        self.subscriptions = Subscriptions::default();
        self.shared.registry.hearers.leave(&self.receiver);
        self.accepted_ids = None;
        self.receiver.close_broadcasts();
        self.output.broadcasts.forget();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end_input();
        let budget = &self.shared.budget;
        budget.recount(Purpose::Queued, &mut self.counted_answers, 0);
        budget.recount(Purpose::Input, &mut self.counted_input, 0);
    }
}

/// A handle that wakes the task of one session, so that it looks at the state of
/// its server.
#[derive(Debug, Clone)]
pub struct SessionWaker(Arc<ConnectionHandle>);

impl SessionWaker {
    /// Wakes the task.
    pub fn wake(&self) {
        self.0.wake();
    }
}
