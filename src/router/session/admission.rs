//! Admission of a run: each frame is accepted, refused or dropped, and answered.

use std::ops::Range;
use std::sync::Arc;

use super::answers::SenderIndex;
use super::claiming::NameState;
use super::read::{Read, ReadScratch, Stopped};
use super::routes::{Destination, RouteIndex};
use super::{Halt, Session};
use crate::config::Overflow;
use crate::ids::MsgId;
use crate::limits::FRAME_PREFIX_BYTES;
use crate::router::broadcast::RunView;
use crate::router::mailbox::{Claim, DropNotice, Mailbox, Pause, QueuePart};
use crate::wire::{ErrorCode, Kind, Refusal, Shortage};

/// The fate of messages of one kind.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate {
    /// The part of a queue that they may use.
    part: QueuePart,
    at_full_queue: AtFullQueue,
    /// Whether they are acknowledged, and their ids remembered.
    pub(super) is_acknowledged: bool,
    /// Whether the server itself takes them, to discard them: a client that
    /// acknowledges everything would never stop otherwise.
    is_for_server: bool,
    /// The service that sees them, whoever owns its name.
    service: Option<Service>,
}

/// The fate of a message for which the queue of its target is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtFullQueue {
    /// The setting of the queue says it.
    AsConfigured,
    Drop,
    Refuse,
}

#[derive(Debug, Clone, Copy)]
enum Service {
    HealthMonitor,
    LogAggregator,
}

impl Fate {
    const EVENT: Self = Self {
        part: QueuePart::Ordinary,
        at_full_queue: AtFullQueue::AsConfigured,
        is_acknowledged: true,
        is_for_server: false,
        service: None,
    };

    pub(super) const fn of(kind: Kind) -> Self {
        match kind {
            Kind::IngestEvent => Self::EVENT,
            Kind::Heartbeat => Self {
                at_full_queue: AtFullQueue::Drop,
                service: Some(Service::HealthMonitor),
                ..Self::EVENT
            },
            Kind::LogRecord => Self {
                at_full_queue: AtFullQueue::Drop,
                service: Some(Service::LogAggregator),
                ..Self::EVENT
            },
            Kind::Error => Self {
                part: QueuePart::Whole,
                at_full_queue: AtFullQueue::Refuse,
                is_for_server: true,
                ..Self::EVENT
            },
            Kind::Ack => Self {
                is_acknowledged: false,
                ..Self::of(Kind::Error)
            },
            // Carried out by the server: no queue sees them.
            Kind::Hello | Kind::Subscribe | Kind::Unsubscribe => Self {
                at_full_queue: AtFullQueue::Refuse,
                ..Self::EVENT
            },
        }
    }
}

/// Consecutive frames of one kind, source and target.
#[derive(Debug)]
pub(super) struct Run {
    /// The place of the first frame in the input that is not admitted yet.
    pub(super) start: usize,
    /// Bytes of all those frames, prefixes included.
    pub(super) total: usize,
    /// Bytes of each frame, prefix included.
    pub(super) sizes: Vec<u32>,
    pub(super) ids: Vec<MsgId>,
    pub(super) kind: Kind,
    pub(super) sender: SenderIndex,
    pub(super) route: RouteIndex,
    /// The frames are broadcasts that subscribers choose among or snapshots keep.
    pub(super) is_filtered: bool,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            start: 0,
            total: 0,
            sizes: Vec::new(),
            ids: Vec::new(),
            kind: Kind::IngestEvent,
            sender: SenderIndex::default(),
            route: RouteIndex::default(),
            is_filtered: false,
        }
    }
}

impl Run {
    pub(super) fn view<'a>(&'a self, input: &'a [u8]) -> RunView<'a> {
        RunView {
            input,
            ids: &self.ids,
            sizes: &self.sizes,
            start: self.start,
            total: self.total,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    #[inline]
    pub(super) fn push(&mut self, frame: &Range<usize>, msg_id: MsgId) {
        self.total += frame.len();
        self.sizes.push(frame.len() as u32);
        self.ids.push(msg_id);
    }

    /// Begins a run of one frame, which is part of `whole`.
    pub(super) fn begin(&mut self, frame: &Range<usize>, msg_id: MsgId, whole: &Self) {
        self.clear();
        self.start = frame.start;
        self.kind = whole.kind;
        self.sender = whole.sender;
        self.route = whole.route;
        self.push(frame, msg_id);
    }

    #[inline]
    pub(super) fn bytes_of(&self, frames: &Range<usize>) -> usize {
        if frames.len() == self.sizes.len() {
            return self.total;
        }
        let sizes = &self.sizes[frames.clone()];
        sizes.iter().map(|&size| size as usize).sum()
    }

    /// Notes that the first `bytes` bytes are admitted.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.start += bytes;
        self.total -= bytes;
    }

    pub(super) fn clear(&mut self) {
        self.total = 0;
        self.sizes.clear();
        self.ids.clear();
        // The next frame may belong to no run.
        self.is_filtered = false;
    }
}

impl Read<'_> {
    /// Admits the run, if there is one. Fails if an event must wait.
    #[inline]
    pub(super) fn admit(&mut self) -> Result<(), Stopped> {
        if self.scratch.run.is_empty() {
            return Ok(());
        }
        // Accepted or not, these frames are valid.
        self.session.invalid_in_a_row = 0;
        if self.scratch.run.kind == Kind::Ack && self.session.owns_durable() {
            self.settle_run();
        }
        let admitted = match self.accepted_ids() {
            None => self.admit_run(),
            Some(ids) => self.admit_resumable(&ids),
        };
        self.scratch.run.clear();
        self.scratch.settled.clear();
        admitted
    }

