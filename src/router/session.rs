//! The session of one connection: everything that is decided about what it
//! sends.
//!
//! [`Session::receive`] takes the frames of one read. Consecutive frames of the
//! same kind, source and target are a *run*: settled (admitted, refused or
//! answered) together, forwarded as one slice. When an event meets a full
//! queue, the session stops right before it: answers so far may leave, the
//! rest of the window is kept by the caller and handed in again.

#![forbid(unsafe_code)]

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use super::RouterShared;
use super::answers::{Answers, SenderIndex};
use super::forward::Forward;
use super::in_flight::Write;
use super::now::Now;
use super::outbox::{Outbox, Share};
use super::output::{Output, Progress};
use super::peer::{Peer, Report};
use super::registry::Claim;
use super::routes::{Destination, RouteIndex, Routes};
use super::stalls::{Stalls, Verdict};
use crate::ids::{ConnectionId, MsgId, Name};
use crate::limits::{FRAME_PREFIX_BYTES, REFUSED_IN_A_ROW_MAX};
use crate::stats::Stats;
use crate::wire::{
    ErrorCode, ErrorDetails, FrameState, Header, Kind, Parser, Refusal, Validation, frame_state,
};

/// What became of the bytes handed in.
#[derive(Debug)]
#[must_use]
pub struct Step {
    /// Bytes taken off the front of the window. What is left is a partial
    /// frame, or waits for the pause to end.
    pub consumed: usize,
    /// Why the session stopped before the end, if it did.
    pub halt: Option<Halt>,
}

/// Why a session takes no more input for now, or ever.
#[derive(Debug)]
pub enum Halt {
    /// An event waits for room in a full queue.
    Pause(Pause),
    /// Too many answers wait to be written.
    AnswersFull,
    /// The connection is to be closed once its answers are written.
    Close,
}

/// An event that waits for room.
#[derive(Debug)]
pub struct Pause {
    outbox: Arc<Outbox>,
    /// Whose event it is.
    connection: ConnectionId,
    /// Whether the connection is among those whom the queue wakes.
    waits: bool,
    /// The event's bytes, prefix included.
    size: u32,
    /// When, in monotonic time, it is to be refused.
    pub deadline: Duration,
    /// The event.
    pub msg_id: MsgId,
}

/// What came to a session's attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Attention {
    /// Nothing that changes its life.
    Continue,
    /// Its last name was taken over: it is to be closed.
    Close,
}

/// The buffers that [`Session::receive`] works in. One a thread is enough: a
/// session keeps nothing there between reads, so an idle connection holds none.
#[derive(Debug)]
pub struct Workspace {
    parser: Parser,
    run: Run,
    forward: Forward,
    /// How many receivers missed each frame of a run.
    missed: Vec<u32>,
}

impl Default for Workspace {
    fn default() -> Self {
        Self {
            parser: Parser::new(Validation::Payload),
            run: Run::default(),
            forward: Forward::default(),
            missed: Vec::new(),
        }
    }
}

/// Consecutive frames of one kind, source and target.
#[derive(Debug)]
struct Run {
    /// Where the first frame not yet settled begins in the window.
    start: usize,
    /// Bytes of all, prefixes included.
    total: usize,
    /// Bytes of each, prefix included.
    sizes: Vec<u32>,
    ids: Vec<MsgId>,
    kind: Kind,
    sender: SenderIndex,
    route: RouteIndex,
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
        }
    }
}

impl Run {
    fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    #[inline]
    fn push(&mut self, frame: &Range<usize>, msg_id: MsgId) {
        self.total += frame.len();
        self.sizes.push(frame.len() as u32);
        self.ids.push(msg_id);
    }

    fn clear(&mut self) {
        self.total = 0;
        self.sizes.clear();
        self.ids.clear();
    }
}

/// How a connection comes to own names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claiming {
    /// Nothing was accepted yet: the first accepted message claims its source.
    Unsettled,
    /// Somebody else owns the source of the first accepted message.
    Wanted(Name),
    /// The source of the first accepted message is, or was, owned.
    Settled,
    /// By `hello` only.
    ByHello,
}

/// Everything that is decided about what one connection sends, and everything
/// that waits to be written to it.
#[derive(Debug)]
pub struct Session {
    pub(super) shared: Arc<RouterShared>,
    pub(super) peer: Arc<Peer>,
    pub(super) answers: Answers,
    pub(super) claims: Vec<Claim>,
    pub(super) claiming: Claiming,
    /// Its first name when its input ended.
    former_name: Option<Name>,
    routes: Routes,
    stalls: Stalls,
    output: Output,
    invalid_in_a_row: u32,
    /// What was done since it was last added to the shared counters.
    done: Stats,
}

