//! A bounded queue of many producers and one consumer, without locks. One atomic
//! word has its state and counts its contents.
//!
//! A producer first *reserves*, then *enqueues*. A closed or full queue refuses
//! reservations, so a message with reserved room may be acknowledged: it will be
//! delivered, or reported when the queue ends. A closed queue keeps its contents
//! and may be opened again; one that has ended is swept. An entry may arrive
//! after the sweep, for reserving and queueing are apart: `enqueue` tells its
//! caller to sweep again.
//!
//! Dropped messages are noted as a [`DropNotice`]. The producer of the next entry
//! puts its report in front; if there is none, the consumer finds it once the
//! queue is empty. So the report stands between the messages that were queued
//! before the drop and those after it.

use super::drop_notice::DropNotice;
use super::entry::Entry;
use super::queue_state::{CLOSED, Capacity, DROPPED, ENDED, QueueState};
use crate::budget::Allowance;
use crate::sync::{AtomicU64, Mutex, OnceLock, Ordering, SegQueue, fence, lock};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// A [`QueueState`] of everything that is reserved or queued.
    state: AtomicU64,
    /// Made for the first entry: most idle names and connections were never sent
    /// anything, and an empty `SegQueue` has 2 KB.
    entries: OnceLock<Box<SegQueue<Entry>>>,
    /// The drops since the last entry. Changes together with its bit in `state`.
    dropped: Mutex<Option<Box<DropNotice>>>,
}

