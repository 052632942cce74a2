//! All subscriptions of a server, compiled: which of them match a message.
//!
//! The fields that any of them asks about are read once a message. Of each
//! subscription that has a condition `eq` or `in`, one such condition is kept
//! in a table by value, so that a message meets only the subscriptions that ask
//! for what it holds: a hundred subscribers with a hundred symbols cost one
//! lookup. What else they ask is checked on those alone; subscriptions without
//! such a condition are checked one by one.

use std::collections::{HashMap, HashSet};
use std::slice;
use std::sync::Arc;

use crate::ids::ConnectionId;
use crate::router::broadcast::receiver::BroadcastReceiver;
use crate::router::broadcast::subscriptions::{Delivery, Subscription};
use crate::wire::filter::{Condition, Field, Pointer, Probe, Scalar, ValueMap, View};

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct SubscriptionIndex {
    probe: Probe,
    /// By connection.
    subscribers: Box<[Arc<BroadcastReceiver>]>,
    /// By subscriber, and of each in the order in which they were made.
    matches: Box<[Match]>,
    tables: Box<[Table]>,
    /// Those that are in no table.
    unindexed: Box<[u32]>,
    kept: Box<[Kept]>,
}

/// How a match is delivered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DeliveryMode {
    /// Through a lane that holds each.
    Plain,
    /// Through a conflating lane.
    Conflated(ConflatedBy),
}

/// Where the value stands by which matches are conflated, and what tells their
/// keys from those of other subscriptions; `None` for those that take no other's
/// place.
pub(crate) type ConflatedBy = Option<(u32, u32)>;

/// A subscription, compiled.
#[derive(Debug)]
struct Match {
    /// Whose it is.
    subscriber: u32,
    way: DeliveryMode,
    /// Nothing for one that matches everything.
    subscription: Option<Arc<Subscription>>,
    /// The conditions that no table answers, and where their fields stand.
    rest: Box<[(u32, u32)]>,
}

/// By which value the last broadcasts are kept.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Where it stands among the values.
    pub(crate) slot: u32,
}

/// Which subscriptions ask for a value of one field.
#[derive(Debug)]
struct Table {
    slot: u32,
    by_value: ValueMap<Candidates>,
}

/// The subscriptions that ask for one value. Usually it is one, which then
/// stands in the table.
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

/// A subscription that asks for some value.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    /// Which it is.
    index: u32,
    /// Whose it is, if it asks for nothing else and its broadcasts are not
    /// conflated: then there is nothing to look up.
    plain: Option<u32>,
}

/// A connection and what it has subscribed to; nothing stands for everything.
type Chooser = (Arc<BroadcastReceiver>, Arc<[Arc<Subscription>]>);

impl SubscriptionIndex {
    pub(crate) fn new(mut subscribers: Vec<Chooser>, kept: &[Pointer]) -> Self {
        subscribers.sort_by_key(|(receiver, _)| receiver.id().0);
        let mut fields = Fields::default();
        let variety = variety(&subscribers);
        let mut matches = Vec::new();
        let mut tables: HashMap<u32, ValueMap<Vec<Candidate>>> = HashMap::new();
        let mut unindexed = Vec::new();
        for (subscriber, (receiver, subscriptions)) in subscribers.iter().enumerate() {
            // Asked once: it may begin to at any moment, and a message must not
            // go both ways.
            let conflates = receiver.conflates();
            if subscriptions.is_empty() {
                unindexed.push(matches.len() as u32);
                matches.push(Match::everything(subscriber as u32, conflates));
            }
            for subscription in subscriptions.iter() {
                let index = matches.len() as u32;
                let conditions = subscription.filter.conditions();
                let by_table = most_telling(conditions, &variety);
                match by_table.and_then(|at| Some((&conditions[at], conditions[at].equals()?))) {
                    Some((condition, values)) => {
                        let is_plain = conditions.len() == 1 && !conflates;
                        let candidate = Candidate {
                            index,
                            plain: is_plain.then_some(subscriber as u32),
                        };
                        let slot = fields.slot(condition.field());
                        let table = tables.entry(slot).or_default();
                        for value in values {
                            table.get_or_default(value).push(candidate);
                        }
                    }
                    None => unindexed.push(index),
                }
                let conflated_by = match &subscription.delivery {
                    Delivery::All => None,
                    Delivery::Latest(key) => {
                        Some((fields.slot(&Field::At(key.clone())), subscription.serial))
                    }
                };
                let others = conditions.iter().enumerate();
                let rest = others
                    .filter(|(at, _)| Some(*at) != by_table)
                    .map(|(at, condition)| (fields.slot(condition.field()), at as u32));
                matches.push(Match {
                    subscriber: subscriber as u32,
                    rest: rest.collect(),
                    way: DeliveryMode::new(conflates, conflated_by),
                    subscription: Some(Arc::clone(subscription)),
                });
            }
        }
        let kept = kept.iter().map(|pointer| Kept {
            slot: fields.slot(&Field::At(pointer.clone())),
        });
        let tables = tables.into_iter().map(|(slot, by_value)| Table {
            slot,
            by_value: by_value.map(Candidates::from),
        });
        Self {
            kept: kept.collect(),
            matches: matches.into(),
            tables: tables.collect(),
            unindexed: unindexed.into(),
            subscribers: subscribers
                .into_iter()
                .map(|(receiver, _)| receiver)
                .collect(),
            probe: Probe::new(fields.list),
        }
    }

