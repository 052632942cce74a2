//! One connection's life, from the welcome to its end. Reading, [writing]
//! and the clocks run side by side in the session's task.

mod writing;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::codec::FramedRead;
use tokio_util::sync::CancellationToken;

use super::greet::Welcomed;
use super::outbox::Outbox;
use super::outgoing::Purpose;
use super::session::Session;
use super::shared::frame_bytes_max;
use super::silence::{self, SilenceCheck};
use super::{Disconnect, Event, SendError, ending};
use crate::ids::{MsgId, Name};
use crate::wire::{
    Ack, Answer, AnswerReader, ErrorCode, ErrorReport, FrameCodec, FrameCodecError, SpelledAck,
    SpelledAcks, Welcome,
};

/// Frames read in a row before writing has a turn.
const FRAMES_A_TURN: usize = 256;

pub(super) struct Connection<'a> {
    session: &'a Session,
    reader: AnswerReader,
    frame_bytes_max: usize,
    /// Whether messages are kept until they are answered, for the next connection.
    keeps: bool,
    /// The positions before this were handed to an earlier connection.
    repeats_before: u64,
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
            reader: AnswerReader::of(&welcomed.welcome.server.name),
            silence_max: silence::limit(
                session.config.answer_timeout,
                stall_timeout.map(Duration::from_millis),
            ),
            frame_bytes_max: frame_bytes_max(&welcomed.welcome),
            keeps: state.registration.is_resumable(),
            probes_due: AtomicU64::new(0),
            repeats_before: state.unanswered.next_position(),
            parting: CancellationToken::new(),
            doomed: CancellationToken::new(),
        }
    }

    /// Serves the connection to its end. Messages not handed over stay in `outbox`.
    pub(super) async fn run<S>(self, welcomed: Welcomed<S>, outbox: &mut Outbox) -> Disconnect
    where
        S: AsyncRead + AsyncWrite,
    {
        let Welcomed {
            mut frames,
            mut writer,
            early,
            welcome,
            ..
        } = welcomed;
        let mut acks = acks_of(&welcome, &self.session.shared.name);
        for frame in early {
            self.take_in(&mut acks, frame);
        }
        let end = tokio::select! {
            // Reading first: a write that fails doesn't tell how much was taken.
            biased;
            end = self.read(&mut acks, &mut frames) => end,
            end = self.write_to_the_end(&mut writer, outbox) => end,
            end = self.close_deadline() => end,
            end = self.watch_for_silence() => end,
            never = self.session.expire_answers() => match never {},
        };
        self.end_batch(outbox);
        end
    }

    async fn read<R: AsyncRead + Unpin>(
        &self,
        acks: &mut SpelledAcks,
        frames: &mut FramedRead<R, FrameCodec>,
    ) -> Disconnect {
        loop {
            for _ in 0..FRAMES_A_TURN {
                self.wait_for_room().await;
                match frames.next().await {
                    Some(Ok(frame)) => self.take_in(acks, frame),
                    Some(Err(FrameCodecError::Io(error))) => return Disconnect::Broken(error),
                    Some(Err(FrameCodecError::Frame(error))) => return Disconnect::Framing(error),
                    None => return Disconnect::ByServer,
                }
            }
            tokio::task::yield_now().await;
        }
    }

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

    fn take_in(&self, acks: &mut SpelledAcks, frame: Bytes) {
        self.session.signs.read();
        if let Some(ack) = acks.read(&frame) {
            return self.on_spelled_ack(&ack);
        }
        match self.reader.answer_in(&frame) {
            None if self.answers_a_probe(&frame) => {}
            None => self.session.inbox.deliver(frame),
            Some(Answer::Ack(ack)) => self.on_ack(ack),
            Some(Answer::Error(report)) => self.on_error(report),
        }
    }

    /// Returns whether a frame is the welcome that a probe asked for.
    fn answers_a_probe(&self, frame: &[u8]) -> bool {
        let due = self.probes_due.load(Ordering::Relaxed);
        if due == 0 {
            return false;
        }
        let Some(id) = self.reader.welcome_in(frame) else {
            return false;
        };
        self.probes_due.store(due - 1, Ordering::Relaxed);
        self.session.signs.answered();
        // It may have been given up.
        drop(self.session.state().unanswered.take(&id));
        true
    }

    fn on_spelled_ack(&self, ack: &SpelledAck<'_>) {
        self.session.signs.answered();
        for (id, dropped) in ack.covered() {
            self.resolve(&id, Ok(ack.of(id, dropped)));
        }
    }

    fn on_ack(&self, ack: Ack) {
        self.session.signs.answered();
        for ack in ack.split() {
            self.resolve(&ack.acknowledged_msg_id.clone(), Ok(ack));
        }
    }

    fn on_error(&self, report: ErrorReport) {
        let code = report.known_code();
        // An `UNDELIVERED` comes long after the answer.
        if report.msg_id().is_some() && code != Some(ErrorCode::Undelivered) {
            self.session.signs.answered();
        }
        let waited_for = match report.msg_id() {
            Some(id) => self.resolve(&id, Err(SendError::Refused(report.clone()))),
            None => {
                self.on_last_word(&report);
                false
            }
        };
        let shutting_down = code == Some(ErrorCode::ServerShuttingDown);
        if shutting_down {
            self.parting.cancel();
        }
        // The end of the connection concerns the receiver in any case.
        if !waited_for || shutting_down {
            self.session.inbox.push(Event::Notice(report));
        }
    }

    /// Notes a word about the connection itself, if it is a last one.
    fn on_last_word(&self, report: &ErrorReport) {
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

    /// Resolves the message `id`; returns whether a send waited for that.
    fn resolve(&self, id: &MsgId, outcome: Result<Ack, SendError>) -> bool {
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
            self.read_all_arrived().await;
            let silent = check.sample(self.sample(), now, Duration::ZERO);
            if let Some(silence) = silent.filter(|_| signs.is_reading()) {
                let limit = self.silence_max;
                return Disconnect::Silent { silence, limit };
            }
        }
    }

    /// Lets reading go on until the socket would block, or for `silence_max`: a server
    /// that never ends delivering is silent too.
    async fn read_all_arrived(&self) {
        let signs = &self.session.signs;
        let begin = Instant::now();
        loop {
            let before = signs.frames();
            // The task looks at the sockets, and reads, before it comes back here.
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

    /// Comes back when a close, or one that the server announced, took too long. A
    /// server that shuts down may take its time: it still delivers.
    async fn close_deadline(&self) -> Disconnect {
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