impl Queue {
    /// Reserves room for as many of the messages as fit within `capacity`, from
    /// the first on, and returns their number. An empty queue takes any one
    /// message. `total` is the sum of `sizes`.
    #[inline]
    pub(crate) fn reserve(
        &self,
        sizes: &[u32],
        total: usize,
        capacity: Capacity,
    ) -> Result<usize, Closed> {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let load = QueueState(state);
            if load.is_closed() {
                return Err(Closed);
            }
            let (messages, bytes) = fitting(load, sizes, total, capacity);
            if messages == 0 {
                return Ok(0);
            }
            match self.state.compare_exchange_weak(
                state,
                state + QueueState::of(messages, bytes),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(messages),
                Err(now) => state = now,
            }
        }
    }

    /// Reserves within `allowance` as well, for an account charged with `charged` bytes.
    pub(crate) fn reserve_within(
        &self,
        sizes: &[u32],
        total: usize,
        capacity: Capacity,
        allowance: Allowance,
        charged: usize,
    ) -> Result<usize, Closed> {
        let state = self.load();
        if state.is_closed() {
            return Err(Closed);
        }
        let takes = |&size: &u32| state.takes(size, allowance, charged);
        if !sizes.first().is_some_and(takes) {
            return Ok(0);
        }
        let own = state.bytes();
        let bytes = allowance.of_queue(own, charged.saturating_sub(own));
        let bytes = bytes.min(capacity.bytes);
        self.reserve(sizes, total, Capacity { bytes, ..capacity })
    }

    /// Returns whether room for one message of `size` bytes would be reserved now.
    pub(crate) fn fits(&self, size: u32, capacity: Capacity) -> bool {
        fitting(self.load(), &[size], size as usize, capacity).0 > 0
    }

    /// Queues an entry that has reserved room. Returns whether the queue has ended
    /// in between: then the caller must sweep it.
    #[must_use]
    pub(crate) fn enqueue(&self, entry: Entry, reserved_bytes: usize) -> bool {
        let state = match (entry.charge as u64).wrapping_sub(reserved_bytes as u64) {
            0 => self.state.load(Ordering::Acquire),
            // Wraps as well if less is taken than was reserved.
            more => self.state.fetch_add(more, Ordering::AcqRel),
        };
        let entries = self.entries();
        if QueueState(state).has_dropped() {
            self.report_dropped(entries);
        }
        entries.push(entry);
        // The entry must be visible before the state is looked at, as ending
        // makes its bit visible before it sweeps: one of the two sees the other.
        fence(Ordering::SeqCst);
        self.load().has_ended()
    }

    fn entries(&self) -> &SegQueue<Entry> {
        self.entries.get_or_init(Box::default)
    }

    /// Notes messages that were dropped since the last entry.
    #[cold]
    pub(crate) fn note_dropped(&self, notice: DropNotice) {
        let mut dropped = lock(&self.dropped);
        match &mut *dropped {
            Some(known) => known.extend(&notice),
            None => *dropped = Some(Box::new(notice)),
        }
        self.state.fetch_or(DROPPED, Ordering::AcqRel);
    }

    /// Queues the report of the drops, if no other producer did.
    #[cold]
    fn report_dropped(&self, entries: &SegQueue<Entry>) {
        let mut dropped = lock(&self.dropped);
        if let Some(report) = self.take_dropped(&mut dropped) {
            entries.push(report);
            // A producer that finds the bit cleared queues behind the report.
            self.state.fetch_and(!DROPPED, Ordering::AcqRel);
        }
    }

    /// Takes the report of the drops, which is charged from now on.
    fn take_dropped(&self, dropped: &mut Option<Box<DropNotice>>) -> Option<Entry> {
        let report = Entry::drop_notice(&*dropped.take()?);
        self.state.fetch_add(report.charge as u64, Ordering::AcqRel);
        Some(report)
    }

    /// Takes the oldest entry. Its room stays reserved until [`Self::release`].
    pub(crate) fn pop(&self) -> Option<Entry> {
        let entry = self.entries.get().and_then(|entries| entries.pop());
        if entry.is_some() || !self.load().has_dropped() {
            return entry;
        }
        self.pop_dropped()
    }

    /// Takes the report of the drops, after the queue was found empty.
    #[cold]
    fn pop_dropped(&self) -> Option<Entry> {
        let mut dropped = lock(&self.dropped);
        // An entry queued before the drop was noted is visible by now. It comes
        // first.
        if let Some(entry) = self.entries.get().and_then(|entries| entries.pop()) {
            return Some(entry);
        }
        let report = self.take_dropped(&mut dropped)?;
        self.state.fetch_and(!DROPPED, Ordering::AcqRel);
        Some(report)
    }

    /// Gives back the room of messages that were delivered or given up. Returns the
    /// state before and after.
    pub(crate) fn release(&self, messages: usize, charge: usize) -> (QueueState, QueueState) {
        let freed = QueueState::of(messages, charge);
        let before = self.state.fetch_sub(freed, Ordering::AcqRel);
        (QueueState(before), QueueState(before - freed))
    }

    /// Refuses reservations from now on. The contents stay.
    pub(crate) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Takes reservations again. To be called only while nobody can end the queue.
    pub(crate) fn reopen(&self) {
        // A write also where the queue is open: a producer that notes a drop comes
        // either before this write, which then sees the drop, or behind it, and sees
        // the new owner.
        self.state.fetch_and(!CLOSED, Ordering::AcqRel);
    }

    /// Closes the queue for good. The caller must sweep it.
    pub(crate) fn end(&self) {
        self.state.fetch_or(CLOSED | ENDED, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn load(&self) -> QueueState {
        QueueState(self.state.load(Ordering::Acquire))
    }
}

/// The number of messages that fit, and of their bytes.
#[inline]
fn fitting(load: QueueState, sizes: &[u32], total: usize, capacity: Capacity) -> (usize, usize) {
    let free_messages = capacity.messages.saturating_sub(load.messages());
    let free_bytes = capacity.bytes.saturating_sub(load.bytes());
    if sizes.len() <= free_messages && total <= free_bytes {
        return (sizes.len(), total);
    }
    let mut bytes = 0;
    let mut messages = 0;
    for &size in sizes.iter().take(free_messages) {
        if bytes + size as usize > free_bytes {
            break;
        }
        bytes += size as usize;
        messages += 1;
    }
    match sizes.first() {
        Some(&first) if messages == 0 && load.messages() == 0 => (1, first as usize),
        _ => (messages, bytes),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::ids::{MsgId, Name};
    use crate::router::mailbox::EntryBytes;

    const CAPACITY: Capacity = Capacity {
        bytes: 100,
        messages: 4,
    };

    fn entry(bytes: &'static [u8]) -> Entry {
        Entry {
            bytes: EntryBytes::Slice(Bytes::from_static(bytes)),
            messages: 1,
            order: 0,
            charge: bytes.len(),
            origin: None,
            is_stored: false,
        }
    }

    #[test]
    fn grants_the_longest_prefix_that_fits() {
        let queue = Queue::default();
        assert_eq!(queue.reserve(&[60, 30, 20], 110, CAPACITY), Ok(2));
        assert_eq!(queue.reserve(&[11], 11, CAPACITY), Ok(0));
        assert_eq!(queue.reserve(&[10], 10, CAPACITY), Ok(1));
        assert_eq!(queue.load().bytes(), 100);
        assert_eq!(queue.load().messages(), 3);
    }

    #[test]
    fn counts_messages_as_well_as_bytes() {
        let queue = Queue::default();
        assert_eq!(queue.reserve(&[1; 6], 6, CAPACITY), Ok(4));
        assert_eq!(queue.reserve(&[1], 1, CAPACITY), Ok(0));
        queue.release(1, 1);
        assert_eq!(queue.reserve(&[1, 1], 2, CAPACITY), Ok(1));
    }

    #[test]
    fn takes_any_one_message_when_empty() {
        let queue = Queue::default();
        assert_eq!(queue.reserve(&[1_000, 1], 1_001, CAPACITY), Ok(1));
        assert_eq!(queue.reserve(&[1], 1, CAPACITY), Ok(0));
        queue.release(1, 1_000);
        assert_eq!(queue.reserve(&[1], 1, CAPACITY), Ok(1));
    }

    #[test]
    fn refuses_every_reservation_once_ended_and_tells_a_late_producer() {
        let queue = Queue::default();
        assert_eq!(queue.reserve(&[3], 3, CAPACITY), Ok(1));
        queue.end();
        assert_eq!(queue.reserve(&[1], 1, CAPACITY), Err(Closed));
        assert!(queue.enqueue(entry(b"abc"), 3), "the producer must sweep");
        let swept = queue.pop().unwrap();
        queue.release(1, swept.charge);
        assert_eq!(queue.load().messages(), 0);
        assert_eq!(queue.load().bytes(), 0);
        assert!(queue.load().is_closed());
    }

    #[test]
    fn keeps_what_it_holds_while_it_is_closed() {
        let queue = Queue::default();
        assert_eq!(queue.reserve(&[3], 3, CAPACITY), Ok(1));
        queue.close();
        assert_eq!(queue.reserve(&[1], 1, CAPACITY), Err(Closed));
        assert!(!queue.enqueue(entry(b"abc"), 3), "nothing is to be swept");
        queue.reopen();
        assert_eq!(queue.reserve(&[1], 1, CAPACITY), Ok(1));
        assert_eq!(&queue.pop().unwrap().bytes[..], b"abc");
    }

    fn notice(number: u128) -> DropNotice {
        let server = Name::new("tickwire").unwrap();
        let id = MsgId::from(uuid::Uuid::from_u128(number));
        DropNotice::new(&server, None, id, 0)
    }

    /// Takes all entries and gives their room back. A report yields the number of
    /// messages that it says were dropped.
    fn taken(queue: &Queue) -> Vec<String> {
        let entries = std::iter::from_fn(|| queue.pop());
        entries
            .map(|entry| {
                queue.release(entry.messages as usize, entry.charge);
                if entry.messages > 0 {
                    return String::from_utf8(entry.bytes.to_vec()).unwrap();
                }
                let report: serde_json::Value = serde_json::from_slice(&entry.bytes[4..]).unwrap();
                assert_eq!(report["payload"]["code"], "MESSAGES_DROPPED");
                report["payload"]["details"]["count"].to_string()
            })
            .collect()
    }

    #[test]
    fn tells_what_was_dropped_in_its_place() {
        let queue = Queue::default();
        let put = |bytes: &'static [u8]| {
            assert_eq!(
                queue.reserve(&[bytes.len() as u32], bytes.len(), CAPACITY),
                Ok(1)
            );
            assert!(!queue.enqueue(entry(bytes), bytes.len()));
        };
        put(b"a");
        queue.note_dropped(notice(1));
        queue.note_dropped(notice(2));
        assert!(!queue.load().is_empty());
        put(b"b");
        assert_eq!(taken(&queue), ["a", "2", "b"]);
        queue.note_dropped(notice(3));
        assert!(!queue.load().is_empty());
        assert_eq!(queue.load().messages(), 0);
        assert_eq!(taken(&queue), ["1"]);
        assert!(queue.load().is_empty());
    }

    #[test]
    fn an_empty_queue_that_was_never_used_is_small() {
        let queue = Queue::default();
        assert!(queue.pop().is_none() && queue.entries.get().is_none());
        assert!(size_of::<Queue>() <= 40);
        assert_eq!(queue.reserve(&[1], 1, CAPACITY), Ok(1));
        assert!(!queue.enqueue(entry(b"a"), 1));
        assert_eq!(&queue.pop().unwrap().bytes[..], b"a");
    }

    #[test]
    fn charges_what_an_entry_pins() {
        let queue = Queue::default();
        assert_eq!(queue.reserve(&[3], 3, CAPACITY), Ok(1));
        let pinning = Entry {
            charge: 50,
            ..entry(b"abc")
        };
        assert!(!queue.enqueue(pinning, 3));
        assert_eq!(queue.load().bytes(), 50);
    }
}
