//! What a connection shares with those who deliver to it: its waker, its
//! broadcast lane, and reports about the fate of what it sent.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Waker;

use bytes::Bytes;

use super::budget::{Budget, Holds};
use super::conflation::ConflatingLane;
use super::forward::Cut;
use super::gap::Gap;
use super::load::{Capacity, Room};
use super::memory::Memory;
use super::outbox::Outbox;
use super::parts::Parts;
use super::queue::{Closed, Entry, Queue};
use crate::ids::{ConnectionId, MsgId, Name};
pub(super) use crate::sync::lock;
use crate::sync::{AtomicBool, AtomicWaker, Mutex, Ordering};

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
    /// Where what is queued for it is counted.
    pub(super) budget: Arc<Budget>,
    /// Its names, whose queues are of one account with its broadcasts.
    names: Mutex<Vec<Weak<Outbox>>>,
    /// Whether its broadcasts count as a queue.
    is_counted: AtomicBool,
    /// Whether they count as one that holds something.
    holds: Holds,
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
    /// One whose queues nothing but their own bounds holds back.
    #[cfg(test)]
    pub(crate) fn new(id: ConnectionId) -> Self {
        Self::within(id, &Arc::default())
    }

    pub(crate) fn within(id: ConnectionId, budget: &Arc<Budget>) -> Self {
        Self {
            id,
            budget: Arc::clone(budget),
            names: Mutex::default(),
            is_counted: AtomicBool::new(false),
            holds: Holds::default(),
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
        let new = || Box::new(ConflatingLane::within(&self.budget));
        self.conflating.get_or_init(new)
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
            self.release(entry.frames as usize, entry.charge);
        }
    }

    // ---- its share of the memory ----

    /// Reserves room for broadcasts, for as many as fit from the first on.
    #[inline]
    pub(crate) fn reserve(
        &self,
        sizes: &[u32],
        total: usize,
        capacity: Capacity,
    ) -> Result<usize, Closed> {
        if self.budget.is_short() {
            return self.reserve_of_share(sizes, total, capacity);
        }
        self.broadcasts.reserve(sizes, total, capacity)
    }

    #[cold]
    fn reserve_of_share(
        &self,
        sizes: &[u32],
        total: usize,
        capacity: Capacity,
    ) -> Result<usize, Closed> {
        self.budget.ask_for_share(&self.holds);
        let own = self.broadcasts.load();
        let others = self.bytes().saturating_sub(own.bytes());
        let allowance = self.budget.allowance();
        let granted = (self.broadcasts).reserve_within(sizes, total, capacity, allowance, others);
        self.release_share();
        granted
    }

    /// Reserves `room` for broadcasts, all of it or nothing.
    #[inline]
    pub(crate) fn reserve_whole(&self, room: Room, capacity: Capacity) -> Result<bool, Closed> {
        // While memory is short, nothing is reserved ahead.
        let is_short = self.budget.is_short();
        match is_short && !self.broadcasts.load().is_closed() {
            true => Ok(false),
            false => self.broadcasts.reserve_whole(room, capacity),
        }
    }

    /// Gives back room of broadcasts.
    #[inline]
    pub(crate) fn release(&self, frames: usize, charge: usize) {
        if frames == 0 && charge == 0 {
            return;
        }
        self.broadcasts.release(frames, charge);
        self.release_share();
        self.budget.wake_waiting();
    }

    /// What of the capacity of a conflating lane that has `own` bytes is there
    /// for it now: none at all if it doesn't take a message of `size` bytes.
    #[inline]
    pub(crate) fn capacity_of_lane(
        &self,
        lane: &ConflatingLane,
        size: usize,
        capacity: Capacity,
    ) -> Capacity {
        if self.budget.is_short() {
            return self.share_of_lane(lane, size, capacity);
        }
        capacity
    }

    #[cold]
    fn share_of_lane(&self, lane: &ConflatingLane, size: usize, capacity: Capacity) -> Capacity {
        self.budget.ask_for_share(&self.holds);
        let own = lane.bytes();
        let others = self.bytes().saturating_sub(own);
        let allowance = self.budget.allowance();
        let bytes = capacity.bytes.min(allowance.of_queue(own, others));
        match own == 0 && !allowance.takes(size, own, others, true) {
            true => Capacity {
                bytes: 0,
                messages: 0,
            },
            false => Capacity { bytes, ..capacity },
        }
    }

    /// No broadcast holds memory any more, if none does.
    #[inline]
    pub(crate) fn release_share(&self) {
        if self.broadcasts.load().is_empty()
            && self.conflating_lane().is_none_or(|lane| lane.bytes() == 0)
        {
            self.budget.release_share(&self.holds);
        }
    }

    /// Bytes in all of its queues.
    #[cold]
    pub(crate) fn bytes(&self) -> usize {
        let names = lock(&self.names);
        let names = names.iter().filter_map(Weak::upgrade);
        let queued: usize = names.map(|outbox| outbox.load().bytes()).sum();
        let in_lane = self.conflating_lane().map_or(0, ConflatingLane::bytes);
        queued + self.broadcasts.load().bytes() + in_lane
    }

    /// It may hear broadcasts from now on.
    pub(super) fn count_broadcasts(&self) {
        if !self.is_counted.swap(true, Ordering::AcqRel) {
            self.budget.add_queue();
        }
    }

    /// It owns a name from now on.
    pub(super) fn has_gained(&self, outbox: &Arc<Outbox>) {
        lock(&self.names).push(Arc::downgrade(outbox));
    }

    /// It owns a name no longer.
    pub(super) fn has_lost(&self, outbox: &Arc<Outbox>) {
        let outbox = Arc::downgrade(outbox);
        lock(&self.names).retain(|known| !known.ptr_eq(&outbox));
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

impl Drop for Peer {
    fn drop(&mut self) {
        if self.is_counted.load(Ordering::Acquire) {
            self.budget.remove_queue(&self.holds);
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peer").field(&self.id).finish()
    }
}
