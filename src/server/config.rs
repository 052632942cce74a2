//! What a server can be told, and what is allowed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::machine::{self, GroupLimit};
use crate::ids::Name;
use crate::limits;
use crate::router::NameConfig;
use crate::wire::Validation;
use crate::wire::filter::Pointer;

/// What a server can be told. Start from [`ServerConfig::default`] and change
/// what you need; `Server::start` checks it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Where to listen: one or several `HOST:PORT`. All addresses that a host
    /// has are listened on. Port 0 picks a free one, the same for all.
    pub listen: Vec<String>,
    /// The server's own name: the `source` of its answers.
    pub name: Name,
    /// Largest frame accepted, in bytes without the length prefix.
    pub frame_bytes_max: usize,
    /// Bytes that the queue of a name, or of a connection's broadcasts, may
    /// hold. An empty queue takes any one message.
    pub queue_bytes: usize,
    /// Messages that such a queue may hold.
    pub queue_messages: usize,
    /// Bytes that may be held for all peers together: what is queued, answers,
    /// and frames that have arrived in part. Unless configured, half of what the
    /// machine or the process's cgroup has.
    pub memory_max: usize,
    /// How long in sum a connection is paused for one full queue before its
    /// events to it are refused.
    pub stall_timeout: Duration,
    /// How long what is queued for a name waits for another owner once its own
    /// has left. 0: not at all.
    pub linger: Duration,
    /// How long queued messages may take to be written at shutdown.
    pub drain_timeout: Duration,
    /// Connections served at once; further ones are told `LIMIT_EXCEEDED` and
    /// closed. Where the process may have too few descriptors open for so many,
    /// fewer are served.
    pub connections_max: usize,
    /// How long a connection may go until a message of it is accepted. From 100
    /// milliseconds to 24 hours.
    pub first_message_timeout: Duration,
    /// Bytes a second at which a frame must come in the mean, once it has taken
    /// 10 seconds.
    pub frame_rate_min: usize,
    /// How much of each frame is checked.
    pub validation: Validation,
    /// JSON pointers, 16 at most: for each value that broadcasts have there the
    /// last one is kept from the start, and not only once somebody subscribes to
    /// a snapshot by it.
    pub snapshot_keys: Vec<String>,
    /// What is different for the queues of some names.
    pub names: HashMap<Name, NameConfig>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: vec![limits::LISTEN_DEFAULT.to_owned()],
            name: Name::new(limits::SERVER_NAME_DEFAULT).expect("the default name is a name"),
            frame_bytes_max: limits::FRAME_BYTES_MAX_DEFAULT,
            queue_bytes: limits::QUEUE_BYTES_DEFAULT,
            queue_messages: limits::QUEUE_MESSAGES_DEFAULT,
            memory_max: machine::memory_max_default(),
            stall_timeout: limits::STALL_TIMEOUT_DEFAULT,
            linger: limits::LINGER_DEFAULT,
            drain_timeout: limits::DRAIN_TIMEOUT_DEFAULT,
            connections_max: limits::CONNECTIONS_MAX_DEFAULT,
            first_message_timeout: limits::FIRST_MESSAGE_TIMEOUT_DEFAULT,
            frame_rate_min: limits::FRAME_RATE_MIN_DEFAULT,
            validation: Validation::Payload,
            snapshot_keys: Vec::new(),
            names: HashMap::new(),
        }
    }
}

/// A setting that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: {allowed}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting's key.
    pub key: Cow<'static, str>,
    /// The value that it was given.
    pub value: String,
    /// What is allowed instead.
    pub allowed: String,
}

