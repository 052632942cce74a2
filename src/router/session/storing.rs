//! Messages to durable names, from their admission until they are answered.
//!
//! Their answers are a lane of their own: they come when the store has the messages on
//! disk, while other messages are answered at once.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::admission::Run;
use super::read::{Read, ReadScratch, Stopped};
use super::{Halt, Session};
use crate::ids::{MsgId, Name};
use crate::limits::{FRAME_PREFIX_BYTES, STORING_BYTES_MAX, STORING_MESSAGES_MAX};
use crate::router::connection::{ConnectionHandle, StoreOutcome};
use crate::router::mailbox::{Claim, Cut, StoredMessage};
use crate::router::store::{MessageStore, Origin, Part, Submission};
use crate::wire::{Durability, ErrorCode, Refusal, StoreFate, acknowledged_in};

/// The parts that were submitted and are not answered. Most connections never have any.
#[derive(Debug, Default)]
pub(super) struct Storing(Option<Box<StoringParts>>);

#[derive(Debug, Default)]
struct StoringParts {
    /// In their order.
    parts: VecDeque<StoringPart>,
    /// The ids of all their messages.
    ids: VecDeque<MsgId>,
    bytes: usize,
    /// A `hello` waits for all of them.
    has_fence: bool,
    /// The bytes of the message that waits in front of the store.
    wanted: usize,
}

#[derive(Debug)]
struct StoringPart {
    /// The source of its messages.
    source: Name,
    /// The messages are acks that have settled others: they have no answer but errors.
    is_settlement: bool,
    messages: usize,
    bytes: usize,
}

impl Storing {
    fn is_empty(&self) -> bool {
        (self.0.as_ref()).is_none_or(|waiting| waiting.parts.is_empty())
    }

    /// Notes that a `hello` waits until nothing does.
    pub(super) fn fence(&mut self) {
        if let Some(waiting) = &mut self.0 {
            waiting.has_fence = true;
        }
    }

    /// Returns whether input that stopped here should be handed in again.
    fn takes_more(&self, is_short: bool) -> bool {
        self.0.as_ref().is_none_or(|waiting| {
            waiting.parts.is_empty()
                || !waiting.has_fence
                    && !is_short
                    && waiting.ids.len() <= STORING_MESSAGES_MAX / 2
                    && waiting.bytes <= STORING_BYTES_MAX / 2
                    && waiting.bytes + waiting.wanted <= STORING_BYTES_MAX
        })
    }

    /// The number of messages, from the first on, that may wait as well. While memory is
    /// short only one run may.
    fn fitting(&self, sizes: &[u32], is_short: bool) -> usize {
        let Some(waiting) = self.0.as_ref().filter(|it| !it.parts.is_empty()) else {
            // Any one message, or a read full of them.
            return sizes.len();
        };
        if is_short {
            return 0;
        }
        let room = STORING_MESSAGES_MAX.saturating_sub(waiting.ids.len());
        let mut bytes = waiting.bytes;
        let fits = |size: &&u32| {
            bytes += **size as usize;
            bytes <= STORING_BYTES_MAX
        };
        sizes.iter().take(room).take_while(fits).count()
    }

    fn push(&mut self, source: Name, ids: &[MsgId], bytes: usize, is_settlement: bool) {
        let waiting = self.0.get_or_insert_default();
        waiting.ids.extend(ids);
        waiting.bytes += bytes;
        waiting.parts.push_back(StoringPart {
            source,
            is_settlement,
            messages: ids.len(),
            bytes,
        });
    }

    /// Takes the oldest part, with the ids of its messages.
    fn pop(&mut self) -> Option<(StoringPart, Vec<MsgId>)> {
        let waiting = self.0.as_mut()?;
        let part = waiting.parts.pop_front()?;
        waiting.bytes -= part.bytes;
        if waiting.parts.is_empty() {
            waiting.has_fence = false;
        }
        let ids = waiting.ids.drain(..part.messages).collect();
        Some((part, ids))
    }

    /// Frees the memory that an idle connection doesn't need.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() {
            self.0 = None;
        }
    }
}

/// A submission while a read is taken.
#[derive(Debug, Default)]
pub(super) struct Draft {
    frames: Vec<(u32, u128)>,
    parts: Vec<Part>,
    /// The part of the input that the runs are in.
    range: Range<usize>,
}

impl Draft {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The bytes of the input that it needs.
    pub(super) fn bytes(&self) -> usize {
        self.range.len()
    }

