//! In-process endpoints: a sender and a receiver that skip TCP.
//!
//! An endpoint is a session without a socket. Its messages are handed in as frames,
//! so they meet the same rules and the same router.

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
use crate::wire::{self, Ack, Answer, AnswerReader, ErrorCode, Message, Payload, Timestamp};

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

/// Receives inside the process: a stream of [`Event`]s, the messages to the
/// endpoint's name or to everyone. It ends, after an [`Event::Notice`], when the name
/// is taken over or the server stops. Dropping it gives the name up: messages that
/// it has not returned wait for the next owner, or are reported to their senders.
pub struct EndpointReceiver {
    endpoint: Arc<Endpoint>,
    /// Broadcasts that were taken from the session and not handed out. Other messages
    /// are taken one by one: here they would be lost with the receiver.
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

enum Admission {
    Decided(Decision),
    Paused(Pause),
}

/// The decision about a frame that was not refused.
enum Decision {
    /// Accepted; so many receivers missed it.
    Accepted(u32),
    /// A request that was carried out, with its ack.
    CarriedOut(Ack),
    /// An `ack`, which has no answer.
    Routed,
}

pub(super) fn attach(
    shared: &Arc<ServerShared>,
    name: Name,
) -> Result<(EndpointSender, EndpointReceiver), AttachError> {
    if shared.phases.now() != Phase::Running {
        return Err(AttachError::Stopping);
    }
    let mut session = shared.router.connect();
    session.acknowledge_by_values();
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
        if let Some(missed) = session.drain_accepted().last() {
            return Ok(Admission::Decided(Decision::Accepted(missed)));
        }
        // Unlike a connection, an endpoint may send any number of invalid frames.
        let answer = self.answers_in(&session.take_answers()).next();
        match answer {
            Some(Answer::Error(report)) => Err(SendError::Refused(report)),
            Some(Answer::Ack(ack)) => Ok(Admission::Decided(Decision::CarriedOut(ack))),
            None => Ok(Admission::Decided(Decision::Routed)),
        }
    }

    fn answers_in<'a>(&'a self, frames: &'a [u8]) -> impl Iterator<Item = Answer> + 'a {
        wire::frames(frames).filter_map(move |frame| {
            let json = frames.get(frame.start + FRAME_PREFIX_BYTES..frame.end)?;
            self.reader.answer_in(json)
        })
    }

    /// Sends a frame, and waits for room if need be.
    async fn send_frame(&self, mut frame: BytesMut) -> Result<Decision, SendError> {
        let mut turn = None;
        loop {
            let pause = match self.admit(&mut frame)? {
                Admission::Paused(pause) => pause,
                Admission::Decided(decision) => return Ok(decision),
            };
            if turn.is_none() {
                turn = Some(self.waiting.lock().await);
            }
            // Drops the pause, and with it the waiting of the endpoint, before the turn.
            self.wait_for_room(pause).await;
        }
    }

    async fn wait_for_room(&self, mut pause: Pause) {
        let deadline = self.shared.clock.instant(pause.deadline);
        let room = std::future::poll_fn(|cx| {
            // Wait first, then look: room that appears in between wakes us.
            pause.wait(cx.waker());
            match pause.has_room() {
                true => Poll::Ready(()),
                false => Poll::Pending,
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

    /// Sends a message and gives the server's answer. Waits while the target's queue
    /// is full; a future that is dropped until then has sent nothing.
    ///
    /// # Errors
    /// The fate of a message that was not accepted.
    pub async fn send(&self, message: &Message) -> Result<Ack, SendError> {
        if matches!(message.payload, Payload::Ack(_)) {
            return Err(SendError::NeverAnswered);
        }
        match self.endpoint.send_frame(self.frame(message)?).await? {
            Decision::Accepted(missed) => {
                let now = self.endpoint.shared.clock.now();
                let accepted_at = Timestamp::from_unix_ms(now.unix_ms);
                Ok(Ack::new(message.msg_id, accepted_at).with_dropped(missed.into()))
            }
            Decision::CarriedOut(ack) => Ok(ack),
            Decision::Routed => Err(SendError::FateUnknown),
        }
    }

    /// Sends a message and drops its ack; also an `ack`, which has none.
    ///
    /// # Errors
    /// As of [`EndpointSender::send`].
    pub async fn post(&self, message: &Message) -> Result<(), SendError> {
        self.endpoint.send_frame(self.frame(message)?).await?;
        Ok(())
    }

    fn frame(&self, message: &Message) -> Result<BytesMut, SendError> {
        if matches!(message.payload, Payload::Hello(_) | Payload::Welcome(_)) {
            return Err(SendError::OfTheConnection);
        }
        let limit = self.endpoint.shared.config.router.frame_bytes_max;
        let frame = message.to_frame_within(limit);
        let frame = frame.map_err(|bytes| SendError::TooLarge { bytes, limit })?;
        Ok(frame.into())
    }
}

impl EndpointReceiver {
    /// The next event; `None` after the name was taken over or the server stopped.
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

    /// The next frame of the run, without its prefix.
    fn next_frame(&mut self) -> Option<Bytes> {
        let frame = wire::frames(&self.run).next()?;
        let json = self.run.slice(frame.start + FRAME_PREFIX_BYTES..frame.end);
        self.run.advance(frame.end);
        Some(json)
    }

    /// The event of a frame: a message, or a notice of missing ones.
    fn event_of(&self, json: Bytes) -> Event {
        match self.endpoint.reader.answer_in(&json) {
            Some(Answer::Error(report)) => Event::Notice(report),
            _ => Event::Message(Inbound::new(json)),
        }
    }

    /// Takes the next frames or notices; returns false, to be woken, if there are none.
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
