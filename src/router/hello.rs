//! Control messages: what a connection asks of tickwire itself.

#![forbid(unsafe_code)]

use super::answers::SenderIndex;
use super::registry::Claim;
use super::session::{Claiming, Halt, Session};
use crate::ids::{MsgId, Name};
use crate::limits::PROTOCOL_VERSION;
use crate::wire::{
    Acks, Broadcasts, ErrorCode, Granted, GrantedLimits, Header, HelloRequest, Kind, Refusal,
    ServerIdentity, Welcome,
};

impl Session {
    /// Carries out a control message and answers it.
    pub(super) fn control(
        &mut self,
        header: &Header,
        sender: SenderIndex,
        json: &[u8],
    ) -> Option<Halt> {
        let source = self.answers.sender_name(sender).clone();
        let outcome = match header.kind {
            Kind::Hello => self.hello(&source, header.msg_id, json),
            _ => Err(Refusal::new(
                ErrorCode::ProtocolUnsupported,
                "this server has no subscriptions: who owns a name gets every broadcast",
            )
            .of_field("msg_type")),
        };
        match outcome {
            Ok(()) => {
                self.note_accepted();
                None
            }
            Err(refusal) => self.refuse(&Refusal {
                msg_id: Some(header.msg_id),
                source: Some(source),
                ..refusal
            }),
        }
    }

    /// All of a `hello` is granted, or nothing changes.
    fn hello(&mut self, source: &Name, msg_id: MsgId, json: &[u8]) -> Result<(), Refusal> {
        let hello = HelloRequest::read(json)?;
        hello.check_supported()?;
        let wanted = self.wanted_names(source, &hello);
        if let Some(names) = &wanted {
            self.check_names(names)?;
        }
        if let Some(names) = wanted {
            self.own_exactly(&names);
        }
        self.claiming = Claiming::ByHello;
        self.welcome(source, msg_id);
        Ok(())
    }

    /// The names that the connection is to own from now on; `None` leaves them
    /// as they are.
    fn wanted_names(&self, source: &Name, hello: &HelloRequest) -> Option<Vec<Name>> {
        if hello.register == Some(false) {
            return Some(Vec::new());
        }
        if let Some(names) = &hello.names {
            return Some(names.clone());
        }
        let first = self.claiming != Claiming::ByHello;
        let asks_again = hello.register == Some(true) && self.names().next().is_none();
        (first || asks_again).then(|| vec![source.clone()])
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

    pub(super) fn own_exactly(&mut self, names: &[Name]) {
        let before = std::mem::take(&mut self.claims);
        for name in names {
            let kept = before
                .iter()
                .find(|claim| claim.name() == name && claim.is_current());
            let claim = match kept {
                Some(claim) => claim.clone(),
                None => self.shared.registry.claim(name, &self.peer),
            };
            self.claims.push(claim);
        }
        for claim in before.iter().filter(|claim| !names.contains(claim.name())) {
            self.shared.registry.release(claim, &self.peer);
        }
    }

    fn welcome(&mut self, source: &Name, msg_id: MsgId) {
        let config = &self.shared.config;
        let names: Vec<Name> = self.claims.iter().map(Claim::name).cloned().collect();
        let limits = GrantedLimits::new(
            config.frame_bytes_max as u64,
            config.queue_bytes as u64,
            config.queue_messages as u64,
        );
        let server = ServerIdentity::new(config.name.clone(), env!("CARGO_PKG_VERSION"));
        let granted = granted(!names.is_empty());
        let welcome = Welcome::new(PROTOCOL_VERSION, msg_id, server, names, limits, granted);
        self.answers.welcome(source.as_str(), &welcome);
    }
}

/// The options as they are in force. All but `register` stand at the only
/// value that is built.
fn granted(register: bool) -> Granted {
    Granted {
        register: Some(register),
        acks: Some(Acks::Each),
        ack_details: Some(false),
        broadcasts: Some(Broadcasts::All),
        group: Some(false),
        resumable: Some(false),
        resume: Some(false),
        replay: Some(false),
        ..Granted::new()
    }
}
