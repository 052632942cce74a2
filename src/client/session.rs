//! One connection's life, from the welcome to its end.
//!
//! One task reads, writes and watches the clock side by side. Whatever ends it,
//! every message that was sent gets its outcome: the answer, [`FateUnknown`] if
//! it had been handed to the connection, [`Closed`] if not.
//!
//! [`FateUnknown`]: super::SendError::FateUnknown
//! [`Closed`]: super::SendError::Closed

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::codec::FramedRead;

use super::receiver::Inbox;
use super::unanswered::{Unanswered, Waiter};
use super::{ClientConfig, Disconnect, Event, Outgoing, SendError, Shared};
use crate::exchange::{Answer, ServerVoice};
use crate::ids::MsgId;
use crate::limits::{CLOSE_WRITE_TIMEOUT, WINDOW_BYTES};
use crate::wire::{Ack, ErrorCode, ErrorReport, FrameCodec, FrameCodecError, Message};

/// After so many frames in a row reading lets writing have a turn.
const FRAMES_A_TURN: usize = 256;

/// What a connection's task works with.
pub(super) struct Session {
    shared: Arc<Shared>,
    server: ServerVoice,
    inbox: Inbox,
    unanswered: Mutex<Unanswered>,
    heartbeat: Option<Duration>,
    close_timeout: Duration,
    ended: Ended,
}

/// Where it is said that the connection has ended, with how many messages
/// unanswered.
pub(super) struct Ended(pub watch::Sender<Option<usize>>);

impl Session {
    pub(super) fn new(
        shared: Arc<Shared>,
        config: &ClientConfig,
        inbox: Inbox,
        ended: Ended,
    ) -> Self {
        Self {
            server: ServerVoice::of(&shared.welcome.server.name),
            shared,
            inbox,
            unanswered: Mutex::new(Unanswered::new(config.answer_timeout)),
            heartbeat: config.heartbeat,
            close_timeout: config.close_timeout,
            ended,
        }
    }

    /// Lives the connection's life. `early` is what arrived before the welcome.
    pub(super) async fn run<R, W>(
        self,
        mut frames: FramedRead<R, FrameCodec>,
        mut writer: W,
        mut queue: mpsc::UnboundedReceiver<Outgoing>,
        early: Vec<Bytes>,
    ) where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        early.into_iter().for_each(|frame| self.take_in(frame));
        let disconnect = tokio::select! {
            disconnect = self.read(&mut frames) => disconnect,
            disconnect = self.write_to_the_end(&mut writer, &mut queue) => disconnect,
            disconnect = self.close_deadline() => disconnect,
            never = self.watch_the_clock() => match never {},
        };

