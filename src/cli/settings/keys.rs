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

/// What the addresses to listen on may look like.
const ADDRESSES_FORM: &str = "must be a text, HOST:PORT, or a list of such texts";

/// What a list of pointers may look like.
const POINTERS_FORM: &str = "must be a list of texts, such as \
                             [\"/payload/payload_json/symbol\", \"/payload/run_id\"]; a \
                             variable may hold them plainly, as /payload/a,/payload/b";

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
            settings.server.listen = addresses(given)?;
            Ok(())
        },
        show: |settings| match &settings.server.listen[..] {
            [one] => quoted(one),
            several => quoted_list(several),
        },
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
        name: "first_message_timeout",
        set: |settings, given| {
            settings.server.first_message_timeout = duration(given)?;
            Ok(())
        },
        show: |settings| quoted(&units::show_duration(settings.server.first_message_timeout)),
    },
    Key {
        name: "frame_rate_min",
        set: |settings, given| {
            settings.server.frame_rate_min = size(given)?;
            Ok(())
        },
        show: |settings| shown_size(settings.server.frame_rate_min),
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
            settings.server.snapshot_keys = texts(given, POINTERS_FORM, split_pointers)?;
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

/// One address or a list; of a variable or a flag, one or several with commas
/// between them.
fn addresses(given: &Given) -> Result<Vec<String>, String> {
    if given.kind == ValueKind::Text {
        return Ok(vec![given.text.clone()]);
    }
    let at_commas = |text: &str| {
        let parts = text.split(',').map(|part| part.trim().to_owned());
        Some(parts.collect())
    };
    texts(given, ADDRESSES_FORM, at_commas)
}

/// A list of texts. A variable or a flag gives it as JSON, `["a", "b"]`, or
/// plainly: then `split` takes it apart, or returns `None` where it may not
/// guess.
fn texts(
    given: &Given,
    form: &str,
    split: impl Fn(&str) -> Option<Vec<String>>,
) -> Result<Vec<String>, String> {
    let list = match given.kind {
        ValueKind::Texts => serde_json::from_str(&given.text).ok(),
        ValueKind::Untyped if is_json_list(&given.text) => serde_json::from_str(&given.text).ok(),
        ValueKind::Untyped => split(&given.text),
        ValueKind::Text | ValueKind::Number | ValueKind::Other => None,
    };
    list.ok_or_else(|| form.to_owned())
}

/// Whether a text begins like a list in JSON. `[::1]:7411` is an address.
fn is_json_list(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('[');
    inside.is_some_and(|inside| inside.trim_start().starts_with(['"', ']']))
}

/// Splits JSON pointers, which begin with `/` and may hold commas: only where
/// the next begins right behind a comma. `/a, /b` could be one pointer and was
/// hardly meant as one, so it is left to a list in JSON.
fn split_pointers(text: &str) -> Option<Vec<String>> {
    let mut commas = text.match_indices(',').map(|(at, _)| &text[at + 1..]);
    let is_clear = commas.all(|rest| {
        let behind = rest.trim_start();
        rest.starts_with('/') || !(behind.is_empty() || behind.starts_with(['/', ',']))
    });
    if !is_clear {
        return None;
    }
    let parts = text.split(",/").enumerate();
    // The split has taken the `/` of each but the first.
    let whole = parts.map(|(nth, part)| match nth {
        0 => part.to_owned(),
        _ => format!("/{part}"),
    });
    Some(whole.collect())
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
        ValueKind::Untyped | ValueKind::Number => usize::try_from(units::number(&given.text)?).ok(),
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
