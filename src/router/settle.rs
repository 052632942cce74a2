//! Settling a run: its frames are admitted, refused or dropped together, and
//! each is answered.

use std::ops::Range;
use std::sync::Arc;

use super::claim::Claim;
use super::gap::Gap;
use super::names::Claiming;
use super::now::Now;
use super::outbox::{Outbox, Overflow, Share};
use super::pause::Pause;
use super::routes::Destination;
use super::run::{Run, Workspace};
use super::session::{Halt, Session};
use super::stalls::Verdict;
use crate::ids::MsgId;
use crate::limits::FRAME_PREFIX_BYTES;
use crate::wire::{ErrorCode, Kind, Refusal, Shortage};

impl Session {
    /// Admits, refuses or drops the frames of the run, and answers each. Where
    /// an event must wait, it says where that begins.
    pub(super) fn settle(
        &mut self,
        workspace: &mut Workspace,
        window: &[u8],
        now: Now,
    ) -> Option<(usize, Halt)> {
        if workspace.run.is_empty() {
            return None;
        }
        // Whatever becomes of them, these frames are valid.
        self.invalid_in_a_row = 0;
        let paused = match self.memory_for(&workspace.run).map(Arc::clone) {
            None => self.settle_run(workspace, window, now),
            Some(memory) => self.settle_resumable(&memory, workspace, window, now),
        };
        workspace.run.clear();
        paused.map(|(at, pause)| (at, Halt::Pause(pause)))
    }

    #[inline]
    pub(super) fn settle_run(
        &mut self,
        workspace: &mut Workspace,
        window: &[u8],
        now: Now,
    ) -> Option<(usize, Pause)> {
        match self.routes.destination(workspace.run.route) {
            Destination::Everyone => {
                self.settle_broadcast(workspace, window, now);
                None
            }
            Destination::Outbox(_) => self.settle_named(workspace, window, now),
            _ => {
                self.settle_inside(workspace, window, 0, now);
                None
            }
        }
    }

    /// To the queue of a name.
    fn settle_named(
        &mut self,
        workspace: &mut Workspace,
        window: &[u8],
        now: Now,
    ) -> Option<(usize, Pause)> {
        let share = share_of(workspace.run.kind);
        let route = workspace.run.route;
        let mut first = 0;
        while first < workspace.run.ids.len() {
            let run = &workspace.run;
            let Some(outbox) = self.routes.outbox(route) else {
                self.settle_inside(workspace, window, first, now);
                return None;
            };
            let Ok(granted) = outbox.reserve(&run.sizes[first..], run.total, share) else {
                // Its owner left; perhaps the name has another by now.
                self.routes.renew(route, &self.shared);
                continue;
            };
            if granted == 0 {
                let outbox = Arc::clone(outbox);
                if let Some(pause) = self.settle_full(workspace, window, &outbox, first, now) {
                    return Some((workspace.run.start, pause));
                }
                first += 1;
                continue;
            }
            let bytes = self.accept(workspace, window, first..first + granted, &[], now);
            let Workspace { run, forward, .. } = workspace;
            if let Some(outbox) = self.routes.outbox(route) {
                forward.add_named(outbox, run.start..run.start + bytes, granted as u32);
                if run.kind == Kind::IngestEvent {
                    self.stalls.admitted(outbox, now);
                }
            }
            run.start += bytes;
            run.total -= bytes;
            first += granted;
        }
        None
    }

    /// The frame `index` of the run doesn't fit its target's queue.
    #[cold]
    fn settle_full(
        &mut self,
        workspace: &mut Workspace,
        window: &[u8],
        outbox: &Arc<Outbox>,
        index: usize,
        now: Now,
    ) -> Option<Pause> {
        let msg_id = workspace.run.ids[index];
        let size = workspace.run.sizes[index];
        match (workspace.run.kind, outbox.overflow()) {
            (Kind::LogRecord | Kind::Heartbeat, _) | (Kind::IngestEvent, Overflow::Drop) => {
                self.accept(workspace, window, index..index + 1, &[1], now);
                self.done.dropped += 1;
                let server = &self.shared.config.name;
                let gap = Gap::new(server, Some(outbox.name()), msg_id, now.unix_ms);
                workspace.forward.add_gap(outbox, gap);
            }
            (Kind::IngestEvent, Overflow::Pause) => {
                let timeout = self.shared.config.stall_timeout;
                if let Verdict::PauseUntil(deadline) = self.stalls.full(outbox, now, timeout) {
                    return Some(Pause {
                        outbox: Arc::clone(outbox),
                        connection: self.peer.id(),
                        waits: false,
                        waits_for_memory: false,
                        size,
                        deadline,
                        msg_id,
                    });
                }
                self.refuse_queue_full(&workspace.run, index, outbox);
            }
            _ => self.refuse_queue_full(&workspace.run, index, outbox),
        }
        workspace.run.start += size as usize;
        workspace.run.total -= size as usize;
        None
    }

