//! Endpoints for threads without a runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use bytes::BytesMut;
use tokio::runtime::Handle;

use super::sender::{Admission, Decision};
use super::{EndpointReceiver, EndpointSender};
use crate::events::{Event, InsideRuntime, SendError};
use crate::server::input::ThreadBuffers;
use crate::wire::{Ack, Message, Payload};

/// An [`EndpointSender`] for a thread that may wait. It needs no runtime.
#[derive(Debug, Clone)]
pub struct BlockingSender(EndpointSender);

/// An [`EndpointReceiver`] for a thread that may wait. It needs no runtime.
#[derive(Debug)]
pub struct BlockingReceiver(EndpointReceiver);

impl EndpointSender {
    /// The same endpoint, for a thread that may wait.
    #[must_use]
    pub fn blocking(&self) -> BlockingSender {
        BlockingSender(self.clone())
    }
}

impl EndpointReceiver {
    /// The same receiver, for a thread that may wait.
    #[must_use]
    pub fn blocking(self) -> BlockingReceiver {
        BlockingReceiver(self)
    }
}

impl BlockingSender {
    /// Sends a message and gives the server's answer. Waits while the target's queue is
    /// full.
    ///
    /// # Errors
    /// As of [`EndpointSender::send`], and [`SendError::InsideRuntime`].
    pub fn send(&self, message: &Message) -> Result<Ack, SendError> {
        if matches!(message.payload, Payload::Ack(_)) {
            return Err(SendError::NeverAnswered);
        }
        self.send_frame(message)?.ack(message.msg_id)
    }

    /// Sends a message and drops its ack; also an `ack`, which has none.
    ///
    /// # Errors
    /// As of [`EndpointSender::post`], and [`SendError::InsideRuntime`].
    pub fn post(&self, message: &Message) -> Result<(), SendError> {
        self.send_frame(message).map(|_| ())
    }

    fn send_frame(&self, message: &Message) -> Result<Decision, SendError> {
        check_thread()?;
        let endpoint = &self.0.endpoint;
        let mut frame = BytesMut::new();
        self.0.write(message, &mut frame)?;
        let mut turn = None;
        loop {
            let admission = ThreadBuffers::lend(|buffers| {
                endpoint.admit(&mut buffers.begin(), &mut frame, &[])
            })?;
            let mut pause = match admission {
                Admission::Decided(decision) => return Ok(decision),
                Admission::Paused(pause) => pause,
            };
            if turn.is_none() {
                turn = Some(endpoint.waiting.blocking_lock());
            }
            let waker = Parker::waker();
            pause.wait(&waker);
            // Whether it was room or the deadline, the router decides.
            while !pause.has_room()
                && let left = pause.deadline.saturating_sub(endpoint.shared.clock.mono())
                && left > Duration::ZERO
            {
                thread::park_timeout(left);
            }
        }
    }
}

impl BlockingReceiver {
    /// Waits for the next event; `None` after the name was taken over or the server
    /// stopped.
    ///
    /// # Errors
    /// This thread belongs to a runtime, which must not wait.
    pub fn receive(&mut self) -> Result<Option<Event>, InsideRuntime> {
        check_thread()?;
        let waker = Parker::waker();
        let mut receiving = pin!(self.0.receive());
        loop {
            match receiving.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(event) => return Ok(event),
                Poll::Pending => thread::park(),
            }
        }
    }
}

fn check_thread() -> Result<(), InsideRuntime> {
    match Handle::try_current() {
        Ok(_) => Err(InsideRuntime),
        Err(_) => Ok(()),
    }
}

/// Wakes a thread that is parked.
struct Parker(Thread);

impl Parker {
    /// A waker of this thread.
    fn waker() -> Waker {
        Waker::from(Arc::new(Self(thread::current())))
    }
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
