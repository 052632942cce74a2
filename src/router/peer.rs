//! What a connection shares with those who deliver to it: its waker, its
//! broadcast lane, and reports about the fate of what it sent.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, Weak};
use std::task::Waker;

use bytes::Bytes;

use super::conflation::ConflatingLane;
use super::forward::Cut;
use super::gap::Gap;
use super::load::Room;
use super::memory::Memory;
use super::parts::Parts;
use super::queue::{Entry, Queue};
use crate::ids::{ConnectionId, MsgId, Name};
use crate::sync::{AtomicBool, AtomicWaker, Mutex, MutexGuard, Ordering};

/// Something that a connection must be told beside the answers to what it
/// sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// Another connection took `0` over.
    NameTakenOver(Name),
    /// Accepted messages to `target` were given up.
    Undelivered {
        target: Name,
        count: u64,
        first_msg_id: Option<MsgId>,
    },
}

/// The shared side of one connection.
pub(crate) struct Peer {
    id: ConnectionId,
    waker: AtomicWaker,
    /// Set by the first to wake, cleared by the connection before it looks.
    scheduled: AtomicBool,
    /// Changed under the lock of the reports only.
    has_reports: AtomicBool,
    reports: Mutex<Vec<Report>>,
    /// What is queued for everyone. Dies with the connection.
    pub(crate) broadcasts: Queue,
    /// Where broadcasts go instead, once the connection has asked for the
    /// latest only.
    conflating: OnceLock<Box<ConflatingLane>>,
    /// The rest of a frame that was partly written when its name went to
    /// another connection.
    unfinished: Mutex<Option<Bytes>>,
    /// Where its accepted messages are remembered, if they are.
    memory: Mutex<Weak<Memory>>,
}

impl Peer {
    pub(crate) fn new(id: ConnectionId) -> Self {
        Self {
            id,
            waker: AtomicWaker::new(),
            scheduled: AtomicBool::new(false),
            has_reports: AtomicBool::new(false),
            reports: Mutex::default(),
            broadcasts: Queue::default(),
            conflating: OnceLock::new(),
            unfinished: Mutex::default(),
            memory: Mutex::default(),
        }
    }

    pub(crate) fn id(&self) -> ConnectionId {
        self.id
    }

    /// Makes the connection look at its queues again. To be called after
    /// something was put there.
    #[inline]
    pub(crate) fn wake(&self) {
        if !self.scheduled.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Registers for the next wake. The caller must look at its queues
    /// afterwards: what arrived before is not announced again.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
        // A read-modify-write, so that what a producer did before it found the
        // flag set is visible to the look that follows.
        self.scheduled.swap(false, Ordering::AcqRel);
    }

    /// Queues a broadcast for which room is reserved, and wakes the connection.
    pub(crate) fn broadcast(&self, entry: Entry, reserved_bytes: usize) {
        let frames = entry.frames as usize;
        self.broadcast_within(
            entry,
            Room {
                frames,
                bytes: reserved_bytes,
            },
        );
    }

    /// The same, where the room that was reserved may be more than the entry
    /// takes.
    pub(super) fn broadcast_within(&self, entry: Entry, reserved: Room) {
        if self.broadcasts.enqueue_within(entry, reserved) {
            self.sweep_broadcasts();
        } else {
            self.wake();
        }
    }

    /// Queues a part of a read for which room is reserved, and notes what was
    /// dropped behind it.
    pub(super) fn broadcast_parts(&self, parts: &Parts, gap: Option<Gap>, cut: &Cut<'_>) {
        if parts.frames > 0 {
            self.broadcast(cut.entry(parts, None), parts.bytes);
        }
        if let Some(gap) = gap {
            self.miss_broadcasts(gap);
        }
    }

    /// Notes what was dropped of the broadcasts since the last entry.
    #[cold]
    pub(crate) fn miss_broadcasts(&self, gap: Gap) {
        self.broadcasts.note_gap(gap);
        self.wake();
    }

    /// Whether broadcasts go through a conflating lane.
    pub(crate) fn conflates(&self) -> bool {
        self.conflating.get().is_some()
    }

    /// The lane that broadcasts go through, if that is a conflating one.
    #[inline]
    pub(crate) fn conflating_lane(&self) -> Option<&ConflatingLane> {
        self.conflating.get().map(|lane| &**lane)
    }

    /// Has all broadcasts go through a conflating lane from now on.
    pub(crate) fn start_conflating(&self) -> &ConflatingLane {
        self.conflating.get_or_init(Box::default)
    }

    /// The connection hears no more broadcasts; those queued die with it.
    pub(crate) fn close_broadcasts(&self) {
        self.broadcasts.end();
        self.sweep_broadcasts();
        if let Some(lane) = self.conflating_lane() {
            lane.close();
        }
    }

    fn sweep_broadcasts(&self) {
        while let Some(entry) = self.broadcasts.pop() {
            self.broadcasts.release(entry.frames as usize, entry.charge);
        }
    }

    /// Leaves a report and wakes the connection.
    pub(crate) fn report(&self, report: Report) {
        let mut reports = lock(&self.reports);
        // Reports about one target are one report, so that their number is
        // bounded by the number of names.
        let merged = reports.iter_mut().any(|earlier| earlier.absorb(&report));
        if !merged {
            reports.push(report);
        }
        self.has_reports.store(true, Ordering::Release);
        drop(reports);
        self.wake();
    }

    pub(crate) fn has_reports(&self) -> bool {
        self.has_reports.load(Ordering::Acquire)
    }

    /// Takes the reports that have gathered.
    pub(crate) fn take_reports(&self) -> Vec<Report> {
        if !self.has_reports() {
            return Vec::new();
        }
        let mut reports = lock(&self.reports);
        self.has_reports.store(false, Ordering::Release);
        std::mem::take(&mut *reports)
    }

    /// Takes those reports that are about messages given up: target, count and
    /// first id of each.
    pub(crate) fn take_undelivered(&self) -> Vec<(Name, u64, Option<MsgId>)> {
        let mut taken = Vec::new();
        lock(&self.reports).retain(|report| match report {
            Report::Undelivered {
                target,
                count,
                first_msg_id,
            } => {
                taken.push((target.clone(), *count, *first_msg_id));
                false
            }
            Report::NameTakenOver(_) => true,
        });
        taken
    }

    /// Where its accepted messages are remembered, or were when they last were,
    /// for as long as that is kept.
    pub(crate) fn memory(&self) -> Option<Arc<Memory>> {
        lock(&self.memory).upgrade()
    }

    pub(super) fn set_memory(&self, memory: &Arc<Memory>) {
        *lock(&self.memory) = Arc::downgrade(memory);
    }

    /// Leaves the rest of a frame for the connection to finish first.
    pub(crate) fn leave_unfinished(&self, rest: Bytes) {
        *lock(&self.unfinished) = Some(rest);
    }

    pub(crate) fn take_unfinished(&self) -> Option<Bytes> {
        lock(&self.unfinished).take()
    }
}

impl Report {
    fn absorb(&mut self, later: &Self) -> bool {
        match (self, later) {
            (
                Self::Undelivered { target, count, .. },
                Self::Undelivered {
                    target: later_target,
                    count: more,
                    ..
                },
            ) if target == later_target => {
                *count += more;
                true
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peer").field(&self.id).finish()
    }
}

/// Locks, also after a panic elsewhere: the panic ended its own connection, and
/// what these locks guard is consistent between any two statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