    fn refuse_queue_full(&mut self, run: &Run, index: usize, outbox: &Outbox) {
        let target = String::from_utf8_lossy(self.routes.target(run.route));
        let refusal = if outbox.lacks_memory_only(run.sizes[index], share_of(run.kind)) {
            let message = format!(
                "the server's memory is used up, and the queue of {target:?} has its share of \
                 it: send it again later"
            );
            Refusal::new(ErrorCode::QueueFull, message).for_want_of(Shortage::Memory)
        } else {
            let message = format!(
                "the queue of {target:?} is full and its owner doesn't read: send it again later"
            );
            Refusal::new(ErrorCode::QueueFull, message).for_want_of(Shortage::Queue)
        };
        self.refuse_of_run(run, index, refusal);
    }

    /// To all who hear broadcasts.
    fn settle_broadcast(&mut self, workspace: &mut Workspace, window: &[u8], now: Now) {
        let Workspace {
            run,
            forward,
            missed,
            ..
        } = workspace;
        let conflated = forward.add_broadcasts(run, window, &self.sending(now), missed);
        self.done.conflated += conflated;
        let missed = std::mem::take(missed);
        self.done.dropped += missed.iter().map(|&count| u64::from(count)).sum::<u64>();
        let frames = 0..workspace.run.ids.len();
        self.accept(workspace, window, frames, &missed, now);
        workspace.missed = missed;
    }

    /// To a service of tickwire's, to the server itself, or to nobody: what of
    /// the run is left from `first` on.
    fn settle_inside(&mut self, workspace: &mut Workspace, window: &[u8], first: usize, now: Now) {
        let run = &workspace.run;
        let all = first..run.ids.len();
        match self.routes.destination(run.route) {
            Destination::Service => {
                self.accept(workspace, window, all, &[], now);
            }
            // Accepted and discarded: a client that acknowledges everything
            // would never stop otherwise.
            Destination::Server if matches!(run.kind, Kind::Ack | Kind::Error) => {
                if run.kind == Kind::Ack && self.output.release(all.len()) {
                    self.peer.wake();
                }
                self.accept(workspace, window, all, &[], now);
            }
            Destination::Server => {
                for index in all {
                    let refusal = Refusal::new(
                        ErrorCode::TargetUnavailable,
                        "the server itself takes only acks and errors: address a participant",
                    );
                    self.refuse_of_run(run, index, refusal);
                }
            }
            _ => {
                for index in all {
                    let reason = format!(
                        "nobody owns the name {:?}: its connector is not connected",
                        String::from_utf8_lossy(self.routes.target(run.route)),
                    );
                    let refusal = Refusal::new(ErrorCode::TargetUnavailable, reason);
                    self.refuse_of_run(run, index, refusal);
                }
            }
        }
    }

    /// Answers frames of the run that are accepted, and lets the services see
    /// them. Says how many bytes they have. `missed` counts the receivers that
    /// missed each.
    fn accept(
        &mut self,
        workspace: &Workspace,
        window: &[u8],
        frames: Range<usize>,
        missed: &[u32],
        now: Now,
    ) -> usize {
        let run = &workspace.run;
        self.done.accepted += frames.len() as u64;
        if run.kind != Kind::Ack {
            let messages = &run.ids[frames.clone()];
            self.acknowledge(run, messages, missed);
            if let Some(memory) = &self.memory {
                memory.remember(messages);
            }
        }
        if self.claiming == Claiming::Unsettled {
            self.claim_source(run.sender);
        }
        let sizes = &run.sizes[frames];
        if matches!(run.kind, Kind::Heartbeat | Kind::LogRecord) {
            self.show_services(run, window, sizes, now);
        }
        if sizes.len() == run.sizes.len() {
            return run.total;
        }
        sizes.iter().map(|&size| size as usize).sum()
    }

    #[inline]
    pub(super) fn acknowledge(&mut self, run: &Run, messages: &[MsgId], missed: &[u32]) {
        let first_name = self.claims.first().map(Claim::name);
        let first_name = first_name.or(self.former_name.as_ref());
        self.answers
            .acknowledge(run.sender, first_name, messages, missed);
    }

    /// Liveness and the log see every accepted heartbeat and log record.
    fn show_services(&self, run: &Run, window: &[u8], sizes: &[u32], now: Now) {
        let services = &self.shared.services;
        let source = self.answers.sender_name(run.sender);
        let mut at = run.start;
        let frames = sizes.iter().map(|&size| {
            let json = &window[at + FRAME_PREFIX_BYTES..at + size as usize];
            at += size as usize;
            json
        });
        match run.kind {
            Kind::Heartbeat => frames.for_each(|json| services.heartbeat(source, json, now)),
            _ => services.log_records(frames),
        }
    }

    pub(super) fn refuse_of_run(&mut self, run: &Run, index: usize, refusal: Refusal) {
        let refusal = Refusal {
            msg_id: Some(run.ids[index]),
            source: Some(self.answers.sender_name(run.sender).clone()),
            ..refusal
        };
        self.refuse(&refusal);
    }
}

/// Which part of a queue messages of `kind` may use.
fn share_of(kind: Kind) -> Share {
    match kind {
        Kind::Ack | Kind::Error => Share::Whole,
        _ => Share::Ordinary,
    }
}
