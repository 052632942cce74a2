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

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use super::RouterShared;
use super::answers::{Answers, SenderIndex};
use super::budget::Of;
use super::claim::{Claim, Ownership};
use super::in_flight::Write;
use super::learning::Learning;
use super::memory::Memory;
use super::names::Claiming;
use super::now::Now;
use super::output::{Output, Progress};
use super::pause::Pause;
use super::peer::Peer;
use super::routes::{Destination, Routes};
use super::run::Workspace;
use super::stalls::Stalls;
use super::subscriptions::Subscriptions;
use crate::ids::{ConnectionId, Name};
use crate::limits::{FRAME_PREFIX_BYTES, REFUSED_IN_A_ROW_MAX};
use crate::stats::Stats;
use crate::wire::{ErrorCode, ErrorDetails, FrameState, Header, Kind, Refusal, Table, frame_state};

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

/// Why the session stops within a window.
#[derive(Debug)]
enum Stop {
    Halt(Halt),
    /// What was gathered so far is to be queued before it goes on, in another
    /// turn with the memory.
    Commit,
}

impl From<Halt> for Stop {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
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

/// Everything that is decided about what one connection sends, and everything
/// that waits to be written to it.
#[derive(Debug)]
pub struct Session {
    pub(super) shared: Arc<RouterShared>,
    pub(super) peer: Arc<Peer>,
    pub(super) answers: Answers,
    pub(super) claims: Vec<Claim>,
    pub(super) ownership: Ownership,
    pub(super) claiming: Claiming,
    /// Its first name when its input ended.
    pub(super) former_name: Option<Name>,
    pub(super) routes: Routes,
    pub(super) stalls: Stalls,
    pub(super) subscriptions: Subscriptions,
    /// Whether it wants no broadcasts.
    pub(super) wants_no_broadcasts: bool,
    pub(super) output: Output,
    /// Where accepted messages are remembered, if they are.
    pub(super) memory: Option<Arc<Memory>>,
    pub(super) learning: Learning,
    pub(super) invalid_in_a_row: u32,
    /// A message of the connection was accepted.
    has_accepted: bool,
    /// Bytes that are counted for its answers, and for what it has received and
    /// not taken.
    pub(super) counted: (usize, usize),
    /// What was done since it was last added to the shared counters.
    pub(super) done: Stats,
}

impl Session {
    pub(super) fn new(shared: Arc<RouterShared>, id: ConnectionId) -> Self {
        Self {
            answers: Answers::new(shared.config.name.clone(), Uuid::new_v4()),
            peer: Arc::new(Peer::within(id, &shared.budget)),
            shared,
            claims: Vec::new(),
            ownership: Ownership::Sole,
            claiming: Claiming::Unsettled,
            former_name: None,
            routes: Routes::default(),
            stalls: Stalls::default(),
            subscriptions: Subscriptions::default(),
            wants_no_broadcasts: false,
            memory: None,
            output: Output::default(),
            learning: Learning::default(),
            invalid_in_a_row: 0,
            has_accepted: false,
            counted: (0, 0),
            done: Stats::default(),
        }
    }

    /// Which connection this is.
    #[must_use]
    pub fn id(&self) -> ConnectionId {
        self.peer.id()
    }

    // ---- input ----

    /// Takes the complete frames at the front of `window`. Everything that
    /// follows from them is done when this returns.
    pub fn receive(&mut self, workspace: &mut Workspace, window: &mut BytesMut, now: Now) -> Step {
        let step = self.gather(workspace, window, now);
        workspace.flush();
        step
    }