        self.shared.refuse_more();
        let abandoned = std::mem::replace(&mut *self.unanswered(), Unanswered::new(Duration::ZERO));
        let count = abandoned.len();
        // Each waiter says what it knows when it is dropped.
        drop(abandoned);
        queue.close();
        while queue.recv().await.is_some() {}
        if !self.shared.closing.is_cancelled() {
            self.inbox.tell(Event::Disconnected(disconnect));
        }
        // Nobody may be waiting for it.
        let _ = self.ended.0.send(Some(count));
    }

    /// Reads until the input ends.
    async fn read<R: AsyncRead + Unpin>(
        &self,
        frames: &mut FramedRead<R, FrameCodec>,
    ) -> Disconnect {
        loop {
            for _ in 0..FRAMES_A_TURN {
                self.inbox.room(|| self.answer_due()).await;
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

    /// Whether reading must go on although the program doesn't receive.
    fn answer_due(&self) -> bool {
        self.unanswered().len() > 0 || self.shared.closing.is_cancelled()
    }

    fn take_in(&self, frame: Bytes) {
        match self.server.answer_in(&frame) {
            None => self.inbox.deliver(frame),
            Some(Answer::Ack(ack)) => self.settle_ack(ack),
            Some(Answer::Error(report)) => self.settle_error(report),
        }
    }

    fn settle_ack(&self, ack: Ack) {
        for ack in ack.split() {
            self.settle(&ack.acknowledged_msg_id.clone(), Ok(ack));
        }
    }

    fn settle_error(&self, report: ErrorReport) {
        let waited_for = report
            .msg_id()
            .is_some_and(|id| self.settle(&id, Err(SendError::Refused(report.clone()))));
        // What ends the connection concerns the receiver in any case.
        if !waited_for || report.known_code() == Some(ErrorCode::ServerShuttingDown) {
            self.inbox.tell(Event::Notice(report));
        }
    }

    /// Settles the message `id`; says whether anybody waited for the outcome.
    fn settle(&self, id: &MsgId, outcome: Result<Ack, SendError>) -> bool {
        let Some(due) = self.unanswered().take(id) else {
            return false;
        };
        if due.takes_room {
            self.shared.unanswered_room.add_permits(1);
        }
        due.resolve(outcome)
    }

    /// Writes until the connection is to be closed, then ends the output and
    /// leaves the rest to reading. Comes back only if writing fails.
    async fn write_to_the_end<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut W,
        queue: &mut mpsc::UnboundedReceiver<Outgoing>,
    ) -> Disconnect {
        match self.write(writer, queue).await {
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
        queue: &mut mpsc::UnboundedReceiver<Outgoing>,
    ) -> io::Result<()> {
        let mut beats = self.heartbeat.map(|period| {
            let mut beats = interval(period);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            beats
        });
        let mut buffer = BytesMut::with_capacity(WINDOW_BYTES);
        let mut closing = false;
        loop {
            // A full queue must not keep heartbeats back, so they come first.
            let mut next = tokio::select! {
                biased;
                () = tick(&mut beats), if !closing => {
                    self.beat(&mut buffer);
                    None
                }
                () = self.shared.closing.cancelled(), if !closing => {
                    closing = true;
                    queue.close();
                    None
                }
                next = queue.recv() => match next {
                    Some(outgoing) => Some(outgoing),
                    None => break,
                },
            };
            let mut queued_bytes = 0;
            while let Some(outgoing) = next {
                queued_bytes += outgoing.queued_bytes as usize;
                buffer.extend_from_slice(&outgoing.frame);
                if let Some(id) = outgoing.answered_as {
                    self.await_answer(id, outgoing.waiter, true);
                }
                let full = buffer.len() >= WINDOW_BYTES;
                next = if full { None } else { queue.try_recv().ok() };
            }
            writer.write_all_buf(&mut buffer).await?;
            writer.flush().await?;
            self.shared.queue_room.add_permits(queued_bytes);
        }
        writer.shutdown().await
    }

    /// Notes that an answer is due to what is about to be written: from here on
    /// it may have been accepted.
    fn await_answer(&self, id: MsgId, waiter: Option<Waiter>, takes_room: bool) {
        let mut unanswered = self.unanswered();
        unanswered.insert(id, waiter, takes_room, Instant::now());
        if unanswered.len() == 1 {
            self.inbox.look_again();
        }
    }

    fn beat(&self, buffer: &mut BytesMut) {
        let beat = Message::heartbeat(&self.shared.name, "alive")
            .expect("both the client's name and the monitor's are names");
        buffer.extend_from_slice(&beat.to_frame());
        self.await_answer(beat.msg_id, None, false);
    }

    /// Gives up the answers that stay out for too long.
    async fn watch_the_clock(&self) -> Infallible {
        loop {
            let deadline = self.unanswered().deadline(Instant::now());
            sleep_until(deadline).await;
            let freed = self.unanswered().expire(Instant::now());
            self.shared.unanswered_room.add_permits(freed);
        }
    }

    /// Comes back when a close has taken too long.
    async fn close_deadline(&self) -> Disconnect {
        self.shared.closing.cancelled().await;
        self.inbox.look_again();
        sleep(self.close_timeout).await;
        Disconnect::Broken(io::ErrorKind::TimedOut.into())
    }

    fn unanswered(&self) -> MutexGuard<'_, Unanswered> {
        // Only this task locks it, and never across an await.
        self.unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

async fn tick(beats: &mut Option<Interval>) {
    match beats {
        Some(beats) => {
            beats.tick().await;
        }
        None => std::future::pending().await,
    }
}