impl Session {
    pub(super) fn new(shared: Arc<RouterShared>, id: ConnectionId) -> Self {
        Self {
            answers: Answers::new(shared.config.name.clone(), Uuid::new_v4()),
            peer: Arc::new(Peer::new(id)),
            shared,
            claims: Vec::new(),
            claiming: Claiming::Unsettled,
            former_name: None,
            routes: Routes::default(),
            stalls: Stalls::default(),
            output: Output::default(),
            invalid_in_a_row: 0,
            done: Stats::default(),
        }
    }

    /// Which connection this is.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.peer.id()
    }

    // ---- input ----

    /// Takes the complete frames at the front of `window`, and everything that
    /// follows from them.
    pub fn receive(&mut self, workspace: &mut Workspace, window: &mut BytesMut, now: Now) -> Step {
        workspace
            .parser
            .set_validation(self.shared.config.validation);
        self.answers.set_time(now);
        self.retry_claim();
        let (consumed, halt) = self.take_frames(workspace, window, now);
        workspace.forward.commit(window, consumed, &self.peer);
        self.shared.counters.add(&std::mem::take(&mut self.done));
        Step { consumed, halt }
    }

    /// Goes through the frames in their order, and says how many bytes are
    /// done with.
    fn take_frames(
        &mut self,
        workspace: &mut Workspace,
        window: &mut [u8],
        now: Now,
    ) -> (usize, Option<Halt>) {
        let mut at = 0;
        loop {
            if self.answers.is_full() {
                let halt = self.settle(workspace, window, now);
                return match halt {
                    Some((at, halt)) => (at, Some(halt)),
                    None => (at, Some(Halt::AnswersFull)),
                };
            }
            let len = match frame_state(&window[at..], self.shared.config.frame_bytes_max) {
                Ok(FrameState::Complete { len }) => len,
                Ok(FrameState::Partial { .. }) => {
                    return match self.settle(workspace, window, now) {
                        Some((at, halt)) => (at, Some(halt)),
                        None => (at, None),
                    };
                }
                Err(error) => {
                    if let Some((at, halt)) = self.settle(workspace, window, now) {
                        return (at, Some(halt));
                    }
                    self.refuse(&error.into());
                    return (window.len(), Some(Halt::Close));
                }
            };
            let frame = at..at + FRAME_PREFIX_BYTES + len;
            if let Some((at, halt)) = self.take_frame(workspace, window, &frame, now) {
                return (at, Some(halt));
            }
            at = frame.end;
        }
    }

    /// One frame: check, then join it to the run or settle the run and begin
    /// another. Where it halts, it says how far the window is done with.
    #[inline]
    fn take_frame(
        &mut self,
        workspace: &mut Workspace,
        window: &mut [u8],
        frame: &Range<usize>,
        now: Now,
    ) -> Option<(usize, Halt)> {
        let json = frame.start + FRAME_PREFIX_BYTES..frame.end;
        let header = match workspace.parser.parse(&mut window[json.clone()]) {
            Ok(header) => header,
            Err(refusal) => {
                return self
                    .settle(workspace, window, now)
                    .or_else(|| self.refuse(&refusal).map(|halt| (frame.end, halt)));
            }
        };
        let Workspace { parser, run, .. } = workspace;
        let json = &window[json];
        let source = parser.source(json, &header);
        let target = parser.target(json, &header);
        let joins = !run.is_empty()
            && run.kind == header.kind
            && self.answers.is_sender(run.sender, source)
            && self.routes.leads_to(run.route, target);
        if joins {
            run.push(frame, header.msg_id);
            return None;
        }
        self.begin_run(workspace, window, frame, &header, now)
    }

    /// Settles the run so far and begins another with this frame.
    fn begin_run(
        &mut self,
        workspace: &mut Workspace,
        window: &[u8],
        frame: &Range<usize>,
        header: &Header,
        now: Now,
    ) -> Option<(usize, Halt)> {
        if let Some(halted) = self.settle(workspace, window, now) {
            return Some(halted);
        }
        let Workspace { parser, run, .. } = workspace;
        let json = &window[frame.start + FRAME_PREFIX_BYTES..frame.end];
        let source = parser.source(json, header);
        let allowed = self.check_source(header, source);
        let sender = match allowed {
            Ok(sender) => sender,
            Err(refusal) => return self.refuse(&refusal).map(|halt| (frame.end, halt)),
        };
        if matches!(
            header.kind,
            Kind::Hello | Kind::Subscribe | Kind::Unsubscribe
        ) {
            let halt = self.control(header, sender, json);
            return halt.map(|halt| (frame.end, halt));
        }
        run.start = frame.start;
        run.kind = header.kind;
        run.sender = sender;
        run.route = self
            .routes
            .resolve(parser.target(json, header), &self.shared);
        run.push(frame, header.msg_id);
        None
    }

    fn check_source(&mut self, header: &Header, source: &[u8]) -> Result<SenderIndex, Refusal> {
        let refusal = if source == self.shared.config.name.as_bytes() {
            Refusal::new(
                ErrorCode::SourceNotAllowed,
                "this is the server's own name: send under your own",
            )
        } else if let Some(sender) = self.answers.sender(source) {
            return Ok(sender);
        } else {
            Refusal::new(ErrorCode::InvalidEnvelope, "source is not a valid name")
        };
        Err(Refusal {
            msg_id: Some(header.msg_id),
            ..refusal.of_field("source")
        })
    }

    // ---- settling a run ----

    /// Admits, refuses or drops the frames of the run, and answers each. Where
    /// an event must wait, it says where that begins.
    fn settle(
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
        let paused = match self.routes.destination(workspace.run.route) {
            Destination::Everyone => {
                self.settle_broadcast(workspace, window, now);
                None
            }
            Destination::Outbox(outbox) => {
                let outbox = Arc::clone(outbox);
                self.settle_named(workspace, window, outbox, now)
            }
            _ => {
                self.settle_inside(workspace, window, 0, now);
                None
            }
        };
        workspace.run.clear();
        paused.map(|(at, pause)| (at, Halt::Pause(pause)))
    }

    /// To the queue of a name.
    fn settle_named(
        &mut self,
        workspace: &mut Workspace,
        window: &[u8],
        mut outbox: Arc<Outbox>,
        now: Now,
    ) -> Option<(usize, Pause)> {
        let share = match workspace.run.kind {
            Kind::Ack | Kind::Error => Share::Whole,
            _ => Share::Ordinary,
        };
        let mut first = 0;
        loop {
            let run = &workspace.run;
            let Ok(granted) = outbox.reserve(&run.sizes[first..], run.total, share) else {
                // Its owner left; perhaps the name has another by now.
                self.routes.renew(run.route, &self.shared);
                match self.routes.destination(run.route) {
                    Destination::Outbox(renewed) => outbox = Arc::clone(renewed),
                    _ => {
                        self.settle_inside(workspace, window, first, now);
                        return None;
                    }
                }
                continue;
            };
            if granted > 0 {
                let bytes = self.accept(workspace, window, first..first + granted, &[], now);
                let range = workspace.run.start..workspace.run.start + bytes;
                workspace.forward.add_named(&outbox, range, granted as u32);
                workspace.run.start += bytes;
                workspace.run.total -= bytes;
                first += granted;
                if workspace.run.kind == Kind::IngestEvent {
                    self.stalls.admitted(&outbox, now);
                }
            }
            if first == workspace.run.ids.len() {
                return None;
            }
            if let Some(pause) = self.settle_full(workspace, window, &outbox, first, now) {
                return Some((workspace.run.start, pause));
            }
            first += 1;
            if first == workspace.run.ids.len() {
                return None;
            }
        }
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
        match workspace.run.kind {
            Kind::LogRecord | Kind::Heartbeat => {
                self.accept(workspace, window, index..index + 1, &[1], now);
                self.done.dropped += 1;
            }
            Kind::IngestEvent => {
                let timeout = self.shared.config.stall_timeout;
                if let Verdict::PauseUntil(deadline) = self.stalls.full(outbox, now, timeout) {
                    return Some(Pause {
                        outbox: Arc::clone(outbox),
                        connection: self.peer.id(),
                        waits: false,
                        size,
                        deadline,
                        msg_id,
                    });
                }
                self.refuse_queue_full(&workspace.run, index);
            }
            _ => self.refuse_queue_full(&workspace.run, index),
        }
        workspace.run.start += size as usize;
        workspace.run.total -= size as usize;
        None
    }

    fn refuse_queue_full(&mut self, run: &Run, index: usize) {
        let reason = format!(
            "the queue of {:?} is full and its owner doesn't read: send it again later",
            String::from_utf8_lossy(self.routes.target(run.route)),
        );
        self.refuse_of_run(run, index, Refusal::new(ErrorCode::QueueFull, reason));
    }

    /// To all who own a name.
    fn settle_broadcast(&mut self, workspace: &mut Workspace, window: &[u8], now: Now) {
        let Workspace {
            run,
            forward,
            missed,
            ..
        } = workspace;
        if !forward.knows_audience() {
            forward.set_audience(&self.shared.registry.audience(), self.peer.id());
        }
        let capacity = self.shared.config.capacity();
        forward.add_broadcasts(run.start, &run.sizes, run.total, capacity, missed);
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
            self.answers
                .ack_each(run.sender, &run.ids[frames.clone()], missed);
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

    /// Liveness and the log see every accepted heartbeat and log record.
    fn show_services(&self, run: &Run, window: &[u8], sizes: &[u32], now: Now) {
        let services = &self.shared.services;
        let source = self.answers.sender_name(run.sender);
        let mut at = run.start;
        for &size in sizes {
            let json = &window[at + FRAME_PREFIX_BYTES..at + size as usize];
            match run.kind {
                Kind::Heartbeat => services.heartbeat(source, json, now),
                _ => services.log_record(json),
            }
            at += size as usize;
        }
    }

    // ---- refusals ----

    fn refuse_of_run(&mut self, run: &Run, index: usize, refusal: Refusal) {
        let refusal = Refusal {
            msg_id: Some(run.ids[index]),
            source: Some(self.answers.sender_name(run.sender).clone()),
            ..refusal
        };
        self.refuse(&refusal);
    }

    /// Answers with an error. Too many invalid frames in a row end the
    /// connection.
    pub(super) fn refuse(&mut self, refusal: &Refusal) -> Option<Halt> {
        self.done.refused += 1;
        self.answers.refuse(refusal);
        if !refusal.code.is_invalid_frame() {
            self.invalid_in_a_row = 0;
            return None;
        }
        self.invalid_in_a_row += 1;
        if self.invalid_in_a_row < REFUSED_IN_A_ROW_MAX {
            return None;
        }
        let target = refusal.source.as_ref().map(Name::as_str);
        self.answers.error(
            target,
            ErrorCode::TooManyRefused,
            &format!("{REFUSED_IN_A_ROW_MAX} invalid frames in a row: the connection is closed"),
            &ErrorDetails::default(),
        );
        Some(Halt::Close)
    }

    /// A control message was carried out.
    pub(super) fn note_accepted(&mut self) {
        self.done.accepted += 1;
        self.invalid_in_a_row = 0;
    }

    // ---- names ----

    /// The first accepted message claims its source, if nobody owns it.
    fn claim_source(&mut self, sender: SenderIndex) {
        let name = self.answers.sender_name(sender).clone();
        self.claiming = Claiming::Wanted(name);
        self.retry_claim();
    }

    fn retry_claim(&mut self) {
        if let Claiming::Wanted(name) = &self.claiming
            && let Some(claim) = self.shared.registry.claim_if_free(name, &self.peer)
        {
            self.claims.push(claim);
            self.claiming = Claiming::Settled;
        }
    }

    /// The name under which the connection is told what concerns all of it:
    /// the first that it owns, or owned when its input ended.
    fn name(&self) -> Option<Name> {
        let first = self.claims.first().map(Claim::name);
        first.or(self.former_name.as_ref()).cloned()
    }

    /// Owns `name` from now on, and nothing else, as by a `hello`. Whoever
    /// owned it is told.
    ///
    /// # Errors
    /// It is the server's own name.
    pub fn own(&mut self, name: &Name) -> Result<(), Refusal> {
        let names = std::slice::from_ref(name);
        self.check_names(names)?;
        self.own_exactly(names);
        self.claiming = Claiming::ByHello;
        Ok(())
    }

    /// The names that the connection owns now.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.claims
            .iter()
            .filter(|claim| claim.is_current())
            .map(Claim::name)
    }

    // ---- output ----

    /// Has `waker` woken when something new waits to be written or attended
    /// to. Call [`Session::attend`] and [`Session::transmit`] afterwards.
    pub fn register(&self, waker: &Waker) {
        self.peer.register(waker);
    }

    /// Whether others reported something that [`Session::attend`] should turn
    /// into answers.
    #[must_use]
    #[inline]
    pub fn needs_attention(&self) -> bool {
        self.peer.has_reports()
    }

    /// A handle that wakes the task which registered last.
    #[must_use]
    pub fn alarm(&self) -> Alarm {
        Alarm(Arc::clone(&self.peer))
    }

    /// Turns what others reported into errors to the client.
    pub fn attend(&mut self, now: Now) -> Attention {
        let reports = self.peer.take_reports();
        if reports.is_empty() {
            return Attention::Continue;
        }
        self.answers.set_time(now);
        let mut lost_name = false;
        for report in reports {
            match report {
                Report::NameTakenOver(name) => {
                    lost_name = true;
                    let details = ErrorDetails {
                        name: Some(name.as_str()),
                        ..ErrorDetails::default()
                    };
                    self.answers.error(
                        Some(name.as_str()),
                        ErrorCode::NameTakenOver,
                        "another connection took this name over with a hello; don't reconnect",
                        &details,
                    );
                }
                Report::Undelivered {
                    target,
                    count,
                    first_msg_id,
                } => self.report_undelivered(&target, count, first_msg_id),
            }
        }
        self.claims.retain(Claim::is_current);
        if lost_name && self.claims.is_empty() {
            Attention::Close
        } else {
            Attention::Continue
        }
    }

    fn report_undelivered(&mut self, target: &Name, count: u64, first_msg_id: Option<MsgId>) {
        let details = ErrorDetails {
            target: Some(target.as_str()),
            count: Some(count),
            first_msg_id: first_msg_id.as_ref().map(MsgId::as_str),
            ..ErrorDetails::default()
        };
        let name = self.name();
        self.answers.error(
            name.as_ref().map(Name::as_str),
            ErrorCode::Undelivered,
            "accepted messages could not be delivered: the connection of their target has ended",
            &details,
        );
    }

    /// Tells the client why its connection is about to be closed, and which
    /// message of its that concerns.
    pub fn close_with(&mut self, code: ErrorCode, reason: &str, msg_id: Option<MsgId>, now: Now) {
        self.answers.set_time(now);
        let details = ErrorDetails {
            msg_id: msg_id.as_ref().map(MsgId::as_str),
            ..ErrorDetails::default()
        };
        let name = self.name();
        self.answers
            .error(name.as_ref().map(Name::as_str), code, reason, &details);
    }

    /// Writes what waits, in its order, until nothing is left, `write` would
    /// block, or about `budget` bytes are written. Says how many were.
    ///
    /// # Errors
    /// What `write` says, but for `WouldBlock` and `Interrupted`.
    pub fn transmit(&mut self, budget: usize, write: Write<'_>) -> io::Result<(usize, Progress)> {
        self.output
            .transmit(&mut self.answers, &self.claims, &self.peer, budget, write)
    }

    /// Takes the answers that wait, as whole frames: how a peer inside the
    /// process gets them.
    #[must_use]
    pub fn take_answers(&mut self) -> Vec<u8> {
        self.answers.take()
    }

    /// Takes the next run of frames addressed to the session's names or to
    /// everyone: how a peer inside the process receives.
    #[must_use]
    pub fn take_run(&mut self) -> Option<Bytes> {
        self.output.take(&self.claims, &self.peer)
    }

    /// Whether answers wait to be written.
    #[must_use]
    pub fn has_answers(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Whether so many answers wait that no input should be taken.
    #[must_use]
    pub fn answers_are_full(&self) -> bool {
        self.answers.is_full()
    }

    /// Gives back the buffers that an idle connection doesn't need.
    pub fn shrink(&mut self) {
        self.answers.shrink();
    }

    // ---- the end ----

    /// The peer sends no more: its names are free at once, and what was queued
    /// for them is reported to those who sent it. Answers can still be written.
    pub fn end_input(&mut self) {
        self.former_name = self.name();
        for claim in std::mem::take(&mut self.claims) {
            self.shared.registry.release(&claim, &self.peer);
        }
        self.claiming = Claiming::ByHello;
        self.peer.close_broadcasts();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end_input();
    }
}

/// Wakes the task of one session, so that it looks at the state of its server.
#[derive(Debug, Clone)]
pub struct Alarm(Arc<Peer>);

impl Alarm {
    /// Wakes it.
    pub fn ring(&self) {
        self.0.wake();
    }
}

impl Pause {
    /// Whether it is worth handing the rest of the window in again: the queue
    /// has fallen below three quarters and takes the event, or is closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.outbox.has_room(self.size)
    }

    /// Has `waker` woken when there may be room again, until the pause is
    /// dropped. The caller must hand the rest of its window in again after this
    /// call.
    pub fn wait(&mut self, waker: &Waker) {
        self.waits = true;
        self.outbox.wait_for_room(self.connection, waker);
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        if self.waits {
            self.outbox.stop_waiting(self.connection);
        }
    }
}
