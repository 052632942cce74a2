//! An index over all subscriptions of a server, which finds those that match a
//! message.
//!
//! The fields in question are read once a message. A subscription with a condition
//! `eq` or `in` is indexed by the values of one such condition: a hundred subscribers
//! with a hundred symbols cost one lookup. Its other conditions are checked only on a
//! match. Subscriptions without such a condition are checked one by one.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::slice;
use std::sync::Arc;

use super::list::{Subscription, SubscriptionMode};
use crate::ids::ConnectionId;
use crate::router::broadcast::receiver::BroadcastReceiver;
use crate::wire::filter::{Condition, Field, Pointer, Probe, Scalar, ValueMap, View};

#[derive(Debug)]
pub(crate) struct SubscriptionIndex {
    /// The reader of the fields in question.
    pub(crate) probe: Probe,
    /// The subscribers, sorted by connection.
    pub(crate) subscribers: Box<[Arc<BroadcastReceiver>]>,
    /// The subscriptions of all, by subscriber and in the order of the requests.
    subscriptions: Box<[CompiledSubscription]>,
    tables: Box<[Table]>,
    /// The subscriptions that are in no table.
    unindexed: Box<[u32]>,
    /// The keys of snapshots: the slot of the value of each.
    pub(crate) kept: Box<[u32]>,
}

/// The way of a match to its subscriber.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DeliveryMode {
    /// Through the plain queue.
    Plain,
    /// Through the conflated queue.
    Conflated(ConflatedBy),
}

/// The slot of the value that is the key of conflation, and the serial of the
/// subscription, which tells its keys from others. `None` if the subscription
/// wants all messages.
pub(crate) type ConflatedBy = Option<(u32, u32)>;

/// A subscription with the slots of its fields.
#[derive(Debug)]
struct CompiledSubscription {
    /// The index of its subscriber.
    subscriber: u32,
    mode: DeliveryMode,
    /// `None` for one that matches everything.
    subscription: Option<Arc<Subscription>>,
    /// The conditions that no table answers: the slot of the field, and the index
    /// of the condition.
    rest: Box<[(u32, u32)]>,
}

/// The subscriptions by the values that they ask for in one field.
#[derive(Debug)]
struct Table {
    slot: u32,
    by_value: ValueMap<Candidates>,
}

/// The subscriptions that ask for one value; most often one, which then stands in
/// the table itself.
#[derive(Debug)]
enum Candidates {
    One(Candidate),
    #[allow(
        clippy::box_collection,
        reason = "a wide pointer would make every place of the table larger"
    )]
    Many(Box<Vec<Candidate>>),
}

impl From<Vec<Candidate>> for Candidates {
    fn from(many: Vec<Candidate>) -> Self {
        match many[..] {
            [one] => Self::One(one),
            _ => Self::Many(Box::new(many)),
        }
    }
}

impl Candidates {
    #[inline]
    fn as_slice(&self) -> &[Candidate] {
        match self {
            Self::One(one) => slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// The index of the subscription.
    index: u32,
    /// Its subscriber, if it has no other condition and is not conflated: there
    /// is nothing more to look up then.
    plain_subscriber: Option<u32>,
}

/// A connection and its subscriptions. None at all mean all broadcasts.
type Subscriber = (Arc<BroadcastReceiver>, Arc<[Arc<Subscription>]>);

/// Puts subscriptions into tables, one after the other.
#[derive(Default)]
struct Compiler<'a> {
    fields: Fields,
    /// The number of values that are asked for, by field.
    variety: HashMap<&'a Field, HashSet<&'a Scalar>>,
    compiled: Vec<CompiledSubscription>,
    tables: HashMap<u32, ValueMap<Vec<Candidate>>>,
    unindexed: Vec<u32>,
}

impl Compiler<'_> {
    /// Adds a subscriber that gets all broadcasts.
    fn add_everything(&mut self, subscriber: u32, conflates: bool) {
        self.unindexed.push(self.compiled.len() as u32);
        self.compiled.push(CompiledSubscription {
            subscriber,
            mode: DeliveryMode::new(conflates, None),
            subscription: None,
            rest: Box::default(),
        });
    }

    /// Adds a subscription: to the table of its most selective condition, if it
    /// asks for values.
    fn add(&mut self, subscriber: u32, conflates: bool, subscription: &Arc<Subscription>) {
        let index = self.compiled.len() as u32;
        let conditions = subscription.filter.conditions();
        let by_table = most_selective(conditions, &self.variety);
        match by_table.and_then(|at| Some((&conditions[at], conditions[at].equals()?))) {
            Some((condition, values)) => {
                let is_plain = conditions.len() == 1 && !conflates;
                let candidate = Candidate {
                    index,
                    plain_subscriber: is_plain.then_some(subscriber),
                };
                let slot = self.fields.slot(condition.field());
                let table = self.tables.entry(slot).or_default();
                for value in values {
                    table.get_or_default(value).push(candidate);
                }
            }
            None => self.unindexed.push(index),
        }
        let fields = &mut self.fields;
        let conflated_by = match &subscription.delivery {
            SubscriptionMode::All => None,
            SubscriptionMode::Latest(key) => {
                Some((fields.slot(&Field::At(key.clone())), subscription.serial))
            }
        };
        let others = conditions.iter().enumerate();
        let rest = others
            .filter(|(at, _)| Some(*at) != by_table)
            .map(|(at, condition)| (fields.slot(condition.field()), at as u32));
        self.compiled.push(CompiledSubscription {
            subscriber,
            rest: rest.collect(),
            mode: DeliveryMode::new(conflates, conflated_by),
            subscription: Some(Arc::clone(subscription)),
        });
    }
}

