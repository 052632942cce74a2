//! The requests of one commit: messages and settlements become records.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Answer, Round, StoreThread, StoredRun};
use crate::ids::Name;
use crate::journal::{AppendError, Backlog, Lsn, Run, Settled, Storage};
use crate::limits::{COMMIT_BYTES_MAX, JOURNAL_NAME_DIVISOR, JOURNAL_NAMES_MAX};
use crate::router::store::{Part, StoreOutcome, StoredBytes, StoredMessage, Submission};
use crate::server::store::inbox::Request;
use crate::server::store::now;
use crate::server::store::outbox::Stretch;

/// Bytes of a record beside its names, index and frames, with its padding.
const RECORD_OVERHEAD: usize = 128;
/// After the disk was full, it is tried again so late.
const FULL_RETRY: Duration = Duration::from_secs(1);

/// The log tells so often that messages are refused.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(10);

/// Why messages or a settlement were not appended.
#[derive(Debug, thiserror::Error)]
enum NotAppended {
    #[error(
        "the journal, or the part of it that {0} may have, is full: have its owner settle \
         messages, or raise journal_bytes"
    )]
    Bound(Name),
    #[error(transparent)]
    Journal(#[from] AppendError),
}

impl<S: Storage> StoreThread<S> {
    /// Appends all that waits, up to a bound.
    pub(super) fn append_all(&mut self) -> Round {
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

    fn answer_to(&mut self, appended: Result<(), NotAppended>) -> Answer {
        let Err(error) = appended else {
            return Answer::OfCommit;
        };
        // That the journal has failed is told with the commit.
        let has_failed = matches!(error, NotAppended::Journal(AppendError::Failed(_)));
        let told_at = self.refusal_told_at;
        if !has_failed && told_at.is_none_or(|at| at.elapsed() >= REFUSAL_INTERVAL) {
            self.refusal_told_at = Some(Instant::now());
            tracing::error!(%error, "messages to durable names are refused");
        }
        Answer::Now(StoreOutcome::NotStored)
    }

    fn append_run(
        &mut self,
        run: &SubmittedRun<'_>,
        now: u64,
        round: &mut Round,
    ) -> Result<(), NotAppended> {
        if !self.has_room(run.target) {
            return Err(NotAppended::Bound(run.target.clone()));
        }
        let names = run.target.as_bytes().len() + run.source.as_bytes().len();
        // Each with its place in the index.
        let indexed = run.frames.iter().map(|(size, _)| *size as usize + 20);
        self.check_full(names + indexed.sum::<usize>())?;
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
    ) -> Result<(), NotAppended> {
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
    pub(in crate::server::store) fn try_again(&mut self) {
        self.is_full_until = None;
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
