//! The life of a client, across its connections.
//!
//! One task does all of it. Whatever happens to connections, every message that
//! was sent gets one outcome: the answer, [`FateUnknown`] if a connection had
//! got all of it, [`Closed`] if none had.
//!
//! [`FateUnknown`]: super::SendError::FateUnknown
//! [`Closed`]: super::SendError::Closed

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::backoff::Backoff;
use super::connect::Dialer;
use super::connection::Connection;
use super::flush::{Fences, posted_among};
use super::greet::Welcomed;
use super::outbox::Outbox;
use super::receiver::Inbox;
use super::registration::Registration;
use super::shared::{LeftBehind, Shared};
use super::silence::Signs;
use super::subscriptions::Subscriptions;
use super::unanswered::Unanswered;
use super::{ClientConfig, ConnectError, Disconnect, Event, Reconnection, ending};
use crate::limits::RECONNECT_STABLE;
use crate::sync::lock;

/// The state of a client's task.
pub(super) struct Session {
    pub shared: Arc<Shared>,
    pub config: ClientConfig,
    pub inbox: Inbox,
    /// Signs of life of the server.
    pub signs: Signs,
    state: Mutex<State>,
    ended: Ended,
}

/// The part of a session that changes.
pub(super) struct State {
    pub registration: Registration,
    pub unanswered: Unanswered,
    pub subscriptions: Subscriptions,
    pub fences: Fences,
    /// The reason for which there won't be another connection.
    pub final_word: Option<Disconnect>,
}

impl State {
    /// Tells the flushes that have nothing left to wait for.
    pub(super) fn open_fences(&mut self) {
        self.fences.open(self.unanswered.first_position());
    }
}

/// Where it is said that there won't be another connection.
pub(super) struct Ended(pub watch::Sender<Option<LeftBehind>>);

impl Session {
    pub(super) fn new(
        shared: Arc<Shared>,
        config: ClientConfig,
        registration: Registration,
        inbox: Inbox,
        ended: Ended,
    ) -> Self {
        Self {
            shared,
            inbox,
            signs: Signs::default(),
            state: Mutex::new(State {
                registration,
                unanswered: Unanswered::new(config.answer_timeout),
                subscriptions: Subscriptions::default(),
                fences: Fences::default(),
                final_word: None,
            }),
            config,
            ended,
        }
    }

