//! Control messages: requests to tickwire itself.

use std::ops::Range;
use std::time::Duration;

use super::answers::{AckOptions, SenderIndex};
use super::claiming::NameState;
use super::read::{Read, Stop, Stopped};
use crate::ids::{MsgId, Name};
use crate::limits::PROTOCOL_VERSION;
use crate::router::mailbox::{Claim, Ownership};
use crate::router::session::{Attention, Halt, Session};
use crate::wire::{
    Broadcasts, ErrorCode, Granted, GrantedLimits, Header, HelloRequest, Kind, Refusal,
    ServerIdentity, Welcome,
};

impl Read<'_> {
    /// Carries out a control message. Stops where gathered messages must be queued first.
    pub(super) fn control(
        &mut self,
        frame: &Range<usize>,
        json: &[u8],
        header: &Header,
        sender: SenderIndex,
    ) -> Result<(), Stopped> {
        if header.kind == Kind::Subscribe && self.scratch.forward.fan_out.holds_pass() {
            // A snapshot would wait for the broadcasts of this read.
            return Err(Stopped {
                at: frame.start,
                why: Stop::QueueFirst,
            });
        }
        if header.kind == Kind::Hello && self.session.is_storing() {
            // Its `welcome` is a fence: it comes behind the answers of the store.
            self.session.storing.fence();
            return Err(Stopped::halt(frame.start, Halt::Storing));
        }
        let carried_out = self.session.control(header, sender, json);
        carried_out.map_err(|halt| Stopped::halt(frame.end, halt))?;
        if header.kind == Kind::Hello && self.session.accepted_ids.is_some() {
            // The frames behind it may need the lock of other accepted ids.
            return Err(Stopped {
                at: frame.end,
                why: Stop::QueueFirst,
            });
        }
        Ok(())
    }
}

impl Session {
    /// Carries out and answers a control message. Fails if the connection must close.
    fn control(&mut self, header: &Header, sender: SenderIndex, json: &[u8]) -> Result<(), Halt> {
        let source = self.answers.sender_name(sender).clone();
        // The reports come first: a client that takes a name back by this `hello`
        // must not hear of its loss afterwards.
        let reports = self.handle.take_reports();
        let before = self.answer_reports(reports);
        // Answers of the store may have taken the sender's place.
        let sender = self.answers.sender(source.as_bytes()).unwrap_or(sender);
        let outcome = match header.kind {
            Kind::Hello => self.hello(&source, header.msg_id, json),
            Kind::Subscribe => self.subscribe(json),
            Kind::Unsubscribe => self.unsubscribe(json),
            // No control messages: `Kind::is_control`.
            Kind::IngestEvent | Kind::LogRecord | Kind::Heartbeat | Kind::Error | Kind::Ack => {
                Ok(())
            }
        };
        if outcome.is_ok() && header.kind != Kind::Hello {
            // An ack of its own, whatever the options for the acks of messages.
            self.answers.ack_each(sender, &[header.msg_id], &[]);
            if self.name_state == NameState::Open {
                self.claim_source(sender);
            }
        }
        match outcome {
            Ok(()) => {
                self.done.accepted += 1;
                self.invalid_in_a_row = 0;
            }
            Err(refusal) => {
                let came_too_late = refusal.code == ErrorCode::NameTakenOver;
                self.refuse(&Refusal {
                    msg_id: Some(header.msg_id),
                    source: Some(source),
                    ..refusal
                })?;
                if came_too_late {
                    return Err(Halt::Close);
                }
            }
        }
        // The last name was lost before, and none was taken back.
        let nameless = before == Attention::Close && self.claims.is_empty();
        match nameless {
            true => Err(Halt::Close),
            false => Ok(()),
        }
    }

