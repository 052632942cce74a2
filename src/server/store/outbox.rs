//! The delivery to the owner of one durable name: first its backlog, read from the
//! journal, and then each message as it is committed.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::task::Waker;

use bytes::{Bytes, BytesMut};

use crate::budget::Budget;
use crate::ids::Name;
use crate::journal::{Content, Ledger, Lsn, Position, ReadError, Reader, Run, Storage};
use crate::router::store::{Outlet, StoredBytes, StoredMessage};

/// Most stretches of one name that wait in memory: each may keep a read in it.
const STRETCHES_MAX: usize = 32;
/// Most bytes that they may keep in it.
const STRETCHES_BYTES_MAX: usize = 1024 * 1024;

/// Opens the journal for another reader.
pub(super) type Reading<S> = Box<dyn Fn() -> io::Result<S> + Send>;

/// Messages side by side.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) messages: VecDeque<StoredMessage>,
    pub(super) input: StoredBytes,
    /// The place of the first of them in `input`.
    pub(super) start: usize,
}

/// The records behind the messages that are being delivered.
enum Unread<S: Storage> {
    /// None: each message comes from memory when it is committed.
    Nothing,
    /// Those from this one on.
    From(Lsn),
    /// The same, of which the place is known.
    At(Position),
    Reading(Reader<S>),
}

/// See the [module](self).
pub(super) struct Outbox<S: Storage> {
    outlet: Outlet,
    /// Messages in memory, the next to be delivered.
    next: VecDeque<Stretch>,
    unread: Unread<S>,
    /// The journal could not be read, and that was said.
    has_failed: bool,
}

/// The end of one turn of an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// All committed messages are delivered.
    AtTail,
    /// There is no room for the next one.
    Blocked,
    /// There is more to do at once.
    More,
    /// The journal can't be read now.
    Failed,
    /// The owner has lost the name.
    Over,
}

impl<S: Storage> Outbox<S> {
    /// Begins to deliver all that is not settled.
    pub(super) fn new(outlet: Outlet, ledger: &Ledger) -> Self {
        let backlog = ledger.backlog(outlet.name().as_bytes());
        Self {
            next: VecDeque::new(),
            unread: backlog.map_or(Unread::Nothing, |backlog| Unread::From(backlog.from())),
            outlet,
            has_failed: false,
        }
    }

    pub(super) fn outlet(&self) -> &Outlet {
        &self.outlet
    }

    pub(super) fn is_open(&self) -> bool {
        self.outlet.is_open()
    }

    /// Returns whether messages that are committed now may wait in memory.
    pub(super) fn takes_more(&self) -> bool {
        let kept = self.next.iter().map(|stretch| stretch.input.block_bytes);
        self.next.len() < STRETCHES_MAX
            && kept.sum::<usize>() < STRETCHES_BYTES_MAX
            && matches!(self.unread, Unread::Nothing)
    }

    /// Adds messages that were committed, and stand at `position`.
    pub(super) fn add(&mut self, stretch: Stretch, position: Position) {
        if self.takes_more() {
            self.next.push_back(stretch);
        } else {
            self.leave_to_reader(position);
        }
    }

    /// Notes that messages were committed that stand at `position`, to be read later.
    pub(super) fn leave_to_reader(&mut self, position: Position) {
        if matches!(self.unread, Unread::Nothing) {
            self.unread = Unread::At(position);
        }
    }

    /// Delivers as much as there is room for, but reads `records` at most.
    pub(super) fn deliver(
        &mut self,
        records: usize,
        ledger: &Ledger,
        durable: Lsn,
        reading: &Reading<S>,
        budget: &Arc<Budget>,
        waker: &Waker,
    ) -> Turn {
        for _ in 0..records {
            if let Some(next) = self.next.front_mut() {
                let (messages, start) = (&mut next.messages, &mut next.start);
                let delivered = (self.outlet).deliver(messages, &next.input, start, budget, waker);
                if delivered.is_err() {
                    return Turn::Over;
                }
                if !messages.is_empty() {
                    return Turn::Blocked;
                }
                self.next.pop_front();
                continue;
            }
            match self.read(ledger, durable, reading, budget) {
                Ok(true) => self.has_failed = false,
                Ok(false) => return Turn::AtTail,
                // Nothing unsettled was deleted: the next message stands behind.
                Err(ReadError::Deleted { first, .. }) => self.unread = Unread::From(first),
                Err(error) => {
                    let name = self.outlet.name();
                    if !std::mem::replace(&mut self.has_failed, true) {
                        tracing::error!(%name, %error, "messages can't be read from the journal");
                    }
                    return Turn::Failed;
                }
            }
        }
        Turn::More
    }

    /// Reads one record more. Returns whether there was one.
    fn read(
        &mut self,
        ledger: &Ledger,
        durable: Lsn,
        reading: &Reading<S>,
        budget: &Arc<Budget>,
    ) -> Result<bool, ReadError> {
        let storage = || reading().map_err(ReadError::Storage);
        let reader = match &mut self.unread {
            Unread::Nothing => return Ok(false),
            Unread::Reading(reader) => reader,
            Unread::From(lsn) => {
                self.unread = Unread::Reading(Reader::new(storage()?, *lsn)?);
                return Ok(true);
            }
            Unread::At(position) => {
                self.unread = Unread::Reading(Reader::at(storage()?, *position)?);
                return Ok(true);
            }
        };
        let Some(record) = reader.next(durable)? else {
            self.unread = Unread::Nothing;
            return Ok(false);
        };
        let name = self.outlet.name();
        if let Content::Run(run) = record.content
            && run.target == name.as_bytes()
        {
            self.next
                .extend(unsettled_of(&run, record.header.lsn, name, ledger, budget));
        }
        Ok(true)
    }
}

/// The messages of a record that are not settled.
fn unsettled_of(
    run: &Run<'_>,
    lsn: Lsn,
    name: &Name,
    ledger: &Ledger,
    budget: &Arc<Budget>,
) -> Option<Stretch> {
    let source = Name::from_utf8(run.source).ok()?;
    let mut messages = VecDeque::new();
    let mut frames = BytesMut::new();
    for ((range, id), sequence) in run.index.frames().zip(run.sequence..) {
        if ledger.is_settled(name.as_bytes(), lsn, sequence) {
            continue;
        }
        messages.push_back(StoredMessage {
            source: source.clone(),
            msg_id: id.as_u128(),
            record: lsn.0,
            sequence,
            bytes: range.len() as u32,
        });
        frames.extend_from_slice(run.frames.get(range)?);
    }
    let block_bytes = frames.len();
    let input = StoredBytes {
        bytes: budget.pin(Bytes::from(frames), block_bytes),
        block_bytes,
    };
    (!messages.is_empty()).then_some(Stretch {
        messages,
        input,
        start: 0,
    })
}
