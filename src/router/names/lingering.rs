//! Mailboxes without an owner that still hold something: they wait for the next
//! owner, for a time and within bounds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::budget::Budget;
use crate::ids::Name;
use crate::limits::{LINGERING_BYTES_MAX, LINGERING_NAMES_MAX};
use crate::router::mailbox::Mailbox;

#[derive(Debug)]
pub(crate) struct Lingering {
    linger: Duration,
    /// The mailboxes by number, in the order in which they lost their owners.
    waiting: BTreeMap<u64, Waiting>,
    numbers: HashMap<Name, u64>,
    next_number: u64,
    /// The sum of the bytes of all that wait.
    bytes: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Waiting {
    mailbox: Arc<Mailbox>,
    /// The bytes that it held when its owner left.
    bytes: usize,
    /// The monotonic time of its end; set by the next [`Lingering::take_overdue`].
    until: Option<Duration>,
}

impl Lingering {
    pub(crate) fn new(linger: Duration, budget: &Budget) -> Self {
        Self {
            linger,
            bytes_max: budget.part(4, LINGERING_BYTES_MAX),
            waiting: BTreeMap::new(),
            numbers: HashMap::new(),
            next_number: 0,
            bytes: 0,
        }
    }

    /// Whether mailboxes may linger at all.
    pub(crate) fn is_allowed(&self) -> bool {
        !self.linger.is_zero()
    }

    pub(crate) fn count(&self) -> usize {
        self.waiting.len()
    }

    /// Lets `mailbox` linger. Returns those that make room for it, the oldest
    /// first.
    pub(crate) fn add(&mut self, mailbox: &Arc<Mailbox>) -> Vec<Arc<Mailbox>> {
        let bytes = mailbox.kept_bytes();
        let number = self.next_number;
        self.next_number += 1;
        self.numbers.insert(mailbox.name().clone(), number);
        let waiting = Waiting {
            mailbox: Arc::clone(mailbox),
            bytes,
            until: None,
        };
        self.waiting.insert(number, waiting);
        self.bytes += bytes;
        let mut too_many = Vec::new();
        let too_much =
            |held: &Self| held.waiting.len() > LINGERING_NAMES_MAX || held.bytes > held.bytes_max;
        // One alone may exceed the limit: its queue was allowed to.
        while self.waiting.len() > 1 && too_much(self) {
            let Some((_, oldest)) = self.waiting.pop_first() else {
                break;
            };
            too_many.push(self.forget(oldest));
        }
        too_many
    }

    /// Removes the mailbox of `name`, which has an owner again.
    pub(crate) fn remove(&mut self, name: &Name) {
        let number = self.numbers.get(name);
        if let Some(waiting) = number.and_then(|number| self.waiting.remove(number)) {
            self.forget(waiting);
        }
    }

    /// Takes the mailboxes that have waited long enough at monotonic time `now`.
    pub(crate) fn take_overdue(&mut self, now: Duration) -> Vec<Arc<Mailbox>> {
        let until = now.saturating_add(self.linger);
        self.take_where(|waiting| *waiting.until.get_or_insert(until) <= now)
    }

    /// Takes all mailboxes, and lets none linger from now on.
    pub(crate) fn stop(&mut self) -> Vec<Arc<Mailbox>> {
        self.linger = Duration::ZERO;
        self.take_where(|_| true)
    }

    fn take_where(&mut self, mut ends: impl FnMut(&mut Waiting) -> bool) -> Vec<Arc<Mailbox>> {
        let all = self.waiting.iter_mut();
        let ended: Vec<u64> = all
            .filter_map(|(&number, waiting)| ends(waiting).then_some(number))
            .collect();
        let removed = ended.iter().filter_map(|number| {
            let waiting = self.waiting.remove(number)?;
            Some(self.forget(waiting))
        });
        removed.collect()
    }

    fn forget(&mut self, waiting: Waiting) -> Arc<Mailbox> {
        self.bytes -= waiting.bytes;
        self.numbers.remove(waiting.mailbox.name());
        waiting.mailbox
    }
}
