//! The names of a session: claimed by its first message, or taken by `hello`.

use super::answers::SenderIndex;
use crate::ids::Name;
use crate::router::mailbox::{Claim, Excluded, Ownership};
use crate::router::session::Session;
use crate::wire::{ErrorCode, Refusal};

/// The way in which a connection comes to own names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NameState {
    /// By its first accepted message, which claims its source. None was accepted yet.
    Open,
    /// By its first accepted message, but another connection owns the source.
    Wanted(Name),
    /// By its first accepted message: the source was claimed.
    Claimed,
    /// By `hello` only.
    ByHello,
}

impl Session {
    /// Claims the source of the first accepted message, now or once it is free.
    pub(super) fn claim_source(&mut self, sender: SenderIndex) {
        let name = self.answers.sender_name(sender).clone();
        self.name_state = NameState::Wanted(name);
        self.retry_claim();
    }

    pub(super) fn retry_claim(&mut self) {
        if let NameState::Wanted(name) = &self.name_state
            && let Some(claim) = self.shared.registry.claim_if_free(name, &self.receiver)
        {
            // Most connections never have another one.
            self.claims.reserve_exact(1);
            self.claims.push(claim);
            self.name_state = NameState::Claimed;
            self.keep_accepted_ids(false, false);
        }
    }

    /// Returns the name that errors about the whole connection are addressed to: the
    /// first that it owns, or owned at the end of its input.
    pub(super) fn name(&self) -> Option<Name> {
        let first = self.claims.first().map(Claim::name);
        first.or(self.former_name.as_ref()).cloned()
    }

    /// Takes `name`, and gives up all other names, as by a `hello`. The former
    /// owner is told.
    ///
    /// # Errors
    /// `name` is the server's own, or a group shares it.
    pub fn own(&mut self, name: &Name) -> Result<(), Refusal> {
        let names = std::slice::from_ref(name);
        self.check_names(names)?;
        self.own_exactly(names, &Ownership::Sole, false)?;
        self.keep_accepted_ids(false, false);
        self.name_state = NameState::ByHello;
        Ok(())
    }

    /// Returns the names that the connection owns now.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        let current = self.claims.iter().filter(|claim| claim.is_current());
        current.map(Claim::name)
    }

    /// Checks that none of `names` is the server's own.
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

    /// Takes `names` with this ownership, and gives up all others. If it `yields`, names
    /// of connections that were made later are theirs.
    pub(super) fn own_exactly(
        &mut self,
        names: &[Name],
        ownership: &Ownership,
        yields: bool,
    ) -> Result<(), Refusal> {
        let registry = &self.shared.registry;
        let claims = &mut self.claims;
        let owned = registry.own_exactly(claims, names, &self.receiver, ownership, yields);
        owned.map_err(|(index, why)| {
            let name = &names[index];
            let reason = match why {
                Excluded::Group => format!(
                    "a group shares {name:?}: say group: true to join it, or take another name"
                ),
                Excluded::Owner => {
                    format!("a connection has {name:?} for itself: leave group out to take it over")
                }
                Excluded::Newer => {
                    let reason = format!(
                        "a connection that was made after this one has {name:?}; don't reconnect"
                    );
                    return Refusal::new(ErrorCode::NameTakenOver, reason);
                }
                Excluded::Durable => {
                    let reason = "a group can't share a durable name yet: leave group out";
                    return Refusal::new(ErrorCode::ProtocolUnsupported, reason)
                        .of_field("payload.group");
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
