//! The thread of the journal.

mod appending;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use super::inbox::Inbox;
use super::now;
use super::outbox::{Outbox, Reading, Stretch, Turn};
use crate::budget::Budget;
use crate::ids::Name;
use crate::journal::{IndexBuilder, Position, Storage, Writer};
use crate::limits::TEND_INTERVAL;
use crate::router::store::{Origin, Outlet, StoreOutcome};

/// Names that get a turn between two commits.
const TURNS_PER_ROUND: usize = 64;
/// Records that are read for them together.
const RECORDS_PER_ROUND: usize = 4096;

/// See the [module](super).
pub(super) struct StoreThread<S: Storage> {
    writer: Writer<S>,
    /// The bytes that the journal may have.
    bytes_max: u64,
    reading: Reading<S>,
    budget: Arc<Budget>,
    inbox: Arc<Inbox>,
    /// Woken by mailboxes that have room again.
    room_waker: Waker,
    /// The names that have an owner.
    outboxes: HashMap<Name, Outbox<S>>,
    /// Those with something to be delivered at once.
    due: HashSet<Name>,
    /// Those that wait for room.
    blocked: HashSet<Name>,
    /// Those for which the journal could not be read.
    failed: HashSet<Name>,
    /// The disk is full: until then no new file is tried.
    is_full_until: Option<Instant>,
    index: IndexBuilder,
    /// When settled segments are looked for again.
    tend_at: Instant,
    /// When the log last told that messages are refused.
    refusal_told_at: Option<Instant>,
    is_failure_told: bool,
}

/// The requests of one commit.
#[derive(Default)]
struct Round {
    answers: Vec<(Origin, u32, Answer)>,
    runs: Vec<StoredRun>,
    outlets: Vec<Outlet>,
    bytes: usize,
    is_last: bool,
}

/// The answer to parts of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The outcome of the commit.
    OfCommit,
    /// The outcome, whatever becomes of the commit.
    Now(StoreOutcome),
}

/// A run that was appended, for a name with an owner.
struct StoredRun {
    target: Name,
    stretch: Stretch,
    position: Position,
}

impl Round {
    fn answer(&mut self, origin: &Origin, answer: Answer) {
        match self.answers.last_mut() {
            Some((last, parts, same)) if last.is(origin) && *same == answer => *parts += 1,
            _ => self.answers.push((origin.clone(), 1, answer)),
        }
    }
}

impl<S: Storage> StoreThread<S> {
    pub(super) fn new(
        writer: Writer<S>,
        bytes_max: u64,
        reading: Reading<S>,
        budget: Arc<Budget>,
        inbox: Arc<Inbox>,
    ) -> Self {
        Self {
            writer,
            bytes_max,
            reading,
            budget,
            room_waker: Waker::from(Arc::clone(&inbox)),
            inbox,
            outboxes: HashMap::new(),
            due: HashSet::new(),
            blocked: HashSet::new(),
            failed: HashSet::new(),
            is_full_until: None,
            index: IndexBuilder::default(),
            tend_at: Instant::now(),
            refusal_told_at: None,
            is_failure_told: false,
        }
    }

    /// Serves until it is told to stop.
    pub(super) fn run(mut self) {
        while self.round() {
            if self.due.is_empty() {
                self.inbox.wait(self.timeout());
            }
        }
    }

    /// Does everything that waits, up to a bound. Returns whether there will be more.
    pub(super) fn round(&mut self) -> bool {
        let round = self.append_all();
        let is_last = round.is_last;
        self.finish(round);
        self.deliver();
        self.tend();
        !is_last
    }

    /// The time until something is to be done without a request.
    fn timeout(&self) -> Option<Duration> {
        let mark = self.writer.mark_at();
        let mark = mark.map(|at| Duration::from_micros(at.saturating_sub(now())));
        let has_more = self.writer.segments() > 1 || !self.failed.is_empty();
        let tend = has_more.then(|| self.tend_at.saturating_duration_since(Instant::now()));
        mark.into_iter().chain(tend).min()
    }

    /// The number of messages that are not settled.
    #[cfg(test)]
    pub(super) fn unsettled(&self) -> u64 {
        let backlogs = self.writer.ledger().backlogs();
        backlogs.map(|(_, backlog)| backlog.frames()).sum()
    }

    // ---- answering ----

    /// Commits the round, answers, and hands its messages to their owners.
    fn finish(&mut self, round: Round) {
        let outcome = match self.writer.commit(now()) {
            Ok(_) => StoreOutcome::Stored,
            Err(error) => {
                // It may have failed before, while a segment was made.
                if !std::mem::replace(&mut self.is_failure_told, true) {
                    tracing::error!(
                        %error,
                        "messages to durable names are refused until the server is started again"
                    );
                }
                StoreOutcome::Unknown
            }
        };
        for (origin, parts, answer) in round.answers {
            origin.answer(
                parts,
                match answer {
                    Answer::OfCommit => outcome,
                    Answer::Now(outcome) => outcome,
                },
            );
        }
        if outcome == StoreOutcome::Stored {
            for run in round.runs {
                if let Some(outbox) = self.outboxes.get_mut(&run.target) {
                    outbox.add(run.stretch, run.position);
                    self.due.insert(run.target);
                }
            }
        }
        for outlet in round.outlets {
            let name = outlet.name().clone();
            let outbox = Outbox::new(outlet, self.writer.ledger());
            self.outboxes.insert(name.clone(), outbox);
            self.due.insert(name);
        }
    }

    // ---- delivering ----

    fn deliver(&mut self) {
        if self.inbox.take_has_room() {
            self.due.extend(self.blocked.drain());
        }
        let (durable, ledger) = (self.writer.durable(), self.writer.ledger());
        let turns: Vec<Name> = self.due.iter().take(TURNS_PER_ROUND).cloned().collect();
        let records = RECORDS_PER_ROUND / turns.len().max(1);
        for name in turns {
            self.due.remove(&name);
            let Some(outbox) = self.outboxes.get_mut(&name) else {
                continue;
            };
            let (reading, waker) = (&self.reading, &self.room_waker);
            match outbox.deliver(records, ledger, durable, reading, &self.budget, waker) {
                Turn::AtTail => {}
                Turn::Blocked => {
                    self.blocked.insert(name);
                }
                Turn::More => {
                    self.due.insert(name);
                }
                Turn::Failed => {
                    self.failed.insert(name);
                }
                Turn::Over => {
                    self.outboxes.remove(&name);
                }
            }
        }
    }

    /// States the latest commit, and frees memory and segments that nobody needs.
    fn tend(&mut self) {
        // What fails here is told to those who submit next.
        let _ = self.writer.mark(now());
        let time = Instant::now();
        if time < self.tend_at {
            return;
        }
        self.tend_at = time + TEND_INTERVAL;
        self.due.extend(self.failed.drain());
        self.outboxes.retain(|_, outbox| outbox.is_open());
        let Self {
            blocked, outboxes, ..
        } = self;
        blocked.retain(|name| outboxes.contains_key(name));
        if !self.writer.has_settled_segment() {
            return;
        }
        // Marks that are not on disk would be in its way.
        let _ = self.writer.commit(now());
        if let Err(error) = self.writer.delete_settled(0) {
            tracing::warn!(%error, "settled segments of the journal can't be deleted");
        }
    }
}