    /// Adds frames of a run, which is admitted up to them.
    fn add_run(&mut self, target: Name, source: Name, run: &Run, frames: Range<usize>) {
        if self.range.is_empty() {
            self.range.start = run.start;
        }
        self.range.end = run.start + run.bytes_of(&frames);
        self.parts.push(Part::Run {
            target,
            source,
            start: run.start - self.range.start,
            frames: frames.len(),
        });
        self.add_frames(run, frames);
    }

    fn add_known(&mut self, run: &Run) {
        let frames = 0..run.ids.len();
        self.parts.push(Part::Known {
            frames: frames.len(),
        });
        self.add_frames(run, frames);
    }

    fn add_frames(&mut self, run: &Run, frames: Range<usize>) {
        let sizes = run.sizes[frames.clone()].iter().copied();
        let ids = run.ids[frames].iter().map(MsgId::number);
        self.frames.extend(sizes.zip(ids));
    }

    /// Submits the parts, whose frames are cut out of the input.
    #[cold]
    pub(super) fn submit(
        &mut self,
        cut: &Cut<'_>,
        origin: &Arc<ConnectionHandle>,
        store: &dyn MessageStore,
    ) {
        store.submit(Submission {
            origin: Origin::new(origin),
            input: cut.stored(std::mem::take(&mut self.range)),
            frames: std::mem::take(&mut self.frames),
            parts: std::mem::take(&mut self.parts),
        });
    }
}

impl Read<'_> {
    /// Admits frames to a durable name, as many as may wait for the store.
    pub(super) fn admit_durable(&mut self) -> Result<(), Stopped> {
        if self.session.answers.are_by_values() {
            return self.refuse_inside();
        }
        let run = &self.scratch.run;
        let is_short = self.session.shared.budget.is_short();
        let fitting = self.session.storing.fitting(&run.sizes, is_short);
        if fitting > 0 {
            let target = self.session.routes.durable_name(run.route).cloned();
            let source = self.session.answers.sender_name(run.sender).clone();
            let frames = 0..fitting;
            let bytes = run.bytes_of(&frames);
            if let Some(target) = target {
                let draft = &mut self.scratch.forward.draft;
                draft.add_run(target, source.clone(), run, frames.clone());
            }
            let ids = &run.ids[frames.clone()];
            self.session.storing.push(source, ids, bytes, false);
            self.note_accepted(frames);
            self.scratch.run.advance(bytes);
        }
        self.stored_so_many(fitting)
    }

    /// Refuses the first frame of a participant inside the process, which has no way to
    /// wait for the store. It ends the read.
    #[cold]
    fn refuse_inside(&mut self) -> Result<(), Stopped> {
        let reason = "a participant inside the process can't send to a durable name yet: connect \
                      over TCP";
        let refusal = Refusal::new(ErrorCode::ProtocolUnsupported, reason).of_field("target");
        let refused = self.refuse_of_run(0, refusal);
        let run = &mut self.scratch.run;
        let bytes = run.bytes_of(&(0..1));
        run.advance(bytes);
        refused.map_err(|halt| Stopped::halt(run.start, halt))
    }

    /// Answers frames to a durable name that were accepted before, once they are on disk.
    pub(super) fn admit_known(&mut self) -> Result<(), Stopped> {
        let run = &self.scratch.run;
        let is_short = self.session.shared.budget.is_short();
        let fitting = self.session.storing.fitting(&run.sizes, is_short);
        if fitting > 0 {
            let source = self.session.answers.sender_name(run.sender).clone();
            self.scratch.forward.draft.add_known(run);
            (self.session.storing).push(source, &run.ids, run.total, false);
        }
        self.stored_so_many(fitting)
    }

    /// Goes on if that were all frames of the run, and else stops in front of the next.
    fn stored_so_many(&mut self, frames: usize) -> Result<(), Stopped> {
        let run = &self.scratch.run;
        let Some(&size) = run.sizes.get(frames) else {
            return Ok(());
        };
        if let Some(waiting) = &mut self.session.storing.0 {
            waiting.wanted = size as usize;
        }
        Err(Stopped::halt(run.start, Halt::Storing))
    }

    // ---- settling ----

    /// Settles the messages that the run acknowledges, if they were delivered to a
    /// durable name of this connection. Notes for each of its acks whether it did.
    #[cold]
    pub(super) fn settle_run(&mut self) {
        let ReadScratch {
            run,
            forward,
            settled,
            ..
        } = &mut *self.scratch;
        let session = &mut *self.session;
        let own_name = session.answers.sender_name(run.sender);
        let message_source = session.routes.target(run.route);
        // The name that the ack speaks for comes first.
        let mut durable: Vec<&Claim> = session.durable_claims().collect();
        durable.sort_by_key(|claim| claim.name() != own_name);
        let mut by_name: Vec<Settlement> = durable.iter().map(|_| Settlement::default()).collect();
        let mut at = run.start;
        for (&size, &ack_id) in run.sizes.iter().zip(&run.ids) {
            let json = &self.input[at + FRAME_PREFIX_BYTES..at + size as usize];
            at += size as usize;
            let msg_id = acknowledged_in(json).map(|id| id.number());
            let found = msg_id.and_then(|msg_id| {
                (durable.iter().zip(&mut by_name)).find_map(|(claim, settlement)| {
                    let message = (claim.mailbox).settle(claim.epoch, message_source, msg_id)?;
                    settlement.messages.push(message);
                    settlement.acks.push(ack_id);
                    Some(())
                })
            });
            settled.push(found.is_some());
        }
        let own_name = own_name.clone();
        let targets: Vec<Name> = durable.iter().map(|claim| claim.name().clone()).collect();
        for (target, Settlement { messages, acks }) in targets.into_iter().zip(by_name) {
            if !messages.is_empty() {
                let part = Part::Settled { target, messages };
                forward.draft.parts.push(part);
                (session.storing).push(own_name.clone(), &acks, 0, true);
            }
        }
    }
}

