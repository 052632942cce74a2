//! How a session comes to own names, and gives them up.

use super::answers::SenderIndex;
use crate::ids::Name;
use crate::router::mailbox::{Claim, Excluded, Ownership};
use crate::router::session::Session;
use crate::wire::{ErrorCode, Refusal};

/// How a connection comes to own names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NameState {
    /// Nothing was accepted yet: the first accepted message claims its source.
    Unsettled,
    /// Somebody else owns the source of the first accepted message.
    Wanted(Name),
    /// The source of the first accepted message is, or was, owned.
    Settled,
    /// By `hello` only.
    ByHello,
}

impl Session {
    /// The first accepted message claims its source, if nobody owns it.
    pub(super) fn claim_source(&mut self, sender: SenderIndex) {
        let name = self.answers.sender_name(sender).clone();
        self.claiming = NameState::Wanted(name);
        self.retry_claim();
    }

    pub(super) fn retry_claim(&mut self) {
        if let NameState::Wanted(name) = &self.claiming
            && let Some(claim) = self.shared.registry.claim_if_free(name, &self.receiver)
        {
            // Most connections never have another.
            self.claims.reserve_exact(1);
            self.claims.push(claim);
            self.claiming = NameState::Settled;
            self.keep_accepted_ids(false, false);
        }
    }

    /// The name under which the connection is told what concerns all of it:
    /// the first that it owns, or owned when its input ended.
    pub(super) fn name(&self) -> Option<Name> {
        let first = self.claims.first().map(Claim::name);
        first.or(self.former_name.as_ref()).cloned()
    }

    /// Owns `name` from now on, and nothing else, as by a `hello`. Whoever
    /// owned it is told.
    ///
    /// # Errors
    /// It is the server's own name, or a group shares it.
    pub fn own(&mut self, name: &Name) -> Result<(), Refusal> {
        let names = std::slice::from_ref(name);
        self.check_names(names)?;
        self.own_exactly(names, &Ownership::Sole)?;
        self.keep_accepted_ids(false, false);
        self.claiming = NameState::ByHello;
        Ok(())
    }

    /// The names that the connection owns now.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.claims
            .iter()
            .filter(|claim| claim.is_current())
            .map(Claim::name)
    }

    pub(super) fn check_names(&self, names: &[Name]) -> Result<(), Refusal> {
        let own = &self.shared.config.name;
        match names.iter().position(|name| name == own) {
            None => Ok(()),
            Some(index) => Err(Refusal::new(
                ErrorCode::SourceNotAllowed,
                "this is the server's own name: nobody else can own it",
            )
            .of_field(format!("payload.names[{index}]"))),
        }
    }

    /// Owns exactly these names from now on, in this way.
    pub(super) fn own_exactly(
        &mut self,
        names: &[Name],
        ownership: &Ownership,
    ) -> Result<(), Refusal> {
        let registry = &self.shared.registry;
        let owned = registry.own_exactly(&mut self.claims, names, &self.receiver, ownership);
        owned.map_err(|(index, why)| {
            let name = &names[index];
            let reason = match why {
                Excluded::Group => format!(
                    "a group shares {name:?}: say group: true to join it, or take another name"
                ),
                Excluded::Owner => {
                    format!("a connection has {name:?} for itself: leave group out to take it over")
                }
                Excluded::Key => format!(
                    "the group that shares {name:?} has agreed on another group_key: say the same"
                ),
            };
            Refusal::new(ErrorCode::SourceNotAllowed, reason)
                .of_field(format!("payload.names[{index}]"))
        })
    }
}
