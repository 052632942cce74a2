//! One connection's life, from the welcome to its end.
//!
//! Reading, writing and the clock run side by side in the session's task.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until};
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;

use super::flush::Fence;
use super::greet::Welcomed;
use super::outbox::Outbox;
use super::outgoing::{Outgoing, Purpose, Queued};
use super::session::{Session, State};
use super::silence::{self, SilenceCheck};
use super::subscriptions::Change;
use super::{Disconnect, Event, SendError, ending, frame_bytes_max};
use crate::exchange::{Answer, ServerVoice};
use crate::ids::MsgId;
use crate::limits::{CLOSE_WRITE_TIMEOUT, FRAME_PREFIX_BYTES};
use crate::wire::{Ack, ErrorCode, ErrorReport, FrameCodec, FrameCodecError, Hello, Message};

/// After so many frames in a row reading lets writing have a turn.
const FRAMES_A_TURN: usize = 256;

/// A connection of a session.
pub(super) struct Connection<'a> {
    session: &'a Session,
    server: ServerVoice,
    frame_bytes_max: usize,
    /// Whether what is written is kept until it is answered, to be written
    /// again on the next connection.
    keeps: bool,
    /// The places before this were handed to an earlier connection.
    repeats_before: u64,
    /// For how long the server may be silent.
    silence_max: Duration,
    /// Welcomes that are due for probes. Only the session's task uses it.
    probes_due: AtomicU64,
    /// Cancelled when the server has said that it takes nothing more.
    parting: CancellationToken,
    /// Cancelled when it has said why, and that there is no coming back.
    doomed: CancellationToken,
}

impl<'a> Connection<'a> {
    pub(super) fn new<S>(session: &'a Session, welcomed: &Welcomed<S>) -> Self {
        let mut state = session.state();
        state.unanswered.connected();
        session.signs.connected();
        let stall_timeout = welcomed.welcome.limits.stall_timeout_ms;
        Self {
            session,
            server: ServerVoice::of(&welcomed.welcome.server.name),
            silence_max: silence::limit(
                session.config.answer_timeout,
                stall_timeout.map(Duration::from_millis),
            ),
            frame_bytes_max: frame_bytes_max(&welcomed.welcome),
            keeps: state.registration.is_resumable(),
            probes_due: AtomicU64::new(0),
            repeats_before: state.unanswered.next_place(),
            parting: CancellationToken::new(),
            doomed: CancellationToken::new(),
        }
    }

    /// Lives the connection's life, and says how it ended. What `outbox` has
    /// not handed over in full is there for the next.
    pub(super) async fn live<S>(self, welcomed: Welcomed<S>, outbox: &mut Outbox) -> Disconnect
    where
        S: AsyncRead + AsyncWrite,
    {
        let Welcomed {
            mut frames,
            mut writer,
            early,
            ..
        } = welcomed;
        early.into_iter().for_each(|frame| self.take_in(frame));
        let end = tokio::select! {
            // Reading first: where a connection is found closed by a write, how
            // much of that was taken isn't known.
            biased;
            end = self.read(&mut frames) => end,
            end = self.write_to_the_end(&mut writer, outbox) => end,
            end = self.deadline_of_the_end() => end,
            end = self.watch_for_silence() => end,
            never = self.session.watch_the_clock() => match never {},
        };
        self.settle_batch(outbox);
        end
    }