    #[inline]
    pub(super) fn admit_run(&mut self) -> Result<(), Stopped> {
        match self.session.routes.destination(self.scratch.run.route) {
            Destination::Everyone => {
                self.admit_broadcast();
                Ok(())
            }
            Destination::Durable(..) if Fate::of(self.scratch.run.kind).is_acknowledged => {
                self.admit_durable()
            }
            Destination::Mailbox(_) | Destination::Durable(_, Some(_)) => self.admit_named(),
            _ => self.admit_inside(0),
        }
    }

    /// Admits frames to the queue of a name.
    fn admit_named(&mut self) -> Result<(), Stopped> {
        let fate = Fate::of(self.scratch.run.kind);
        let route = self.scratch.run.route;
        let mut first = 0;
        while first < self.scratch.run.ids.len() {
            let run = &self.scratch.run;
            let Some(mailbox) = self.session.routes.mailbox(route) else {
                return self.admit_inside(first);
            };
            let Ok(granted) = mailbox.reserve(&run.sizes[first..], run.total, fate.part) else {
                // The owner left; perhaps the name has another by now.
                self.session.routes.renew(route, &self.session.shared);
                continue;
            };
            if granted == 0 {
                let mailbox = Arc::clone(mailbox);
                self.admit_full(&mailbox, first)?;
                first += 1;
                continue;
            }
            let frames = first..first + granted;
            let bytes = run.bytes_of(&frames);
            self.accept(frames, &[]);
            let ReadScratch {
                run,
                forward,
                settled,
                ..
            } = &mut *self.scratch;
            let are_missed = settled.is_empty() || settled.contains(&false);
            if let Some(mailbox) = self.session.routes.mailbox(route) {
                let range = run.start..run.start + bytes;
                let parts = forward.parts_of(mailbox, are_missed);
                parts.add(range, granted as u32);
                if fate.at_full_queue == AtFullQueue::AsConfigured {
                    self.session.stalls.admitted(mailbox, self.now);
                }
            }
            run.advance(bytes);
            first += granted;
        }
        Ok(())
    }

    /// Drops or refuses the frame `index`, for which the queue is full. Fails if it
    /// must wait.
    #[cold]
    fn admit_full(&mut self, mailbox: &Arc<Mailbox>, index: usize) -> Result<(), Stopped> {
        let run = &self.scratch.run;
        let (msg_id, size) = (run.ids[index], run.sizes[index]);
        let overflow = match Fate::of(run.kind).at_full_queue {
            AtFullQueue::AsConfigured => mailbox.rules.overflow,
            AtFullQueue::Drop => Overflow::Drop,
            AtFullQueue::Refuse => Overflow::Refuse,
        };
        let refused = match overflow {
            Overflow::Drop => {
                self.accept(index..index + 1, &[1]);
                self.session.done.dropped += 1;
                let server = &self.session.shared.config.name;
                let notice =
                    DropNotice::new(server, Some(mailbox.name()), msg_id, self.now.unix_ms);
                let parts = self.scratch.forward.parts_of(mailbox, true);
                parts.add_dropped(notice);
                Ok(())
            }
            Overflow::Pause => {
                let timeout = self.session.shared.config.stall_timeout;
                let wait = self.session.stalls.full(mailbox, self.now, timeout);
                if let Some(deadline) = wait {
                    let id = self.session.handle.id();
                    let pause = Pause::new(mailbox, id, size, deadline, msg_id);
                    return Err(Stopped::halt(run.start, Halt::Pause(pause)));
                }
                self.refuse_queue_full(index, mailbox)
            }
            Overflow::Refuse => self.refuse_queue_full(index, mailbox),
        };
        self.scratch.run.advance(size as usize);
        refused.map_err(|halt| Stopped::halt(self.scratch.run.start, halt))
    }

    fn refuse_queue_full(&mut self, index: usize, mailbox: &Mailbox) -> Result<(), Halt> {
        let run = &self.scratch.run;
        let target = String::from_utf8_lossy(self.session.routes.target(run.route));
        let (shortage, reason) = if mailbox.fits(run.sizes[index], Fate::of(run.kind).part) {
            let reason = format!(
                "the server's memory is used up, and the queue of {target:?} has its share of \
                 it: send it again later"
            );
            (Shortage::Memory, reason)
        } else {
            let reason = format!(
                "the queue of {target:?} is full and its owner doesn't read: send it again later"
            );
            (Shortage::Queue, reason)
        };
        let refusal = Refusal::new(ErrorCode::QueueFull, reason).for_want_of(shortage);
        self.refuse_of_run(index, refusal)
    }

