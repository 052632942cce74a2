//! The table: each setting of a server in one row, and the builder made from it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use super::check::{ConfigError, addresses, anything, cores, folder, pointers, within};
use super::define::{self, settings};
use crate::ids::Name;
#[cfg(feature = "server")]
use crate::ids::NameError;
use crate::limits;
use crate::wire::Validation;

settings! {
    server {
        /// The addresses to listen on: `HOST:PORT`, or a list. All addresses of a host
        /// are listened on; port 0 picks a free one, the same for all.
        listen: Vec<String> = vec![limits::LISTEN_DEFAULT.to_owned()]
            => Addresses, addresses;
    }
    router {
        /// The server's own name: the source of its answers.
        name: Name = Name::new(limits::SERVER_NAME_DEFAULT).expect("the default name is a name")
            => Name, anything;

        /// The largest frame accepted, in bytes without its prefix.
        frame_bytes_max: usize = limits::FRAME_BYTES_MAX_DEFAULT
            => Size, within(limits::FRAME_BYTES_MAX_MIN..=limits::FRAME_BYTES_MAX_MAX, " bytes");

        /// The bytes that the queue of a name, or of a connection's broadcasts, may
        /// hold. An empty queue takes any one message.
        queue_bytes: usize = limits::QUEUE_BYTES_DEFAULT
            => Size, within(limits::QUEUE_BYTES_MIN..=limits::QUEUE_BYTES_MAX, " bytes");

        /// The messages that the queue of a name, or of a connection's broadcasts, may
        /// hold.
        queue_messages: usize = limits::QUEUE_MESSAGES_DEFAULT
            => Count, within(limits::QUEUE_MESSAGES_MIN..=limits::QUEUE_MESSAGES_MAX, "");

        /// The bytes that may be held for all peers together: queued messages,
        /// answers, and frames that have arrived in part. Unless set, a server takes
        /// half of the memory of its machine or cgroup.
        memory_max: usize = usize::MAX
            => Size, anything;

        /// The sum of the pauses that a full queue imposes on a sender before its
        /// events to that queue are refused.
        stall_timeout: Duration = limits::STALL_TIMEOUT_DEFAULT
            => Duration, within(Duration::ZERO..=limits::STALL_TIMEOUT_MAX, "");

        /// The time that messages for a name wait for its next owner once the last
        /// has left. 0: none.
        linger: Duration = limits::LINGER_DEFAULT
            => Duration, within(Duration::ZERO..=limits::LINGER_MAX, "");
    }
    server {
        /// The folder of the journal, which keeps the messages to durable names. Made
        /// if it is missing.
        data_dir: Option<PathBuf> = None
            => Path, folder;

        /// The bytes that the journal may have on disk. When it has them, messages to
        /// durable names are refused; a name with an eighth of them unsettled is refused
        /// further ones before.
        journal_bytes: usize = limits::JOURNAL_BYTES_DEFAULT
            => Size, within(limits::JOURNAL_BYTES_MIN..=limits::JOURNAL_BYTES_MAX, " bytes");

        /// Whether a journal that has lost records is opened all the same: they are given
        /// up, and its damaged files kept aside. Without it the server doesn't start.
        accept_loss: bool = false
            => Flag, anything;

        /// The time that queued messages may take to be written at shutdown.
        drain_timeout: Duration = limits::DRAIN_TIMEOUT_DEFAULT
            => Duration, within(Duration::ZERO..=limits::DRAIN_TIMEOUT_MAX, "");

        /// The connections served at once; further ones are told `LIMIT_EXCEEDED` and
        /// closed. Where the process may have too few descriptors open for so many,
        /// fewer are served.
        connections_max: usize = limits::CONNECTIONS_MAX_DEFAULT
            => Count, within(1..=limits::CONNECTIONS_MAX_MAX, "");

        /// The time that a connection has until a message of it is accepted, from
        /// 100 ms to 24 h.
        first_message_timeout: Duration = limits::FIRST_MESSAGE_TIMEOUT_DEFAULT
            => Duration,
            within(limits::FIRST_MESSAGE_TIMEOUT_MIN..=limits::FIRST_MESSAGE_TIMEOUT_MAX, "");

        /// The threads that look at the sockets of their connections without pause while
        /// anybody is connected, each of which keeps a core at 100 %: no message waits
        /// for a thread to wake. At most as many as the process may use cores. 0: none.
        busy_poll: usize = 0
            => Count, cores;

        /// The bytes a second at which a frame must come in the mean, once it has
        /// taken 10 s.
        frame_rate_min: usize = limits::FRAME_RATE_MIN_DEFAULT
            => Size,
            within(limits::FRAME_RATE_MIN_MIN..=limits::FRAME_RATE_MIN_MAX, " bytes a second");
    }
    router {
        /// The part of a frame that is checked: "payload" is all of it, "envelope"
        /// less.
        validation: Validation = Validation::Payload
            => Validation, anything;

        /// JSON pointers, 16 at most: the last broadcast for each value there is kept
        /// from the start, and not only once somebody subscribes to a snapshot by it.
        snapshot_keys as "snapshot.keys": Vec<String> = Vec::new()
            => Pointers, pointers;
    }
}

