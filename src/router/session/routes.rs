//! The targets that a session has resolved lately, so that a message costs no
//! lookup.

use std::sync::Arc;

use super::shared::RouterShared;
use crate::router::mailbox::Mailbox;
use crate::router::services::Services;

/// Targets remembered by one session.
const ROUTES_MAX: usize = 8;

/// Where messages to a target go.
#[derive(Debug, Clone)]
pub(crate) enum Destination {
    /// To all who own a name.
    Everyone,
    /// To the queue of a name that somebody owns (or owned until now: the
    /// mailbox says when it is closed).
    Mailbox(Arc<Mailbox>),
    /// To a service inside tickwire.
    Service,
    /// To the server itself.
    Server,
    /// Nobody owns the name.
    Nobody,
}

/// A resolved target. `None` is everyone.
#[derive(Debug)]
struct Route {
    target: Option<Box<[u8]>>,
    to: Destination,
    /// The registry's generation when it was resolved.
    generation: u64,
}

/// Which of the remembered routes; valid until another target is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RouteIndex(usize);

/// See the [module](self).
#[derive(Debug, Default)]
pub(crate) struct Routes {
    routes: Vec<Route>,
    /// The next place to give to another target once all are taken.
    next: usize,
}

impl Routes {
    /// Whether the route at `index` leads to `target`.
    #[inline]
    pub(crate) fn leads_to(&self, index: RouteIndex, target: Option<&[u8]>) -> bool {
        self.routes
            .get(index.0)
            .is_some_and(|route| route.target.as_deref() == target)
    }

    pub(crate) fn destination(&self, index: RouteIndex) -> &Destination {
        &self.routes[index.0].to
    }

    /// The queue that the route leads to, if it leads to one.
    #[inline]
    pub(crate) fn mailbox(&self, index: RouteIndex) -> Option<&Arc<Mailbox>> {
        match self.destination(index) {
            Destination::Mailbox(mailbox) => Some(mailbox),
            _ => None,
        }
    }

    /// The target's name; empty for everyone.
    pub(crate) fn target(&self, index: RouteIndex) -> &[u8] {
        self.routes[index.0].target.as_deref().unwrap_or_default()
    }

    /// Resolves `target`, from memory where that is still right.
    pub(crate) fn resolve(&mut self, target: Option<&[u8]>, shared: &RouterShared) -> RouteIndex {
        let known = self
            .routes
            .iter()
            .position(|route| route.target.as_deref() == target);
        if let Some(index) = known {
            let route = &self.routes[index];
            // An mailbox tells by itself when it is closed; what else is known
            // of a name holds until some name comes or goes.
            let holds = match route.to {
                Destination::Everyone | Destination::Mailbox(_) => true,
                _ => route.generation == shared.registry.generation(),
            };
            if !holds {
                self.renew(RouteIndex(index), shared);
            }
            return RouteIndex(index);
        }
        let generation = shared.registry.generation();
        let route = Route {
            to: look_up(target, shared),
            target: target.map(Into::into),
            generation,
        };
        if self.routes.is_empty() {
            // Most connections never have another.
            self.routes.reserve_exact(1);
        }
        if self.routes.len() < ROUTES_MAX {
            self.routes.push(route);
            return RouteIndex(self.routes.len() - 1);
        }
        let index = self.next;
        self.next = (self.next + 1) % ROUTES_MAX;
        self.routes[index] = route;
        RouteIndex(index)
    }

    /// Asks the registry again.
    pub(crate) fn renew(&mut self, index: RouteIndex, shared: &RouterShared) {
        let route = &mut self.routes[index.0];
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
    match shared.registry.lookup(name) {
        Some(mailbox) => Destination::Mailbox(mailbox),
        None if Services::serves(name) => Destination::Service,
        None => Destination::Nobody,
    }
}
