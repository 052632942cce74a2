//! The state that the threads of a load share.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use mio::Waker;

use crate::load::Load;

/// Bytes of room below which a sender waits: small writes cost a server more.
const ROOM_MIN: u64 = 64 * 1024;

/// The progress of a load.
#[derive(Debug)]
pub struct Shared {
    /// Whether it is given up.
    stopped: AtomicBool,
    /// Units that receivers have got: messages, or bytes.
    delivered: AtomicU64,
    /// Messages that have been answered.
    answered: AtomicU64,
    /// Senders that still wait for answers.
    senders_open: AtomicUsize,
    /// Units that receivers must get of the messages of the others.
    owed: AtomicU64,
    /// The bound that keeps senders from running ahead.
    flow: Option<Flow>,
}

impl Shared {
    /// Nothing has been sent yet.
    pub fn new(senders: usize, flow: Option<Flow>) -> Self {
        Self {
            stopped: AtomicBool::new(false),
            delivered: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            senders_open: AtomicUsize::new(senders),
            owed: AtomicU64::new(0),
            flow,
        }
    }

    /// Gives up.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// Returns whether it is given up.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Units that receivers have got: messages, or bytes.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Notes further units.
    pub fn add_delivered(&self, count: u64) {
        self.delivered.fetch_add(count, Ordering::Relaxed);
    }

    /// Messages that have been answered.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Notes further answers.
    pub fn add_answered(&self, count: u64) {
        self.answered.fetch_add(count, Ordering::Relaxed);
    }

    /// A sender has got all its answers; receivers must get so many units of its
    /// messages.
    pub fn sender_ends(&self, units: u64) {
        self.owed.fetch_add(units, Ordering::Relaxed);
        self.senders_open.fetch_sub(1, Ordering::AcqRel);
    }

    /// Returns whether all senders have got all their answers.
    pub fn all_answered(&self) -> bool {
        self.senders_open.load(Ordering::Acquire) == 0
    }

    /// Returns whether all messages were answered and delivered.
    pub fn all_delivered(&self) -> bool {
        self.all_answered() && self.delivered() >= self.owed.load(Ordering::Relaxed)
    }

    /// The bound that keeps senders from running ahead, if there is one.
    pub fn flow(&self) -> Option<&Flow> {
        self.flow.as_ref()
    }
}

/// The bound on how far senders are ahead of the receivers, in bytes as these
/// get them.
#[derive(Debug)]
pub struct Flow {
    is_broadcast: bool,
    ahead_max: u64,
    /// Bytes of all that senders have written.
    sent: AtomicU64,
    /// Bytes that each receiver has got.
    received: Vec<AtomicU64>,
    /// Whether a sender waits for room.
    is_awaited: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Flow {
    /// Nothing has been sent of `load`. Senders stay `ahead_max` bytes ahead of
    /// a receiver, or the length of a few frames where those are longer.
    pub fn new(load: &Load, ahead_max: u64) -> Self {
        let frame_max = load.json_bytes_max() as u64 + 4;
        let receivers = if load.is_broadcast { 1 } else { load.receivers };
        Self {
            is_broadcast: load.is_broadcast,
            ahead_max: ahead_max.max(4 * frame_max) * receivers as u64,
            sent: AtomicU64::new(0),
            received: (0..load.receivers).map(|_| AtomicU64::new(0)).collect(),
            is_awaited: AtomicBool::new(false),
            wakers: Mutex::new(Vec::new()),
        }
    }

    /// Wakes the thread of `waker` when there is room again.
    pub fn register(&self, waker: Waker) {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.push(waker);
    }

    /// Notes bytes written.
    pub fn add_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Notes bytes that were refused: they arrive nowhere.
    pub fn take_back(&self, bytes: u64) {
        self.sent.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Notes how many bytes a receiver has got in all.
    pub fn set_received(&self, receiver: usize, bytes: u64) {
        self.received[receiver].store(bytes, Ordering::Relaxed);
    }

    /// Bytes that may be written; 0 if they are too few to be worth it.
    pub fn room(&self) -> u64 {
        let received = self.received.iter().map(|r| r.load(Ordering::Relaxed));
        let received = match self.is_broadcast {
            true => received.min().unwrap_or(0),
            false => received.sum(),
        };
        let ahead = self.sent.load(Ordering::Relaxed).saturating_sub(received);
        let room = self.ahead_max.saturating_sub(ahead);
        if room < ROOM_MIN { 0 } else { room }
    }

    /// The room there is; if there is none, its thread is woken once there is.
    pub fn await_room(&self) -> u64 {
        let room = self.room();
        if room > 0 {
            return room;
        }
        self.is_awaited.store(true, Ordering::Relaxed);
        // Pairs with the one in `wake`: either this sees the receipt, or
        // the receiver sees that it is waited for.
        fence(Ordering::SeqCst);
        self.room()
    }

    /// Wakes senders that wait, if there is room to write for a while.
    pub fn wake(&self) {
        fence(Ordering::SeqCst);
        if !self.is_awaited.load(Ordering::Relaxed) || self.room() < self.ahead_max / 4 {
            return;
        }
        if self.is_awaited.swap(false, Ordering::Relaxed) {
            let wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
            for waker in wakers.iter() {
                // It would look by itself within a tick.
                let _ = waker.wake();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;
    use crate::load::tests::load;
    use crate::messages::{Example, Selection};

    const KIB: u64 = 1_024;

    fn flow(receivers: usize, is_broadcast: bool) -> Flow {
        let selection = Selection::One(Example::Order);
        Flow::new(&load(&selection, 1, receivers, is_broadcast), 512 * KIB)
    }

    #[test]
    fn a_broadcaster_stays_near_the_slowest_receiver() {
        let flow = flow(3, true);
        assert_eq!(flow.room(), 512 * KIB);
        flow.add_sent(500 * KIB);
        assert_eq!(flow.room(), 0);
        flow.set_received(0, 500 * KIB);
        flow.set_received(1, 400 * KIB);
        assert_eq!(flow.room(), 0);
        flow.set_received(2, 300 * KIB);
        assert_eq!(flow.room(), 312 * KIB);
        flow.take_back(200 * KIB);
        assert_eq!(flow.room(), 512 * KIB);
    }

    #[test]
    fn addressed_messages_have_room_at_each_receiver() {
        let flow = flow(2, false);
        flow.add_sent(1_000 * KIB);
        assert_eq!(flow.room(), 0);
        flow.set_received(0, 30 * KIB);
        flow.set_received(1, 30 * KIB);
        assert_eq!(flow.room(), 84 * KIB);
    }

    #[test]
    fn a_sender_that_waits_for_room_is_woken_once() {
        let flow = flow(1, false);
        let mut poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), Token(7)).unwrap();
        flow.register(waker);
        let mut is_woken = || {
            let mut events = Events::with_capacity(4);
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            !events.is_empty()
        };
        flow.wake();
        assert!(!is_woken(), "no sender waits");
        flow.add_sent(512 * KIB);
        assert_eq!(flow.await_room(), 0);
        flow.set_received(0, 64 * KIB);
        flow.wake();
        assert!(!is_woken(), "not for so little");
        flow.set_received(0, 128 * KIB);
        flow.wake();
        assert!(is_woken());
        flow.wake();
        assert!(!is_woken(), "once is enough");
    }
}
