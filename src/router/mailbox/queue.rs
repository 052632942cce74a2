//! A bounded multi-producer queue: one atomic word says whether it is closed
//! and how much it holds, a lock-free queue holds it.
//!
//! A producer first *reserves*, then *enqueues*. A reservation is refused when
//! the queue is closed or full, so what was reserved may be acknowledged: it
//! will be delivered, or reported by whoever ends the queue. A closed queue
//! keeps what it holds and may be opened again; one that has ended is swept.
//! Because reserving and queueing are apart, an entry may arrive after that;
//! `enqueue` tells its caller, who then sweeps again.
//!
//! What was dropped for the queue's receiver is noted as a [`DropNotice`]. Whoever
//! queues the next entry puts the report of it in front; if nobody does, the
//! consumer finds it once the queue is empty. So the report stands between what
//! was queued before the drop and what was queued after it.

#![forbid(unsafe_code)]

use std::sync::Arc;

use bytes::Bytes;

use super::drop_notice::DropNotice;
use super::entry_bytes::EntryBytes;
use super::queue_state::{CLOSED, Capacity, DROPPED, ENDED, QueueState};
use crate::budget::Allowance;
use crate::router::connection::ConnectionHandle;
use crate::sync::lock;
use crate::sync::{AtomicU64, Mutex, OnceLock, Ordering, SegQueue, fence};
use crate::wire;

/// A run of whole frames, length prefixes included.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The frames, side by side.
    pub(crate) bytes: EntryBytes,
    /// How many messages they are; the report of a gap is none.
    pub(crate) frames: u32,
    /// Where it stands among what a group took from its queue; else nothing.
    pub(crate) order: u64,
    /// What the entry is charged: at least its bytes, more if it pins more.
    pub(crate) charge: usize,
    /// Who is told if the frames are given up; nobody for broadcasts.
    pub(crate) origin: Option<Arc<ConnectionHandle>>,
}

impl Entry {
    /// The report of what was dropped.
    fn report(gap: &DropNotice) -> Self {
        let report = gap.report();
        Self {
            frames: 0,
            order: 0,
            charge: report.len(),
            bytes: EntryBytes::Slice(Bytes::from(report)),
            origin: None,
        }
    }

    /// Whether its frames are messages; the report of a gap is none.
    pub(crate) fn holds_messages(&self) -> bool {
        // A message of a snapshot takes no room, so it isn't counted.
        self.frames > 0 || matches!(self.bytes, EntryBytes::Kept(..))
    }

    /// Takes what is behind the first `bytes` bytes, which end with a frame. It
    /// is charged for both: they share their memory.
    pub(crate) fn split_off(&mut self, bytes: usize) -> Self {
        let frames = wire::frames(&self.bytes).take_while(|frame| frame.end <= bytes);
        let front = frames.count() as u32;
        let mut rest = self.share();
        rest.bytes.advance(bytes);
        rest.frames -= front;
        rest.order += u64::from(front);
        self.bytes = EntryBytes::Slice(self.bytes.part(0..bytes));
        self.frames = front;
        self.charge = 0;
        rest
    }

    /// Another entry of the same frames, which share their memory.
    pub(crate) fn share(&mut self) -> Self {
        Self {
            bytes: self.bytes.share(),
            frames: self.frames,
            order: self.order,
            charge: self.charge,
            origin: self.origin.clone(),
        }
    }
}

/// The queue was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Closed, ended and gap bits, messages, bytes: what is reserved or queued.
    state: AtomicU64,
    /// Made for the first entry: most names and connections that are idle were
    /// never sent anything, and an empty one has 2 KB.
    entries: OnceLock<Box<SegQueue<Entry>>>,
    /// What was dropped since the last entry. Changes together with its bit.
    gap: Mutex<Option<Box<DropNotice>>>,
}