impl ServerConfig {
    /// Checks each value against what is allowed.
    ///
    /// # Errors
    /// The first value that is not, with what is.
    pub fn validate(&self) -> Result<(), ConfigError> {
        listen_all(&self.listen)?;
        within(
            "frame_bytes_max",
            self.frame_bytes_max,
            limits::FRAME_BYTES_MAX_MIN..=limits::FRAME_BYTES_MAX_MAX,
            " bytes",
        )?;
        queue_bytes("queue_bytes", self.queue_bytes)?;
        queue_messages("queue_messages", self.queue_messages)?;
        memory_max(
            self.memory_max,
            self.frame_bytes_max,
            machine::group_limit(),
        )?;
        // In the order of their names, so that of two errors always the same is
        // reported.
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_key(|(name, _)| name.as_str());
        for (name, own) in names {
            let key = |key| format!("names.{name}.{key}");
            if let Some(bytes) = own.queue_bytes {
                queue_bytes(key("queue_bytes"), bytes)?;
            }
            if let Some(messages) = own.queue_messages {
                queue_messages(key("queue_messages"), messages)?;
            }
        }
        at_most("linger", self.linger, limits::LINGER_MAX)?;
        at_most(
            "stall_timeout",
            self.stall_timeout,
            limits::STALL_TIMEOUT_MAX,
        )?;
        at_most(
            "drain_timeout",
            self.drain_timeout,
            limits::DRAIN_TIMEOUT_MAX,
        )?;
        within(
            "connections_max",
            self.connections_max,
            1..=limits::CONNECTIONS_MAX_MAX,
            "",
        )?;
        lasting(
            "first_message_timeout",
            self.first_message_timeout,
            limits::FIRST_MESSAGE_TIMEOUT_MIN..=limits::FIRST_MESSAGE_TIMEOUT_MAX,
        )?;
        within(
            "frame_rate_min",
            self.frame_rate_min,
            limits::FRAME_RATE_MIN_MIN..=limits::FRAME_RATE_MIN_MAX,
            " bytes a second",
        )?;
        snapshot_keys(&self.snapshot_keys)
    }
}

/// All memory must have room for some frames, and be no more than there is.
fn memory_max(
    bytes: usize,
    frame_bytes_max: usize,
    group: Option<&GroupLimit>,
) -> Result<(), ConfigError> {
    let least = frame_bytes_max.saturating_mul(limits::MEMORY_MAX_FRAMES);
    let allowed = if bytes < limits::MEMORY_MAX_MIN.max(least) {
        format!(
            "must be at least {} bytes, and {} times frame_bytes_max = {frame_bytes_max}",
            limits::MEMORY_MAX_MIN,
            limits::MEMORY_MAX_FRAMES,
        )
    } else if let Some(group) = group.filter(|group| bytes > group.bytes) {
        format!(
            "must be at most {} bytes, which is the limit of the process's cgroup ({})",
            group.bytes,
            group.file.display()
        )
    } else {
        return Ok(());
    };
    Err(ConfigError {
        key: "memory_max".into(),
        value: bytes.to_string(),
        allowed,
    })
}

fn snapshot_keys(keys: &[String]) -> Result<(), ConfigError> {
    let max = limits::SNAPSHOT_KEYS_MAX;
    let wrong = keys.iter().find(|key| Pointer::parse(key).is_err());
    if wrong.is_none() && keys.len() <= max {
        return Ok(());
    }
    Err(ConfigError {
        key: "snapshot.keys".into(),
        value: format!("{keys:?}"),
        allowed: match wrong {
            Some(key) => {
                format!("{key:?} is no JSON pointer, as in \"/payload/payload_json/symbol\"")
            }
            None => format!("must be at most {max} JSON pointers"),
        },
    })
}

fn queue_bytes(key: impl Into<Cow<'static, str>>, bytes: usize) -> Result<(), ConfigError> {
    let allowed = limits::QUEUE_BYTES_MIN..=limits::QUEUE_BYTES_MAX;
    within(key, bytes, allowed, " bytes")
}

fn queue_messages(key: impl Into<Cow<'static, str>>, messages: usize) -> Result<(), ConfigError> {
    let allowed = limits::QUEUE_MESSAGES_MIN..=limits::QUEUE_MESSAGES_MAX;
    within(key, messages, allowed, "")
}