impl SubscriptionIndex {
    /// Compiles all subscriptions and the keys of snapshots.
    pub(crate) fn new(mut subscribers: Vec<Subscriber>, kept: &[Pointer]) -> Self {
        subscribers.sort_by_key(|(receiver, _)| receiver.id().0);
        let mut compiler = Compiler {
            variety: variety(&subscribers),
            ..Compiler::default()
        };
        for (subscriber, (receiver, subscriptions)) in (0..).zip(&subscribers) {
            // Read once: it may change at any moment, and a message must not go
            // both ways.
            let conflates = receiver.conflates();
            if subscriptions.is_empty() {
                compiler.add_everything(subscriber, conflates);
            }
            for subscription in subscriptions.iter() {
                compiler.add(subscriber, conflates, subscription);
            }
        }
        let Compiler {
            mut fields,
            compiled,
            tables,
            unindexed,
            ..
        } = compiler;
        let kept = kept.iter().map(|key| fields.slot(&Field::At(key.clone())));
        let kept = kept.collect();
        let tables = tables.into_iter().map(|(slot, by_value)| Table {
            slot,
            by_value: by_value.map(Candidates::from),
        });
        Self {
            kept,
            subscriptions: compiled.into(),
            tables: tables.collect(),
            unindexed: unindexed.into(),
            subscribers: subscribers.into_iter().map(|known| known.0).collect(),
            probe: Probe::new(fields.list),
        }
    }

    /// The index of a connection among the subscribers, if it is one.
    pub(crate) fn subscriber(&self, id: ConnectionId) -> Option<u32> {
        let by_id = |receiver: &Arc<BroadcastReceiver>| receiver.id().0;
        let found = self.subscribers.binary_search_by_key(&id.0, by_id);
        found.ok().map(|index| index as u32)
    }

    /// Calls `found` for each subscription that matches a message with these
    /// values, in no particular order.
    #[inline]
    pub(crate) fn each_match(&self, values: View<'_>, mut found: impl FnMut(u32, DeliveryMode)) {
        for &index in &self.unindexed {
            if let Some((subscriber, mode)) = self.check(index, values) {
                found(subscriber, mode);
            }
        }
        for table in &self.tables {
            let Some(value) = values.get(table.slot as usize) else {
                continue;
            };
            let Some(candidates) = table.by_value.get(&value) else {
                continue;
            };
            for candidate in candidates.as_slice() {
                let matched = match candidate.plain_subscriber {
                    Some(subscriber) => Some((subscriber, DeliveryMode::Plain)),
                    None => self.check(candidate.index, values),
                };
                if let Some((subscriber, mode)) = matched {
                    found(subscriber, mode);
                }
            }
        }
    }

    /// Checks the conditions that no table answers.
    #[inline(never)]
    fn check(&self, index: u32, values: View<'_>) -> Option<(u32, DeliveryMode)> {
        let compiled = &self.subscriptions[index as usize];
        (compiled.rest_holds(values)).then_some((compiled.subscriber, compiled.mode))
    }
}

impl DeliveryMode {
    fn new(conflates: bool, conflated_by: ConflatedBy) -> Self {
        match conflates {
            true => Self::Conflated(conflated_by),
            false => Self::Plain,
        }
    }
}

impl CompiledSubscription {
    #[inline]
    fn rest_holds(&self, values: View<'_>) -> bool {
        // Most often, and the subscription needn't be loaded then.
        if self.rest.is_empty() {
            return true;
        }
        let Some(subscription) = &self.subscription else {
            return true;
        };
        let conditions = subscription.filter.conditions();
        self.rest.iter().all(|&(slot, at)| {
            let value = values.get(slot as usize);
            conditions[at as usize].holds(value.as_ref())
        })
    }
}

/// The fields in question, each once.
#[derive(Debug, Default)]
struct Fields {
    list: Vec<Field>,
    slots: HashMap<Field, u32>,
}

impl Fields {
    fn slot(&mut self, field: &Field) -> u32 {
        if let Some(&slot) = self.slots.get(field) {
            return slot;
        }
        let slot = self.list.len() as u32;
        self.list.push(field.clone());
        self.slots.insert(field.clone(), slot);
        slot
    }
}

/// The values of each field that `eq` and `in` ask for. The more there are, the
/// fewer subscriptions one value leads to.
fn variety(subscribers: &[Subscriber]) -> HashMap<&Field, HashSet<&Scalar>> {
    let mut variety: HashMap<&Field, HashSet<&Scalar>> = HashMap::new();
    let subscriptions = subscribers.iter().flat_map(|(_, list)| list.iter());
    for condition in subscriptions.flat_map(|known| known.filter.conditions()) {
        if let Some(values) = condition.equals() {
            variety.entry(condition.field()).or_default().extend(values);
        }
    }
    variety
}

/// The index of the condition that a subscription is indexed by, if any.
fn most_selective(
    conditions: &[Condition],
    variety: &HashMap<&Field, HashSet<&Scalar>>,
) -> Option<usize> {
    let indexable = conditions.iter().enumerate().filter_map(|(at, condition)| {
        let values = condition.equals()?.len().max(1);
        let variety = variety.get(condition.field()).map_or(0, HashSet::len);
        // The fewer of the field's values lead here, the better.
        Some((at, variety / values))
    });
    let best = indexable.max_by_key(|(at, score)| (*score, Reverse(*at)));
    best.map(|(at, _)| at)
}