/// The rules of one name, or of all that begin alike. `None` is the rule of all queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NameConfig {
    /// Bytes that the queue may hold.
    pub queue_bytes: Option<usize>,
    /// Messages that the queue may hold.
    pub queue_messages: Option<usize>,
    /// The fate of events that don't fit the queue.
    pub overflow: Overflow,
    /// Whether the messages to the name are kept on disk until they are settled.
    pub durable: bool,
}

/// The fate of an event that doesn't fit the queue of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// Pauses its sender until there is room; refuses it after `stall_timeout`.
    #[default]
    Pause,
    /// Refuses it at once.
    Refuse,
    /// Drops it; the ack tells its sender, a notice in the stream the target.
    Drop,
}

/// A setting: its key, its text, and the way to its value.
#[derive(Debug)]
pub struct Setting {
    key: &'static str,
    text: &'static str,
    value: fn(&mut ServerConfig) -> Value<'_>,
    check: fn(&'static str, &ServerConfig) -> Result<(), ConfigError>,
}

impl Setting {
    /// Returns the key: the name of the field, or a path with dots.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// Returns the text that explains the setting, in one line.
    #[must_use]
    pub fn text(&self) -> &'static str {
        self.text.trim_start()
    }

    /// Returns the place of the value in `config`.
    pub fn value<'a>(&self, config: &'a mut ServerConfig) -> Value<'a> {
        (self.value)(config)
    }

    /// Checks the value in `config` by the rule of the setting.
    pub(super) fn check(&self, config: &ServerConfig) -> Result<(), ConfigError> {
        (self.check)(self.key, config)
    }
}

/// The place of a setting's value, by the kind of the value.
#[derive(Debug)]
pub enum Value<'a> {
    /// Addresses, each `HOST:PORT`.
    Addresses(&'a mut Vec<String>),
    /// A name.
    Name(&'a mut Name),
    /// Bytes.
    Size(&'a mut usize),
    /// A number.
    Count(&'a mut usize),
    /// A duration.
    Duration(&'a mut Duration),
    /// The part of a frame that is checked.
    Validation(&'a mut Validation),
    /// Yes or no.
    Flag(&'a mut bool),
    /// JSON pointers.
    Pointers(&'a mut Vec<String>),
    /// A path, if there is one.
    Path(&'a mut Option<PathBuf>),
}

/// Collects the settings of a server.
#[cfg(feature = "server")]
#[derive(Debug, Default)]
pub struct ServerBuilder {
    config: ServerConfig,
    wrong_name: Option<NameError>,
}

#[cfg(feature = "server")]
impl ServerBuilder {
    /// Adds an address to listen on. With port 0, all with port 0 get the same.
    #[must_use]
    pub fn also_listen(mut self, address: impl Into<String>) -> Self {
        self.config.listen.push(address.into());
        self
    }

    /// Sets the rules of `name`, in place of earlier ones. A name that ends in `*` stands
    /// for all that begin with the part before it ([`RouterConfig::rules_of`]).
    #[must_use]
    pub fn queue_of(mut self, name: impl AsRef<str>, own: NameConfig) -> Self {
        match Name::new(name) {
            Ok(name) => {
                self.config.router.names.insert(name, own);
            }
            Err(error) => self.wrong_name = Some(error),
        }
        self
    }

    /// Returns the settings, or the last name that was none.
    pub(crate) fn finish(self) -> Result<ServerConfig, NameError> {
        self.wrong_name.map_or(Ok(self.config), Err)
    }
}

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    #[test]
    fn a_builder_sets_what_it_is_told() {
        let config = ServerBuilder::default()
            .listen("a:1")
            .also_listen("b:2")
            .name("n")
            .queue_messages(100)
            .snapshot_keys(["/payload/a", "/payload/b"])
            .data_dir("journal")
            .queue_of("feed", NameConfig::default())
            .finish()
            .unwrap();
        assert_eq!(config.listen, ["a:1", "b:2"]);
        assert_eq!(config.router.name.as_str(), "n");
        assert_eq!(config.router.queue_messages, 100);
        assert_eq!(config.router.snapshot_keys, ["/payload/a", "/payload/b"]);
        assert_eq!(config.data_dir, Some(PathBuf::from("journal")));
        assert_eq!(config.router.names.len(), 1);
        assert_eq!(config.validate(), Ok(()));
    }

    #[test]
    fn a_wrong_name_is_told_at_the_end() {
        let builder = ServerBuilder::default().name("").queue_bytes(1);
        assert!(builder.finish().is_err());
    }
}
