//! The targets that a session has resolved lately: most messages cost no lookup.

use std::sync::Arc;

use super::recent::{Place, Recent};
use super::shared::RouterShared;
use crate::ids::Name;
use crate::router::mailbox::Mailbox;
use crate::router::services::Services;

/// The destination of messages to a target.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
    /// All receivers of broadcasts.
    Everyone,
    /// The queue of a name with an owner. If the owner has just left, the mailbox
    /// refuses reservations.
    Mailbox(Arc<Mailbox>),
    /// A durable name, with the queue of its owner: messages go to the store, acks to
    /// the queue.
    Durable(Name, Option<Arc<Mailbox>>),
    Service,
    Server,
    /// None: no connection owns the name.
    Nobody,
}

#[derive(Debug)]
struct Route {
    /// `None` is everyone.
    target: Option<Box<[u8]>>,
    to: Destination,
    /// The registry's generation when it was resolved.
    generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RouteIndex(Place);

#[derive(Debug, Default)]
pub(crate) struct Routes(Recent<Route>);

impl Routes {
    #[inline]
    pub(crate) fn leads_to(&self, index: RouteIndex, target: Option<&[u8]>) -> bool {
        let route = self.0.get(index.0);
        route.is_some_and(|route| route.target.as_deref() == target)
    }

    pub(crate) fn destination(&self, index: RouteIndex) -> &Destination {
        &self.0[index.0].to
    }

    #[inline]
    pub(crate) fn mailbox(&self, index: RouteIndex) -> Option<&Arc<Mailbox>> {
        match self.destination(index) {
            Destination::Mailbox(mailbox) | Destination::Durable(_, Some(mailbox)) => Some(mailbox),
            _ => None,
        }
    }

    /// Returns the target, if it is a durable name.
    pub(crate) fn durable_name(&self, index: RouteIndex) -> Option<&Name> {
        match self.destination(index) {
            Destination::Durable(name, _) => Some(name),
            _ => None,
        }
    }

    /// Returns the name of the target, empty for everyone.
    pub(crate) fn target(&self, index: RouteIndex) -> &[u8] {
        self.0[index.0].target.as_deref().unwrap_or_default()
    }

    /// Resolves `target`, by the remembered route if that still holds.
    pub(crate) fn resolve(&mut self, target: Option<&[u8]>, shared: &RouterShared) -> RouteIndex {
        if let Some(known) = self.0.find(|route| route.target.as_deref() == target) {
            let route = &self.0[known];
            // A closed mailbox refuses reservations. Other destinations hold until
            // some name comes or goes.
            let holds = match route.to {
                Destination::Everyone
                | Destination::Mailbox(_)
                | Destination::Durable(_, Some(_)) => true,
                _ => route.generation == shared.registry.generation(),
            };
            if !holds {
                self.renew(RouteIndex(known), shared);
            }
            return RouteIndex(known);
        }
        let generation = shared.registry.generation();
        RouteIndex(self.0.add(Route {
            to: look_up(target, shared),
            target: target.map(Into::into),
            generation,
        }))
    }

    /// Resolves the target of the route again.
    pub(crate) fn renew(&mut self, index: RouteIndex, shared: &RouterShared) {
        let route = &mut self.0[index.0];
        route.generation = shared.registry.generation();
        route.to = look_up(route.target.as_deref(), shared);
    }
}

fn look_up(target: Option<&[u8]>, shared: &RouterShared) -> Destination {
    let Some(name) = target else {
        return Destination::Everyone;
    };
    if name == shared.config.name.as_bytes() {
        return Destination::Server;
    }
    let mailbox = shared.registry.lookup(name);
    if shared.is_durable(name)
        && let Ok(name) = Name::from_utf8(name)
    {
        return Destination::Durable(name, mailbox);
    }
    match mailbox {
        Some(mailbox) => Destination::Mailbox(mailbox),
        None if Services::serves(name) => Destination::Service,
        None => Destination::Nobody,
    }
}
