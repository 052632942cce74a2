//! The task of one TCP connection: it reads, hands the bytes to the session, and
//! writes the session's output. The session decides everything.
//!
//! One task reads and writes. It goes on writing while reading is paused, and
//! gives way to others after a bounded turn.

mod closing;
mod deadlines;
mod frame_progress;
mod output;
mod timer;

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use self::frame_progress::{FrameProgress, Lateness};
use self::timer::{Timer, TimerTable};
use super::ServerShared;
use super::input::{Arrival, Input, Round, ThreadBuffers};
use super::phase::{Permits, Phase};
use super::slots::Ending;
use super::socket::LivenessCheck;
use crate::ids::MsgId;
use crate::limits;
use crate::router::{Attention, Halt, Now, Pause, Progress, Session, Step};

/// Buffers read before output is written, unless messages are gathered for
/// subscribers: entries with more messages cost less.
const READS_PER_ROUND: usize = 4;
/// Rounds of reading and writing before others get their turn.
const ROUNDS_PER_TURN: usize = 2;
/// Buffers read in a turn, be it in one round.
const READS_PER_TURN: usize = ROUNDS_PER_TURN * READS_PER_ROUND;
/// While data is in flight, the peer is looked at so often.
const LIVENESS_INTERVAL: Duration = Duration::from_millis(2_500);

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The session has said why in its answers, or the peer sends no more and
    /// has all its answers.
    Settled,
    /// The server stops.
    ShuttingDown,
    /// A frame stayed incomplete.
    FrameTimeout(Lateness),
    /// No message was accepted.
    FirstMessageTimeout,
    /// There was no memory for the rest of a frame.
    NoMemory,
    /// There is no use in writing any more.
    Broken,
}

/// The outcome of a turn of the task.
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
    /// The store has to catch up.
    Storing,
    /// The peer sends no more; its messages are still answered.
    Ended,
    /// The rest of a frame waits for memory.
    NoMemory,
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
    frame: FrameProgress,
    /// By when a message must have been accepted, unless one was.
    first_message_by: Option<Duration>,
    /// Its slot among those that close, once it does.
    ending: Option<Arc<Ending>>,
    /// Whether the socket took no more at the last write.
    is_blocked: bool,
    liveness: LivenessCheck,
    timers: TimerTable,
}

impl Connection {
    /// The connection over `stream`, which has a slot: with an `ending` it is one
    /// of those that close.
    pub(super) fn new(
        stream: TcpStream,
        shared: Arc<ServerShared>,
        ending: Option<Arc<Ending>>,
    ) -> Self {
        let session = shared.router.connect();
        let permits = shared.phases.join(session.id(), session.waker());
        let first_message_timeout = shared.config.first_message_timeout;
        let first_message_by = shared.clock.mono().checked_add(first_message_timeout);
        Self {
            stream,
            session,
            shared,
            permits,
            input: Input::default(),
            intake: Intake::Open,
            frame: FrameProgress::default(),
            first_message_by,
            ending,
            is_blocked: false,
            liveness: LivenessCheck::default(),
            timers: TimerTable::new(),
        }
    }

    /// Serves the connection to its end.
    ///
    /// Boxed, because a future keeps room for its argument and for the locals
    /// made from it.
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