impl Queue {
    /// Reserves room for as many of the frames as fit within `capacity`, from
    /// the first on, and says how many those are. An empty queue takes any one
    /// frame. `total` is the sum of `sizes`.
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
            let (frames, bytes) = fitting(load, sizes, total, capacity);
            if frames == 0 {
                return Ok(0);
            }
            match self.state.compare_exchange_weak(
                state,
                state + QueueState::of(frames, bytes),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(frames),
                Err(now) => state = now,
            }
        }
    }

    /// Reserves within `allowance` as well, of an account that holds `others`
    /// beside this queue.
    pub(crate) fn reserve_within(
        &self,
        sizes: &[u32],
        total: usize,
        capacity: Capacity,
        allowance: Allowance,
        others: usize,
    ) -> Result<usize, Closed> {
        let load = self.load();
        if load.is_closed() {
            return Err(Closed);
        }
        let takes = |&size: &u32| load.takes(size, allowance, others);
        if !sizes.first().is_some_and(takes) {
            return Ok(0);
        }
        let bytes = allowance.of_queue(load.bytes(), others);
        let bytes = bytes.min(capacity.bytes);
        self.reserve(sizes, total, Capacity { bytes, ..capacity })
    }

    /// Whether one frame of `size` bytes would be reserved now.
    pub(crate) fn fits(&self, size: u32, capacity: Capacity) -> bool {
        fitting(self.load(), &[size], size as usize, capacity).0 > 0
    }

    /// Queues what was reserved. Says whether the queue has ended in between:
    /// then the caller must sweep it.
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

    /// Notes what was dropped since the last entry.
    #[cold]
    pub(crate) fn note_dropped(&self, gap: DropNotice) {
        let mut known = lock(&self.gap);
        match &mut *known {
            Some(known) => known.extend(&gap),
            None => *known = Some(Box::new(gap)),
        }
        self.state.fetch_or(DROPPED, Ordering::AcqRel);
    }

    /// Queues the report of the gap, if nobody else did.
    #[cold]
    fn report_dropped(&self, entries: &SegQueue<Entry>) {
        let mut gap = lock(&self.gap);
        if let Some(report) = self.take_dropped(&mut gap) {
            entries.push(report);
            // Who finds the bit cleared queues behind the report.
            self.state.fetch_and(!DROPPED, Ordering::AcqRel);
        }
    }

    /// The report of the gap, which is charged from now on.
    fn take_dropped(&self, gap: &mut Option<Box<DropNotice>>) -> Option<Entry> {
        let report = Entry::report(&*gap.take()?);
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

    /// The queue was found empty, and something was dropped since.
    #[cold]
    fn pop_dropped(&self) -> Option<Entry> {
        let mut gap = lock(&self.gap);
        // What was queued before the drop is visible by now, for the drop was
        // noted after it. It comes first.
        if let Some(entry) = self.entries.get().and_then(|entries| entries.pop()) {
            return Some(entry);
        }
        let report = self.take_dropped(&mut gap)?;
        self.state.fetch_and(!DROPPED, Ordering::AcqRel);
        Some(report)
    }

    /// Gives back the room of entries that were delivered or given up, and
    /// returns what the queue held before and after.
    pub(crate) fn release(&self, frames: usize, charge: usize) -> (QueueState, QueueState) {
        let freed = QueueState::of(frames, charge);
        let before = self.state.fetch_sub(freed, Ordering::AcqRel);
        (QueueState(before), QueueState(before - freed))
    }

    /// No reservation succeeds any more; what is queued stays.
    pub(crate) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
    }

    /// Reservations succeed again. To be called only while nobody can end the
    /// queue.
    pub(crate) fn reopen(&self) {
        // Also where it is open: who notes a gap either comes before this, and
        // is seen, or sees all that was done before this.
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

/// How many of the frames fit, and how many bytes they have.
#[inline]
fn fitting(load: QueueState, sizes: &[u32], total: usize, capacity: Capacity) -> (usize, usize) {
    let free_messages = capacity.messages.saturating_sub(load.messages());
    let free_bytes = capacity.bytes.saturating_sub(load.bytes());
    if sizes.len() <= free_messages && total <= free_bytes {
        return (sizes.len(), total);
    }
    let mut bytes = 0;
    let mut frames = 0;
    for &size in sizes.iter().take(free_messages) {
        if bytes + size as usize > free_bytes {
            break;
        }
        bytes += size as usize;
        frames += 1;
    }
    match sizes.first() {
        Some(&first) if frames == 0 && load.messages() == 0 => (1, first as usize),
        _ => (frames, bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{MsgId, Name};

    const CAPACITY: Capacity = Capacity {
        bytes: 100,
        messages: 4,
    };

    fn entry(bytes: &'static [u8]) -> Entry {
        Entry {
            bytes: EntryBytes::Slice(Bytes::from_static(bytes)),
            frames: 1,
            order: 0,
            charge: bytes.len(),
            origin: None,
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

    fn gap(number: u128) -> DropNotice {
        let server = Name::new("tickwire").unwrap();
        let id = MsgId::from(uuid::Uuid::from_u128(number));
        DropNotice::new(&server, None, id, 0)
    }

    /// What is taken from the queue, and its room given back: of a report, how
    /// many messages it says were dropped.
    fn taken(queue: &Queue) -> Vec<String> {
        let entries = std::iter::from_fn(|| queue.pop());
        entries
            .map(|entry| {
                queue.release(entry.frames as usize, entry.charge);
                if entry.frames > 0 {
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
        queue.note_dropped(gap(1));
        queue.note_dropped(gap(2));
        assert!(!queue.load().is_empty());
        put(b"b");
        assert_eq!(taken(&queue), ["a", "2", "b"]);
        queue.note_dropped(gap(3));
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
