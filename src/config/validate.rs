//! The defaults of a server, and the check of all its settings.

use super::check::ConfigError;
use super::machine::{self, GroupLimit};
use super::table::{NameConfig, Overflow, RouterConfig, SETTINGS, ServerConfig};
use crate::ids::Name;
use crate::limits;

impl Default for ServerConfig {
    fn default() -> Self {
        Self::around(RouterConfig {
            memory_max: *machine::MEMORY_MAX_DEFAULT,
            ..RouterConfig::default()
        })
    }
}

impl ServerConfig {
    /// Checks each value against the rule of its setting.
    ///
    /// # Errors
    /// The first value that is not allowed, with those that are.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.check_each()?;
        memory_max(
            self.router.memory_max,
            self.router.frame_bytes_max,
            machine::GROUP_LIMIT.as_ref(),
        )?;
        self.check_names()
    }

    fn check_each(&self) -> Result<(), ConfigError> {
        SETTINGS.iter().try_for_each(|setting| setting.check(self))
    }

    /// Checks the queue of each name by the rules of all queues.
    fn check_names(&self) -> Result<(), ConfigError> {
        let mut one = self.clone();
        one.router.names.clear();
        // In order, so that of two errors always the same is reported.
        let mut names: Vec<_> = self.router.names.iter().collect();
        names.sort_by_key(|(name, _)| name.as_str());
        for (name, own) in names {
            one.router.queue_bytes = own.queue_bytes.unwrap_or(self.router.queue_bytes);
            one.router.queue_messages = own.queue_messages.unwrap_or(self.router.queue_messages);
            let checked = one
                .check_each()
                .and_then(|()| self.check_durable(name, own));
            checked.map_err(|error| ConfigError {
                key: format!("names.{name}.{}", error.key).into(),
                ..error
            })?;
        }
        Ok(())
    }

    /// Checks that the messages to a durable name can be kept, and none is dropped.
    fn check_durable(&self, name: &Name, own: &NameConfig) -> Result<(), ConfigError> {
        if !own.durable {
            return Ok(());
        }
        let not_durable = |why: &str| Err(ConfigError::new("durable", &true, why.to_owned()));
        if let Some(why) = self.router.why_never_durable(name.as_bytes()) {
            return not_durable(&format!("must be false: {why}"));
        }
        if self.data_dir.is_none() {
            return not_durable(
                "needs the folder of the journal: set data_dir (--data-dir DIR) as well",
            );
        }
        if own.overflow == Overflow::Drop {
            let allowed = "must be \"pause\" or \"refuse\": the name is durable, and drops nothing";
            return Err(ConfigError::new("overflow", &"drop", allowed.to_owned()));
        }
        Ok(())
    }
}

/// Checks that memory has room for some frames, and is no more than there is.
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
    Err(ConfigError::new("memory_max", &bytes, allowed))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        let error = refused(|config| config.router.snapshot_keys = vec!["/a".into(), "b".into()]);
        let expected = "snapshot.keys = [\"/a\", \"b\"]: \"b\" is no JSON pointer";
        assert!(error.starts_with(expected), "{error}");
        let error = refused(|config| config.router.snapshot_keys = vec!["/a".into(); 17]);
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
                config.router.names.insert(Name::new(name).unwrap(), own);
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
            config.router.names.insert(Name::new("b.c").unwrap(), own);
        };
        assert_eq!(
            refused(one),
            "names.b.c.queue_messages = 1: must be between 16 and 4194304"
        );
    }

    /// The error of a server that keeps the messages to `name`, without a folder or with.
    fn durable_refused(name: &str, data_dir: Option<&str>, overflow: Overflow) -> String {
        let own = NameConfig {
            durable: true,
            overflow,
            ..NameConfig::default()
        };
        refused(|config| {
            config.data_dir = data_dir.map(Into::into);
            config.router.names.insert(Name::new(name).unwrap(), own);
        })
    }

    #[test]
    fn a_durable_name_needs_a_folder_and_drops_nothing() {
        assert_eq!(
            durable_refused("feed-*", None, Overflow::Pause),
            "names.feed-*.durable = true: needs the folder of the journal: set data_dir (--data-dir DIR) as well"
        );
        assert_eq!(
            durable_refused("feed", Some(""), Overflow::Pause),
            "data_dir = \"\": must name a folder, or be left out"
        );
        assert_eq!(
            durable_refused("feed", Some("journal"), Overflow::Drop),
            "names.feed.overflow = \"drop\": must be \"pause\" or \"refuse\": \
             the name is durable, and drops nothing"
        );
    }

    #[test]
    fn names_that_the_server_serves_are_not_durable() {
        for name in ["health-monitor", "log-aggregator", "tickwire"] {
            let error = durable_refused(name, Some("journal"), Overflow::Pause);
            let expected = format!("names.{name}.durable = true: must be false: ");
            assert!(error.starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn takes_durable_names_and_patterns_with_a_folder() {
        for name in ["feed", "feed-*", "*"] {
            let own = NameConfig {
                durable: true,
                overflow: Overflow::Refuse,
                ..NameConfig::default()
            };
            let mut config = ServerConfig {
                data_dir: Some("journal".into()),
                ..ServerConfig::default()
            };
            config.router.names.insert(Name::new(name).unwrap(), own);
            assert_eq!(config.validate(), Ok(()), "{name}");
        }
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
            refused(|config| config.router.queue_bytes = 10),
            "queue_bytes = 10: must be between 65536 and 17179869184 bytes"
        );
        assert_eq!(
            refused(|config| config.router.frame_bytes_max = usize::MAX),
            format!(
                "frame_bytes_max = {}: must be between 1024 and 67108864 bytes",
                usize::MAX
            )
        );
        assert_eq!(
            refused(|config| config.router.queue_messages = 15),
            "queue_messages = 15: must be between 16 and 4194304"
        );
        assert_eq!(
            refused(|config| config.connections_max = 0),
            "connections_max = 0: must be between 1 and 1048576"
        );
        assert_eq!(
            refused(|config| config.router.stall_timeout = Duration::from_secs(3_601)),
            "stall_timeout = 3601s: must be between 0s and 3600s"
        );
        assert_eq!(
            refused(|config| config.router.linger = Duration::from_secs(86_401)),
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
