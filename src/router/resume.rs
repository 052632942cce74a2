//! What a session does for a connection that is resumable: its accepted messages
//! are remembered, and what is known is acknowledged without being delivered
//! again.

use std::ops::Range;
use std::sync::Arc;

use super::claim::Claim;
use super::memory::Memory;
use super::now::Now;
use super::pause::Pause;
use super::run::{Run, Workspace};
use super::session::Session;
use crate::wire::{ErrorCode, HelloRequest, Kind, Refusal, Shortage, Table};

impl Session {
    /// Whether accepted messages are remembered.
    pub(super) fn is_resumable(&self) -> bool {
        let memory = self.memory.as_ref();
        memory.is_some_and(|memory| memory.is_used_by(&self.peer))
    }

    /// Whether what an earlier connection sent is recognised.
    pub(super) fn has_resumed(&self) -> bool {
        self.is_resumable() && self.memory.as_ref().is_some_and(|m| m.recognizes())
    }

    /// Makes the connection resumable or not, after a `hello` has settled its
    /// names. An option that the `hello` leaves out stays as it is, but who
    /// resumes wants to be resumable.
    pub(super) fn choose_memory(&mut self, hello: &HelloRequest) {
        let resume = hello.resume.unwrap_or(false);
        let resumable = hello.resumable.unwrap_or(resume || self.memory.is_some());
        // While memory is short nothing new is remembered.
        let resumable =
            resumable && (resume || self.memory.is_some() || !self.shared.budget.refuses_more());
        if hello.resume == Some(false)
            && let Some(memory) = self.memory.as_ref().filter(|_| self.has_resumed())
        {
            memory.stop_recognizing();
        }
        self.keep_memory(resumable, resume);
    }

    /// The memory stands at the first name, and no other of the connection's
    /// names has one.
    pub(super) fn keep_memory(&mut self, resumable: bool, resume: bool) {
        // Members of a group have no memory in common, and none for each.
        let has_place = |claim: &&Claim| resumable && claim.seat.is_none();
        let first = self.claims.first().filter(has_place);
        let kept = first.and_then(|claim| {
            let outbox = &claim.outbox;
            outbox.attach_memory(claim.epoch, &self.peer, resume)
        });
        for claim in self.claims.iter().skip(usize::from(first.is_some())) {
            claim.outbox.drop_memory(claim.epoch);
        }
        if kept.is_none()
            && let Some(own) = self.memory.take_if(|own| own.is_used_by(&self.peer))
        {
            own.clear();
        }
        // What another connection has resumed stays shared with it.
        self.memory = kept.or(self.memory.take());
    }

    /// Settles a run of a connection whose accepted messages are remembered, in
    /// its turn, which lasts until they are queued.
    #[inline(never)]
    pub(super) fn settle_resumable(
        &mut self,
        memory: &Memory,
        workspace: &mut Workspace,
        window: &[u8],
        now: Now,
    ) -> Option<(usize, Pause)> {
        let has_room = memory.has_room_for(workspace.run.ids.len(), &self.shared.budget);
        if has_room && !memory.recognizes() {
            return self.settle_run(workspace, window, now);
        }
        if has_room && memory.are_new(&workspace.run.ids) {
            self.tell_undelivered();
            return self.settle_run(workspace, window, now);
        }
        let run = std::mem::take(&mut workspace.run);
        let paused = self.settle_one_by_one(memory, &run, workspace, window, now);
        workspace.run = run;
        paused
    }

    /// Settles a broadcast that is looked into, as a run of its own: whether it is
    /// new must be known before it is given to anybody. In its turn, too.
    #[inline(never)]
    pub(super) fn broadcast_if_new(
        &mut self,
        memory: &Memory,
        workspace: &mut Workspace,
        shapes: Option<&Table>,
        window: &[u8],
        frame: &Range<usize>,
        now: Now,
    ) {
        self.invalid_in_a_row = 0;
        if workspace.run.ids.iter().any(|&id| memory.knows(id)) {
            self.acknowledge(&workspace.run, &workspace.run.ids, &[]);
            self.done.duplicates += 1;
        } else if !memory.has_room_for(1, &self.shared.budget) {
            let run = std::mem::take(&mut workspace.run);
            self.refuse_unremembered(&run, 0);
            workspace.run = run;
        } else {
            if memory.recognizes() {
                self.tell_undelivered();
            }
            self.look_into(workspace, shapes, window, frame, now);
            // A broadcast never pauses.
            let _ = self.settle_run(workspace, window, now);
        }
        workspace.run.clear();
    }

    /// Refuses a message that can't be remembered: what is accepted must be known
    /// when it is sent again.
    #[cold]
    fn refuse_unremembered(&mut self, run: &Run, index: usize) {
        let message = "the server's memory is used up, and it couldn't remember this message for \
                       when you resume: send it again later";
        let refusal = Refusal::new(ErrorCode::QueueFull, message).for_want_of(Shortage::Memory);
        self.refuse_of_run(run, index, refusal);
    }

    fn settle_one_by_one(
        &mut self,
        memory: &Memory,
        run: &Run,
        workspace: &mut Workspace,
        window: &[u8],
        now: Now,
    ) -> Option<(usize, Pause)> {
        let mut start = run.start;
        for (index, (&msg_id, &size)) in run.ids.iter().zip(&run.sizes).enumerate() {
            let frame = start..start + size as usize;
            start = frame.end;
            if memory.knows(msg_id) {
                self.acknowledge(run, &[msg_id], &[]);
                self.done.duplicates += 1;
                continue;
            }
            if !memory.has_room_for(1, &self.shared.budget) {
                self.refuse_unremembered(run, index);
                continue;
            }
            self.tell_undelivered();
            workspace.run.clear();
            workspace.run.start = frame.start;
            workspace.run.kind = run.kind;
            workspace.run.sender = run.sender;
            workspace.run.route = run.route;
            workspace.run.push(&frame, msg_id);
            let paused = self.settle_run(workspace, window, now);
            if paused.is_some() {
                return paused;
            }
        }
        None
    }

    /// A message that was given up is new when it is sent again. That it was
    /// given up is told before it is acknowledged once more.
    fn tell_undelivered(&mut self) {
        if self.peer.has_reports() {
            for (target, count, first_msg_id) in self.peer.take_undelivered() {
                self.report_undelivered(&target, count, first_msg_id);
            }
        }
    }

    /// The memory, if the messages of `run` are to be remembered: those that are
    /// answered.
    #[inline]
    pub(super) fn memory_for(&self, run: &Run) -> Option<&Arc<Memory>> {
        let memory = self.memory.as_ref()?;
        (run.kind != Kind::Ack).then_some(memory)
    }
}
