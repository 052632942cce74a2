//! The reading half of a connection: whole reads, whose answers are settled under one
//! lock.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::io::AsyncRead;
use tokio::time::Instant;

use super::super::ending;
use super::super::input::{Buffer, Input, end_of};
use super::super::outgoing::{Outcome, Outgoing, Purpose, Waiter};
use super::super::receiver::message_cost;
use super::super::session::{Session, State};
use super::super::{Disconnect, Event, SendError};
use super::Connection;
use crate::ids::{MsgId, Name};
use crate::limits::FRAME_PREFIX_BYTES;
use crate::wire::{
    Ack, Answer, AnswerReader, ErrorCode, ErrorReport, FrameError, SpelledAcks, Welcome,
};

/// Frames read in a row before writing has a turn.
const FRAMES_A_TURN: usize = 256;

/// Reads the frames of one connection.
pub(super) struct Reading<'a> {
    connection: &'a Connection<'a>,
    acks: SpelledAcks,
    reader: AnswerReader,
    settled: Settled,
    /// Frames since writing had a turn.
    frames: usize,
}

/// The consequences of answers that were taken from the table and not yet told: all at
/// once, when the read ends.
#[derive(Default)]
struct Settled {
    frames: usize,
    answers: usize,
    /// Messages that no longer are without an answer.
    messages: usize,
    /// Bytes of frames that need not be kept any more.
    bytes: usize,
    outcomes: Vec<(Waiter, Outcome)>,
}

/// The kind of a frame.
enum Frame {
    /// An answer, which is settled.
    Answer,
    /// An answer that the program has to see as well.
    Notice(ErrorReport),
    /// A message for the program.
    Message,
}

/// Why reading stops for now.
enum Stop {
    /// The rest of a frame hasn't arrived.
    NothingMore,
    /// The program has to receive first.
    NoRoom,
    /// Writing is to have a turn.
    Turn,
}

impl<'a> Reading<'a> {
    pub(super) fn new(connection: &'a Connection<'a>, welcome: &Welcome) -> Self {
        let server = &welcome.server.name;
        Self {
            acks: acks_of(welcome, &connection.session.shared.name),
            reader: AnswerReader::of(server),
            connection,
            settled: Settled::default(),
            frames: 0,
        }
    }

    /// Reads to the end of the connection.
    pub(super) async fn read<R: AsyncRead + Unpin>(&mut self, input: &mut Input<R>) -> Disconnect {
        loop {
            match self.take_frames(&mut input.buffer) {
                Ok(Stop::NothingMore) => match input.read().await {
                    Ok(true) => {}
                    Ok(false) => return Disconnect::ByServer,
                    Err(error) => return Disconnect::Broken(error),
                },
                Ok(Stop::NoRoom) => self.wait_for_room().await,
                Ok(Stop::Turn) => {
                    self.frames = 0;
                    tokio::task::yield_now().await;
                }
                Err(error) => return Disconnect::Framing(error),
            }
        }
    }

    async fn wait_for_room(&self) {
        let Session { inbox, signs, .. } = self.connection.session;
        signs.stop_reading(Instant::now());
        inbox.room(|| self.connection.session.answer_due()).await;
        signs.go_on_reading(Instant::now());
    }

    /// Takes in frames that came before the welcome.
    pub(super) fn take_early(&mut self, frames: Vec<Bytes>) {
        let session = self.connection.session;
        let mut state = session.state();
        for frame in frames {
            match self.take_in(&mut state, &frame) {
                Frame::Answer => {}
                Frame::Notice(report) => session.inbox.push(Event::Notice(report)),
                Frame::Message => session.inbox.deliver(frame),
            }
        }
        self.settled.end(session, &mut state);
        drop(state);
        self.settled.tell();
    }

    /// Takes in the frames at hand.
    fn take_frames(&mut self, buffer: &mut Buffer) -> Result<Stop, FrameError> {
        let session = self.connection.session;
        let mut state = session.state();
        let mut messages = Messages::default();
        let stop = loop {
            let answer_due = || session.is_answer_due(&state);
            if !session.inbox.has_room(messages.cost, answer_due) {
                break Ok(Stop::NoRoom);
            }
            if self.frames >= FRAMES_A_TURN {
                break Ok(Stop::Turn);
            }
            let json = match buffer.frame_at(messages.at) {
                Ok(Some(json)) => json,
                Ok(None) => break Ok(Stop::NothingMore),
                Err(error) => break Err(error),
            };
            let end = end_of(messages.at, json);
            self.frames += 1;
            match self.take_in(&mut state, json) {
                Frame::Message => messages.add(end),
                Frame::Answer => messages.pass(end, buffer, session),
                Frame::Notice(report) => {
                    messages.pass(end, buffer, session);
                    session.inbox.push(Event::Notice(report));
                }
            }
        };
        messages.deliver(buffer, session);
        buffer.drop_before(messages.at);
        self.settled.end(session, &mut state);
        drop(state);
        self.settled.tell();
        stop
    }

    fn take_in(&mut self, state: &mut State, json: &[u8]) -> Frame {
        self.settled.frames += 1;
        if let Some(ack) = self.acks.read(json) {
            self.settled.answers += 1;
            for (id, dropped) in ack.covered() {
                self.settled.accept(state, &id, || ack.of(id, dropped));
            }
            return Frame::Answer;
        }
        match self.reader.answer_in(json) {
            None if self.answers_a_probe(state, json) => Frame::Answer,
            None => Frame::Message,
            Some(Answer::Ack(ack)) => {
                self.settled.answers += 1;
                for ack in ack.split() {
                    let id = ack.acknowledged_msg_id;
                    self.settled.accept(state, &id, || ack);
                }
                Frame::Answer
            }
            Some(Answer::Error(report)) => self.on_error(state, report),
        }
    }

