//! The memory that the server holds for its connections: queued messages and
//! incomplete frames.
//!
//! Memory is counted where it lives: an input block that queues keep counts once,
//! and a copy until it is dropped. The first eighth of the total is first come,
//! first served. Beyond it each *account* (a connection with all its queues; a name
//! that a group shares, or that has no owner) may hold half of the total divided by
//! the number of queues that hold something; one that has more gets nothing until
//! it has less. When those shares are taken too, an eighth of the total is left,
//! divided by the number of all queues, for queues that were empty so far. The last
//! quarter is for incomplete frames.
//!
//! A queue counts as holding something from when it asks for room while memory is
//! short until it is empty: anything queued before is within the first eighth.

mod division;
mod lease;

use std::sync::Arc;
use std::task::Waker;

use bytes::Bytes;

pub(crate) use division::Allowance;
use division::Division;

use crate::ids::ConnectionId;
use crate::limits::{INPUT_ALWAYS_BYTES, MEMORY_LEASE_BYTES, READ_BUFFER_BYTES};
use crate::sync::waiters::Waiters;
use crate::sync::{AtomicBool, AtomicUsize, Ordering};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Messages kept for receivers, and answers.
    Queued = 0,
    /// Incomplete frames, and frames that wait for room.
    Input = 1,
}

#[derive(Debug)]
pub(crate) struct Budget {
    division: Division,
    is_unlimited: bool,
    /// Bytes that a thread may count before it tells the total.
    lease: usize,
    /// Bytes by [`Purpose`]; below zero if given back before they were told.
    counted: [AtomicUsize; 2],
    holding: AtomicUsize,
    queues: AtomicUsize,
    /// Connections that wait for room in a queue.
    waiters: Waiters,
    /// Connections that wait for memory to read.
    readers: Waiters,
}

/// A queue's share: whether the queue counts as holding something.
#[derive(Debug, Default)]
pub(crate) struct Share(AtomicBool);

impl Budget {
    pub(crate) fn new(total: usize) -> Self {
        Self {
            division: Division::of(total),
            is_unlimited: total == usize::MAX,
            lease: MEMORY_LEASE_BYTES.min(total / 1024),
            counted: Default::default(),
            holding: AtomicUsize::new(0),
            queues: AtomicUsize::new(0),
            waiters: Waiters::default(),
            readers: Waiters::default(),
        }
    }

    // ---- counting ----

    /// Counts `bytes` more, or less if they are negative.
    #[inline]
    pub(crate) fn count(self: &Arc<Self>, purpose: Purpose, bytes: isize) {
        if bytes != 0 && !self.is_unlimited {
            lease::count(self, purpose, bytes);
        }
    }

    #[inline]
    pub(crate) fn recount(self: &Arc<Self>, purpose: Purpose, counted: &mut usize, bytes: usize) {
        let before = std::mem::replace(counted, bytes);
        self.count(purpose, bytes as isize - before as isize);
    }

    /// Counts the `block` that `bytes` keep in memory, until all of them are dropped.
    pub(crate) fn pin(self: &Arc<Self>, bytes: Bytes, block: usize) -> Bytes {
        if self.is_unlimited {
            return bytes;
        }
        let held = Held::new(self, block);
        Bytes::from_owner(Pinned { bytes, _held: held })
    }

    /// Adds bytes that a thread has counted; wakes connections if they are less.
    pub(crate) fn tell(&self, purpose: Purpose, bytes: isize) {
        if bytes == 0 {
            return;
        }
        self.counted[purpose as usize].fetch_add(bytes as usize, Ordering::AcqRel);
        if bytes < 0 {
            match purpose {
                Purpose::Queued => self.waiters.wake_all(),
                Purpose::Input => self.readers.wake_one(),
            }
        }
    }

    /// Bytes that are counted, without those that threads have not yet told.
    #[inline]
    pub(crate) fn used(&self, purpose: Purpose) -> usize {
        let counted = self.counted[purpose as usize].load(Ordering::Relaxed);
        (counted as isize).max(0) as usize
    }

    /// Tells all bytes that this thread has counted.
    #[cfg(test)]
    pub(crate) fn tell_own(&self) {
        lease::tell_own();
    }

