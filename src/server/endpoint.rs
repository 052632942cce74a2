//! In-process endpoints: a sender and a receiver that skip TCP.
//!
//! An endpoint is a session like any other, without a socket. Its messages are
//! handed to the session as frames, so they meet the same rules and the same
//! router, and the session's output is taken from it.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use futures_core::Stream;
use tokio::time::timeout_at;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::ServerShared;
use super::input::ThreadBuffers;
use super::phase::Phase;
use crate::events::{Event, Inbound, SendError};
use crate::ids::{Name, NameError};
use crate::limits::FRAME_PREFIX_BYTES;
use crate::router::{Attention, Halt, Pause, Session};
use crate::sync::lock;
use crate::wire::{self, Ack, ErrorCode, Message, Payload, write_frame};
use crate::wire::{Answer, AnswerReader};

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

/// Receives inside the process the messages to the endpoint's name or to everyone:
/// a stream of [`Event`]s. It ends when the name is taken over or the server stops;
/// an [`Event::Notice`] before the end explains it.
///
/// Dropping it gives the name up: the messages that it has not returned wait for
/// the next owner of the name, or are reported to their senders.
pub struct EndpointReceiver {
    endpoint: Arc<Endpoint>,
    /// Frames taken from the session but not yet handed out: of broadcasts only,
    /// for others would be lost with the receiver.
    run: Bytes,
    notices: VecDeque<Event>,
    /// Nothing follows the frames and notices that are here.
    has_ended: bool,
    /// Holds the end of the draining phase up.
    draining: Option<TaskTrackerToken>,
}

struct Endpoint {
    name: Name,
    shared: Arc<ServerShared>,
    reader: AnswerReader,
    state: Mutex<State>,
    /// Held by the one send that waits for room, so that others wait behind it.
    waiting: tokio::sync::Mutex<()>,
}

struct State {
    session: Session,
    /// The server takes no more input.
    is_stopped: bool,
}

/// The endpoints of a server, for its shutdown.
#[derive(Debug, Default)]
pub(super) struct Endpoints(Mutex<Vec<Weak<Endpoint>>>);

/// The session's decision about a frame.
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
    if name == shared.config.router.name {
        return Err(AttachError::ServerName(name));
    }
    session
        .own(&name)
        .map_err(|_| AttachError::Group(name.clone()))?;
    let mut permits = shared.phases.join(session.id(), session.waker());
    let endpoint = Arc::new(Endpoint {
        name,
        reader: AnswerReader::of(&shared.config.router.name),
        shared: Arc::clone(shared),
        state: Mutex::new(State {
            session,
            is_stopped: false,
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
        has_ended: false,
        draining: permits.draining.take(),
    };
    Ok((EndpointSender { endpoint }, receiver))
}

impl Endpoints {
    fn add(&self, endpoint: &Arc<Endpoint>) {
        let mut all = lock(&self.0);
        all.retain(|known| known.strong_count() > 0);
        all.push(Arc::downgrade(endpoint));
    }

    fn each(&self, act: impl Fn(&mut State)) {
        let all = lock(&self.0);
        for endpoint in all.iter().filter_map(Weak::upgrade) {
            act(&mut endpoint.state());
        }
    }

    /// Lets no endpoint send any more.
    pub(super) fn stop(&self) {
        self.each(|state| state.is_stopped = true);
    }

    /// Gives up the messages that the endpoints have not received.
    pub(super) fn give_up(&self) {
        self.each(|state| state.session.end_input());
    }
}

impl Endpoint {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Hands `frame` to the session, which takes all of it or pauses.
    fn admit(&self, frame: &mut BytesMut) -> Result<Admission, SendError> {
        let mut state = self.state();
        if state.is_stopped {
            return Err(SendError::Closed);
        }
        let session = &mut state.session;
        let now = self.shared.clock.now();
        let step =
            ThreadBuffers::lend(|buffers| buffers.begin().gathering.read(session, frame, now));
        if let Some(Halt::Pause(pause)) = step.halt {
            return Ok(Admission::Paused(pause));
        }
        // A hundred invalid frames in a row would close a connection. In one's
        // own process each refusal is told, and that is enough.
        let answer = self.answers_in(&session.take_answers()).next();
        Ok(Admission::Answered(answer))
    }

    /// Reads the answers in `frames`.
    fn answers_in<'a>(&'a self, frames: &'a [u8]) -> impl Iterator<Item = Answer> + 'a {
        wire::frames(frames).filter_map(move |frame| {
            let json = frames.get(frame.start + FRAME_PREFIX_BYTES..frame.end)?;
            self.reader.answer_in(json)
        })
    }

    /// Sends a frame and gives the answer; an `ack` that was routed has none.
    async fn send_frame(&self, mut frame: BytesMut) -> Result<Option<Ack>, SendError> {
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
            if pause.has_room() {
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
    /// The fate of a message that was not accepted.
    pub async fn send(&self, message: &Message) -> Result<Ack, SendError> {
        match message.payload {
            Payload::Ack(_) => return Err(SendError::NeverAnswered),
            Payload::Hello(_) | Payload::Welcome(_) => return Err(SendError::OfTheConnection),
            _ => {}
        }
        let answer = self.endpoint.send_frame(self.frame(message)?).await?;
        answer.ok_or(SendError::FateUnknown)
    }

    /// Sends a message and drops its ack; also an `ack`, which has none.
    ///
    /// # Errors
    /// The fate of a message that was not accepted.
    pub async fn post(&self, message: &Message) -> Result<(), SendError> {
        if matches!(message.payload, Payload::Hello(_) | Payload::Welcome(_)) {
            return Err(SendError::OfTheConnection);
        }
        self.endpoint.send_frame(self.frame(message)?).await?;
        Ok(())
    }

    fn frame(&self, message: &Message) -> Result<BytesMut, SendError> {
        let json = message.to_json();
        let limit = self.endpoint.shared.config.router.frame_bytes_max;
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
            if self.has_ended {
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

    /// The event of a frame in the stream: a message, or a notice of messages that
    /// are missing there.
    fn event_of(&self, json: Bytes) -> Event {
        match self.endpoint.reader.answer_in(&json) {
            Some(Answer::Error(report)) => Event::Notice(report),
            _ => Event::Message(Inbound::new(json)),
        }
    }

    /// Takes the next frames or notices. Returns false if there are none; then the
    /// task will be woken for them.
    fn look(&mut self, cx: &Context<'_>) -> bool {
        let endpoint = Arc::clone(&self.endpoint);
        let mut state = endpoint.state();
        let session = &mut state.session;
        session.register(cx.waker());
        let now = || endpoint.shared.clock.now();
        if session.has_reports() {
            self.has_ended = session.handle_reports(now()) == Attention::Close;
            self.take_notices(session);
        }
        if let Some(run) = session.take_next() {
            self.run = run;
            return true;
        }
        let phase = endpoint.shared.phases.now();
        if phase >= Phase::Draining {
            self.draining = None;
        }
        if phase == Phase::Closing && !self.has_ended {
            self.has_ended = true;
            let reason = "the server stops";
            session.close_with(ErrorCode::ServerShuttingDown, reason, None, now());
            self.take_notices(session);
        }
        self.has_ended || !self.notices.is_empty()
    }

    fn take_notices(&mut self, session: &mut Session) {
        let answers = session.take_answers();
        let reports = self.endpoint.answers_in(&answers);
        self.notices
            .extend(reports.filter_map(|answer| match answer {
                Answer::Error(report) => Some(Event::Notice(report)),
                Answer::Ack(_) => None,
            }));
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
