//! The variables that are tickwire's own, and those that only look like it.
//!
//! A Kubernetes Service called `tickwire` gives every pod beside it variables
//! such as `TICKWIRE_PORT=tcp://10.0.0.1:7411`. They must not keep a server from
//! starting; a setting with a typing error must.

use std::ffi::OsString;
use std::path::PathBuf;

use super::assignment::{Assignment, Origin, PREFIX, ValueKind};
use super::error::{SettingsError, is_known, nearest, unknown};

/// The variable that names the configuration file, which is no setting.
const CONFIG: &str = "TICKWIRE_CONFIG";

#[derive(Debug, Default)]
pub struct Environment {
    /// Settings, sorted, so that of two errors always the same is reported.
    pub settings: Vec<Assignment>,
    pub config: Option<PathBuf>,
    /// Variables with tickwire's prefix that are no setting, nor nearly one.
    pub ignored: Vec<String>,
}

/// Sorts the variables out. An empty one is as if it were not there: so a compose
/// file gives a value that nobody has filled in.
///
/// # Errors
/// A variable that is nearly a setting, or a setting's value that is not Unicode.
pub fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Environment, SettingsError> {
    let mut own: Vec<(String, OsString)> = variables
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    own.sort();
    let mut environment = Environment::default();
    for (name, value) in own {
        if name == CONFIG {
            environment.config = Some(PathBuf::from(value));
            continue;
        }
        let key = name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
        if is_known(&key) {
            let text = value
                .into_string()
                .map_err(|_| SettingsError::NotUnicode(name.clone()))?;
            environment.settings.push(Assignment {
                key,
                text,
                kind: ValueKind::Untyped,
                origin: Origin::Variable(name),
            });
        } else if !is_foreign(&name, &value.to_string_lossy()) {
            if strsim::damerau_levenshtein(&name, CONFIG) <= 2 {
                return Err(SettingsError::Unknown {
                    origin: Origin::Variable(name),
                    key: String::new(),
                    remedy: format!(": did you mean {CONFIG}?"),
                });
            }
            if nearest(&key).is_some() {
                return Err(unknown(key, Origin::Variable(name)));
            }
            environment.ignored.push(name);
        }
    }
    Ok(environment)
}

/// Returns whether Kubernetes, or Docker before it, gives a variable like this
/// for every port of a Service: `A_SERVICE_HOST`, `A_SERVICE_PORT`,
/// `A_SERVICE_PORT_X` for the port called `x`, `A_PORT`, `A_PORT_7411_TCP`,
/// and `A_PORT_7411_TCP_X` for the parts of its address.
fn is_foreign(name: &str, value: &str) -> bool {
    let is_url = || {
        let mut protocols = ["tcp://", "udp://", "sctp://"].into_iter();
        protocols.any(|protocol| value.starts_with(protocol))
    };
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && is_url())
        || name
            .match_indices("_PORT_")
            .any(|(at, mark)| is_port_and_protocol(&name[at + mark.len()..]))
}

/// Returns whether `text` is like `7411_TCP` or `7411_TCP_ADDR`.
fn is_port_and_protocol(text: &str) -> bool {
    let mut parts = text.splitn(3, '_');
    let port = parts.next().and_then(|port| port.parse::<u16>().ok());
    let protocol = parts.next();
    port.is_some() && matches!(protocol, Some("TCP" | "UDP" | "SCTP")) && parts.next() != Some("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_kubernetes_gives_for_a_service() {
        for (name, value) in [
            ("TICKWIRE_SERVICE_HOST", "10.0.0.1"),
            ("TICKWIRE_SERVICE_PORT", "7411"),
            ("TICKWIRE_SERVICE_PORT_FRAMES", "7411"),
            ("TICKWIRE_PORT", "tcp://10.0.0.1:7411"),
            ("TICKWIRE_PORT_7411_TCP", "tcp://10.0.0.1:7411"),
            ("TICKWIRE_PORT_7411_TCP_PROTO", "tcp"),
            ("TICKWIRE_PORT_7411_TCP_PORT", "7411"),
            ("TICKWIRE_PORT_7411_TCP_ADDR", "10.0.0.1"),
            ("TICKWIRE_LOG_PORT", "udp://10.0.0.1:514"),
            ("TICKWIRE_LOG_PORT_514_UDP_ADDR", "10.0.0.1"),
            ("TICKWIRE_NAMES__FEED_SERVICE_HOST", "10.0.0.1"),
            ("TICKWIRE_X_PORT", "sctp://[fd00::1]:1"),
            ("TICKWIRE_PORT_A_PORT_1_SCTP", "sctp://[fd00::1]:1"),
        ] {
            assert!(is_foreign(name, value), "{name}");
        }
        for (name, value) in [
            ("TICKWIRE_PORT", "7411"),
            ("TICKWIRE_PORT", "http://10.0.0.1"),
            ("TICKWIRE_PORTS", "tcp://10.0.0.1:7411"),
            ("TICKWIRE_HOST", "10.0.0.1"),
            ("TICKWIRE_PORT_7411", "x"),
            ("TICKWIRE_PORT_99999_TCP", "x"),
            ("TICKWIRE_PORT_7411_HTTP", "x"),
            ("TICKWIRE_PORT_7411_TCP_", "x"),
            ("TICKWIRE_SERVICE_HOSTS", "x"),
        ] {
            assert!(!is_foreign(name, value), "{name}");
        }
    }
}