fn listen_all(addresses: &[String]) -> Result<(), ConfigError> {
    let max = limits::LISTEN_MAX;
    if !(1..=max).contains(&addresses.len()) {
        return Err(ConfigError {
            key: "listen".into(),
            value: format!("{addresses:?}"),
            allowed: format!("must be between 1 and {max} addresses"),
        });
    }
    addresses.iter().try_for_each(|address| listen(address))
}

/// `HOST:PORT`, an IPv6 address in brackets. Whether the host exists shows when
/// the server binds it.
fn listen(value: &str) -> Result<(), ConfigError> {
    let well_formed = value.rsplit_once(':').is_some_and(|(host, port)| {
        let ambiguous = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        !host.is_empty() && !ambiguous && digits && port.parse::<u16>().is_ok()
    });
    if well_formed {
        return Ok(());
    }
    Err(ConfigError {
        key: "listen".into(),
        value: format!("{value:?}"),
        allowed: format!(
            "must be HOST:PORT with a port from 0 (any free one) to 65535, \
             as in {:?} or \"[::1]:7411\"",
            limits::LISTEN_DEFAULT
        ),
    })
}

fn within(
    key: impl Into<Cow<'static, str>>,
    value: usize,
    allowed: RangeInclusive<usize>,
    unit: &str,
) -> Result<(), ConfigError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(ConfigError {
        key: key.into(),
        value: value.to_string(),
        allowed: format!(
            "must be between {} and {}{unit}",
            allowed.start(),
            allowed.end()
        ),
    })
}

fn at_most(key: &'static str, value: Duration, max: Duration) -> Result<(), ConfigError> {
    lasting(key, value, Duration::ZERO..=max)
}

