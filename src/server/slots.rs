//! The slots of connections: some for those that are served, and some more for
//! those that are refused or in their closing sequence.
//!
//! A connection gives its slot up before its peer is told of its end, so a client
//! that finds the end of a stream also finds a slot.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;

use crate::limits::REFUSAL_HOLD;
use crate::sync::lock;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SlotsMax {
    /// Connections served at once.
    pub(super) served: usize,
    /// Connections that are refused or closing at once.
    pub(super) closing: usize,
}

#[derive(Debug)]
pub(super) struct Slots {
    occupied: Mutex<Occupied>,
    /// Notified when a connection has gone.
    pub(super) left: Notify,
}

/// The decisions about slots, without tasks or clocks.
#[derive(Debug, Default)]
struct Occupied {
    max: SlotsMax,
    served: usize,
    /// Connections that are closing, oldest first.
    closing: BTreeMap<u64, Arc<Ending>>,
    /// Connections that were told to end at once and have not gone yet.
    hurried: usize,
    next: u64,
}

#[derive(Debug)]
pub(super) struct Ending {
    number: u64,
    since: Duration,
    /// Notified when others need the slot.
    pub(super) hurry: Notify,
}

/// The answer to a connection that comes now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Admission {
    Serve,
    Refuse,
    /// It waits until one has gone; at this time, if any, the oldest is to be hurried.
    Wait(Option<Duration>),
}

impl Slots {
    pub(super) fn new(max: SlotsMax) -> Self {
        Self {
            occupied: Mutex::new(Occupied {
                max,
                ..Occupied::default()
            }),
            left: Notify::new(),
        }
    }

    pub(super) fn served_max(&self) -> usize {
        self.occupied().max.served
    }

    /// Waits until one more connection can be served or refused.
    pub(super) async fn room(&self, now: impl Fn() -> Duration) {
        loop {
            let wait = self.occupied().make_room(now());
            match wait {
                Admission::Serve | Admission::Refuse => return,
                Admission::Wait(None) => self.left.notified().await,
                Admission::Wait(Some(until)) => {
                    let left = until.saturating_sub(now());
                    let _ = tokio::time::timeout(left, self.left.notified()).await;
                }
            }
        }
    }

    /// Gives a connection its slot. An `Ending` says that it is refused.
    pub(super) fn enter(&self, now: Duration) -> Option<Arc<Ending>> {
        let mut occupied = self.occupied();
        match occupied.admission() {
            Admission::Serve => {
                occupied.served += 1;
                None
            }
            Admission::Refuse | Admission::Wait(_) => Some(occupied.close(now)),
        }
    }

    /// Gives a connection the slot of one that is refused.
    pub(super) fn refuse(&self, now: Duration) -> Arc<Ending> {
        self.occupied().close(now)
    }

    /// Moves a connection to those that close, the oldest of which may be ended.
    pub(super) fn begin_closing(&self, now: Duration) -> Arc<Ending> {
        let mut occupied = self.occupied();
        occupied.served = occupied.served.saturating_sub(1);
        let ending = occupied.close(now);
        drop(occupied);
        self.left.notify_one();
        ending
    }

    /// Takes back the slot of a connection that has gone.
    pub(super) fn leave(&self, ending: Option<&Ending>) {
        self.occupied().leave(ending);
        self.left.notify_one();
    }

    /// Lets all close in their time, however many they are.
    pub(super) fn stop_hurrying(&self) {
        self.occupied().max.closing = usize::MAX;
    }

    fn occupied(&self) -> MutexGuard<'_, Occupied> {
        lock(&self.occupied)
    }
}

impl Occupied {
    fn admission(&self) -> Admission {
        let ending = self.closing.len() + self.hurried;
        let all = self.max.served.saturating_add(self.max.closing);
        if self.served < self.max.served && self.served + ending < all {
            return Admission::Serve;
        }
        if ending < self.max.closing {
            return Admission::Refuse;
        }
        let oldest = self.closing.first_key_value();
        // One that was hurried has to go first.
        let oldest = oldest.filter(|_| self.hurried == 0);
        Admission::Wait(oldest.map(|(_, ending)| ending.since.saturating_add(REFUSAL_HOLD)))
    }

