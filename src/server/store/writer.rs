//! The thread of the journal.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::inbox::{Inbox, Request};
use super::now;
use super::outbox::{Outbox, Reading, Stretch, Turn};
use crate::budget::Budget;
use crate::ids::Name;
use crate::journal::{
    AppendError, Backlog, IndexBuilder, Lsn, Position, Run, Settled, Storage, Writer,
};
use crate::limits::{COMMIT_BYTES_MAX, JOURNAL_NAME_DIVISOR, JOURNAL_NAMES_MAX, TEND_INTERVAL};
use crate::router::store::{
    Origin, Outlet, Part, StoreOutcome, StoredBytes, StoredMessage, Submission,
};

/// Names that get a turn between two commits.
const TURNS_PER_ROUND: usize = 64;
/// Records that are read for them together.
const RECORDS_PER_ROUND: usize = 4096;
/// Bytes of a record beside its names, index and frames, with its padding.
const RECORD_OVERHEAD: usize = 128;
/// After the disk was full, it is tried again so late.
const FULL_RETRY: Duration = Duration::from_secs(1);

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
    is_full: bool,
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
            is_full: false,
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

    // ---- appending ----

    /// Appends all that waits, up to a bound.
    fn append_all(&mut self) -> Round {
        let mut round = Round::default();
        let now = now();
        while round.bytes < COMMIT_BYTES_MAX {
            match self.inbox.pop() {
                None => break,
                Some(Request::Submit(submission)) => self.append(&submission, now, &mut round),
                Some(Request::DeliverTo(outlet)) => round.outlets.push(outlet),
                Some(Request::Stop) => {
                    round.is_last = true;
                    break;
                }
            }
        }
        round
    }

    fn append(&mut self, submission: &Submission, now: u64, round: &mut Round) {
        let origin = &submission.origin;
        round.bytes += submission.input.bytes.len();
        let mut rest = &submission.frames[..];
        let mut refused: Vec<u128> = Vec::new();
        for part in &submission.parts {
            let answer = match part {
                Part::Run {
                    target,
                    source,
                    start,
                    frames,
                } => {
                    let (frames, behind) = rest.split_at((*frames).min(rest.len()));
                    rest = behind;
                    let run = SubmittedRun {
                        target,
                        source,
                        start: *start,
                        frames,
                        input: &submission.input,
                    };
                    let appended = self.append_run(&run, now, round);
                    if appended.is_err() {
                        refused.extend(frames.iter().map(|(_, msg_id)| *msg_id));
                    }
                    self.answer_to(appended)
                }
                Part::Known { frames } => {
                    let (frames, behind) = rest.split_at((*frames).min(rest.len()));
                    rest = behind;
                    origin.forget(&mut refused);
                    match frames.iter().all(|(_, msg_id)| origin.knows(*msg_id)) {
                        true => Answer::OfCommit,
                        false => Answer::Now(StoreOutcome::Unknown),
                    }
                }
                Part::Settled { target, messages } => {
                    let settled = self.settle(target, messages, now);
                    if settled.is_err()
                        && let Some(outbox) = self.outboxes.get(target)
                    {
                        outbox.outlet().put_back(messages);
                    }
                    self.due.insert(target.clone());
                    self.answer_to(settled)
                }
            };
            round.answer(origin, answer);
        }
        origin.forget(&mut refused);
    }

    fn answer_to(&mut self, appended: Result<(), AppendError>) -> Answer {
        match appended {
            Ok(()) => {
                self.is_full = false;
                Answer::OfCommit
            }
            Err(error) => {
                // A journal that has failed has said so.
                let is_news = !matches!(error, AppendError::Failed(_));
                if is_news && !std::mem::replace(&mut self.is_full, true) {
                    tracing::error!(%error, "messages to durable names are refused");
                }
                Answer::Now(StoreOutcome::NotStored)
            }
        }
    }

    fn append_run(
        &mut self,
        run: &SubmittedRun<'_>,
        now: u64,
        round: &mut Round,
    ) -> Result<(), AppendError> {
        if !self.has_room(run.target) {
            return Err(AppendError::Full);
        }
        let names = run.target.as_bytes().len() + run.source.as_bytes().len();
        let frames: usize = run.frames.iter().map(|(size, _)| *size as usize + 20).sum();
        self.check_full(names + frames)?;
        self.index.clear();
        let mut end = 0;
        for &(size, msg_id) in run.frames {
            end += size;
            self.index.push(end, Uuid::from_u128(msg_id));
        }
        let range = run.start..run.start + end as usize;
        let frames = run.input.bytes.get(range).unwrap_or_default();
        let sequence = self.writer.ledger().next_sequence(run.target.as_bytes());
        let appended = self.writer.append(
            &Run {
                target: run.target.as_bytes(),
                source: run.source.as_bytes(),
                sequence,
                index: self.index.index(),
                frames,
            },
            now,
        );
        let lsn = self.note_full(appended)?;
        if let Some(outbox) = self.outboxes.get_mut(run.target) {
            let position = self.writer.last_position();
            match outbox.takes_more() {
                true => round.runs.push(StoredRun {
                    target: run.target.clone(),
                    stretch: run.stretch(lsn, sequence),
                    position,
                }),
                false => outbox.leave_to_reader(position),
            }
        }
        Ok(())
    }

    /// Returns whether the journal's bound has room for a message to `target`.
    fn has_room(&self, target: &Name) -> bool {
        let backlog = self.writer.ledger().backlog(target.as_bytes());
        let unsettled = backlog.map_or(0, Backlog::bytes);
        let names = self.writer.ledger().backlogs().len();
        let has_place = backlog.is_some() || names < JOURNAL_NAMES_MAX;
        has_place
            && self.writer.bytes() <= self.bytes_max
            && unsettled <= self.bytes_max / JOURNAL_NAME_DIVISOR
    }

    /// Notes messages as settled that are not yet.
    fn settle(
        &mut self,
        target: &Name,
        messages: &[StoredMessage],
        now: u64,
    ) -> Result<(), AppendError> {
        let ledger = self.writer.ledger();
        let is_open = |message: &&StoredMessage| {
            let (lsn, sequence) = (Lsn(message.record), message.sequence);
            !ledger.is_settled(target.as_bytes(), lsn, sequence)
        };
        let mut messages: Vec<&StoredMessage> = messages.iter().filter(is_open).collect();
        messages.sort_unstable_by_key(|message| message.sequence);
        messages.dedup_by_key(|message| message.sequence);
        let mut ranges: Vec<Settled> = Vec::new();
        for message in messages {
            let StoredMessage {
                sequence, record, ..
            } = *message;
            match ranges.last_mut() {
                Some(last) if last.messages.end == sequence => {
                    last.messages.end += 1;
                    last.lsn = Lsn(record);
                    last.bytes += u64::from(message.bytes);
                }
                _ => ranges.push(Settled {
                    messages: sequence..sequence + 1,
                    lsn: Lsn(record),
                    bytes: u64::from(message.bytes),
                }),
            }
        }
        if !ranges.is_empty() {
            self.check_full(target.as_bytes().len() + 32 * ranges.len())?;
            let settled = self.writer.settle(target.as_bytes(), &ranges, now);
            self.note_full(settled)?;
        }
        Ok(())
    }

    /// Refuses a record of about so many bytes, if it needs a file that there was no room
    /// for just now: each attempt fills the disk with zeros.
    fn check_full(&mut self, bytes: usize) -> Result<(), AppendError> {
        let needs_file = self.writer.room() < (bytes + RECORD_OVERHEAD) as u64;
        match self.is_full_until {
            Some(until) if needs_file && Instant::now() < until => Err(AppendError::Full),
            _ => Ok(()),
        }
    }

    fn note_full<T>(&mut self, appended: Result<T, AppendError>) -> Result<T, AppendError> {
        if matches!(appended, Err(AppendError::Full)) {
            self.is_full_until = Some(Instant::now() + FULL_RETRY);
        }
        appended
    }

    /// Tries a full disk again at once.
    #[cfg(test)]
    pub(super) fn try_again(&mut self) {
        self.is_full_until = None;
    }

    // ---- answering ----

    /// Commits the round, answers, and hands its messages to their owners.
    fn finish(&mut self, round: Round) {
        let before = self.writer.failed();
        let outcome = match self.writer.commit(now()) {
            Ok(_) => StoreOutcome::Stored,
            Err(error) => {
                if before.is_none() {
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

/// A run of a submission.
struct SubmittedRun<'a> {
    target: &'a Name,
    source: &'a Name,
    start: usize,
    frames: &'a [(u32, u128)],
    input: &'a StoredBytes,
}

impl SubmittedRun<'_> {
    /// The messages to be delivered, of the record `lsn`.
    fn stretch(&self, lsn: Lsn, sequence: u64) -> Stretch {
        let messages = self.frames.iter().zip(sequence..);
        let messages = messages.map(|(&(bytes, msg_id), sequence)| StoredMessage {
            source: self.source.clone(),
            msg_id,
            record: lsn.0,
            sequence,
            bytes,
        });
        Stretch {
            messages: messages.collect::<VecDeque<_>>(),
            input: self.input.clone(),
            start: self.start,
        }
    }
}
