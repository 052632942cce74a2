//! In-process endpoints: a sender and a receiver that skip TCP.
//!
//! An endpoint is a session like any other, without a socket: what is sent is
//! handed to it as a frame, so it meets the same rules and the same router, and
//! what the session would write is taken from it.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use futures_core::Stream;
use tokio::time::timeout_at;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::ServerShared;
use super::phase::Phase;
use super::workbench::Workbench;
use crate::exchange::{Event, Inbound, SendError};
use crate::ids::{Name, NameError};
use crate::limits::FRAME_PREFIX_BYTES;
use crate::router::{Attention, Halt, Pause, Session};
use crate::wire::{self, Ack, Answer, AnswerReader, ErrorCode, Message, Payload, write_frame};

/// Why an endpoint can't be attached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The name is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name is the server's own.
    #[error("{0:?} is the server's own name: attach under another")]
    ServerName(Name),
    /// Connections share the name as a group.
    #[error("a group of connections shares {0:?}: attach under another name")]
    Group(Name),
    /// The server is stopping, or has stopped.
    #[error("the server is stopping")]
    Stopping,
}

/// Sends from inside the process. Cloning shares the endpoint.
#[derive(Debug, Clone)]
pub struct EndpointSender {
    endpoint: Arc<Endpoint>,
}

/// Receives inside the process what is addressed to the endpoint's name or to
/// everyone: a stream of [`Event`]s. It ends when the name is taken over or the
/// server stops; what explains that comes before as an [`Event::Notice`].
///
/// Dropping it gives the name up: what is queued for it is reported to those
/// who sent it.
pub struct EndpointReceiver {
    endpoint: Arc<Endpoint>,
    /// Frames taken from the session but not yet handed out.
    run: Bytes,
    notices: VecDeque<Event>,
    /// Nothing follows but what is here already.
    ended: bool,
    /// Holds the end of the draining phase up.
    draining: Option<TaskTrackerToken>,
}

struct Endpoint {
    name: Name,
    shared: Arc<ServerShared>,
    answers: AnswerReader,
    state: Mutex<State>,
    /// Held by the one send that waits for room, so that others wait behind it.
    waiting: tokio::sync::Mutex<()>,
}

struct State {
    session: Session,
    /// The server takes no more input.
    stopped: bool,
}

/// The endpoints of a server, for its shutdown.
#[derive(Debug, Default)]
pub(super) struct Endpoints(Mutex<Vec<Weak<Endpoint>>>);

/// What the session made of a frame.
enum Admission {
    Answered(Option<Answer>),
    Paused(Pause),
}

pub(super) fn attach(
    shared: &Arc<ServerShared>,
    name: Name,
) -> Result<(EndpointSender, EndpointReceiver), AttachError> {
    if shared.phases.now() != Phase::Running {
        return Err(AttachError::Stopping);
    }
    let mut session = shared.router.connect();
    if name == shared.config.name {
        return Err(AttachError::ServerName(name));
    }
    session
        .own(&name)
        .map_err(|_| AttachError::Group(name.clone()))?;
    let mut permits = shared.phases.join(session.id(), session.alarm());
    let endpoint = Arc::new(Endpoint {
        name,
        answers: AnswerReader::of(&shared.config.name),
        shared: Arc::clone(shared),
        state: Mutex::new(State {
            session,
            stopped: false,
        }),
        waiting: tokio::sync::Mutex::default(),
    });
    shared.endpoints.add(&endpoint);
    // A shutdown that began meanwhile may have missed this endpoint.
    if shared.phases.now() != Phase::Running {
        return Err(AttachError::Stopping);
    }
    let receiver = EndpointReceiver {
        endpoint: Arc::clone(&endpoint),
        run: Bytes::new(),
        notices: VecDeque::new(),
        ended: false,
        draining: permits.draining.take(),
    };
    Ok((EndpointSender { endpoint }, receiver))
}

impl Endpoints {
    fn add(&self, endpoint: &Arc<Endpoint>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(endpoint));
    }

    fn each(&self, act: impl Fn(&mut State)) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for endpoint in all.iter().filter_map(Weak::upgrade) {
            act(&mut endpoint.state());
        }
    }

    /// No endpoint sends any more.
    pub(super) fn stop(&self) {
        self.each(|state| state.stopped = true);
    }

    /// What the endpoints have not received is given up.
    pub(super) fn give_up(&self) {
        self.each(|state| state.session.end_input());
    }
}

impl Endpoint {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands `frame` to the session, which takes all of it or pauses.
    fn admit(&self, frame: &mut BytesMut) -> Result<Admission, SendError> {
        let mut state = self.state();
        if state.stopped {
            return Err(SendError::Closed);
        }
        let session = &mut state.session;
        let now = self.shared.clock.now();
        let step = Workbench::lend(|bench| session.receive(&mut bench.workspace, frame, now));
        if let Some(Halt::Pause(pause)) = step.halt {
            return Ok(Admission::Paused(pause));
        }
        // A hundred invalid frames in a row would close a connection. In one's
        // own process each refusal is told, and that is enough.
        let answers = session.take_answers();
        Ok(Admission::Answered(self.first_answer(&answers)))
    }

    fn first_answer(&self, answers: &[u8]) -> Option<Answer> {
        let first = wire::frames(answers).next()?;
        self.answers
            .answer_in(answers.get(first.start + FRAME_PREFIX_BYTES..first.end)?)
    }