    /// Reads until the input ends.
    async fn read<R: AsyncRead + Unpin>(
        &self,
        frames: &mut FramedRead<R, FrameCodec>,
    ) -> Disconnect {
        loop {
            for _ in 0..FRAMES_A_TURN {
                self.wait_for_room().await;
                match frames.next().await {
                    Some(Ok(frame)) => self.take_in(frame),
                    Some(Err(FrameCodecError::Io(error))) => return Disconnect::Broken(error),
                    Some(Err(FrameCodecError::Frame(error))) => return Disconnect::Framing(error),
                    None => return Disconnect::ByServer,
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the program has received enough for more to be read.
    async fn wait_for_room(&self) {
        let Session { inbox, signs, .. } = self.session;
        let answer_due = || self.session.answer_due();
        if inbox.has_room(answer_due) {
            return;
        }
        signs.stop_reading(Instant::now());
        inbox.room(answer_due).await;
        signs.go_on_reading(Instant::now());
    }

    fn take_in(&self, frame: Bytes) {
        self.session.signs.read();
        match self.server.answer_in(&frame) {
            None if self.answers_a_probe(&frame) => {}
            None => self.session.inbox.deliver(frame),
            Some(Answer::Ack(ack)) => self.settle_ack(ack),
            Some(Answer::Error(report)) => self.settle_error(report),
        }
    }

    /// Whether a frame is the welcome that a probe has asked for.
    fn answers_a_probe(&self, frame: &[u8]) -> bool {
        let due = self.probes_due.load(Ordering::Relaxed);
        if due == 0 {
            return false;
        }
        let Some(id) = self.server.welcome_in(frame) else {
            return false;
        };
        self.probes_due.store(due - 1, Ordering::Relaxed);
        self.session.signs.answered();
        // It may have been given up.
        drop(self.session.state().unanswered.take(&id));
        true
    }

    fn settle_ack(&self, ack: Ack) {
        self.session.signs.answered();
        for ack in ack.split() {
            self.settle(&ack.acknowledged_msg_id.clone(), Ok(ack));
        }
    }

    fn settle_error(&self, report: ErrorReport) {
        let code = report.known_code();
        // It comes long after the answer, from what waited for another.
        if report.msg_id().is_some() && code != Some(ErrorCode::Undelivered) {
            self.session.signs.answered();
        }
        let waited_for = match report.msg_id() {
            Some(id) => self.settle(&id, Err(SendError::Refused(report.clone()))),
            None => {
                self.heed(&report);
                false
            }
        };
        let shutting_down = code == Some(ErrorCode::ServerShuttingDown);
        if shutting_down {
            self.parting.cancel();
        }
        // What ends the connection concerns the receiver in any case.
        if !waited_for || shutting_down {
            self.session.inbox.tell(Event::Notice(report));
        }
    }

    /// Takes note of a word about the connection itself, if it is a last one.
    fn heed(&self, report: &ErrorReport) {
        let taken_over = report.known_code() == Some(ErrorCode::NameTakenOver);
        let mut state = self.session.state();
        if taken_over && !state.registration.lose(report.name().as_ref()) {
            // It owns others.
            return;
        }
        if let Some(end) = ending::of_report(report.clone()) {
            state.final_word = Some(end);
            drop(state);
            self.session.shared.refuse_more();
            self.parting.cancel();
            self.doomed.cancel();
        }
    }

    /// Settles the message `id`; says whether anybody waited for the outcome.
    fn settle(&self, id: &MsgId, outcome: Result<Ack, SendError>) -> bool {
        let Some(mut message) = self.session.state().unanswered.take(id) else {
            return false;
        };
        self.session.shared.give_back(&message);
        let mut state = self.session.state();
        if outcome.is_err() && message.is_posted() {
            state.fences.posted.refused += 1;
        }
        let subscriptions = &mut state.subscriptions;
        match (&message.purpose, &outcome) {
            (Purpose::Change(change) | Purpose::Again(change), Ok(_)) => {
                subscriptions.granted(change.clone());
            }
            (Purpose::Again(change), Err(_)) => subscriptions.lost(change),
            // A refused change changes nothing.
            _ => {}
        }
        state.open_fences();
        drop(state);
        message.resolve(outcome)
    }

    /// Writes until nothing more is to be written, and leaves the rest to
    /// reading. Comes back only if writing fails.
    async fn write_to_the_end<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut W,
        outbox: &mut Outbox,
    ) -> Disconnect {
        match self.write(writer, outbox).await {
            Ok(()) => std::future::pending().await,
            Err(error) => {
                // What the server said before it closed can still be read.
                sleep(CLOSE_WRITE_TIMEOUT).await;
                Disconnect::Broken(error)
            }
        }
    }

    async fn write<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut W,
        outbox: &mut Outbox,
    ) -> io::Result<()> {
        self.repeat(writer, outbox).await?;
        let now = Instant::now();
        let config = &self.session.config;
        let mut beats = config.heartbeat.map(|period| every(period, now));
        // The welcome has just come.
        let mut probes = config.probe.map(|period| every(period, now + period));
        let mut closing = false;
        loop {
            // A full queue must not keep heartbeats back, so they come first.
            let next = tokio::select! {
                biased;
                // What the server no longer takes is for the next connection.
                () = self.parting.cancelled() => return Ok(()),
                () = tick(&mut beats), if !closing => {
                    self.beat(outbox);
                    None
                }
                () = tick(&mut probes), if !closing => {
                    self.probe(outbox);
                    None
                }
                () = self.session.shared.closing.cancelled(), if !closing => {
                    closing = true;
                    outbox.close();
                    continue;
                }
                next = outbox.next() => match next {
                    Some(message) => Some(message),
                    None => break,
                },
            };
            self.fill(outbox, next);
            self.write_batch(writer, outbox).await?;
            self.session.state().unanswered.all_handed_over();
        }
        writer.shutdown().await
    }

    /// Says again what this connection must know of earlier ones, before
    /// anything newer: the subscriptions, then what was handed to an earlier
    /// connection and is to be written once more.
    async fn repeat<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut W,
        outbox: &mut Outbox,
    ) -> io::Result<()> {
        let subscriptions = self.session.state().subscriptions.all();
        for change in subscriptions {
            self.subscribe_again(change, outbox);
        }
        for changes in [true, false] {
            let mut from = 0;
            loop {
                while !outbox.batch.is_full() {
                    let state = self.session.state();
                    let unanswered = &state.unanswered;
                    let next = unanswered.to_repeat(from, self.repeats_before, changes);
                    let Some((place, message)) = next else { break };
                    from = place + 1;
                    if self.takes(&message.frame) {
                        outbox.batch.put(&message.frame, None);
                    }
                }
                if outbox.batch.is_empty() {
                    break;
                }
                self.write_batch(writer, outbox).await?;
            }
        }
        self.session.state().unanswered.all_handed_over();
        Ok(())
    }

    async fn write_batch<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut W,
        outbox: &mut Outbox,
    ) -> io::Result<()> {
        let signs = &self.session.signs;
        signs.set_waiting(true);
        outbox
            .batch
            .write(writer, |bytes| signs.took(bytes))
            .await?;
        signs.set_waiting(false);
        self.settle_batch(outbox);
        Ok(())
    }