fn lasting(
    key: &'static str,
    value: Duration,
    allowed: RangeInclusive<Duration>,
) -> Result<(), ConfigError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    // As it is written in a file, also for zero.
    let min = match *allowed.start() {
        Duration::ZERO => "0s".to_owned(),
        min => format!("{min:?}"),
    };
    Err(ConfigError {
        key: key.into(),
        value: format!("{value:?}"),
        allowed: format!("must be between {min} and {:?}", allowed.end()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut ServerConfig)) -> String {
        let mut config = ServerConfig::default();
        change(&mut config);
        config.validate().expect_err("must be refused").to_string()
    }

    #[test]
    fn takes_the_defaults() {
        assert_eq!(ServerConfig::default().validate(), Ok(()));
    }

    #[test]
    fn takes_addresses_with_names_brackets_and_port_zero() {
        for listen in ["localhost:7411", "[::1]:0", "0.0.0.0:65535"] {
            let config = ServerConfig {
                listen: vec![listen.to_owned()],
                ..ServerConfig::default()
            };
            assert_eq!(config.validate(), Ok(()), "{listen}");
        }
    }

    #[test]
    fn refuses_addresses_without_host_or_port() {
        for listen in [
            "",
            "7411",
            ":7411",
            "localhost",
            "localhost:",
            "localhost:65536",
            "localhost:+1",
            "::1:7411",
        ] {
            let several = ["127.0.0.1:7411".to_owned(), listen.to_owned()];
            let error = refused(|config| config.listen = several.to_vec());
            assert!(error.starts_with(&format!("listen = {listen:?}: must be HOST:PORT")));
        }
    }

    #[test]
    fn takes_a_bounded_number_of_addresses() {
        let error = refused(|config| config.listen = Vec::new());
        assert_eq!(error, "listen = []: must be between 1 and 16 addresses");
        let error = refused(|config| config.listen = vec!["a:1".to_owned(); 17]);
        assert!(error.ends_with("must be between 1 and 16 addresses"));
    }

    #[test]
    fn takes_a_bounded_number_of_pointers_for_snapshots() {
        let error = refused(|config| config.snapshot_keys = vec!["/a".into(), "b".into()]);
        let expected = "snapshot.keys = [\"/a\", \"b\"]: \"b\" is no JSON pointer";
        assert!(error.starts_with(expected), "{error}");
        let error = refused(|config| config.snapshot_keys = vec!["/a".into(); 17]);
        assert!(
            error.ends_with("must be at most 16 JSON pointers"),
            "{error}"
        );
    }

    #[test]
    fn an_error_names_the_name_whose_queue_it_is_about() {
        let own = NameConfig {
            queue_bytes: Some(10),
            ..NameConfig::default()
        };
        let two = |config: &mut ServerConfig| {
            for name in ["b.c", "a"] {
                config.names.insert(Name::new(name).unwrap(), own);
            }
        };
        assert_eq!(
            refused(two),
            "names.a.queue_bytes = 10: must be between 65536 and 17179869184 bytes"
        );
        let own = NameConfig {
            queue_messages: Some(1),
            ..NameConfig::default()
        };
        let one = |config: &mut ServerConfig| {
            config.names.insert(Name::new("b.c").unwrap(), own);
        };
        assert_eq!(
            refused(one),
            "names.b.c.queue_messages = 1: must be between 16 and 4194304"
        );
    }

    #[test]
    fn memory_has_room_for_frames_and_is_not_more_than_there_is() {
        let group = GroupLimit {
            bytes: 512 << 20,
            file: "/sys/fs/cgroup/memory.max".into(),
        };
        let check = |bytes| memory_max(bytes, 1 << 20, Some(&group));
        assert_eq!(check(4 << 20), Ok(()));
        assert_eq!(check(512 << 20), Ok(()));
        assert_eq!(memory_max(usize::MAX, 1 << 20, None), Ok(()));
        assert_eq!(
            check((512 << 20) + 1).unwrap_err().to_string(),
            "memory_max = 536870913: must be at most 536870912 bytes, which is the limit of the \
             process's cgroup (/sys/fs/cgroup/memory.max)"
        );
        assert_eq!(
            check((4 << 20) - 1).unwrap_err().to_string(),
            "memory_max = 4194303: must be at least 1048576 bytes, and 4 times \
             frame_bytes_max = 1048576"
        );
        assert!(memory_max(1 << 19, 1024, None).is_err());
    }

    #[test]
    fn an_error_names_key_value_and_what_is_allowed() {
        assert_eq!(
            refused(|config| config.queue_bytes = 10),
            "queue_bytes = 10: must be between 65536 and 17179869184 bytes"
        );
        assert_eq!(
            refused(|config| config.frame_bytes_max = usize::MAX),
            format!(
                "frame_bytes_max = {}: must be between 1024 and 67108864 bytes",
                usize::MAX
            )
        );
        assert_eq!(
            refused(|config| config.queue_messages = 15),
            "queue_messages = 15: must be between 16 and 4194304"
        );
        assert_eq!(
            refused(|config| config.connections_max = 0),
            "connections_max = 0: must be between 1 and 1048576"
        );
        assert_eq!(
            refused(|config| config.stall_timeout = Duration::from_secs(3_601)),
            "stall_timeout = 3601s: must be between 0s and 3600s"
        );
        assert_eq!(
            refused(|config| config.linger = Duration::from_secs(86_401)),
            "linger = 86401s: must be between 0s and 86400s"
        );
        for (timeout, shown) in [
            (Duration::ZERO, "0ns"),
            (Duration::from_millis(99), "99ms"),
            (Duration::MAX, "18446744073709551615.999999999s"),
        ] {
            assert_eq!(
                refused(|config| config.first_message_timeout = timeout),
                format!("first_message_timeout = {shown}: must be between 100ms and 86400s")
            );
        }
        assert_eq!(
            refused(|config| config.frame_rate_min = 0),
            "frame_rate_min = 0: must be between 1 and 1048576 bytes a second"
        );
        assert_eq!(
            refused(|config| config.drain_timeout = Duration::MAX),
            "drain_timeout = 18446744073709551615.999999999s: must be between 0s and 3600s"
        );
    }
}
