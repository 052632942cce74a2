//! The client's subscriptions, which are said again on each connection.

use crate::wire::{Payload, Subscribe, Unsubscribe};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Subscribe(Box<Subscribe>),
    /// The id of the subscription that is to end.
    Unsubscribe(Box<str>),
}

/// The subscriptions that the server has granted and not been asked to end.
#[derive(Debug, Default)]
pub(super) struct Subscriptions(Vec<Subscribe>);

impl Change {
    pub(super) fn payload(&self) -> Payload {
        match self {
            Self::Subscribe(subscribe) => Payload::Subscribe(subscribe.clone()),
            Self::Unsubscribe(id) => Unsubscribe::new(&**id).into(),
        }
    }

    fn id(&self) -> &str {
        match self {
            Self::Subscribe(subscribe) => &subscribe.id,
            Self::Unsubscribe(id) => id,
        }
    }
}

impl Subscriptions {
    /// Notes a change that the server has made.
    pub(super) fn granted(&mut self, change: Change) {
        match change {
            Change::Unsubscribe(id) => self.0.retain(|known| known.id != *id),
            Change::Subscribe(subscribe) => {
                match self.0.iter_mut().find(|known| known.id == subscribe.id) {
                    Some(known) => *known = *subscribe,
                    None => self.0.push(*subscribe),
                }
            }
        }
    }

    /// Notes that the server no longer grants a subscription.
    pub(super) fn lost(&mut self, change: &Change) {
        self.0.retain(|known| known.id != change.id());
    }

    /// The subscriptions for a new connection, in the order of their first grant.
    pub(super) fn all(&self) -> Vec<Change> {
        let again = |subscribe: &Subscribe| Change::Subscribe(Box::new(subscribe.clone()));
        self.0.iter().map(again).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Condition;

    fn subscribe(subscribe: Subscribe) -> Change {
        Change::Subscribe(Box::new(subscribe))
    }

    #[test]
    fn says_what_was_granted_and_not_ended() {
        let mut subscriptions = Subscriptions::default();
        let replaced = Subscribe::new("a").with(Condition::eq("source", "x"));
        for id in ["a", "b", "c"] {
            subscriptions.granted(subscribe(Subscribe::new(id)));
        }
        subscriptions.granted(subscribe(replaced.clone()));
        let end = Change::Unsubscribe("b".into());
        subscriptions.granted(end.clone());
        subscriptions.granted(end);
        let expected = [subscribe(replaced), subscribe(Subscribe::new("c"))];
        assert_eq!(subscriptions.all(), expected);
        subscriptions.lost(&expected[0]);
        assert_eq!(subscriptions.all(), expected[1..]);
    }
}