    pub(super) fn admit_broadcast(&mut self) {
        let ReadScratch {
            run,
            forward,
            missed,
            ..
        } = &mut *self.scratch;
        let context = self.session.broadcast_context(self.now);
        let conflated = forward.add_broadcasts(run.view(self.input), &context, missed);
        let missed = std::mem::take(missed);
        let done = &mut self.session.done;
        done.conflated += conflated;
        done.dropped += missed.iter().map(|&count| u64::from(count)).sum::<u64>();
        self.accept(0..self.scratch.run.ids.len(), &missed);
        self.scratch.missed = missed;
    }

    /// Admits the frames from `first` on to a service, the server itself, or nobody.
    fn admit_inside(&mut self, first: usize) -> Result<(), Stopped> {
        let run = &self.scratch.run;
        let all = first..run.ids.len();
        match self.session.routes.destination(run.route) {
            Destination::Service => self.accept(all, &[]),
            Destination::Server if Fate::of(run.kind).is_for_server => {
                if run.kind == Kind::Ack && self.session.output.release(all.len()) {
                    self.session.handle.wake();
                }
                self.accept(all, &[]);
            }
            destination => {
                let reason = match destination {
                    Destination::Server => {
                        "the server itself takes only acks and errors: address a participant".into()
                    }
                    _ => format!(
                        "nobody owns the name {:?}: its connector is not connected",
                        String::from_utf8_lossy(self.session.routes.target(run.route)),
                    ),
                };
                for index in all {
                    if self.scratch.settled.get(index) == Some(&true) {
                        // Its sender need not be there: the ack has done its work.
                        self.accept(index..index + 1, &[]);
                        let run = &mut self.scratch.run;
                        run.advance(run.sizes[index] as usize);
                        continue;
                    }
                    let refusal = Refusal::new(ErrorCode::TargetUnavailable, reason.clone());
                    let refused = self.refuse_of_run(index, refusal);
                    let run = &mut self.scratch.run;
                    run.advance(run.sizes[index] as usize);
                    refused.map_err(|halt| Stopped::halt(run.start, halt))?;
                }
            }
        }
        Ok(())
    }

    /// Accepts frames; `missed` counts, for each, the receivers that missed it.
    fn accept(&mut self, frames: Range<usize>, missed: &[u32]) {
        let run = &self.scratch.run;
        if Fate::of(run.kind).is_acknowledged {
            (self.session).acknowledge(run, &run.ids[frames.clone()], missed);
        }
        self.note_accepted(frames);
    }

    /// Notes that frames are accepted: all but their answer.
    pub(super) fn note_accepted(&mut self, frames: Range<usize>) {
        let run = &self.scratch.run;
        let session = &mut *self.session;
        session.done.accepted += frames.len() as u64;
        let fate = Fate::of(run.kind);
        if let Some(ids) = &session.accepted_ids
            && fate.is_acknowledged
        {
            ids.remember(&run.ids[frames.clone()]);
        }
        if session.name_state == NameState::Open {
            session.claim_source(run.sender);
        }
        if let Some(service) = fate.service {
            self.show(service, frames);
        }
    }

    fn show(&self, service: Service, frames: Range<usize>) {
        let run = &self.scratch.run;
        let services = &self.session.shared.services;
        let mut at = run.start;
        let frames = run.sizes[frames].iter().map(|&size| {
            let json = &self.input[at + FRAME_PREFIX_BYTES..at + size as usize];
            at += size as usize;
            json
        });
        match service {
            Service::HealthMonitor => {
                let source = self.session.answers.sender_name(run.sender);
                frames.for_each(|json| services.heartbeat(source, json, self.now));
            }
            Service::LogAggregator => services.log_records(frames),
        }
    }

    /// Refuses the frame `index` of the run.
    pub(super) fn refuse_of_run(&mut self, index: usize, refusal: Refusal) -> Result<(), Halt> {
        let run = &self.scratch.run;
        let refusal = Refusal {
            msg_id: Some(run.ids[index]),
            source: Some(self.session.answers.sender_name(run.sender).clone()),
            ..refusal
        };
        // The frame is valid: its refusal never ends a connection.
        self.session.refuse(&refusal)
    }
}

impl Session {
    /// Acknowledges messages of the run, as the client wants it.
    #[inline]
    pub(super) fn acknowledge(&mut self, run: &Run, messages: &[MsgId], missed: &[u32]) {
        let first_name = self.claims.first().map(Claim::name);
        let first_name = first_name.or(self.former_name.as_ref());
        self.answers
            .acknowledge(run.sender, first_name, messages, missed);
    }
}