    /// Grants all of a `hello`, or changes nothing.
    fn hello(&mut self, source: &Name, msg_id: MsgId, json: &[u8]) -> Result<(), Refusal> {
        let hello = HelloRequest::read(json)?;
        hello.check_supported()?;
        let ownership = self.wanted_ownership(&hello)?;
        let mut wanted = self.wanted_names(source, &hello);
        if wanted.is_none() && ownership != self.ownership {
            wanted = Some(self.names().cloned().collect());
        }
        let wanted_none = self.wants_no_broadcasts;
        // Before it owns a name, so that no broadcast slips in.
        if let Some(broadcasts) = &hello.broadcasts {
            self.want_no_broadcasts(*broadcasts == Broadcasts::None);
        }
        if let Some(names) = wanted {
            let allowed = self.check_names(&names);
            // The bytes of a dead connection may come to be read only after its client
            // has come back.
            let yields = self.name_state == NameState::Open;
            let owned = allowed.and_then(|()| self.own_exactly(&names, &ownership, yields));
            if owned.is_err() {
                self.want_no_broadcasts(wanted_none);
            }
            owned?;
        }
        self.ownership = ownership;
        self.name_state = NameState::ByHello;
        self.choose_accepted_ids(&hello);
        if let Some(messages) = hello.window {
            self.output
                .set_window(messages, &self.claims, &self.receiver);
        }
        self.choose_acks(hello);
        self.welcome(source, msg_id);
        Ok(())
    }

    /// Returns the names that the `hello` asks for; `None` leaves them as they are.
    fn wanted_names(&self, source: &Name, hello: &HelloRequest) -> Option<Vec<Name>> {
        if hello.register == Some(false) {
            return Some(Vec::new());
        }
        if let Some(names) = &hello.names {
            return Some(names.clone());
        }
        let first = self.name_state != NameState::ByHello;
        let asks_again = hello.register == Some(true) && self.names().next().is_none();
        (first || asks_again).then(|| vec![source.clone()])
    }

    /// Returns whether the names are to be shared from now on, and by which key.
    fn wanted_ownership(&self, hello: &HelloRequest) -> Result<Ownership, Refusal> {
        let (shared, known_key) = match &self.ownership {
            Ownership::Sole => (false, None),
            Ownership::Group { key } => (true, key.as_ref()),
        };
        if hello.group.unwrap_or(shared) {
            let key = hello.group_key.as_ref().or(known_key).cloned();
            return Ok(Ownership::Group { key });
        }
        match hello.group_key {
            None => Ok(Ownership::Sole),
            Some(_) => Err(Refusal::new(
                ErrorCode::InvalidPayload,
                "is of use to a group only: say group: true as well, or leave it out",
            )
            .of_field("payload.group_key")),
        }
    }

    /// Sets the options for acks. An option that the `hello` leaves out stays.
    fn choose_acks(&mut self, hello: HelloRequest) {
        let now = self.answers.ack_options();
        let options = AckOptions {
            acks: hello.acks.unwrap_or_else(|| now.acks.clone()),
            details: hello.ack_details.unwrap_or(now.details),
        };
        self.answers.set_ack_options(options);
    }

    /// Answers a `hello` with the names, limits and options in force.
    fn welcome(&mut self, source: &Name, msg_id: MsgId) {
        let config = &self.shared.config;
        let names: Vec<Name> = self.claims.iter().map(Claim::name).cloned().collect();
        let mut limits = GrantedLimits::new(
            config.frame_bytes_max as u64,
            config.queue_bytes as u64,
            config.queue_messages as u64,
        );
        limits.stall_timeout_ms = Some(whole_millis(config.stall_timeout));
        let durable = self.durable_claims().map(Claim::name).cloned().collect();
        let server = ServerIdentity::new(config.name.clone(), env!("CARGO_PKG_VERSION"));
        let granted = self.granted(!names.is_empty());
        let welcome = Welcome::new(PROTOCOL_VERSION, msg_id, server, names, limits, granted)
            .with_durable(durable);
        self.answers.welcome(source.as_str(), &welcome);
    }

    fn granted(&self, register: bool) -> Granted {
        let acks = self.answers.ack_options();
        let key = match &self.ownership {
            Ownership::Sole => None,
            Ownership::Group { key } => key.as_ref(),
        };
        Granted {
            register: Some(register),
            acks: Some(acks.acks.clone()),
            ack_details: Some(acks.details),
            broadcasts: Some(match self.wants_no_broadcasts {
                true => Broadcasts::None,
                false => Broadcasts::All,
            }),
            group: Some(self.ownership != Ownership::Sole),
            group_key: key.map(ToString::to_string),
            resumable: Some(self.is_resumable()),
            resume: Some(self.has_resumed()),
            replay: Some(false),
            window: self.output.window().map(u64::from),
            ..Granted::new()
        }
    }
}

/// Returns `duration` in milliseconds, rounded up.
fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