    /// Sends a frame and gives the answer; an `ack` that was routed has none.
    async fn exchange(&self, mut frame: BytesMut) -> Result<Option<Ack>, SendError> {
        let mut admission = self.admit(&mut frame)?;
        if let Admission::Paused(pause) = admission {
            let _turn = self.waiting.lock().await;
            // Dropped before the turn is given back: with it ends the waiting of
            // the whole endpoint, which then may be another send's.
            let mut pause = pause;
            admission = loop {
                self.wait_for_room(&mut pause).await;
                match self.admit(&mut frame)? {
                    Admission::Paused(next) => pause = next,
                    answered => break answered,
                }
            };
        }
        match admission {
            Admission::Answered(Some(Answer::Ack(ack))) => Ok(Some(ack)),
            Admission::Answered(Some(Answer::Error(report))) => Err(SendError::Refused(report)),
            _ => Ok(None),
        }
    }

    async fn wait_for_room(&self, pause: &mut Pause) {
        let deadline = self.shared.clock.instant(pause.deadline);
        let room = std::future::poll_fn(|cx| {
            // Wait first, then look: room that appears in between wakes us.
            pause.wait(cx.waker());
            if pause.is_over() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        // Whether it was room or the deadline, the router decides.
        let _ = timeout_at(deadline, room).await;
    }
}

impl EndpointSender {
    /// The endpoint's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.endpoint.name
    }

    /// Sends a message and gives the server's answer. While the target's queue
    /// is full, this waits, as a connection would be paused.
    ///
    /// A future that is dropped while it waits for room has sent nothing.
    ///
    /// # Errors
    /// What became of the message instead of being accepted.
    pub async fn send(&self, message: &Message) -> Result<Ack, SendError> {
        match message.payload {
            Payload::Ack(_) => return Err(SendError::NeverAnswered),
            Payload::Hello(_) | Payload::Welcome(_) => return Err(SendError::OfTheConnection),
            _ => {}
        }
        let answer = self.endpoint.exchange(self.frame(message)?).await?;
        answer.ok_or(SendError::FateUnknown)
    }

    /// Sends a message whose ack doesn't matter, or an `ack`, which has none.
    ///
    /// # Errors
    /// What became of the message instead of being accepted.
    pub async fn post(&self, message: &Message) -> Result<(), SendError> {
        if matches!(message.payload, Payload::Hello(_) | Payload::Welcome(_)) {
            return Err(SendError::OfTheConnection);
        }
        self.endpoint.exchange(self.frame(message)?).await?;
        Ok(())
    }

    fn frame(&self, message: &Message) -> Result<BytesMut, SendError> {
        let json = message.to_json();
        let limit = self.endpoint.shared.config.frame_bytes_max;
        if json.len() > limit {
            return Err(SendError::TooLarge {
                bytes: json.len(),
                limit,
            });
        }
        let mut frame = BytesMut::with_capacity(FRAME_PREFIX_BYTES + json.len());
        write_frame(&mut frame, json.as_bytes()).expect("a message is neither empty nor too large");
        Ok(frame)
    }
}

impl EndpointReceiver {
    /// The next event; `None` once the name was taken over or the server has
    /// stopped.
    pub async fn receive(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| self.poll_receive(cx)).await
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                return Poll::Ready(Some(notice));
            }
            if let Some(json) = self.next_frame() {
                return Poll::Ready(Some(self.event_of(json)));
            }
            if self.ended {
                self.draining = None;
                return Poll::Ready(None);
            }
            if !self.look(cx) {
                return Poll::Pending;
            }
        }
    }

    /// The next frame of the run that was taken, without its prefix.
    fn next_frame(&mut self) -> Option<Bytes> {
        let frame = wire::frames(&self.run).next()?;
        let json = self.run.slice(frame.start + FRAME_PREFIX_BYTES..frame.end);
        self.run.advance(frame.end);
        Some(json)
    }

    /// What stands in the stream is a message, or tells what is missing there.
    fn event_of(&self, json: Bytes) -> Event {
        match self.endpoint.answers.answer_in(&json) {
            Some(Answer::Error(report)) => Event::Notice(report),
            _ => Event::Message(Inbound::new(json)),
        }
    }

    /// Takes what is there. False if there is nothing, and the task will be
    /// woken when there is.
    fn look(&mut self, cx: &Context<'_>) -> bool {
        let endpoint = Arc::clone(&self.endpoint);
        let mut state = endpoint.state();
        let session = &mut state.session;
        session.register(cx.waker());
        let now = endpoint.shared.clock.now();
        if session.needs_attention() {
            self.ended = session.attend(now) == Attention::Close;
            self.take_notices(session);
        }
        if let Some(run) = session.take_run() {
            self.run = run;
            return true;
        }
        let phase = endpoint.shared.phases.now();
        if phase >= Phase::Draining {
            self.draining = None;
        }
        if phase == Phase::Closing && !self.ended {
            self.ended = true;
            let reason = "the server stops";
            session.close_with(ErrorCode::ServerShuttingDown, reason, None, now);
            self.take_notices(session);
        }
        self.ended || !self.notices.is_empty()
    }

    fn take_notices(&mut self, session: &mut Session) {
        let answers = session.take_answers();
        let reports = wire::frames(&answers).filter_map(|frame| {
            let json = answers.get(frame.start + FRAME_PREFIX_BYTES..frame.end)?;
            match self.endpoint.answers.answer_in(json)? {
                Answer::Error(report) => Some(Event::Notice(report)),
                Answer::Ack(_) => None,
            }
        });
        self.notices.extend(reports);
    }
}

impl Stream for EndpointReceiver {
    type Item = Event;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_receive(cx)
    }
}

impl Drop for EndpointReceiver {
    fn drop(&mut self) {
        self.endpoint.state().session.end_input();
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let id = self.state().session.id();
        self.shared.phases.leave(id);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.name).finish()
    }
}

impl fmt::Debug for EndpointReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointReceiver")
            .field("name", &self.endpoint.name)
            .finish_non_exhaustive()
    }
}
