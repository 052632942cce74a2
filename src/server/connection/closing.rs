//! How a connection ends: its peer is told why, and has a moment to read that.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use super::frame_progress::Lateness;
use super::{Connection, End, Intake};
use crate::limits;
use crate::router::Progress;
use crate::wire::ErrorCode;

impl Connection {
    /// Tells the peer that there are too many connections, and closes.
    pub(in super::super) async fn refuse(mut self: Box<Self>) {
        self.session.close_with(
            ErrorCode::LimitExceeded,
            "too many connections: try again later",
            None,
            self.shared.clock.now(),
        );
        self.close(End::Settled).await;
    }

    /// The closing sequence: the answers so far and the reason, the end of our output,
    /// and then, for a while, the peer's input until it ends. With unread input the
    /// close would reset the connection and destroy the bytes just written.
    pub(super) async fn close(mut self: Box<Self>, end: End) {
        let ending = Arc::clone(self.ending.get_or_insert_with(|| {
            let now = self.shared.clock.mono();
            self.shared.slots.begin_closing(now)
        }));
        tokio::select! {
            // Everybody is told once, however many close.
            biased;
            () = self.close_in_order(end) => {}
            () = ending.hurry.notified() => {}
        }
    }

    async fn close_in_order(&mut self, end: End) {
        self.stop_waiting_for_memory();
        self.session.end_input();
        let now = self.shared.clock.now();
        let _ = self.session.handle_reports(now);
        if end == End::Broken {
            return;
        }
        // What the store answers later is never heard: the fate of that is unknown.
        let _ = timeout(limits::CLOSE_WRITE_TIMEOUT, self.stored()).await;
        match end {
            End::Broken | End::Settled => {}
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
            End::FrameTimeout(lateness) => {
                let reason = self.reason_of(lateness);
                let code = ErrorCode::FrameTimeout;
                self.session.close_with(code, &reason, None, now);
            }
            End::FirstMessageTimeout => {
                let reason = format!(
                    "no message was accepted for {:?}: say hello when you connect",
                    self.shared.config.first_message_timeout
                );
                let code = ErrorCode::FirstMessageTimeout;
                self.session.close_with(code, &reason, None, now);
            }
        }
        let _ = timeout(limits::CLOSE_WRITE_TIMEOUT, self.write_rest()).await;
        if self.stream.shutdown().await.is_err() || matches!(self.intake, Intake::Ended) {
            return;
        }
        let _ = timeout(limits::CLOSE_DISCARD_TIMEOUT, self.discard_input()).await;
    }

    fn reason_of(&self, lateness: Lateness) -> String {
        match lateness {
            Lateness::Silent => format!(
                "no byte of an incomplete frame came for {} s: send each frame without a break",
                limits::FRAME_TIMEOUT.as_secs()
            ),
            Lateness::Slow => format!(
                "a frame came at less than {} bytes a second: send smaller ones, or faster",
                self.shared.config.frame_rate_min
            ),
        }
    }

    /// Waits until the store has answered all messages.
    async fn stored(&mut self) {
        poll_fn(|cx| {
            self.session.register(cx.waker());
            let _ = self.session.handle_reports(self.shared.clock.now());
            match self.session.is_storing() {
                true => Poll::Pending,
                false => Poll::Ready(()),
            }
        })
        .await;
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
