//! One read of a connection: its buffers, and its frames in their order.
//!
//! Each frame is checked, by the learned shapes or else by the parser. Consecutive
//! frames of the same kind, source and target are a *run*, which is admitted as one
//! when it ends.
//!
//! `impl Read` goes on in `admission` (runs), in `resume` (runs of a connection whose
//! accepted ids are kept) and in `control` (requests to tickwire itself).

use std::ops::Range;
use std::slice;
use std::sync::Arc;

use arc_swap::Guard;
use bytes::BytesMut;

use super::admission::Run;
use super::answers::SenderIndex;
use super::forward::Forward;
use super::routes::Destination;
use super::{Halt, Session, Step};
use crate::limits::FRAME_PREFIX_BYTES;
use crate::router::broadcast::BroadcastContext;
use crate::router::connection::accepted_ids::AcceptedIds;
use crate::router::now::Now;
use crate::wire::{
    ErrorCode, FrameState, Header, Hints, KnownFrame, Parser, Refusal, ShapeMatch, Table,
    Validation, frame_state,
};

/// The buffers of [`Session::receive`]. One a thread is enough: between reads a
/// session keeps nothing in them.
#[derive(Debug)]
pub struct ReadScratch {
    pub(super) parser: Parser,
    pub(super) hints: Hints,
    pub(super) run: Run,
    pub(super) forward: Forward,
    /// The number of receivers that missed each frame of the run.
    pub(super) missed: Vec<u32>,
    /// Whether each ack of the run has settled a message; empty if it settles none.
    pub(super) settled: Vec<bool>,
}

impl Default for ReadScratch {
    fn default() -> Self {
        Self {
            parser: Parser::new(Validation::Payload),
            hints: Hints::default(),
            run: Run::default(),
            forward: Forward::default(),
            missed: Vec::new(),
            settled: Vec::new(),
        }
    }
}

impl ReadScratch {
    /// Begins to take reads. Their messages for subscribers are gathered, and
    /// queued when the guard is dropped.
    pub fn begin(&mut self) -> Gathering<'_> {
        Gathering(self)
    }
}

/// A row of reads that gathers their messages for subscribers, so that several
/// reads make one entry of a queue. An ack must not leave before its message is
/// queued: drop this before anything is written.
#[derive(Debug)]
#[must_use]
pub struct Gathering<'a>(&'a mut ReadScratch);

impl Gathering<'_> {
    /// Takes the complete frames at the front of `input`, for `session`.
    pub fn read(&mut self, session: &mut Session, input: &mut BytesMut, now: Now) -> Step {
        session.read(self.0, input, &[], now)
    }

    /// The same for a participant inside the process, with what it knows of the first
    /// frames.
    #[cfg(feature = "server")]
    pub(crate) fn read_known(
        &mut self,
        session: &mut Session,
        input: &mut BytesMut,
        known: &[KnownFrame],
        now: Now,
    ) -> Step {
        session.read(self.0, input, known, now)
    }

    /// Returns whether something is gathered that grows with the next read.
    #[must_use]
    pub fn is_growing(&self) -> bool {
        self.0.forward.fan_out.is_gathering()
    }
}

impl Drop for Gathering<'_> {
    fn drop(&mut self) {
        self.0.forward.fan_out.flush();
    }
}

impl Session {
    /// Takes the complete frames at the front of `input`. When this returns, their
    /// messages are queued and answered.
    pub fn receive(&mut self, scratch: &mut ReadScratch, input: &mut BytesMut, now: Now) -> Step {
        scratch.begin().read(self, input, now)
    }