    /// Like [`Session::receive`], but some of what was accepted may stay in the
    /// workspace, so that several reads make one entry of a queue. Call
    /// [`Workspace::flush`] before anything else is done with the session but to
    /// gather more: an ack must not leave before what it acknowledges is
    /// queued.
    pub fn gather(&mut self, workspace: &mut Workspace, window: &mut BytesMut, now: Now) -> Step {
        workspace
            .parser
            .set_validation(self.shared.config.validation);
        self.answers.set_time(now);
        self.answers.set_short(self.shared.budget.is_short());
        self.retry_claim();
        let mut consumed = 0;
        let halt = loop {
            // Who passes over what is accepted here must find it queued.
            let memory = self.memory.clone();
            let _turn = memory.as_deref().map(Memory::turn);
            let (taken, stop) = self.take_frames(workspace, window, now);
            self.answers.close_batch();
            workspace.forward.commit(window, taken, &self.peer);
            consumed += taken;
            if memory.is_some() || matches!(stop, Some(Stop::Commit)) {
                workspace.flush();
            }
            match stop {
                Some(Stop::Commit) => {}
                Some(Stop::Halt(halt)) => break Some(halt),
                None => break None,
            }
        };
        let done = std::mem::take(&mut self.done);
        self.has_accepted |= done.accepted > 0;
        self.shared.counters.add(self.peer.id(), &done);
        self.count_answers();
        Step { consumed, halt }
    }

    /// Goes through the frames in their order, and says how many bytes are
    /// done with.
    fn take_frames(
        &mut self,
        workspace: &mut Workspace,
        window: &[u8],
        now: Now,
    ) -> (usize, Option<Stop>) {
        let mut shapes = self.shared.shapes.load();
        let mut at = 0;
        loop {
            if self.answers.is_full() {
                let halt = self.settle(workspace, window, now);
                return match halt {
                    Some((at, halt)) => (at, Some(halt.into())),
                    None => (at, Some(Halt::AnswersFull.into())),
                };
            }
            let len = match frame_state(&window[at..], self.shared.config.frame_bytes_max) {
                Ok(FrameState::Complete { len }) => len,
                Ok(FrameState::Partial { .. }) => {
                    return match self.settle(workspace, window, now) {
                        Some((at, halt)) => (at, Some(halt.into())),
                        None => (at, None),
                    };
                }
                Err(error) => {
                    if let Some((at, halt)) = self.settle(workspace, window, now) {
                        return (at, Some(halt.into()));
                    }
                    self.refuse(&error.into());
                    return (window.len(), Some(Halt::Close.into()));
                }
            };
            let frame = at..at + FRAME_PREFIX_BYTES + len;
            if let Some((at, stop)) = self.take_frame(workspace, &shapes, window, &frame, now) {
                return (at, Some(stop));
            }
            at = frame.end;
            if self.learning.has_news() {
                shapes = self.shared.shapes.load();
            }
        }
    }

    /// One frame: check, then join it to the run or settle the run and begin
    /// another. Where it halts, it says how far the window is done with.
    #[inline]
    fn take_frame(
        &mut self,
        workspace: &mut Workspace,
        shapes: &Table,
        window: &[u8],
        frame: &Range<usize>,
        now: Now,
    ) -> Option<(usize, Stop)> {
        let json = frame.start + FRAME_PREFIX_BYTES..frame.end;
        let seconds = now.mono.as_secs() as u32;
        let known = (workspace.hints).recognize(shapes, &window[json.start..], json.len(), seconds);
        let (kind, names, msg_id) = match known {
            Some(known) => {
                let msg_id = known.msg_id(&window[json.clone()]);
                (
                    known.kind,
                    known.names,
                    msg_id.expect("it was recognised there"),
                )
            }
            None => match self.parse(workspace, &window[json.clone()], now) {
                Ok(header) => (header.kind, header.names, header.msg_id),
                Err(refusal) => {
                    return self
                        .settle(workspace, window, now)
                        .or_else(|| self.refuse(&refusal).map(|halt| (frame.end, halt)))
                        .map(|(at, halt)| (at, halt.into()));
                }
            },
        };
        let Workspace { parser, run, .. } = workspace;
        let json = &window[json];
        let joins = !run.is_empty()
            && run.kind == kind
            && self
                .answers
                .is_sender(run.sender, parser.source(json, &names))
            && self.routes.leads_to(run.route, parser.target(json, &names));
        if joins {
            run.push(frame, msg_id);
        } else {
            let header = Header {
                kind,
                names,
                msg_id,
            };
            let stop = self.begin_run(workspace, window, frame, &header, now);
            if stop.is_some() {
                return stop;
            }
        }
        if workspace.run.is_looked_into {
            let shapes = known.is_some().then_some(shapes);
            match self.memory_for(&workspace.run).map(Arc::clone) {
                None => self.look_into(workspace, shapes, window, frame, now),
                Some(memory) => {
                    self.broadcast_if_new(&memory, workspace, shapes, window, frame, now);
                }
            }
        }
        None
    }

