//! The task of one TCP connection: read, hand to the session, write what it
//! offers. Everything that decides is in the session.
//!
//! One task reads and writes. It goes on writing while reading is paused, and
//! gives way to others after a bounded turn.

mod deadlines;

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, timeout};

use super::ServerShared;
use super::input::{self, Arrival, Input};
use super::phase::{Permits, Phase};
use super::socket::PulseCheck;
use crate::ids::MsgId;
use crate::limits;
use crate::router::{Attention, Halt, Pause, Progress, Session, Step};
use crate::wire::ErrorCode;

/// Windows read before what follows from them is written, unless something is
/// gathered for subscribers: their entries grow with each read.
const READS_PER_ROUND: usize = 4;
/// Rounds of reading and writing before others get their turn.
const ROUNDS_PER_TURN: usize = 2;
/// Windows read in a turn, be it in one round.
const READS_PER_TURN: usize = ROUNDS_PER_TURN * READS_PER_ROUND;
/// Bytes written after each read before the next.
const WRITE_BUDGET: usize = 512 * 1024;
/// While data is in flight, the peer's pulse is taken so often.
const PULSE_INTERVAL: Duration = Duration::from_millis(2_500);

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The session has said why in its answers, or the peer sends no more and
    /// has all its answers.
    Settled,
    /// The server stops.
    ShuttingDown,
    /// A frame stayed incomplete.
    FrameTimeout,
    /// There was no memory for the rest of a frame.
    NoMemory,
    /// There is no use in writing any more.
    Broken,
}

/// What a turn of the task came to.
enum Turn {
    /// There is more to do, but others are waiting.
    GiveWay,
    /// The connection ends.
    End(End),
}

/// Whether input is taken.
#[derive(Debug)]
enum Intake {
    Open,
    /// An event waits for room.
    Paused(Pause),
    /// The answers have to leave first.
    AnswersFull,
    /// The peer ended its input; what it sent is answered.
    Ended,
    /// The rest of a frame waits for memory, until then at most.
    NoMemory(Instant),
    /// The server stops. An event may have been waiting.
    Stopped(Option<MsgId>),
}