    /// Takes the complete frames. Messages for subscribers may stay in `scratch`.
    pub(super) fn read(
        &mut self,
        scratch: &mut ReadScratch,
        input: &mut BytesMut,
        known: &[KnownFrame],
        now: Now,
    ) -> Step {
        let mut known = known.iter();
        scratch.parser.set_validation(self.shared.config.validation);
        self.answers.set_time(now);
        self.answers.set_short(self.shared.budget.is_short());
        self.retry_claim();
        let mut consumed = 0;
        let halt = loop {
            // A connection that resumes this one must find each accepted message
            // queued.
            let accepted_ids = self.accepted_ids.clone();
            let _order = accepted_ids.as_deref().map(AcceptedIds::lock_order);
            let frames = Read {
                shapes: self.shared.shapes.load(),
                session: self,
                scratch,
                input,
                known: std::mem::take(&mut known),
                now,
            }
            .take_frames();
            let (taken, stop) = match frames {
                Ok(taken) => (taken, None),
                Err(Stopped { at, why }) => (at, Some(why)),
            };
            self.answers.close_batch();
            let store = self.shared.store.as_deref();
            scratch.forward.commit(input, taken, &self.handle, store);
            consumed += taken;
            if accepted_ids.is_some() || matches!(stop, Some(Stop::QueueFirst)) {
                scratch.forward.fan_out.flush();
            }
            match stop {
                Some(Stop::QueueFirst) => {}
                Some(Stop::Halt(halt)) => break Some(halt),
                None => break None,
            }
        };
        let done = std::mem::take(&mut self.done);
        self.has_accepted |= done.accepted > 0;
        self.shared.counters.add(self.handle.id(), &done);
        self.count_answers();
        Step { consumed, halt }
    }
}

pub(super) struct Read<'a> {
    pub(super) session: &'a mut Session,
    pub(super) scratch: &'a mut ReadScratch,
    /// The received bytes that are not taken.
    pub(super) input: &'a [u8],
    /// Frames that were checked before, the first of the input.
    known: slice::Iter<'a, KnownFrame>,
    pub(super) now: Now,
    shapes: Guard<Arc<Table>>,
}

#[derive(Debug)]
pub(super) struct Stopped {
    /// The place in the input up to which it is done.
    pub(super) at: usize,
    pub(super) why: Stop,
}

#[derive(Debug)]
pub(super) enum Stop {
    Halt(Halt),
    /// The messages gathered so far are to be queued before the read goes on, with
    /// the order of accepted ids locked anew.
    QueueFirst,
}

impl Stopped {
    pub(super) fn halt(at: usize, halt: Halt) -> Self {
        let why = Stop::Halt(halt);
        Self { at, why }
    }
}

