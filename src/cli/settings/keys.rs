//! Each setting: how it is read and shown.

use tickwire::ids::Name;
use tickwire::limits::THREADS_MAX;
use tickwire::wire::Validation;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::{Given, Settings, ValueKind};
use crate::cli::units;

/// Which log lines are written unless told otherwise.
pub const LOG_DEFAULT: &str = "info";

/// A setting.
pub struct Key {
    /// Its dotted name.
    pub name: &'static str,
    /// Takes the value over, or says what is allowed.
    pub set: fn(&mut Settings, &Given) -> Result<(), String>,
    /// The value in TOML.
    pub show: fn(&Settings) -> String,
}

/// All there are, in the order in which they are shown.
pub const KEYS: &[Key] = &[
    Key {
        name: "listen",
        set: |settings, given| {
            settings.server.listen = text(given, "must be a text: HOST:PORT")?.to_owned();
            Ok(())
        },
        show: |settings| quoted(&settings.server.listen),
    },
    Key {
        name: "name",
        set: |settings, given| {
            let name = text(given, "must be a text in quotes")?;
            settings.server.name = Name::new(name).map_err(|error| error.to_string())?;
            Ok(())
        },
        show: |settings| quoted(settings.server.name.as_str()),
    },
    Key {
        name: "threads",
        set: |settings, given| {
            settings.threads = number(given)
                .filter(|threads| (1..=THREADS_MAX).contains(threads))
                .ok_or_else(|| format!("must be a whole number between 1 and {THREADS_MAX}"))?;
            Ok(())
        },
        show: |settings| settings.threads.to_string(),
    },
    Key {
        name: "frame_bytes_max",
        set: |settings, given| {
            settings.server.frame_bytes_max = size(given)?;
            Ok(())
        },
        show: |settings| shown_size(settings.server.frame_bytes_max),
    },
    Key {
        name: "queue_bytes",
        set: |settings, given| {
            settings.server.queue_bytes = size(given)?;
            Ok(())
        },
        show: |settings| shown_size(settings.server.queue_bytes),
    },
    Key {
        name: "queue_messages",
        set: |settings, given| {
            settings.server.queue_messages = number(given).ok_or("must be a whole number")?;
            Ok(())
        },
        show: |settings| settings.server.queue_messages.to_string(),
    },
    Key {
        name: "memory_max",
        set: |settings, given| {
            settings.server.memory_max = size(given)?;
            Ok(())
        },
        show: |settings| shown_size(settings.server.memory_max),
    },
    Key {
        name: "stall_timeout",
        set: |settings, given| {
            settings.server.stall_timeout = duration(given)?;
            Ok(())
        },
        show: |settings| quoted(&units::show_duration(settings.server.stall_timeout)),
    },
    Key {
        name: "linger",
        set: |settings, given| {
            settings.server.linger = duration(given)?;
            Ok(())
        },
        show: |settings| quoted(&units::show_duration(settings.server.linger)),
    },
    Key {
        name: "drain_timeout",
        set: |settings, given| {
            settings.server.drain_timeout = duration(given)?;
            Ok(())
        },
        show: |settings| quoted(&units::show_duration(settings.server.drain_timeout)),
    },
    Key {
        name: "connections_max",
        set: |settings, given| {
            settings.server.connections_max = number(given).ok_or("must be a whole number")?;
            Ok(())
        },
        show: |settings| settings.server.connections_max.to_string(),
    },
    Key {
        name: "validation",
        set: |settings, given| {
            settings.server.validation = match given.text.as_str() {
                "payload" => Validation::Payload,
                "envelope" => Validation::Envelope,
                _ => return Err("must be \"payload\" or \"envelope\"".to_owned()),
            };
            Ok(())
        },
        show: |settings| {
            quoted(match settings.server.validation {
                Validation::Envelope => "envelope",
                _ => "payload",
            })
        },
    },
    Key {
        name: "snapshot.keys",
        set: |settings, given| {
            settings.server.snapshot_keys = texts(given)?;
            Ok(())
        },
        show: |settings| quoted_list(&settings.server.snapshot_keys),
    },
    Key {
        name: "log",
        set: |settings, given| {
            let form = "must be a level (error, warn, info, debug, trace, off) or a filter \
                        such as \"info,tickwire::server=debug\"";
            let filter = text(given, form)?;
            if !says_which_lines(filter) {
                return Err(form.to_owned());
            }
            settings.log = filter.to_owned();
            Ok(())
        },
        show: |settings| quoted(&settings.log),
    },
];

fn text<'a>(given: &'a Given, form: &str) -> Result<&'a str, String> {
    match given.kind {
        ValueKind::Untyped | ValueKind::Text => Ok(&given.text),
        ValueKind::Number | ValueKind::Texts | ValueKind::Other => Err(form.to_owned()),
    }
}

/// A list of texts; of a variable or a flag, also a single one.
fn texts(given: &Given) -> Result<Vec<String>, String> {
    let form = "must be a list of texts: [\"/payload/payload_json/symbol\"]";
    let is_list = match given.kind {
        ValueKind::Texts => true,
        ValueKind::Untyped => given.text.trim_start().starts_with('['),
        _ => return Err(form.to_owned()),
    };
    match is_list {
        true => serde_json::from_str(&given.text).map_err(|_| form.to_owned()),
        false if given.text.is_empty() => Ok(Vec::new()),
        false => Ok(vec![given.text.clone()]),
    }
}

/// Whether each part of a filter is a level or names what it is about. A lone
/// word that is no level, as `verbose`, would be taken for the name of a module,
/// and next to nothing would be logged.
fn says_which_lines(filter: &str) -> bool {
    let is_level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
    let says = |part: &str| is_level(part) || part.contains(['=', ':', '[', ']']);
    filter.split(',').all(says) && EnvFilter::try_new(filter).is_ok()
}

/// A whole number. In a file it may not stand in quotes.
pub fn number(given: &Given) -> Option<usize> {
    match given.kind {
        ValueKind::Untyped | ValueKind::Number => given.text.replace('_', "").parse().ok(),
        ValueKind::Text | ValueKind::Texts | ValueKind::Other => None,
    }
}

pub fn size(given: &Given) -> Result<usize, String> {
    let size = match given.kind {
        ValueKind::Texts | ValueKind::Other => None,
        _ => units::size(&given.text),
    };
    size.ok_or_else(|| units::SIZE_FORM.to_owned())
}

fn duration(given: &Given) -> Result<std::time::Duration, String> {
    let duration = match given.kind {
        ValueKind::Texts | ValueKind::Other => None,
        _ => units::duration(&given.text),
    };
    duration.ok_or_else(|| units::DURATION_FORM.to_owned())
}

/// A size as TOML: in quotes only if it has a unit.
pub fn shown_size(bytes: usize) -> String {
    let text = units::show_size(bytes);
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text
    } else {
        quoted(&text)
    }
}

/// A text as TOML. What JSON escapes, TOML's basic strings escape alike.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A list of texts as TOML, and as JSON.
pub fn quoted_list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}
