//! The rules of single names, and of patterns that stand for many.

use std::collections::HashMap;

use super::table::{NameConfig, RouterConfig};
use crate::ids::Name;
use crate::limits::{HEALTH_MONITOR, LOG_AGGREGATOR};

impl RouterConfig {
    /// Returns the rules of `name`: its own, or those of the longest pattern that fits, or
    /// the default. They don't add up.
    ///
    /// No pattern makes a name durable that the server itself serves: its own, and those of
    /// its services.
    #[must_use]
    pub fn rules_of(&self, name: &[u8]) -> NameConfig {
        if let Some(own) = self.names.get(name) {
            return *own;
        }
        let pattern = longest_pattern(&self.names, name);
        let mut rules = pattern.copied().unwrap_or_default();
        rules.durable &= self.why_never_durable(name).is_none();
        rules
    }

    /// Returns the reason for which the messages to `name` are never kept on disk, if
    /// there is one.
    pub(super) fn why_never_durable(&self, name: &[u8]) -> Option<&'static str> {
        if name == self.name.as_bytes() {
            Some("this is the server's own name, and nothing is kept for it")
        } else if name == HEALTH_MONITOR.as_bytes() || name == LOG_AGGREGATOR.as_bytes() {
            Some("the server itself takes the messages to this name, so nothing is kept for it")
        } else {
            None
        }
    }
}

/// Returns the value of the longest pattern in `by_name` that fits `name`. A pattern ends
/// in `*`, and fits all names that begin with the part before it.
pub(crate) fn longest_pattern<'a, T>(by_name: &'a HashMap<Name, T>, name: &[u8]) -> Option<&'a T> {
    let fitting = by_name.iter().filter_map(|(pattern, value)| {
        let beginning = pattern.as_bytes().strip_suffix(b"*")?;
        name.starts_with(beginning)
            .then_some((beginning.len(), value))
    });
    let longest = fitting.max_by_key(|(bytes, _)| *bytes);
    longest.map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration in which each of these has a queue of that many messages and, with
    /// a `true`, is durable.
    fn config(rules: &[(&str, usize, bool)]) -> RouterConfig {
        let mut config = RouterConfig::default();
        for (name, messages, durable) in rules {
            let rules = NameConfig {
                queue_messages: Some(*messages),
                durable: *durable,
                ..NameConfig::default()
            };
            config.names.insert(Name::new(name).unwrap(), rules);
        }
        config
    }

    #[test]
    fn a_name_has_its_own_rules_or_those_of_the_longest_pattern() {
        let config = config(&[
            ("*", 100, false),
            ("feed-*", 200, true),
            ("feed-eu-*", 300, false),
            ("feed-eu-1", 400, true),
            ("a*b", 500, true),
        ]);
        let messages = |name: &str| config.rules_of(name.as_bytes()).queue_messages;
        for (name, expected) in [
            ("feed-eu-1", 400),
            ("feed-eu-12", 300),
            ("feed-eu-", 300),
            ("feed-us", 200),
            ("feed-*", 200),
            ("feed", 100),
            ("my-feed-", 100),
            ("a*b", 500),
            ("axb", 100),
        ] {
            assert_eq!(messages(name), Some(expected), "{name}");
        }
        assert!(config.rules_of(b"feed-us").durable);
        assert!(!config.rules_of(b"feed-eu-12").durable);
    }

    #[test]
    fn without_rules_or_a_pattern_that_fits_a_name_has_the_default() {
        let config = config(&[("feed-*", 200, true)]);
        assert_eq!(config.rules_of(b"gateway"), NameConfig::default());
        let none = RouterConfig::default();
        assert_eq!(none.rules_of(b"feed-eu"), NameConfig::default());
    }

    #[test]
    fn a_pattern_makes_no_name_durable_that_the_server_serves() {
        let config = config(&[("*", 100, true)]);
        assert!(config.rules_of(b"gateway").durable);
        for name in ["health-monitor", "log-aggregator", config.name.as_str()] {
            let rules = config.rules_of(name.as_bytes());
            assert!(!rules.durable, "{name}");
            assert_eq!(rules.queue_messages, Some(100), "{name}");
        }
    }
}