    fn subscribe_again(&self, change: Change, outbox: &mut Outbox) {
        let (id, frame) = self.session.shared.message_of(&change);
        outbox.batch.put(&frame, None);
        self.await_answer(Outgoing {
            frame: Bytes::new(),
            queued_bytes: 0,
            answered_as: Some(id),
            waiter: None,
            purpose: Purpose::Again(change),
        });
    }

    /// Whether the server takes a frame of this size.
    fn takes(&self, frame: &[u8]) -> bool {
        frame.len() <= self.frame_bytes_max.saturating_add(FRAME_PREFIX_BYTES)
    }

    /// Puts messages into the batch, beginning with `next`.
    fn fill(&self, outbox: &mut Outbox, mut next: Option<Queued>) {
        while let Some(first) = next {
            match first {
                Queued::Message(message) => self.put(outbox, message),
                Queued::Fence(fence) => self.put_up(fence),
            }
            next = match outbox.batch.is_full() {
                true => None,
                false => outbox.next_at_hand(),
            };
        }
    }

    /// Lets a flush wait for all messages that were handed over before.
    fn put_up(&self, fence: Fence) {
        let mut state = self.session.state();
        let place = state.unanswered.next_place();
        state.fences.put_up(place, fence);
        state.open_fences();
    }

    fn put(&self, outbox: &mut Outbox, mut message: Outgoing) {
        // The server was another when the message was sent.
        if !self.takes(&message.frame) {
            self.session.shared.give_back(&message);
            if message.is_posted() {
                self.session.state().fences.posted.unsent += 1;
                tracing::warn!(
                    bytes = message.frame.len() - FRAME_PREFIX_BYTES,
                    limit = self.frame_bytes_max,
                    "a message was dropped that is larger than the server takes"
                );
            }
            message.resolve(Err(SendError::TooLarge {
                bytes: message.frame.len() - FRAME_PREFIX_BYTES,
                limit: self.frame_bytes_max,
            }));
            return;
        }
        let frame = message.frame.clone();
        let place = self.await_answer(message);
        outbox.batch.put(&frame, Some(place));
    }

    /// Notes that an answer is due to what is about to be written: from here on
    /// it may have been accepted.
    fn await_answer(&self, message: Outgoing) -> u64 {
        let mut state = self.session.state();
        let none_was_due = state.unanswered.is_empty();
        let place = state.unanswered.insert(message, Instant::now());
        drop(state);
        if none_was_due {
            self.session.inbox.look_again();
        }
        place
    }