    /// Decides as [`Occupied::admission`], and hurries the oldest when that is due.
    fn make_room(&mut self, now: Duration) -> Admission {
        match self.admission() {
            Admission::Wait(Some(until)) if until <= now => {
                self.hurry_oldest();
                Admission::Wait(None)
            }
            admission => admission,
        }
    }

    fn close(&mut self, now: Duration) -> Arc<Ending> {
        if self.closing.len() >= self.max.closing {
            self.hurry_oldest();
        }
        let ending = Arc::new(Ending {
            number: self.next,
            since: now,
            hurry: Notify::new(),
        });
        self.next += 1;
        self.closing.insert(ending.number, Arc::clone(&ending));
        ending
    }

    fn hurry_oldest(&mut self) {
        if let Some((_, oldest)) = self.closing.pop_first() {
            self.hurried += 1;
            oldest.hurry.notify_one();
        }
    }

    fn leave(&mut self, ending: Option<&Ending>) {
        match ending {
            None => self.served = self.served.saturating_sub(1),
            Some(ending) if self.closing.remove(&ending.number).is_some() => {}
            Some(_) => self.hurried = self.hurried.saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn slots(served: usize, closing: usize) -> Slots {
        Slots::new(SlotsMax { served, closing })
    }

    /// Returns whether a connection that is closing was told to end at once.
    fn is_hurried(slots: &Slots, ending: &Ending) -> bool {
        !slots.occupied().closing.contains_key(&ending.number)
    }

    #[test]
    fn who_is_refused_or_closes_takes_no_place_of_those_who_are_served() {
        let slots = slots(1, 4);
        assert!(slots.enter(at(0)).is_none());
        let refused = slots.enter(at(0)).expect("the slot is taken");
        let closing = slots.begin_closing(at(1));
        assert!(slots.enter(at(1)).is_none(), "the slot is free at once");
        assert!(slots.enter(at(1)).is_some());
        slots.leave(Some(&closing));
        slots.leave(Some(&refused));
        slots.leave(None);
        assert!(slots.enter(at(2)).is_none());
    }

    #[test]
    fn the_oldest_that_closes_is_ended_first() {
        let slots = slots(1, 2);
        assert!(slots.enter(at(0)).is_none());
        let first = slots.enter(at(0)).unwrap();
        let second = slots.enter(at(0)).unwrap();
        assert!(!is_hurried(&slots, &first));
        // One more that had a slot can't be kept from closing.
        let third = slots.begin_closing(at(0));
        assert!(is_hurried(&slots, &first));
        assert!(!is_hurried(&slots, &second) && !is_hurried(&slots, &third));
    }

    #[test]
    fn who_is_to_be_refused_waits_until_the_oldest_had_its_moment() {
        let slots = slots(1, 2);
        assert!(slots.enter(at(0)).is_none());
        let first = slots.enter(at(100)).unwrap();
        let _second = slots.enter(at(200)).unwrap();
        let hold = at(100) + REFUSAL_HOLD;
        let room = |now| slots.occupied().make_room(now);
        assert_eq!(room(at(200)), Admission::Wait(Some(hold)));
        assert!(!is_hurried(&slots, &first));
        assert_eq!(room(hold), Admission::Wait(None));
        assert!(is_hurried(&slots, &first));
        // No other is hurried before that one has gone.
        assert_eq!(room(hold * 2), Admission::Wait(None));
        slots.leave(Some(&first));
        assert_eq!(room(hold), Admission::Refuse);
        // And a free slot is given whatever the refused do.
        slots.leave(None);
        assert_eq!(room(hold), Admission::Serve);
    }

    #[test]
    fn at_the_servers_end_all_have_their_time() {
        let slots = slots(2, 1);
        assert!(slots.enter(at(0)).is_none() && slots.enter(at(0)).is_none());
        slots.stop_hurrying();
        let first = slots.begin_closing(at(0));
        let _second = slots.begin_closing(at(0));
        assert!(!is_hurried(&slots, &first));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_for_room_is_woken_by_the_one_that_goes() {
        let slots = Arc::new(slots(1, 1));
        assert!(slots.enter(at(0)).is_none());
        let refused = slots.enter(at(0)).unwrap();
        let start = tokio::time::Instant::now();
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.room(|| start.elapsed()).await }
        });
        refused.hurry.notified().await;
        assert!(start.elapsed() >= REFUSAL_HOLD);
        assert!(!waiting.is_finished());
        slots.leave(Some(&refused));
        waiting.await.unwrap();
    }
}