impl Read<'_> {
    /// Takes the complete frames, and returns their bytes.
    pub(super) fn take_frames(&mut self) -> Result<usize, Stopped> {
        let frame_bytes_max = self.session.shared.config.frame_bytes_max;
        let mut at = 0;
        loop {
            if self.session.answers.is_full() {
                self.admit()?;
                return Err(Stopped::halt(at, Halt::AnswersFull));
            }
            let len = match frame_state(&self.input[at..], frame_bytes_max) {
                Ok(FrameState::Complete { len }) => len,
                Ok(FrameState::Partial { .. }) => {
                    self.admit()?;
                    return Ok(at);
                }
                Err(error) => {
                    self.admit()?;
                    let end = self.input.len();
                    self.refuse(end, &error.into())?;
                    return Err(Stopped::halt(end, Halt::Close));
                }
            };
            let frame = at..at + FRAME_PREFIX_BYTES + len;
            self.take_frame(&frame)?;
            at = frame.end;
            if self.session.learning.has_news() {
                self.shapes = self.session.shared.shapes.load();
            }
        }
    }

    /// Checks one frame, and adds it to the run or begins another.
    #[inline]
    fn take_frame(&mut self, frame: &Range<usize>) -> Result<(), Stopped> {
        let from = frame.start + FRAME_PREFIX_BYTES;
        let json = &self.input[from..frame.end];
        let mut is_recognized = false;
        let header = if let Some(KnownFrame {
            header: Some(header),
            ..
        }) = self.known.next()
        {
            *header
        } else if let Some(known) = self.recognize(from, json.len()) {
            is_recognized = true;
            Header {
                kind: known.kind,
                names: known.names,
                msg_id: known.msg_id(json).expect("it was recognised there"),
            }
        } else {
            match self.parse(json) {
                Ok(header) => header,
                Err(refusal) => {
                    self.admit()?;
                    return self.refuse(frame.end, &refusal);
                }
            }
        };
        if self.continues_run(json, &header) {
            self.scratch.run.push(frame, header.msg_id);
        } else {
            self.admit()?;
            self.begin_run(frame, json, &header)?;
        }
        if self.scratch.run.is_filtered {
            match self.accepted_ids() {
                None => self.match_subscribers(frame, is_recognized),
                Some(ids) => self.broadcast_if_new(&ids, frame, is_recognized),
            }
        }
        Ok(())
    }

    #[inline]
    fn recognize(&mut self, from: usize, len: usize) -> Option<ShapeMatch> {
        let seconds = self.seconds();
        let hints = &mut self.scratch.hints;
        hints.recognize(&self.shapes, &self.input[from..], len, seconds)
    }

    /// Checks a frame that no shape recognised, and learns from it.
    fn parse(&mut self, json: &[u8]) -> Result<Header, Refusal> {
        let header = self.scratch.parser.parse(json)?;
        if self.session.learning.may_learn(self.now) {
            let learned = (self.session.shared.shapes).learn(json, &header, self.seconds());
            self.session.learning.note(learned);
            self.scratch.hints.note(learned, json.len());
        }
        Ok(header)
    }

    /// Returns whether the frame has the kind, source and target of the run.
    #[inline]
    fn continues_run(&self, json: &[u8], header: &Header) -> bool {
        let ReadScratch { parser, run, .. } = &*self.scratch;
        let Session {
            answers, routes, ..
        } = &*self.session;
        !run.is_empty()
            && run.kind == header.kind
            && answers.is_sender(run.sender, parser.source(json, &header.names))
            && routes.leads_to(run.route, parser.target(json, &header.names))
    }

    /// Begins a run with this frame, or carries out the control message.
    fn begin_run(
        &mut self,
        frame: &Range<usize>,
        json: &[u8],
        header: &Header,
    ) -> Result<(), Stopped> {
        let source = self.scratch.parser.source(json, &header.names);
        let sender = match self.session.check_source(header, source) {
            Ok(sender) => sender,
            Err(refusal) => return self.refuse(frame.end, &refusal),
        };
        if header.kind.is_control() {
            return self.control(frame, json, header, sender);
        }
        let target = self.scratch.parser.target(json, &header.names);
        let route = self.session.routes.resolve(target, &self.session.shared);
        let is_broadcast = matches!(
            self.session.routes.destination(route),
            Destination::Everyone
        );
        let is_filtered = is_broadcast && self.has_filters();
        let run = &mut self.scratch.run;
        run.start = frame.start;
        run.kind = header.kind;
        run.sender = sender;
        run.route = route;
        run.is_filtered = is_filtered;
        run.push(frame, header.msg_id);
        Ok(())
    }

    /// Answers the frame that ends at `end` with an error.
    fn refuse(&mut self, end: usize, refusal: &Refusal) -> Result<(), Stopped> {
        let refused = self.session.refuse(refusal);
        refused.map_err(|halt| Stopped::halt(end, halt))
    }

    // ---- broadcasts ----

    /// Sets the audience of this read, and returns whether subscribers choose among
    /// its broadcasts or snapshots keep some of them.
    fn has_filters(&mut self) -> bool {
        let forward = &mut self.scratch.forward;
        if !forward.knows_audience {
            let id = self.session.handle.id();
            let shared = &self.session.shared;
            // The pass first: while it is held, the audience stays as found.
            forward.fan_out.get_pass(&shared.snapshots, id);
            forward.set_audience(&shared.registry.hearers.audience(), id);
        }
        forward.fan_out.is_active()
    }

    /// Finds the subscribers of the last message of the run, a broadcast.
    #[inline]
    pub(super) fn match_subscribers(&mut self, frame: &Range<usize>, is_recognized: bool) {
        let ReadScratch {
            run,
            forward,
            hints,
            ..
        } = &mut *self.scratch;
        let json_bytes = frame.len().saturating_sub(FRAME_PREFIX_BYTES);
        let slots = match is_recognized {
            true => hints.slots(&self.shapes, json_bytes),
            false => None,
        };
        let (session, now) = (&*self.session, self.now);
        let context = || session.broadcast_context(now);
        (forward.fan_out).match_subscribers(run.view(self.input), frame, slots, context);
    }

    fn seconds(&self) -> u32 {
        self.now.mono.as_secs() as u32
    }
}

impl Session {
    /// Finds the sender of a frame by its source.
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

    pub(super) fn broadcast_context(&self, now: Now) -> BroadcastContext<'_> {
        let config = &self.shared.config;
        BroadcastContext {
            server: &config.name,
            capacity: config.into(),
            unix_ms: now.unix_ms,
        }
    }
}