    fn beat(&self, outbox: &mut Outbox) {
        let beat = Message::heartbeat(&self.session.shared.name, "alive")
            .expect("both the client's name and the monitor's are names");
        self.put_own(outbox, &beat);
    }

    /// Asks for a welcome, by a hello that leaves all as it is.
    fn probe(&self, outbox: &mut Outbox) {
        let hello = Message::hello(&self.session.shared.name, Hello::default())
            .expect("the client's name is a name");
        self.put_own(outbox, &hello);
        self.probes_due.fetch_add(1, Ordering::Relaxed);
    }

    /// Puts a message of the client itself into the batch. It isn't written
    /// again: the next connection begins with another.
    fn put_own(&self, outbox: &mut Outbox, message: &Message) {
        outbox.batch.put(&message.to_frame(), None);
        self.await_answer(Outgoing {
            frame: Bytes::new(),
            queued_bytes: 0,
            answered_as: Some(message.msg_id),
            waiter: None,
            purpose: Purpose::OfTheClient,
        });
    }

    /// Ends the batch as far as it was written. What wasn't handed over in full
    /// can't have been accepted: it goes back.
    fn settle_batch(&self, outbox: &mut Outbox) {
        let mut state = self.session.state();
        let mut free_bytes = 0;
        let mut not_handed = Vec::new();
        let mut fences = VecDeque::new();
        let State {
            unanswered,
            fences: standing,
            ..
        } = &mut *state;
        outbox.batch.end(|place, handed| {
            if handed {
                free_bytes += unanswered.handed_over(place, self.keeps) as usize;
            } else if let Some(message) = unanswered.take_back(place) {
                not_handed.push(message);
                let mut behind = standing.take_behind(place);
                behind.append(&mut fences);
                fences = behind;
            }
        });
        state.open_fences();
        drop(state);
        self.session.shared.queue_room.add_permits(free_bytes);
        for fence in fences.into_iter().rev() {
            outbox.put_back(Queued::Fence(fence));
        }
        // The newest comes first.
        for message in not_handed {
            outbox.put_back(Queued::Message(message));
        }
    }

    /// Comes back when the server has been silent for too long.
    async fn watch_for_silence(&self) -> Disconnect {
        let signs = &self.session.signs;
        let mut check = SilenceCheck::new(self.silence_max, Instant::now());
        loop {
            sleep_until(check.next_at()).await;
            let now = Instant::now();
            let unread = signs.take_unread(now);
            let silent = check.sample(self.sample(), now, unread).is_some();
            if !silent || !signs.is_reading() {
                continue;
            }
            self.read_what_came().await;
            let silent = check.sample(self.sample(), now, Duration::ZERO);
            if let Some(silence) = silent.filter(|_| signs.is_reading()) {
                let limit = self.silence_max;
                return Disconnect::Silent { silence, limit };
            }
        }
    }

    /// Lets reading go on until the socket would block, for as long as the
    /// server may be silent: one that never ends delivering is silent too.
    async fn read_what_came(&self) {
        let signs = &self.session.signs;
        let begin = Instant::now();
        loop {
            let before = signs.frames();
            // The task comes back after the sockets were looked at, and reads
            // before it comes here.
            tokio::task::yield_now().await;
            if signs.frames() == before || begin.elapsed() >= self.silence_max {
                return;
            }
        }
    }

    fn sample(&self) -> silence::Sample {
        let signs = &self.session.signs;
        let owes = self.session.state().unanswered.is_owed(signs.answers());
        signs.sample(owes, self.parting.is_cancelled())
    }

    /// Comes back when a close, or one that the server announced, has taken too
    /// long. A server that shuts down may take its time: it still delivers.
    async fn deadline_of_the_end(&self) -> Disconnect {
        let closing = &self.session.shared.closing;
        tokio::select! {
            () = closing.cancelled() => {}
            () = self.doomed.cancelled() => {}
        }
        self.session.inbox.look_again();
        sleep(self.session.config.close_timeout).await;
        Disconnect::Broken(io::ErrorKind::TimedOut.into())
    }
}

fn every(period: Duration, first: Instant) -> Interval {
    let mut ticks = interval_at(first, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}
