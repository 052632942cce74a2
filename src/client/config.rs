//! The configuration of a client.

use std::time::Duration;

use super::registration::Registration;
use crate::ids::{Name, NameError};
use crate::limits;
use crate::wire::{Acks, Hello, Token};

/// The setters of [`ClientConfig`]: each takes the configuration and gives it
/// back with one field changed.
macro_rules! setters {
    ($(
        $(#[$doc:meta])+
        $name:ident($argument:ident: $type:ty) => $($field:ident).+ = $value:expr;
    )+) => {
        $($(#[$doc])+
        #[must_use]
        pub fn $name(mut self, $argument: $type) -> Self {
            self.$($field).+ = $value;
            self
        })+
    };
}

/// The configuration of a client. Names are checked when it connects. A duration
/// of more than 30 years is taken as 30 years.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    name: String,
    names: Option<Vec<String>>,
    /// Its other options.
    hello: Hello,
    resumable: bool,
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
    pub(super) busy_poll: bool,
}

impl ClientConfig {
    /// A client that says hello as `name`, and owns it.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            names: None,
            hello: Hello::default(),
            resumable: true,
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
            busy_poll: false,
        }
        .batch_acks(true)
    }

    setters! {
        /// Names to own instead of the client's own.
        names(names: impl IntoIterator<Item = impl Into<String>>)
            => names = Some(names.into_iter().map(Into::into).collect());

        /// Whether to own a name at all: a tool that speaks for others doesn't.
        register(register: bool) => hello.register = Some(register);

        /// The proof of the client's identity to the server.
        token(token: impl Into<Box<str>>) => hello.token = Some(Token::new(token));

        /// Whether to ask the server to remember accepted messages: then messages that
        /// lost their answers with a connection are sent again on the next without
        /// being delivered twice. Otherwise, and without a name or with an
        /// [`unanswered_max`](Self::unanswered_max) above
        /// [`RESUMABLE_UNANSWERED_MAX`](limits::RESUMABLE_UNANSWERED_MAX), their fate is
        /// unknown. Default: yes.
        resumable(resumable: bool) => resumable = resumable;

        /// The most messages to receive in all, broadcasts included. Those beyond stay in
        /// their queue for the next owner of the name: a program that wants one message
        /// takes no other with it. An older server, with no `granted.window` in the
        /// [`Welcome`](crate::wire::Welcome), doesn't know of it. Default: no limit.
        window(messages: u32) => hello.window = Some(messages.into());

        /// Whether to connect again when the connection is lost. Default: yes.
        reconnect(reconnect: bool) => reconnect = reconnect;

        /// How long to try to connect again, each time that the connection is lost.
        /// Default: for ever.
        reconnect_within(time: Duration) => reconnect_within = Some(bounded(time));

        /// The interval of heartbeats to `health-monitor`, from 1 ms; the first is sent
        /// at once. As they are answered, they also find a server that [fell
        /// silent](super#a-silent-server). Default: none.
        heartbeat(interval: Duration) => heartbeat = Some(bounded_interval(interval));

        /// The interval of probes, from 1 ms: a `hello` that changes nothing and that
        /// nobody but the server hears of. By its answer a client that only receives
        /// finds a server that [fell silent](super#a-silent-server). Default: none.
        probe(interval: Duration) => probe = Some(bounded_interval(interval));

        /// Whether a thread of the client's own looks at its socket without pause while it
        /// is connected, which keeps a core at 100 %: for the least latency, where there
        /// is a core to give away. Default: no.
        busy_poll(busy_poll: bool) => busy_poll = busy_poll;

        /// How long a connection and its `welcome` may take, the search for the host's
        /// addresses included. Default: 5 s.
        connect_timeout(timeout: Duration) => connect_timeout = bounded(timeout);

        /// How long to wait for the answer to a message after it was first handed to a
        /// connection, even if that is lost. The connection may [live
        /// on](super#a-silent-server). Default: 30 s.
        answer_timeout(timeout: Duration) => answer_timeout = bounded(timeout);

        /// How long a close may take. Default: 5 s.
        close_timeout(timeout: Duration) => close_timeout = bounded(timeout);

        /// The most messages under way without an answer, at least one. Default: 4,096.
        unanswered_max(messages: usize)
            => unanswered_max = messages.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
    }

    /// Whether the server is to acknowledge many messages at once, which saves most
    /// of the bytes of its answers. Each send still gets an ack of its own, which
    /// says as much, and no answer waits for others. Default: yes.
    #[must_use]
    pub fn batch_acks(mut self, batch: bool) -> Self {
        self.hello.acks = batch.then_some(Acks::Batch);
        // A sum of dropped messages couldn't be told to their senders.
        self.hello.ack_details = batch.then_some(true);
        self
    }

    /// Sets the bounds of the random delays before attempts to connect again: up
    /// to `first` before the first, up to twice that before the second, and so on,
    /// never above `longest`. At least 1 ms; default: 50 ms and 5 s.
    #[must_use]
    pub fn reconnect_delays(mut self, first: Duration, longest: Duration) -> Self {
        self.reconnect_delay_first = bounded_interval(first);
        self.reconnect_delay_max = bounded_interval(longest);
        self
    }

    /// Bytes of messages that the program has not received at which the client
    /// stops reading, unless an answer is due. Default: 4 MiB. See
    /// [Back-pressure](super#back-pressure).
    #[must_use]
    pub fn inbound_bytes(mut self, bytes: usize) -> Self {
        // At zero it would never read.
        self.inbound_bytes = bytes.max(1);
        self.inbound_bytes_max = self.inbound_bytes_max.max(bytes);
        self
    }

    /// The same even if an answer is due. Default: 64 MiB.
    #[must_use]
    pub fn inbound_bytes_max(mut self, bytes: usize) -> Self {
        self.inbound_bytes_max = bytes.max(1);
        self.inbound_bytes = self.inbound_bytes.min(self.inbound_bytes_max);
        self
    }

    pub(super) fn registration(&self) -> Result<Registration, NameError> {
        let names = self
            .names
            .as_ref()
            .map(|names| names.iter().map(Name::new).collect());
        let hello = Hello {
            names: names.transpose()?,
            resumable: self.wants_to_resume().then_some(true),
            ..self.hello.clone()
        };
        Ok(Registration::new(Name::new(&self.name)?, hello))
    }

    fn wants_to_resume(&self) -> bool {
        let owns_a_name = self.hello.register != Some(false)
            && self.names.as_ref().is_none_or(|names| !names.is_empty());
        self.resumable && owns_a_name && self.unanswered_max <= limits::RESUMABLE_UNANSWERED_MAX
    }
}

/// A duration that can be added to any time.
fn bounded(duration: Duration) -> Duration {
    duration.min(limits::CLIENT_DURATION_MAX)
}

/// The same for an interval: without any pause it would keep a processor busy.
fn bounded_interval(interval: Duration) -> Duration {
    bounded(interval).max(limits::CLIENT_INTERVAL_MIN)
}