/// The messages to one name that a run of acks settles.
#[derive(Debug, Default)]
struct Settlement {
    messages: Vec<StoredMessage>,
    /// The acks that settle them.
    acks: Vec<MsgId>,
}

impl Session {
    /// Returns whether messages or settlements wait until the store has them.
    #[must_use]
    pub fn is_storing(&self) -> bool {
        !self.storing.is_empty()
    }

    /// Returns whether input that stopped with [`Halt::Storing`] should be handed in
    /// again.
    #[must_use]
    pub fn may_store_more(&self) -> bool {
        self.storing.takes_more(self.shared.budget.is_short())
    }

    pub(super) fn durable_claims(&self) -> impl Iterator<Item = &Claim> {
        self.claims
            .iter()
            .filter(|claim| claim.mailbox.is_durable())
    }

    pub(super) fn owns_durable(&self) -> bool {
        self.durable_claims().next().is_some()
    }

    /// Answers the messages of the oldest `parts`.
    pub(super) fn answer_stored(&mut self, parts: u32, outcome: StoreOutcome) {
        self.answers.set_durability(Some(Durability::Disk));
        for _ in 0..parts {
            let Some((part, ids)) = self.storing.pop() else {
                break;
            };
            match outcome {
                StoreOutcome::Stored if part.is_settlement => {}
                StoreOutcome::Stored => self.acknowledge_stored(&part.source, &ids),
                StoreOutcome::NotStored => self.refuse_part(&part, &ids, StoreFate::NotStored),
                StoreOutcome::Unknown => self.refuse_part(&part, &ids, StoreFate::Unknown),
            }
        }
        self.answers.set_durability(None);
    }

    #[cold]
    fn refuse_part(&mut self, part: &StoringPart, ids: &[MsgId], fate: StoreFate) {
        let reason = match part.is_settlement {
            true if fate == StoreFate::NotStored => {
                "the journal can't take it: what this settles is delivered again, or send it again"
            }
            true => "the journal failed: what this settles may be delivered again after a restart",
            false => fate.reason(),
        };
        self.done.refused += ids.len() as u64;
        for &msg_id in ids {
            self.answers.refuse(&Refusal {
                msg_id: Some(msg_id),
                source: Some(part.source.clone()),
                fate: Some(fate),
                ..Refusal::new(ErrorCode::StorageUnavailable, reason)
            });
        }
    }

    fn acknowledge_stored(&mut self, source: &Name, ids: &[MsgId]) {
        let Some(sender) = self.answers.sender(source.as_bytes()) else {
            return;
        };
        let first_name = self.claims.first().map(Claim::name);
        let first_name = first_name.or(self.former_name.as_ref());
        self.answers.acknowledge(sender, first_name, ids, &[]);
    }
}
