//! In-process endpoints: a sender and a receiver that skip TCP.
//!
//! An endpoint is a session without a socket. Its messages are handed in as frames,
//! so they meet the same rules and the same router.

mod batch;
mod blocking;
mod receiver;
mod sender;

use std::fmt;
use std::io::{ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

pub use batch::Batch;
pub use blocking::{BlockingReceiver, BlockingSender};
pub use receiver::EndpointReceiver;
pub use sender::EndpointSender;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::ServerShared;
use super::phase::Phase;
use crate::events::SendError;
use crate::ids::{Name, NameError};
use crate::limits::FRAME_PREFIX_BYTES;
use crate::router::{Progress, Session};
use crate::sync::lock;
use crate::wire::{self, Answer, AnswerReader};

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
    /// Holds the end of the draining phase up while messages are queued.
    draining: Option<TaskTrackerToken>,
}

/// The endpoints of a server, for its shutdown.
#[derive(Debug, Default)]
pub(super) struct Endpoints(Mutex<Vec<Weak<Endpoint>>>);

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
    let permits = shared.phases.join(session.id(), session.waker());
    let endpoint = Arc::new(Endpoint {
        name,
        reader: AnswerReader::of(&shared.config.router.name),
        shared: Arc::clone(shared),
        state: Mutex::new(State {
            session,
            is_stopped: false,
            draining: permits.draining,
        }),
        waiting: tokio::sync::Mutex::default(),
    });
    shared.endpoints.add(&endpoint);
    // A shutdown that began meanwhile may have missed this endpoint.
    if shared.phases.now() != Phase::Running {
        return Err(AttachError::Stopping);
    }
    let receiver = EndpointReceiver::new(&endpoint);
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

    /// Waits for none that has nothing queued: its program may never ask again.
    pub(super) fn begin_draining(&self) {
        self.each(State::note_drained);
    }

    /// Gives up the messages that the endpoints have not received.
    pub(super) fn give_up(&self) {
        self.each(|state| state.session.end_input());
    }
}

impl State {
    /// Lets the draining phase end, if nothing is queued here any more.
    fn note_drained(&mut self) {
        // Writes nothing, and so learns whether there is anything to write.
        let mut refuse = |_: &[IoSlice<'_>]| Err(ErrorKind::WouldBlock.into());
        if let Ok((_, Progress::Idle)) = self.session.transmit(1, &mut refuse) {
            self.draining = None;
        }
    }
}

impl Endpoint {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The state, for input.
    ///
    /// # Errors
    /// The server takes no more.
    fn open_state(&self) -> Result<MutexGuard<'_, State>, SendError> {
        let state = self.state();
        match state.is_stopped {
            true => Err(SendError::Closed),
            false => Ok(state),
        }
    }

    /// Takes the answer to the message that was refused last.
    #[cold]
    fn refusal(&self, state: &mut State) -> SendError {
        let answers = state.session.take_answers();
        let refusal = self.answers_in(&answers).find_map(|answer| match answer {
            Answer::Error(report) => Some(SendError::Refused(report)),
            Answer::Ack(_) => None,
        });
        refusal.unwrap_or(SendError::FateUnknown)
    }

    fn answers_in<'a>(&'a self, frames: &'a [u8]) -> impl Iterator<Item = Answer> + 'a {
        wire::frames(frames).filter_map(move |frame| {
            let json = frames.get(frame.start + FRAME_PREFIX_BYTES..frame.end)?;
            self.reader.answer_in(json)
        })
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