    // ---- a turn ----

    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        self.session.register(cx.waker());
        if self.session.has_reports()
            && self.session.handle_reports(self.shared.clock.now()) == Attention::Close
        {
            return Poll::Ready(Turn::End(End::Settled));
        }
        if let Some(end) = self.on_phase() {
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
            if let Some(end) = self.on_output(progress) {
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
    fn on_phase(&mut self) -> Option<End> {
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
            self.timers.stop(Timer::Pause);
            self.frame.end();
        }
        self.permits.stopping = None;
        if phase >= Phase::GivingUp && self.permits.giving_up.is_some() {
            self.session.end_input();
            self.permits.draining = None;
            self.permits.giving_up = None;
        }
        (phase == Phase::Closing).then_some(End::ShuttingDown)
    }

    /// Returns whether the answers that held input up have left. Nobody wakes
    /// the task for that, as it wrote them itself.
    fn answers_made_room(&self) -> bool {
        matches!(self.intake, Intake::AnswersFull) && !self.session.answers_are_full()
    }

    // ---- input ----

    /// Takes input as often as a round allows, and queues the accepted messages.
    /// `reads` are those of this turn.
    fn poll_reads(&mut self, cx: &mut Context<'_>, reads: &mut usize) -> Poll<Result<(), End>> {
        ThreadBuffers::lend(|buffers| {
            let mut round = buffers.begin();
            let mut intake = Poll::Pending;
            let before = *reads;
            while *reads < READS_PER_TURN {
                *reads += 1;
                intake = self.poll_intake(cx, &mut round);
                let is_over = *reads - before >= READS_PER_ROUND && !round.gathering.is_growing();
                if is_over || !matches!(intake, Poll::Ready(Ok(()))) {
                    break;
                }
            }
            intake
        })
    }

    /// Takes input once, if any is to be taken. Ready when something was done.
    fn poll_intake(
        &mut self,
        cx: &mut Context<'_>,
        round: &mut Round<'_>,
    ) -> Poll<Result<(), End>> {
        match &mut self.intake {
            Intake::Ended | Intake::Stopped(_) => return Poll::Pending,
            Intake::Paused(pause) => {
                // Wait first, then look: room that appears in between wakes us.
                pause.wait(cx.waker());
                if self.timers.is_running(Timer::Pause) && !pause.has_room() {
                    return Poll::Pending;
                }
                self.timers.stop(Timer::Pause);
                return Poll::Ready(self.resume(round));
            }
            Intake::AnswersFull if self.session.answers_are_full() => return Poll::Pending,
            Intake::AnswersFull => return Poll::Ready(self.resume(round)),
            Intake::Storing if !self.session.may_store_more() => return Poll::Pending,
            Intake::Storing => return Poll::Ready(self.resume(round)),
            Intake::Open if self.session.answers_are_full() => {
                self.intake = Intake::AnswersFull;
                // A frame that has begun waits for us now, not for its peer.
                self.frame.hold(self.shared.clock.mono());
                return Poll::Pending;
            }
            Intake::NoMemory => {
                // Wait first, then look, as for room.
                self.session.wait_to_read(cx.waker());
                if self.session.room_to_read(self.input.len()) == 0 {
                    return self.poll_end(cx);
                }
                self.stop_waiting_for_memory();
            }
            Intake::Open => {}
        }
        let clock = &self.shared.clock;
        let read = self
            .input
            .poll_read(cx, &mut self.stream, &mut self.session, round, || {
                clock.now()
            });
        Poll::Ready(match ready!(read) {
            Ok(Arrival::Step(step, now)) => self.on_step(step, now),
            Ok(Arrival::PartOfFrame) => {
                self.frame.advance(clock.mono(), self.input.len());
                Ok(())
            }
            Ok(Arrival::NoMemory) => {
                self.intake = Intake::NoMemory;
                // The frame waits for us now, not for its peer.
                let now = clock.mono();
                self.frame.hold(now);
                self.timers
                    .set(Timer::Memory, now + limits::MEMORY_WAIT_MAX);
                Ok(())
            }
            Ok(Arrival::End) => {
                self.session.end_input();
                self.intake = Intake::Ended;
                self.frame.end();
                Ok(())
            }
            Err(_) => Err(End::Broken),
        })
    }

    /// Looks whether the peer has gone, without reading its bytes: a connection
    /// that waits for memory shall not keep its own until its time is up.
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
        if matches!(self.intake, Intake::NoMemory) {
            self.session.stop_waiting_to_read();
            self.intake = Intake::Open;
            self.timers.stop(Timer::Memory);
            self.frame
                .advance(self.shared.clock.mono(), self.input.len());
        }
    }

    /// Hands in again the bytes at which the session stopped.
    fn resume(&mut self, round: &mut Round<'_>) -> Result<(), End> {
        let now = self.shared.clock.now();
        let step = self.input.resume(&mut self.session, round, now);
        self.on_step(step, now)
    }

    /// Acts on the outcome of the input that the session took at `now`.
    fn on_step(&mut self, step: Step, now: Now) -> Result<(), End> {
        if self.first_message_by.is_some() && self.session.has_accepted() {
            self.first_message_by = None;
        }
        self.intake = match step.halt {
            None => Intake::Open,
            Some(Halt::Pause(pause)) => {
                self.timers.set(Timer::Pause, pause.deadline);
                Intake::Paused(pause)
            }
            Some(Halt::AnswersFull) => Intake::AnswersFull,
            Some(Halt::Storing) => Intake::Storing,
            Some(Halt::Close | Halt::Refused) => return Err(End::Settled),
        };
        let waits_for_frame = matches!(self.intake, Intake::Open) && !self.input.is_empty();
        if !waits_for_frame {
            // Either no bytes are left, or the first frame in them is complete.
            self.frame.end();
        } else if step.consumed > 0 {
            self.frame.begin(now.mono, self.input.len());
        } else {
            self.frame.advance(now.mono, self.input.len());
        }
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stop_waiting_for_memory();
        self.shared.phases.leave(self.session.id());
        self.shared.slots.leave(self.ending.as_deref());
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::server::ServerConfig;
    use crate::server::slots::SlotsMax;

    /// An idle connection is to cost 4 KiB at most. The parts that aren't counted
    /// here (outbox, socket, tables, the names it has used) make 2 KiB.
    #[tokio::test]
    async fn a_connection_that_waits_is_small() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let max = SlotsMax {
            served: 1,
            closing: 1,
        };
        let shared = Arc::new(ServerShared::new(ServerConfig::default(), max).unwrap());
        let connection = Box::new(Connection::new(stream, shared, None));
        assert!(size_of_val(&*connection) <= 1024);
        assert!(size_of_val(&connection.run()) <= 64);
    }
}