/// See the [module](self).
pub(super) struct Connection {
    stream: TcpStream,
    session: Session,
    shared: Arc<ServerShared>,
    permits: Permits,
    input: Input,
    intake: Intake,
    /// The pause has lasted as long as it may.
    pause_expired: bool,
    /// When the frame that has begun must be complete.
    frame_deadline: Option<Instant>,
    /// Whether the socket took no more at the last write.
    blocked: bool,
    /// Since when answers wait without a byte being taken.
    stalled_since: Option<Instant>,
    pulse: PulseCheck,
    next_pulse: Option<Instant>,
    /// Exists while some deadline does; may go off before it.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, shared: Arc<ServerShared>) -> Self {
        let session = shared.router.connect();
        let permits = shared.phases.join(session.id(), session.alarm());
        Self {
            stream,
            session,
            shared,
            permits,
            input: Input::default(),
            intake: Intake::Open,
            pause_expired: false,
            frame_deadline: None,
            blocked: false,
            stalled_since: None,
            pulse: PulseCheck::default(),
            next_pulse: None,
            timer: None,
        }
    }

    /// Serves the connection to its end.
    ///
    /// Boxed, because a future keeps room for its argument and for what it
    /// makes of it.
    pub(super) async fn run(mut self: Box<Self>) {
        let end = loop {
            match poll_fn(|cx| self.poll_turn(cx)).await {
                Turn::GiveWay => tokio::task::yield_now().await,
                Turn::End(end) => break end,
            }
        };
        tracing::debug!(connection = %self.session.id(), ?end, "connection ends");
        // Boxed, so that a connection that is served has no room for its end.
        Box::pin(self.close(end)).await;
    }

    /// Tells the peer that there are too many connections, and closes.
    pub(super) async fn refuse(mut self: Box<Self>) {
        self.session.close_with(
            ErrorCode::LimitExceeded,
            "too many connections: try again later",
            None,
            self.shared.clock.now(),
        );
        self.close(End::Settled).await;
    }

    // ---- a turn ----

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        self.session.register(cx.waker());
        if self.session.needs_attention()
            && self.session.attend(self.shared.clock.now()) == Attention::Close
        {
            return Poll::Ready(Turn::End(End::Settled));
        }
        if let Some(end) = self.follow_phase() {
            return Poll::Ready(Turn::End(end));
        }
        let mut reads = 0;
        for _ in 0..ROUNDS_PER_TURN {
            let intake = self.poll_reads(cx, &mut reads);
            if let Poll::Ready(Err(end)) = intake {
                return Poll::Ready(Turn::End(end));
            }
            let Ok(progress) = self.poll_output(cx) else {
                return Poll::Ready(Turn::End(End::Broken));
            };
            if let Some(end) = self.follow_output(progress) {
                return Poll::Ready(Turn::End(end));
            }
            if intake.is_pending() && progress != Progress::More && !self.answers_made_room() {
                return self.poll_deadlines(cx);
            }
            if reads >= READS_PER_TURN {
                break;
            }
        }
        Poll::Ready(Turn::GiveWay)
    }

    /// Does this connection's part of a shutdown.
    fn follow_phase(&mut self) -> Option<End> {
        let phase = self.shared.phases.now();
        if phase == Phase::Running {
            return None;
        }
        self.stop_waiting_for_memory();
        if !matches!(self.intake, Intake::Ended | Intake::Stopped(_)) {
            let waiting = match &self.intake {
                Intake::Paused(pause) => Some(pause.msg_id),
                _ => None,
            };
            self.intake = Intake::Stopped(waiting);
            self.frame_deadline = None;
        }
        self.permits.stopping = None;
        if phase >= Phase::GivingUp && self.permits.giving_up.is_some() {
            self.session.end_input();
            self.permits.draining = None;
            self.permits.giving_up = None;
        }
        (phase == Phase::Closing).then_some(End::ShuttingDown)
    }

    /// The answers that held input up have left. Nobody wakes the task for
    /// that: it did it itself.
    fn answers_made_room(&self) -> bool {
        matches!(self.intake, Intake::AnswersFull) && !self.session.answers_are_full()
    }

    /// Does what follows from how far the output got.
    fn follow_output(&mut self, progress: Progress) -> Option<End> {
        if progress == Progress::Idle && self.shared.phases.now() == Phase::Draining {
            self.permits.draining = None;
        }
        // A peer that sends no more still gets its answers; for what else is
        // begun, the closing sequence has its second.
        let answered = !self.session.has_answers();
        (answered && matches!(self.intake, Intake::Ended)).then_some(End::Settled)
    }

    // ---- input ----

    /// Takes input as often as a round allows, and queues what was accepted.
    /// `reads` are those of this turn.
    fn poll_reads(&mut self, cx: &mut Context<'_>, reads: &mut usize) -> Poll<Result<(), End>> {
        let mut intake = Poll::Pending;
        let before = *reads;
        while *reads < READS_PER_TURN {
            *reads += 1;
            intake = self.poll_intake(cx);
            let ends_round = *reads - before >= READS_PER_ROUND && !input::is_gathering();
            if ends_round || !matches!(intake, Poll::Ready(Ok(()))) {
                break;
            }
        }
        input::flush();
        intake
    }

    /// Takes input once, if any is to be taken. Ready when something was done.
    fn poll_intake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        match &mut self.intake {
            Intake::Ended | Intake::Stopped(_) => return Poll::Pending,
            Intake::Paused(pause) => {
                // Wait first, then look: room that appears in between wakes us.
                pause.wait(cx.waker());
                if !self.pause_expired && !pause.is_over() {
                    return Poll::Pending;
                }
                self.pause_expired = false;
                return Poll::Ready(self.resume());
            }
            Intake::AnswersFull if self.session.answers_are_full() => return Poll::Pending,
            Intake::AnswersFull => return Poll::Ready(self.resume()),
            Intake::Open if self.session.answers_are_full() => {
                self.intake = Intake::AnswersFull;
                // What of a frame has begun waits for us now, not for its peer.
                self.frame_deadline = None;
                return Poll::Pending;
            }
            Intake::NoMemory(_) => {
                // Wait first, then look, as for room.
                self.session.wait_to_read(cx.waker());
                if self.session.room_to_read(self.input.held()) == 0 {
                    return self.poll_end(cx);
                }
                self.stop_waiting_for_memory();
            }
            Intake::Open => {}
        }
        let clock = self.shared.clock;
        let read = self
            .input
            .poll_read(cx, &mut self.stream, &mut self.session, || clock.now());
        Poll::Ready(match ready!(read) {
            Ok(Arrival::Step(step)) => self.follow(step),
            Ok(Arrival::PartOfFrame) => {
                self.frame_deadline.get_or_insert_with(frame_deadline);
                Ok(())
            }
            Ok(Arrival::NoMemory) => {
                self.intake = Intake::NoMemory(Instant::now() + limits::MEMORY_WAIT_MAX);
                // The frame waits for us now, not for its peer.
                self.frame_deadline = None;
                Ok(())
            }
            Ok(Arrival::End) => {
                self.session.end_input();
                self.intake = Intake::Ended;
                self.frame_deadline = None;
                Ok(())
            }
            Err(_) => Err(End::Broken),
        })
    }

    /// Looks whether the peer has gone, without reading what it has sent: who
    /// waits for memory shall not keep what it has until its time is up.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let mut byte = [MaybeUninit::uninit()];
        match self.stream.poll_peek(cx, &mut ReadBuf::uninit(&mut byte)) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(End::Settled)),
            Poll::Ready(Err(_)) => Poll::Ready(Err(End::Broken)),
            _ => Poll::Pending,
        }
    }

    /// There is memory again, or it is no longer waited for.
    fn stop_waiting_for_memory(&mut self) {
        if matches!(self.intake, Intake::NoMemory(_)) {
            self.session.stop_waiting_to_read();
            self.intake = Intake::Open;
        }
    }

    /// Hands in again what the session stopped before.
    fn resume(&mut self) -> Result<(), End> {
        let step = self
            .input
            .resume(&mut self.session, self.shared.clock.now());
        self.follow(step)
    }

    /// Does what the session says after it took input.
    fn follow(&mut self, step: Step) -> Result<(), End> {
        self.intake = match step.halt {
            None => Intake::Open,
            Some(Halt::Pause(pause)) => Intake::Paused(pause),
            Some(Halt::AnswersFull) => Intake::AnswersFull,
            Some(Halt::Close) => return Err(End::Settled),
        };
        let waits_for_frame = matches!(self.intake, Intake::Open) && !self.input.is_empty();
        if !waits_for_frame {
            // Nothing has begun, or tickwire isn't reading: the clock stops.
            self.frame_deadline = None;
        } else if step.consumed > 0 || self.frame_deadline.is_none() {
            self.frame_deadline = Some(frame_deadline());
        }
        Ok(())
    }

    // ---- output ----

    fn poll_output(&mut self, cx: &mut Context<'_>) -> io::Result<Progress> {
        let stream = &mut self.stream;
        let (bytes, progress) =
            self.session
                .transmit(WRITE_BUDGET, &mut |slices| match Pin::new(&mut *stream)
                    .poll_write_vectored(cx, slices)
                {
                    Poll::Ready(written) => written,
                    Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
                })?;
        self.blocked = progress == Progress::Blocked;
        if bytes > 0 || self.blocked {
            self.next_pulse
                .get_or_insert_with(|| Instant::now() + PULSE_INTERVAL);
        }
        if bytes > 0 || !self.session.has_answers() {
            self.stalled_since = None;
        }
        if progress == Progress::Blocked && self.session.has_answers() {
            self.stalled_since.get_or_insert_with(Instant::now);
        }
        Ok(progress)
    }

    // ---- the end ----

    /// The closing sequence: the answers so far and what explains the close,
    /// the end of our output, and then the peer's input until it ends, for a
    /// while. Closing with unread input would reset the connection and destroy
    /// what was just written.
    async fn close(mut self: Box<Self>, end: End) {
        self.stop_waiting_for_memory();
        self.session.end_input();
        let now = self.shared.clock.now();
        let _ = self.session.attend(now);
        match end {
            End::Broken => return,
            End::Settled => {}
            End::ShuttingDown => {
                let waiting = match self.intake {
                    Intake::Stopped(waiting) => waiting,
                    _ => None,
                };
                self.session.close_with(
                    ErrorCode::ServerShuttingDown,
                    "the server stops: connect again later",
                    waiting,
                    now,
                );
            }
            End::NoMemory => self.session.close_with(
                ErrorCode::LimitExceeded,
                "the server's memory for incomplete frames is used up: connect again later",
                None,
                now,
            ),
            End::FrameTimeout => self.session.close_with(
                ErrorCode::FrameTimeout,
                "a frame stayed incomplete for 10 s: send each frame without a break",
                None,
                now,
            ),
        }
        let _ = timeout(limits::CLOSE_WRITE_TIMEOUT, self.write_rest()).await;
        if self.stream.shutdown().await.is_err() || matches!(self.intake, Intake::Ended) {
            return;
        }
        let _ = timeout(limits::CLOSE_DISCARD_TIMEOUT, self.discard_input()).await;
    }

    async fn write_rest(&mut self) -> io::Result<()> {
        poll_fn(|cx| match self.poll_output(cx) {
            Ok(Progress::Idle) => Poll::Ready(Ok(())),
            Ok(Progress::Blocked) => Poll::Pending,
            Ok(Progress::More) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        })
        .await
    }

    async fn discard_input(&mut self) -> io::Result<()> {
        let mut discarded = 0;
        poll_fn(|cx| {
            // On the stack: a task that waits for input has no room for it.
            let mut buffer = [MaybeUninit::uninit(); 4 * 1024];
            while discarded < limits::CLOSE_DISCARD_BYTES {
                let mut read = ReadBuf::uninit(&mut buffer);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
                match read.filled().len() {
                    0 => break,
                    bytes => discarded += bytes,
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stop_waiting_for_memory();
        self.shared.phases.leave(self.session.id());
    }
}

fn frame_deadline() -> Instant {
    Instant::now() + limits::FRAME_TIMEOUT
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::server::ServerConfig;

    /// An idle connection is to cost 4 KiB at most. What isn't counted here
    /// (outbox, socket, tables, what it has used) makes 2 KiB.
    #[tokio::test]
    async fn a_connection_that_waits_is_small() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let shared = Arc::new(ServerShared::new(ServerConfig::default()));
        let connection = Box::new(Connection::new(stream, shared));
        assert!(size_of_val(&*connection) <= 1024);
        assert!(size_of_val(&connection.run()) <= 64);
    }
}