    /// Returns whether a frame is the welcome that a probe asked for.
    fn answers_a_probe(&mut self, state: &mut State, json: &[u8]) -> bool {
        let probes_due = &self.connection.probes_due;
        let due = probes_due.load(Ordering::Relaxed);
        if due == 0 {
            return false;
        }
        let Some(id) = self.reader.welcome_in(json) else {
            return false;
        };
        probes_due.store(due - 1, Ordering::Relaxed);
        self.settled.answers += 1;
        // It may have been given up.
        drop(state.unanswered.take(&id));
        true
    }

    fn on_error(&mut self, state: &mut State, report: ErrorReport) -> Frame {
        let code = report.known_code();
        // An `UNDELIVERED` comes long after the answer.
        if report.msg_id().is_some() && code != Some(ErrorCode::Undelivered) {
            self.settled.answers += 1;
        }
        let waited_for = match report.msg_id() {
            Some(id) => self.settled.refuse(state, &id, &report),
            None => {
                self.on_last_word(state, &report);
                false
            }
        };
        let shutting_down = code == Some(ErrorCode::ServerShuttingDown);
        if shutting_down {
            self.connection.parting.cancel();
        }
        // The end of the connection concerns the receiver in any case.
        match waited_for && !shutting_down {
            true => Frame::Answer,
            false => Frame::Notice(report),
        }
    }

    /// Notes a word about the connection itself, if it is a last one.
    fn on_last_word(&self, state: &mut State, report: &ErrorReport) {
        let taken_over = report.known_code() == Some(ErrorCode::NameTakenOver);
        if taken_over && !state.registration.lose(report.name().as_ref()) {
            // It owns others.
            return;
        }
        if let Some(end) = ending::of_report(report.clone()) {
            state.final_word = Some(end);
            self.connection.session.shared.refuse_more();
            self.connection.parting.cancel();
            self.connection.doomed.cancel();
        }
    }
}

/// Messages of one read that lie side by side, and are delivered together.
#[derive(Default)]
struct Messages {
    /// The beginning of the first.
    from: usize,
    /// The end of the last, or of the answer behind it.
    at: usize,
    count: usize,
    /// Bytes of room that they take.
    cost: usize,
}

impl Messages {
    #[inline]
    fn add(&mut self, end: usize) {
        self.count += 1;
        self.cost += message_cost(end - self.at - FRAME_PREFIX_BYTES);
        self.at = end;
    }

    /// Goes on behind an answer, which ends the messages before it.
    #[inline]
    fn pass(&mut self, end: usize, buffer: &mut Buffer, session: &Session) {
        let answer = end - self.at;
        self.deliver(buffer, session);
        self.at += answer;
        self.from = self.at;
    }

    fn deliver(&mut self, buffer: &mut Buffer, session: &Session) {
        if self.count == 0 {
            return;
        }
        let run = buffer.take(self.from..self.at);
        session.inbox.deliver_run(run, self.count, self.cost);
        *self = Self::default();
    }
}

impl Settled {
    /// Settles the message `id`, which was accepted; `ack` makes the ack for a send
    /// that waits for it.
    fn accept(&mut self, state: &mut State, id: &MsgId, ack: impl FnOnce() -> Ack) {
        let Some(mut message) = state.unanswered.take(id) else {
            return;
        };
        self.count(&message);
        if let Purpose::Change(change) | Purpose::Again(change) = &message.purpose {
            state.subscriptions.granted(change.clone());
        }
        if let Some(waiter) = message.waiter.take() {
            self.outcomes.push((waiter, Ok(ack())));
        }
    }

    /// Settles the message `id`, which was refused; returns whether a send waits for it.
    fn refuse(&mut self, state: &mut State, id: &MsgId, report: &ErrorReport) -> bool {
        // A refusal behind a flush isn't told to it.
        state.open_fences();
        let Some(mut message) = state.unanswered.take(id) else {
            return false;
        };
        self.count(&message);
        if message.is_posted() {
            state.fences.posted.refused += 1;
        }
        // A refused change changes nothing.
        if let Purpose::Again(change) = &message.purpose {
            state.subscriptions.lost(change);
        }
        let Some(waiter) = message.waiter.take() else {
            return false;
        };
        let refused = SendError::Refused(report.clone());
        self.outcomes.push((waiter, Err(refused)));
        true
    }

    #[inline]
    fn count(&mut self, message: &Outgoing) {
        self.messages += usize::from(message.takes_room());
        self.bytes += message.queued_bytes as usize;
    }

    /// Ends a read: gives the room back, then opens the fences.
    fn end(&mut self, session: &Session, state: &mut State) {
        session.signs.read(self.frames, self.answers);
        session.shared.give_back_all(self.messages, self.bytes);
        if self.answers > 0 {
            state.open_fences();
        }
        (self.frames, self.answers, self.messages, self.bytes) = (0, 0, 0, 0);
    }

    /// Tells the sends. Their room is free again by then.
    fn tell(&mut self) {
        for (mut waiter, outcome) in self.outcomes.drain(..) {
            waiter.tell(outcome);
        }
    }
}

/// The acks that a server writes to a connection of `source`: each by itself to the
/// source of its message, many together to the first name.
fn acks_of(welcome: &Welcome, source: &Name) -> SpelledAcks {
    let first = welcome.names.first();
    let other = (first != Some(source)).then_some(first);
    SpelledAcks::new(
        &welcome.server.name,
        [Some(source)].into_iter().chain(other),
    )
}
