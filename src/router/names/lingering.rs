//! Outboxes whose owners have left and that still hold something: they wait for
//! the next owner, for a time and within bounds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::budget::Budget;
use crate::ids::Name;
use crate::limits::{LINGERING_BYTES_MAX, LINGERING_NAMES_MAX};
use crate::router::mailbox::Mailbox;

#[derive(Debug)]
struct Waiting {
    mailbox: Arc<Mailbox>,
    /// What it held when its owner left.
    bytes: usize,
    /// When it is to end, in monotonic time; unknown until the next look.
    until: Option<Duration>,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Lingering {
    linger: Duration,
    /// In the order in which they lost their owners.
    waiting: BTreeMap<u64, Waiting>,
    places: HashMap<Name, u64>,
    next_place: u64,
    bytes: usize,
    bytes_max: usize,
}

impl Lingering {
    pub(crate) fn new(linger: Duration, budget: &Budget) -> Self {
        Self {
            linger,
            bytes_max: budget.part(4, LINGERING_BYTES_MAX),
            waiting: BTreeMap::new(),
            places: HashMap::new(),
            next_place: 0,
            bytes: 0,
        }
    }

    /// Whether anything lingers at all.
    pub(crate) fn is_allowed(&self) -> bool {
        !self.linger.is_zero()
    }

    /// How many mailboxes linger.
    pub(crate) fn count(&self) -> usize {
        self.waiting.len()
    }

    /// `mailbox` lingers from now on. Gives those that have to make room for it,
    /// the oldest first.
    pub(crate) fn add(&mut self, mailbox: &Arc<Mailbox>) -> Vec<Arc<Mailbox>> {
        let bytes = mailbox.kept_bytes();
        let place = self.next_place;
        self.next_place += 1;
        self.places.insert(mailbox.name().clone(), place);
        let waiting = Waiting {
            mailbox: Arc::clone(mailbox),
            bytes,
            until: None,
        };
        self.waiting.insert(place, waiting);
        self.bytes += bytes;
        let mut too_many = Vec::new();
        let too_much =
            |held: &Self| held.waiting.len() > LINGERING_NAMES_MAX || held.bytes > held.bytes_max;
        // One name may hold more by itself: its queue was allowed to.
        while self.waiting.len() > 1 && too_much(self) {
            let Some((_, oldest)) = self.waiting.pop_first() else {
                break;
            };
            too_many.push(self.forget(oldest));
        }
        too_many
    }

    /// The mailbox of `name` has an owner again.
    pub(crate) fn remove(&mut self, name: &Name) {
        let place = self.places.get(name);
        if let Some(waiting) = place.and_then(|place| self.waiting.remove(place)) {
            self.forget(waiting);
        }
    }

    /// Gives those that have waited for long enough at monotonic time `now`.
    pub(crate) fn take_overdue(&mut self, now: Duration) -> Vec<Arc<Mailbox>> {
        let until = now.saturating_add(self.linger);
        self.take_where(|waiting| *waiting.until.get_or_insert(until) <= now)
    }

    /// Nothing lingers from now on. Gives those that do.
    pub(crate) fn stop(&mut self) -> Vec<Arc<Mailbox>> {
        self.linger = Duration::ZERO;
        self.take_where(|_| true)
    }

    fn take_where(&mut self, mut ends: impl FnMut(&mut Waiting) -> bool) -> Vec<Arc<Mailbox>> {
        let places: Vec<u64> = self
            .waiting
            .iter_mut()
            .filter_map(|(&place, waiting)| ends(waiting).then_some(place))
            .collect();
        places
            .iter()
            .filter_map(|place| self.waiting.remove(place))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|waiting| self.forget(waiting))
            .collect()
    }

    fn forget(&mut self, waiting: Waiting) -> Arc<Mailbox> {
        self.bytes -= waiting.bytes;
        self.places.remove(waiting.mailbox.name());
        waiting.mailbox
    }
}