    /// Reads what the subscriptions ask about.
    pub(crate) fn probe(&self) -> &Probe {
        &self.probe
    }

    /// Those who have subscriptions, by connection.
    pub(crate) fn subscribers(&self) -> &[Arc<BroadcastReceiver>] {
        &self.subscribers
    }

    /// By what the last broadcasts are kept.
    pub(crate) fn kept(&self) -> &[Kept] {
        &self.kept
    }

    /// Which subscriber the connection is, if it is one.
    pub(crate) fn subscriber(&self, id: ConnectionId) -> Option<u32> {
        let found = self
            .subscribers
            .binary_search_by_key(&id.0, |receiver| receiver.id().0);
        found.ok().map(|index| index as u32)
    }

    /// Gives each subscription that matches a message with these values, in no
    /// particular order: whose it is, and how the message gets there.
    #[inline]
    pub(crate) fn each_match(&self, values: View<'_>, mut found: impl FnMut(u32, DeliveryMode)) {
        for &index in &self.unindexed {
            if let Some((subscriber, way)) = self.check(index, values) {
                found(subscriber, way);
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
                let matched = match candidate.plain {
                    Some(subscriber) => Some((subscriber, DeliveryMode::Plain)),
                    None => self.check(candidate.index, values),
                };
                if let Some((subscriber, way)) = matched {
                    found(subscriber, way);
                }
            }
        }
    }

    /// Whether the conditions hold that no table answers.
    #[inline(never)]
    fn check(&self, index: u32, values: View<'_>) -> Option<(u32, DeliveryMode)> {
        let known = &self.matches[index as usize];
        (known.rest_holds(values)).then_some((known.subscriber, known.way))
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

impl Match {
    fn everything(subscriber: u32, conflates: bool) -> Self {
        Self {
            subscriber,
            way: DeliveryMode::new(conflates, None),
            subscription: None,
            rest: Box::default(),
        }
    }

    #[inline]
    fn rest_holds(&self, values: View<'_>) -> bool {
        // Usual, and then the subscription itself needn't be looked at.
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

/// The fields that are asked about, each once.
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

/// How many values of each field are asked for by `eq` and `in`: the more, the
/// fewer subscriptions one value leads to.
fn variety(subscribers: &[Chooser]) -> HashMap<&Field, HashSet<&Scalar>> {
    let mut variety: HashMap<&Field, HashSet<&Scalar>> = HashMap::new();
    let subscriptions = subscribers.iter().flat_map(|(_, list)| list.iter());
    for condition in subscriptions.flat_map(|known| known.filter.conditions()) {
        if let Some(values) = condition.equals() {
            variety.entry(condition.field()).or_default().extend(values);
        }
    }
    variety
}

/// The condition by which a subscription is looked up, if it has one that can
/// be.
fn most_telling(
    conditions: &[Condition],
    variety: &HashMap<&Field, HashSet<&Scalar>>,
) -> Option<usize> {
    let indexable = conditions.iter().enumerate().filter_map(|(at, condition)| {
        let values = condition.equals()?.len().max(1);
        let variety = variety.get(condition.field()).map_or(0, HashSet::len);
        // Of so many values, so few lead here.
        Some((at, variety / values))
    });
    indexable
        .max_by_key(|(at, score)| (*score, std::cmp::Reverse(*at)))
        .map(|(at, _)| at)
}