    #[inline]
    fn is_short_of(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Queued => self.is_short(),
            Purpose::Input => self.used(Purpose::Input) > self.division.input,
        }
    }

    /// Returns whether more is queued than is first come.
    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.used(Purpose::Queued) > self.division.first_come
    }

    // ---- queues ----

    pub(crate) fn allowance(&self) -> Allowance {
        let holding = self.holding.load(Ordering::Acquire);
        let queues = self.queues.load(Ordering::Relaxed);
        (self.division).allowance(self.used(Purpose::Queued), holding, queues)
    }

    pub(crate) fn add_queue(&self) {
        self.queues.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a queue no more, and gives its share back.
    pub(crate) fn remove_queue(&self, share: &Share) {
        self.release_share(share);
        self.queues.fetch_sub(1, Ordering::Relaxed);
        self.waiters.wake_all();
    }

    /// Counts a queue that asks for room while memory is short.
    pub(crate) fn ask_for_share(&self, share: &Share) {
        if !share.0.swap(true, Ordering::AcqRel) {
            self.holding.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Gives back the share of a queue that is empty.
    #[inline]
    pub(crate) fn release_share(&self, share: &Share) {
        if share.0.load(Ordering::Relaxed) {
            self.release_held(share);
        }
    }

    #[cold]
    fn release_held(&self, share: &Share) {
        if share.0.swap(false, Ordering::AcqRel) {
            self.holding.fetch_sub(1, Ordering::AcqRel);
            self.waiters.wake_all();
        }
    }

    /// Has `waker` woken when an account may have more. Try again after this call.
    pub(crate) fn wait_for_room(&self, id: ConnectionId, waker: &Waker) {
        self.waiters.wait(id, waker);
    }

    /// Forgets a connection that no longer waits for room.
    pub(crate) fn stop_waiting(&self, id: ConnectionId) {
        self.waiters.forget(id);
    }

    /// Wakes connections that wait for room, after a queue has released some.
    #[inline]
    pub(crate) fn wake_waiting(&self) {
        if self.is_short() {
            self.waiters.wake_all();
        }
    }

    // ---- input ----

    /// Bytes that a connection may read, where its incomplete frame has `held`.
    pub(crate) fn room_to_read(&self, held: usize) -> usize {
        if self.is_short_of(Purpose::Input) {
            return INPUT_ALWAYS_BYTES.saturating_sub(held);
        }
        // One that may read lets the next one try.
        self.readers.wake_another();
        READ_BUFFER_BYTES
    }

    /// Has `waker` woken when there is memory to read. Try again after this call.
    pub(crate) fn wait_to_read(&self, id: ConnectionId, waker: &Waker) {
        self.readers.wait(id, waker);
    }

    /// Forgets a connection that no longer waits to read; the next one may.
    pub(crate) fn stop_waiting_to_read(&self, id: ConnectionId) {
        self.readers.forget(id);
        self.readers.wake_one();
    }

    // ---- bounds of other stores ----

    /// Returns whether memory is so short that nothing new is to be kept.
    pub(crate) fn refuses_more(&self) -> bool {
        let shares_end = self.division.first_come + self.division.shares;
        self.used(Purpose::Queued) >= shares_end
    }

    /// A part of the total, `most` at most, for a store with a bound of its own.
    pub(crate) fn part(&self, divisor: usize, most: usize) -> usize {
        most.min(self.division.shares / divisor * 2)
    }

    #[cfg(test)]
    pub(crate) fn holding(&self) -> usize {
        self.holding.load(Ordering::Acquire)
    }

    #[cfg(test)]
    pub(crate) fn queues(&self) -> usize {
        self.queues.load(Ordering::Acquire)
    }

    #[cfg(test)]
    pub(crate) fn division(&self) -> Division {
        self.division
    }
}

impl Default for Budget {
    /// A budget that is never short.
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

/// Bytes that are counted as queued until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Held {
    pub(crate) fn new(budget: &Arc<Budget>, bytes: usize) -> Self {
        budget.count(Purpose::Queued, bytes as isize);
        Self {
            budget: Arc::clone(budget),
            bytes,
        }
    }

    pub(crate) fn set(&mut self, bytes: usize) {
        self.budget.recount(Purpose::Queued, &mut self.bytes, bytes);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// A slice of an input, whose block is counted.
struct Pinned {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Pinned {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOTAL: usize = 1024 * 1024;

    #[test]
    fn a_block_counts_once_until_the_last_part_of_it_is_dropped() {
        let budget = Arc::new(Budget::new(TOTAL));
        let input = budget.pin(Bytes::from_static(b"0123456789"), 65_536);
        let parts = [input.slice(0..3), input.slice(2..9)];
        drop(input);
        budget.tell_own();
        assert_eq!(budget.used(Purpose::Queued), 65_536);
        let [first, second] = parts;
        drop(first);
        assert_eq!(&second[..], b"2345678");
        budget.tell_own();
        assert_eq!(budget.used(Purpose::Queued), 65_536);
        drop(second);
        budget.tell_own();
        assert_eq!(budget.used(Purpose::Queued), 0);
    }

    #[test]
    fn a_thread_tells_what_it_has_counted_by_leases_and_at_its_end() {
        let budget = Arc::new(Budget::new(TOTAL));
        let lease = (TOTAL / 1024) as isize;
        budget.count(Purpose::Queued, lease - 1);
        assert_eq!(budget.used(Purpose::Queued), 0);
        budget.count(Purpose::Queued, 1);
        assert_eq!(budget.used(Purpose::Queued), lease as usize);
        std::thread::scope(|scope| {
            let count = || budget.count(Purpose::Queued, 5 - lease);
            // Joined, because a scope doesn't wait for what a thread drops at its
            // end.
            let counted = scope.spawn(count).join();
            counted.expect("no panic");
        });
        assert_eq!(budget.used(Purpose::Queued), 5);
        // Once it is short, each change is told.
        budget.count(Purpose::Queued, TOTAL as isize / 2);
        budget.count(Purpose::Queued, -7);
        assert_eq!(budget.used(Purpose::Queued), TOTAL / 2 - 2);
    }

    #[test]
    fn another_server_on_the_same_thread_is_counted_by_itself() {
        let [one, other] = [(); 2].map(|()| Arc::new(Budget::new(TOTAL)));
        one.count(Purpose::Queued, 3);
        other.count(Purpose::Input, 4);
        assert_eq!(one.used(Purpose::Queued), 3);
        other.tell_own();
        assert_eq!(
            (other.used(Purpose::Queued), other.used(Purpose::Input)),
            (0, 4)
        );
    }

    #[test]
    fn a_queue_counts_as_holding_something_once() {
        let budget = Budget::new(TOTAL);
        let share = Share::default();
        budget.add_queue();
        budget.release_share(&share);
        budget.ask_for_share(&share);
        budget.ask_for_share(&share);
        assert_eq!(budget.holding(), 1);
        budget.release_share(&share);
        assert_eq!(budget.holding(), 0);
        budget.ask_for_share(&share);
        budget.remove_queue(&share);
        assert_eq!((budget.holding(), budget.queues()), (0, 0));
    }
}
