//! The life of a client, across its connections.
//!
//! One task does all of it. Every message that was sent gets one outcome: the
//! answer, `SendError::FateUnknown` if a connection had got all of it, or
//! `SendError::Closed`.

use std::convert::Infallible;
use std::future::poll_fn;
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
use super::outgoing::Outgoing;
use super::receiver::Inbox;
use super::registration::Registration;
use super::shared::{LeftBehind, Shared};
use super::silence::Signs;
use super::subscriptions::Subscriptions;
use super::unanswered::Unanswered;
use super::{ClientConfig, ConnectError, Disconnect, Event, Reconnection, ending};
use crate::limits::RECONNECT_STABLE;
use crate::poller::Poller;
use crate::sync::lock;

pub(super) struct Session {
    pub shared: Arc<Shared>,
    pub config: ClientConfig,
    pub inbox: Inbox,
    pub signs: Signs,
    /// The thread that it runs on, if that is its own.
    pub poller: Option<Poller>,
    state: Mutex<State>,
    /// Told when there won't be another connection.
    ended: watch::Sender<Option<LeftBehind>>,
}

/// The part that changes: only the session's task locks it, never across an await.
pub(super) struct State {
    pub registration: Registration,
    pub unanswered: Unanswered,
    pub subscriptions: Subscriptions,
    pub fences: Fences,
    /// Why there won't be another connection.
    pub final_word: Option<Disconnect>,
}

impl State {
    /// Ends with a connection: a flush that waited for it to read acks needn't wait longer.
    fn connection_lost(&mut self) {
        self.unanswered.connection_lost();
        self.open_fences();
    }

    /// Tells the flushes that have nothing left to wait for.
    pub(super) fn open_fences(&mut self) {
        self.fences.posted.fate_unknown += self.unanswered.take_lost_acks();
        self.fences.open(self.unanswered.first_position());
    }
}

impl Session {
    pub(super) fn new(
        shared: Arc<Shared>,
        config: ClientConfig,
        registration: Registration,
        inbox: Inbox,
        ended: watch::Sender<Option<LeftBehind>>,
        poller: Option<Poller>,
    ) -> Self {
        Self {
            shared,
            inbox,
            signs: Signs::default(),
            poller,
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

    /// Serves all connections, beginning with `first`, and without `again` ending there.
    pub(super) async fn run<S: AsyncRead + AsyncWrite + Send + 'static>(
        self,
        first: Welcomed<S>,
        mut again: Option<Dialer<S>>,
        mut outbox: Outbox,
    ) {
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
            let end = connection.run(welcomed, &mut outbox).await;
            if since.elapsed() >= RECONNECT_STABLE {
                backoff.reset();
            }
            if matches!(end, Disconnect::Framing(_)) {
                backoff.foreign_answer();
            }
            welcomed = match self.connect_again(end, &mut again, &mut backoff).await {
                Ok(welcomed) => welcomed,
                Err(end) => break end,
            };
            self.go_on_with(&welcomed);
        };
        self.end(end, &mut outbox);
    }

    /// Tries until there is another connection after one ended. An error is the reason
    /// for which there won't be one: `None` if the client was told to close.
    async fn connect_again<S: AsyncRead + AsyncWrite + Send + 'static>(
        &self,
        end: Disconnect,
        again: &mut Option<Dialer<S>>,
        backoff: &mut Backoff,
    ) -> Result<Welcomed<S>, Option<Disconnect>> {
        if self.shared.closing.is_cancelled() {
            return Err(None);
        }
        if let Some(word) = self.state().final_word.take() {
            return Err(Some(word));
        }
        let Some(dialer) = again else {
            return Err(Some(end));
        };
        self.state().connection_lost();
        self.inbox.push(Event::Disconnected(end));
        tokio::select! {
            welcomed = self.attempts(dialer, backoff) => welcomed.map_err(Some),
            end = self.reconnect_deadline() => Err(Some(end)),
            () = self.shared.closing.cancelled() => Err(None),
            never = self.expire_answers() => match never {},
        }
    }

    async fn attempts<S: AsyncRead + AsyncWrite + Send + 'static>(
        &self,
        dialer: &mut Dialer<S>,
        backoff: &mut Backoff,
    ) -> Result<Welcomed<S>, Disconnect> {
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

    async fn reconnect_deadline(&self) -> Disconnect {
        match self.config.reconnect_within {
            Some(time) => {
                sleep(time).await;
                Disconnect::GaveUp(time)
            }
            None => std::future::pending().await,
        }
    }

    /// Notes a welcome; returns whether the server goes on where the last one ended.
    fn welcomed<S>(&self, welcomed: &Welcomed<S>) -> bool {
        let granted = &welcomed.welcome.granted;
        let mut state = self.state();
        state.registration.welcomed(&welcomed.hello, granted)
    }

    /// Goes on with another connection: repeats messages, or gives them up.
    fn go_on_with<S>(&self, welcomed: &Welcomed<S>) {
        let resumes = self.welcomed(welcomed);
        let mut state = self.state();
        let given_up = match resumes {
            true => Vec::new(),
            // A change of the subscriptions does no harm twice.
            false => state.unanswered.take_where(|it| !it.is_change()),
        };
        let resent = state.unanswered.messages();
        state
            .unanswered
            .renew_changes(|change| self.shared.change(change));
        self.note_given_up(state, &given_up);
        let welcome = Arc::new(welcomed.welcome.clone());
        self.shared.welcomed(Arc::clone(&welcome));
        self.inbox.push(Event::Reconnected(Reconnection {
            welcome,
            resent,
            fate_unknown: given_up.len(),
        }));
        // Each waiter tells its sender when it is dropped.
        drop(given_up);
    }

    /// Takes note that the fate of messages is unknown, and gives their room back.
    fn note_given_up(&self, mut state: MutexGuard<'_, State>, messages: &[Outgoing]) {
        state.fences.fate_unknown(messages);
        state.open_fences();
        drop(state);
        for message in messages {
            self.shared.give_back(message);
        }
    }

    /// Ends the client: there won't be another connection.
    fn end(&self, why: Option<Disconnect>, outbox: &mut Outbox) {
        self.shared.refuse_more();
        let unsent = outbox.give_up();
        let mut state = self.state();
        state.unanswered.connection_lost();
        let lost_acks = state.unanswered.take_lost_acks();
        let given_up = state.unanswered.take_where(|_| true);
        state.fences.fate_unknown(&given_up);
        let mut posted = state.fences.posted;
        drop(state);
        posted.fate_unknown += lost_acks;
        posted.unsent += posted_among(&unsent);
        let (fate_unknown, unsent_count) = (given_up.len() + lost_acks, unsent.len());
        // Each waiter tells its sender when it is dropped.
        drop((given_up, unsent));
        if let Some(why) = why {
            self.inbox.push(Event::Closed(why));
        }
        // Nobody may be waiting for it.
        let _ = self.ended.send(Some(LeftBehind {
            fate_unknown,
            unsent: unsent_count,
            posted,
        }));
    }

    /// Gives up the answers that stay out for too long.
    pub(super) async fn expire_answers(&self) -> Infallible {
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
            self.note_given_up(state, &late);
        }
    }

    /// Returns whether reading must go on although the program doesn't receive.
    pub(super) fn answer_due(&self) -> bool {
        self.is_answer_due(&self.state())
    }

    /// The same of a state that is locked.
    pub(super) fn is_answer_due(&self, state: &State) -> bool {
        !state.unanswered.is_empty() || self.shared.closing.is_cancelled()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}
