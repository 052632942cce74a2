//! Resumable connections: the ids of accepted messages are remembered, and a known
//! message is acknowledged without being delivered again.

use std::ops::Range;
use std::sync::Arc;

use super::Session;
use super::admission::Fate;
use super::read::{Read, Stopped};
use crate::router::connection::accepted_ids::AcceptedIds;
use crate::router::mailbox::Claim;
use crate::wire::{ErrorCode, HelloRequest, Refusal, Shortage};

impl Session {
    /// Returns whether accepted messages are remembered.
    pub(super) fn is_resumable(&self) -> bool {
        let ids = self.accepted_ids.as_ref();
        ids.is_some_and(|ids| ids.is_used_by(&self.handle))
    }

    /// Returns whether messages of an earlier connection are recognised.
    pub(super) fn has_resumed(&self) -> bool {
        let ids = self.accepted_ids.as_ref();
        self.is_resumable() && ids.is_some_and(|ids| ids.recognizes())
    }

    /// Makes the connection resumable or not, after a `hello` has set its names. An
    /// option that the `hello` leaves out stays, but `resume` implies `resumable`.
    pub(super) fn choose_accepted_ids(&mut self, hello: &HelloRequest) {
        let resume = hello.resume.unwrap_or(false);
        let resumable = hello
            .resumable
            .unwrap_or(resume || self.accepted_ids.is_some());
        // While memory is short, no other connection becomes resumable.
        let resumable = resumable
            && (resume || self.accepted_ids.is_some() || !self.shared.budget.refuses_more());
        if hello.resume == Some(false)
            && let Some(ids) = self.accepted_ids.as_ref().filter(|_| self.has_resumed())
        {
            ids.stop_recognizing();
        }
        self.keep_accepted_ids(resumable, resume);
    }

    /// Attaches the accepted ids to the first name, and drops those of the
    /// connection's other names.
    pub(super) fn keep_accepted_ids(&mut self, resumable: bool, resume: bool) {
        // The names of a group have no accepted ids.
        let may_keep = |claim: &&Claim| resumable && claim.membership.is_none();
        let first = self.claims.first().filter(may_keep);
        let kept = first.and_then(|claim| {
            let mailbox = &claim.mailbox;
            mailbox.attach_accepted_ids(claim.epoch, &self.handle, resume)
        });
        for claim in self.claims.iter().skip(usize::from(first.is_some())) {
            claim.mailbox.drop_accepted_ids(claim.epoch);
        }
        if kept.is_none()
            && let Some(own) = self
                .accepted_ids
                .take_if(|own| own.is_used_by(&self.handle))
        {
            own.clear();
        }
        // Ids that another connection has resumed stay shared with it.
        self.accepted_ids = kept.or(self.accepted_ids.take());
    }

    /// Tells of messages that were given up, before the ack of new ones: a message
    /// that was given up is new when it is sent again.
    fn answer_all_undelivered(&mut self) {
        if self.handle.has_reports() {
            for report in self.handle.take_undelivered() {
                self.answer_report(&report);
            }
        }
    }
}

impl Read<'_> {
    /// Returns the accepted ids, if those of the run belong there.
    #[inline]
    pub(super) fn accepted_ids(&self) -> Option<Arc<AcceptedIds>> {
        let ids = self.session.accepted_ids.as_ref()?;
        Fate::of(self.scratch.run.kind)
            .is_acknowledged
            .then(|| Arc::clone(ids))
    }

    /// Admits a run of a resumable connection. The order of accepted ids stays
    /// locked until the messages are queued.
    #[inline(never)]
    pub(super) fn admit_resumable(&mut self, accepted: &AcceptedIds) -> Result<(), Stopped> {
        let ids = &self.scratch.run.ids;
        let has_room = accepted.has_room_for(ids.len(), &self.session.shared.budget);
        if has_room && !accepted.recognizes() {
            return self.admit_run();
        }
        if has_room && accepted.are_new(ids) {
            self.session.answer_all_undelivered();
            return self.admit_run();
        }
        self.admit_one_by_one(accepted)
    }

    /// Admits a broadcast that subscribers choose among, as a run of its own: it
    /// must be known to be new before any receiver gets it.
    #[inline(never)]
    pub(super) fn broadcast_if_new(
        &mut self,
        accepted: &AcceptedIds,
        frame: &Range<usize>,
        is_recognized: bool,
    ) {
        self.session.invalid_in_a_row = 0;
        if self.may_admit_one(accepted) {
            if accepted.recognizes() {
                self.session.answer_all_undelivered();
            }
            self.match_subscribers(frame, is_recognized);
            self.admit_broadcast();
        }
        self.scratch.run.clear();
    }

    /// Returns whether the only frame of the run may be admitted. If not, it is answered
    /// here: it is known already, or there is no memory for its id, and an accepted
    /// message must be known when it is sent again.
    fn may_admit_one(&mut self, accepted: &AcceptedIds) -> bool {
        let run = &self.scratch.run;
        if run.ids.iter().any(|&id| accepted.knows(id)) {
            self.session.acknowledge(run, &run.ids, &[]);
            self.session.done.duplicates += 1;
            return false;
        }
        let has_room = accepted.has_room_for(1, &self.session.shared.budget);
        if !has_room {
            self.refuse_unremembered();
        }
        has_room
    }

    #[cold]
    fn refuse_unremembered(&mut self) {
        let message = "the server's memory is used up, and it couldn't remember this message for \
                       when you resume: send it again later";
        let refusal = Refusal::new(ErrorCode::QueueFull, message).for_want_of(Shortage::Memory);
        // No connection ends by it, and only connections resume.
        let _ = self.refuse_of_run(0, refusal);
    }

    /// Admits each frame of the run as a run of its own.
    fn admit_one_by_one(&mut self, accepted: &AcceptedIds) -> Result<(), Stopped> {
        let whole = std::mem::take(&mut self.scratch.run);
        let mut admitted = Ok(());
        let mut start = whole.start;
        let is_durable = self.session.routes.durable_name(whole.route).is_some();
        for (&msg_id, &size) in whole.ids.iter().zip(&whole.sizes) {
            let frame = start..start + size as usize;
            start = frame.end;
            self.scratch.run.begin(&frame, msg_id, &whole);
            if is_durable && accepted.knows(msg_id) {
                // It may not be on disk yet.
                self.session.done.duplicates += 1;
                admitted = self.admit_known();
            } else if self.may_admit_one(accepted) {
                self.session.answer_all_undelivered();
                admitted = self.admit_run();
            }
            if admitted.is_err() {
                break;
            }
        }
        // The buffers are used again.
        self.scratch.run = whole;
        admitted
    }
}
