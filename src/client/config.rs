//! The configuration of a client.

use std::time::Duration;

use super::registration::Registration;
use crate::ids::{Name, NameError};
use crate::limits;
use crate::wire::{Acks, Hello, Token};

/// The configuration of a client. Names are checked when it connects. Every
/// duration may be as short or as long as a [`Duration`] can be; one of more
/// than 30 years is taken as that.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    name: String,
    names: Option<Vec<String>>,
    register: Option<bool>,
    token: Option<Token>,
    batch_acks: bool,
    resumable: bool,
    window: Option<u32>,
    pub(super) reconnect: bool,
    pub(super) reconnect_within: Option<Duration>,
    pub(super) reconnect_delay_first: Duration,
    pub(super) reconnect_delay_max: Duration,
    pub(super) heartbeat: Option<Duration>,
    pub(super) probe: Option<Duration>,
    pub(super) connect_timeout: Duration,
    pub(super) answer_timeout: Duration,
    pub(super) close_timeout: Duration,
    pub(super) unanswered_max: usize,
    pub(super) inbound_bytes: usize,
    pub(super) inbound_bytes_max: usize,
}

impl ClientConfig {
    /// A client that says hello as `name`, and owns it.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            names: None,
            register: None,
            token: None,
            batch_acks: false,
            resumable: true,
            window: None,
            reconnect: true,
            reconnect_within: None,
            reconnect_delay_first: limits::RECONNECT_DELAY_FIRST_DEFAULT,
            reconnect_delay_max: limits::RECONNECT_DELAY_MAX_DEFAULT,
            heartbeat: None,
            probe: None,
            connect_timeout: limits::CONNECT_TIMEOUT_DEFAULT,
            answer_timeout: limits::ANSWER_TIMEOUT_DEFAULT,
            close_timeout: limits::CLOSE_TIMEOUT_DEFAULT,
            unanswered_max: limits::UNANSWERED_MAX_DEFAULT,
            inbound_bytes: limits::INBOUND_BYTES_DEFAULT,
            inbound_bytes_max: limits::INBOUND_BYTES_MAX_DEFAULT,
        }
    }

    /// Owns exactly these names instead of its own.
    #[must_use]
    pub fn names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sets whether to own a name at all: a tool that speaks for others
    /// doesn't.
    #[must_use]
    pub fn register(mut self, register: bool) -> Self {
        self.register = Some(register);
        self
    }

    /// The proof of the client's identity to the server.
    #[must_use]
    pub fn token(mut self, token: impl Into<Box<str>>) -> Self {
        self.token = Some(Token::new(token));
        self
    }

    /// Sets whether the server is to acknowledge many messages at once. That
    /// saves most of the bytes of its answers; each send still gets an ack of
    /// its own, which says as much. Default: no.
    #[must_use]
    pub fn batch_acks(mut self, batch: bool) -> Self {
        self.batch_acks = batch;
        self
    }

    /// Sets whether to ask the server to remember accepted messages. Then
    /// messages that lost their answers with a connection can be sent once more
    /// on the next without being delivered twice. Default: yes.
    ///
    /// Without it, with a server that doesn't do that, without a name and with
    /// more than [`RESUMABLE_UNANSWERED_MAX`](limits::RESUMABLE_UNANSWERED_MAX)
    /// messages under way, the fate of such messages is unknown.
    #[must_use]
    pub fn resumable(mut self, resumable: bool) -> Self {
        self.resumable = resumable;
        self
    }

    /// Receives at most so many messages in all, on whatever connections: those
    /// addressed to the client's names and broadcasts together. Messages beyond
    /// them stay in their queue for the next owner of the name. So a program
    /// that wants one message and then ends takes no other with it. Default: no
    /// limit.
    ///
    /// An older server doesn't know of this: whether it holds is told by
    /// `granted.window` of the [`Welcome`](crate::wire::Welcome).
    #[must_use]
    pub fn window(mut self, messages: u32) -> Self {
        self.window = Some(messages);
        self
    }

    /// Sets whether to connect again when the connection is lost. Default:
    /// yes, and for as long as it takes.
    #[must_use]
    pub fn reconnect(mut self, reconnect: bool) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// For how long to try to connect again, each time that the connection is
    /// lost. Default: for ever.
    #[must_use]
    pub fn reconnect_within(mut self, time: Duration) -> Self {
        self.reconnect_within = Some(bounded(time));
        self
    }

    /// Sets how long to wait before an attempt to connect again: a random
    /// time of up to `first` before the first, up to twice that before the
    /// second, and so on, never above `longest`. Default: 50 ms and 5 s; at
    /// least 1 ms.
    #[must_use]
    pub fn reconnect_delays(mut self, first: Duration, longest: Duration) -> Self {
        self.reconnect_delay_first = bounded_interval(first);
        self.reconnect_delay_max = bounded_interval(longest);
        self
    }

    /// Sends a heartbeat to `health-monitor` at once and then every `interval`,
    /// at most every millisecond. Default: none. As it is answered, it also
    /// finds out whether the server [fell silent](super#a-silent-server).
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = Some(bounded_interval(interval));
        self
    }

    /// Asks the server for an answer every `interval`, at most every
    /// millisecond, by a `hello` that changes nothing: so a client that only
    /// receives learns, too, that the server [fell
    /// silent](super#a-silent-server). Nobody but the server hears of it.
    /// Default: none.
    #[must_use]
    pub fn probe(mut self, interval: Duration) -> Self {
        self.probe = Some(bounded_interval(interval));
        self
    }

    /// Sets how long the connection and its `welcome` may take: finding the
    /// host's addresses, trying them, and the server's answer. Default: 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = bounded(timeout);
        self
    }

    /// Sets how long to wait for the answer to a message from when it was
    /// first handed to a connection, whatever happens to that. Default: 30 s.
    /// The connection itself may live on: see [A silent
    /// server](super#a-silent-server).
    #[must_use]
    pub fn answer_timeout(mut self, timeout: Duration) -> Self {
        self.answer_timeout = bounded(timeout);
        self
    }

    /// Sets how long a close may take. Default: 5 s.
    #[must_use]
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = bounded(timeout);
        self
    }

    /// Sets how many messages may be under way without an answer, at least
    /// one. Default: 4,096.
    #[must_use]
    pub fn unanswered_max(mut self, messages: usize) -> Self {
        self.unanswered_max = messages.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        self
    }

    /// At how many bytes of messages that the program has not received the
    /// client stops reading, unless an answer is due. Default: 4 MiB. See
    /// [Back-pressure](super#back-pressure).
    #[must_use]
    pub fn inbound_bytes(mut self, bytes: usize) -> Self {
        // At zero it would never read.
        self.inbound_bytes = bytes.max(1);
        self.inbound_bytes_max = self.inbound_bytes_max.max(bytes);
        self
    }

    /// At how many bytes of messages that the program has not received the
    /// client stops reading even if an answer is due. Default: 64 MiB. See
    /// [Back-pressure](super#back-pressure).
    #[must_use]
    pub fn inbound_bytes_max(mut self, bytes: usize) -> Self {
        self.inbound_bytes_max = bytes.max(1);
        self.inbound_bytes = self.inbound_bytes.min(self.inbound_bytes_max);
        self
    }

    /// The source of the client's hello.
    pub(super) fn registration(&self) -> Result<Registration, NameError> {
        let names = self
            .names
            .as_ref()
            .map(|names| names.iter().map(Name::new).collect());
        let hello = Hello {
            names: names.transpose()?,
            register: self.register,
            token: self.token.clone(),
            resumable: self.wants_to_resume().then_some(true),
            window: self.window.map(u64::from),
            acks: self.batch_acks.then_some(Acks::Batch),
            // A sum of dropped messages couldn't be told to their senders.
            ack_details: self.batch_acks.then_some(true),
            ..Hello::default()
        };
        Ok(Registration::new(Name::new(&self.name)?, hello))
    }

    fn wants_to_resume(&self) -> bool {
        let owns_a_name = self.register != Some(false)
            && self.names.as_ref().is_none_or(|names| !names.is_empty());
        self.resumable && owns_a_name && self.unanswered_max <= limits::RESUMABLE_UNANSWERED_MAX
    }
}

/// A duration that can be added to any time.
fn bounded(duration: Duration) -> Duration {
    duration.min(limits::CLIENT_DURATION_MAX)
}

/// The same for one that is waited for again and again: without any pause it
/// would keep a processor busy.
fn bounded_interval(interval: Duration) -> Duration {
    bounded(interval).max(limits::CLIENT_INTERVAL_MIN)
}