    /// Lives all connections, beginning with `first`. Without `again` there is
    /// no other.
    pub(super) async fn run<S, F, D>(
        self,
        first: Welcomed<S>,
        mut again: Option<Dialer<D>>,
        mut outbox: Outbox,
    ) where
        D: FnMut() -> F,
        F: Future<Output = io::Result<S>>,
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let mut backoff = Backoff::new(
            self.config.reconnect_delay_first,
            self.config.reconnect_delay_max,
            uuid::Uuid::new_v4().as_u64_pair().0,
        );
        let mut welcomed = first;
        self.welcomed(&welcomed);
        let end = loop {
            let since = Instant::now();
            let connection = Connection::new(&self, &welcomed);
            let end = connection.live(welcomed, &mut outbox).await;
            if since.elapsed() >= RECONNECT_STABLE {
                backoff.reset();
            }
            if matches!(end, Disconnect::Framing(_)) {
                backoff.foreign_answer();
            }
            let dialer = match self.is_there_another(end, &mut again) {
                Ok(dialer) => dialer,
                Err(end) => break end,
            };
            welcomed = match self.connect_again(dialer, &mut backoff).await {
                Ok(welcomed) => welcomed,
                Err(end) => break end,
            };
            self.take_up(&welcomed);
        };
        self.end(end, &mut outbox);
    }

    /// Returns the dialer of another connection after one ended, or why there
    /// won't be one, which is `None` if the client was told to close.
    fn is_there_another<'d, D>(
        &self,
        end: Disconnect,
        again: &'d mut Option<Dialer<D>>,
    ) -> Result<&'d mut Dialer<D>, Option<Disconnect>> {
        if self.shared.closing.is_cancelled() {
            return Err(None);
        }
        let mut state = self.state();
        if let Some(word) = state.final_word.take() {
            return Err(Some(word));
        }
        let Some(dialer) = again else {
            return Err(Some(end));
        };
        drop(state.unanswered.take_the_clients_own());
        drop(state);
        self.inbox.tell(Event::Disconnected(end));
        Ok(dialer)
    }

    /// Tries until there is another connection; or says why there won't be one,
    /// which is `None` if the client was told to close.
    async fn connect_again<S, F, D>(
        &self,
        dialer: &mut Dialer<D>,
        backoff: &mut Backoff,
    ) -> Result<Welcomed<S>, Option<Disconnect>>
    where
        D: FnMut() -> F,
        F: Future<Output = io::Result<S>>,
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        tokio::select! {
            welcomed = self.attempts(dialer, backoff) => welcomed.map_err(Some),
            end = self.deadline_of_attempts() => Err(Some(end)),
            () = self.shared.closing.cancelled() => Err(None),
            never = self.watch_the_clock() => match never {},
        }
    }

    async fn attempts<S, F, D>(
        &self,
        dialer: &mut Dialer<D>,
        backoff: &mut Backoff,
    ) -> Result<Welcomed<S>, Disconnect>
    where
        D: FnMut() -> F,
        F: Future<Output = io::Result<S>>,
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        loop {
            sleep(backoff.next()).await;
            let mut hello = self.state().registration.hello();
            if let Some(window) = &mut hello.window {
                *window = window.saturating_sub(self.inbox.delivered());
            }
            match dialer.attempt(&self.shared.name, hello).await {
                Ok(welcomed) => return Ok(welcomed),
                Err(failed) => {
                    if failed.may_be_welcomed {
                        self.state().registration.welcome_missed();
                    }
                    // A load balancer's word, say, while the server is away.
                    if matches!(failed.error, ConnectError::NotTickwire { .. }) {
                        backoff.foreign_answer();
                    }
                    tracing::debug!(error = %failed.error, "connecting again failed");
                    if let Some(end) = ending::of_attempt(failed.error) {
                        return Err(end);
                    }
                }
            }
        }
    }

    async fn deadline_of_attempts(&self) -> Disconnect {
        match self.config.reconnect_within {
            Some(time) => {
                sleep(time).await;
                Disconnect::GaveUp(time)
            }
            None => std::future::pending().await,
        }
    }

    /// Takes note of a welcome; returns whether the server goes on where the
    /// last connection ended.
    fn welcomed<S>(&self, welcomed: &Welcomed<S>) -> bool {
        let granted = &welcomed.welcome.granted;
        let mut state = self.state();
        state.registration.welcomed(&welcomed.hello, granted)
    }

    /// Goes on with another connection: messages that the last one was handed
    /// are to be written again, or their fate is unknown.
    fn take_up<S>(&self, welcomed: &Welcomed<S>) {
        let resumes = self.welcomed(welcomed);
        let mut state = self.state();
        let given_up = match resumes {
            true => Vec::new(),
            false => state.unanswered.take_messages(),
        };
        let resent = state.unanswered.messages();
        state
            .unanswered
            .renew_changes(|change| self.shared.message_of(change));
        state.fences.fate_unknown(&given_up);
        state.open_fences();
        drop(state);
        for message in &given_up {
            self.shared.give_back(message);
        }
        let welcome = Arc::new(welcomed.welcome.clone());
        self.shared.welcomed(Arc::clone(&welcome));
        self.inbox.tell(Event::Reconnected(Reconnection {
            welcome,
            resent,
            fate_unknown: given_up.len(),
        }));
        // Each waiter tells its sender when it is dropped.
        drop(given_up);
    }

    /// There won't be another connection.
    fn end(&self, why: Option<Disconnect>, outbox: &mut Outbox) {
        self.shared.refuse_more();
        let unsent = outbox.give_up();
        let mut state = self.state();
        drop(state.unanswered.take_the_clients_own());
        let given_up = state.unanswered.take_all();
        state.fences.fate_unknown(&given_up);
        let mut posted = state.fences.posted;
        drop(state);
        posted.unsent += posted_among(&unsent);
        let (fate_unknown, unsent_count) = (given_up.len(), unsent.len());
        // Each waiter tells its sender when it is dropped.
        drop((given_up, unsent));
        if let Some(why) = why {
            self.inbox.tell(Event::Closed(why));
        }
        // Nobody may be waiting for it.
        let _ = self.ended.0.send(Some(LeftBehind {
            fate_unknown,
            unsent: unsent_count,
            posted,
        }));
    }

    /// Gives up the answers that stay out for too long.
    pub(super) async fn watch_the_clock(&self) -> Infallible {
        loop {
            let deadline = poll_fn(|_| match self.state().unanswered.deadline() {
                Some(deadline) => Poll::Ready(deadline),
                // Whoever adds a message runs in the same task, before this.
                None => Poll::Pending,
            });
            sleep_until(deadline.await).await;
            let answers = self.signs.answers();
            let mut state = self.state();
            let late = state.unanswered.take_late(Instant::now(), answers);
            state.fences.fate_unknown(&late);
            state.open_fences();
            drop(state);
            for message in &late {
                self.shared.give_back(message);
            }
        }
    }

    /// Returns whether reading must go on although the program doesn't receive.
    pub(super) fn answer_due(&self) -> bool {
        !self.state().unanswered.is_empty() || self.shared.closing.is_cancelled()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Only this task locks it, and never across an await.
        lock(&self.state)
    }
}