    /// Settles the run so far and begins another with this frame.
    fn begin_run(
        &mut self,
        workspace: &mut Workspace,
        window: &[u8],
        frame: &Range<usize>,
        header: &Header,
        now: Now,
    ) -> Option<(usize, Stop)> {
        if let Some((at, halt)) = self.settle(workspace, window, now) {
            return Some((at, halt.into()));
        }
        let Workspace {
            parser,
            run,
            forward,
            ..
        } = workspace;
        let json = &window[frame.start + FRAME_PREFIX_BYTES..frame.end];
        let source = parser.source(json, &header.names);
        let allowed = self.check_source(header, source);
        let sender = match allowed {
            Ok(sender) => sender,
            Err(refusal) => {
                let halt = self.refuse(&refusal);
                return halt.map(|halt| (frame.end, halt.into()));
            }
        };
        if header.kind.is_control() {
            if header.kind == Kind::Subscribe && forward.selective.holds_pass() {
                // A snapshot would wait for what this read has broadcast.
                return Some((frame.start, Stop::Commit));
            }
            let halt = self.control(header, sender, json);
            // What follows may have to wait for its turn with another memory.
            let another = header.kind == Kind::Hello && self.memory.is_some();
            let stop = halt.map(Stop::Halt).or(another.then_some(Stop::Commit));
            return stop.map(|stop| (frame.end, stop));
        }
        run.start = frame.start;
        run.kind = header.kind;
        run.sender = sender;
        run.route = self
            .routes
            .resolve(parser.target(json, &header.names), &self.shared);
        let is_broadcast = matches!(self.routes.destination(run.route), Destination::Everyone);
        run.is_looked_into = is_broadcast && self.finds_choosers(forward);
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

    /// Whether any message of the connection was accepted so far.
    #[must_use]
    pub fn has_accepted(&self) -> bool {
        self.has_accepted
    }

    // ---- refusals ----

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

    /// Writes what waits, in its order, until nothing is left, `write` would
    /// block, or about `budget` bytes are written. Says how many were.
    ///
    /// # Errors
    /// What `write` says, but for `WouldBlock` and `Interrupted`.
    pub fn transmit(&mut self, budget: usize, write: Write<'_>) -> io::Result<(usize, Progress)> {
        let written =
            (self.output).transmit(&mut self.answers, &self.claims, &self.peer, budget, write);
        self.count_answers();
        let replaced = self.output.take_replaced();
        if replaced > 0 {
            let done = Stats {
                conflated: replaced,
                ..Stats::default()
            };
            self.shared.counters.add(self.peer.id(), &done);
        }
        written
    }

    /// Takes the answers that wait, as whole frames: how a peer inside the
    /// process gets them.
    #[must_use]
    pub fn take_answers(&mut self) -> Vec<u8> {
        let answers = self.answers.take();
        self.count_answers();
        answers
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
        self.count_answers();
        self.output.shrink(&self.claims);
    }

    // ---- the end ----

    /// The peer sends no more: its names are free at once, and what was queued
    /// for them waits for their next owners. Answers can still be written.
    pub fn end_input(&mut self) {
        self.former_name = self.name();
        for claim in std::mem::take(&mut self.claims) {
            self.shared.registry.release(&claim, &self.peer);
        }
        self.claiming = Claiming::ByHello;
        self.subscriptions = Subscriptions::default();
        self.shared.registry.members.leave(&self.peer);
        self.memory = None;
        self.peer.close_broadcasts();
        self.output.forget_broadcasts();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end_input();
        let budget = &self.shared.budget;
        budget.recount(Of::Queued, &mut self.counted.0, 0);
        budget.recount(Of::Input, &mut self.counted.1, 0);
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
