//! The settings of `serve`, each with its text, reader and spelling in TOML.

use std::iter;
use std::path::Path;

use tickwire::config::{SETTINGS, Setting, Value};
use tickwire::ids::Name;
use tickwire::limits::THREADS_MAX;
use tickwire::wire::Validation;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::Settings;
use super::assignment::{Assignment, ValueKind};
use crate::cli::units;

pub const LOG_DEFAULT: &str = "info";

const LOG_FORM: &str = "must be a level (error, warn, info, debug, trace, off) or a filter \
                        such as \"info,tickwire::server=debug\"";

const ADDRESSES_FORM: &str = "must be a text, HOST:PORT, or a list of such texts";

const POINTERS_FORM: &str = "must be a list of texts, such as \
                             [\"/payload/payload_json/symbol\", \"/payload/run_id\"]; a \
                             variable may hold them plainly, as /payload/a,/payload/b";

/// A setting of `serve`: one of the server, or of the program.
#[derive(Debug, Clone, Copy)]
pub enum Key {
    Server(&'static Setting),
    Threads,
    Log,
}

pub fn all() -> impl Iterator<Item = Key> {
    let own = |setting: &Setting| (setting.key() == "name").then_some(Key::Threads);
    SETTINGS
        .iter()
        .flat_map(move |setting| iter::once(Key::Server(setting)).chain(own(setting)))
        .chain([Key::Log])
}

impl Key {
    pub fn named(name: &str) -> Option<Self> {
        all().find(|key| key.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Server(setting) => setting.key(),
            Self::Threads => "threads",
            Self::Log => "log",
        }
    }

    pub fn text(self) -> &'static str {
        match self {
            Self::Server(setting) => setting.text(),
            Self::Threads => "The worker threads; unless set, one a core.",
            Self::Log => {
                "The log lines that are written: a level or a filter, such as \
                 \"info,tickwire::server=debug\"."
            }
        }
    }

    /// Takes the value over, or returns the values that are allowed.
    pub fn set(self, settings: &mut Settings, given: &Assignment) -> Result<(), String> {
        match self {
            Self::Server(setting) => return set(setting.value(&mut settings.server), given),
            Self::Threads => {
                settings.threads = number(given)
                    .ok()
                    .filter(|threads| (1..=THREADS_MAX).contains(threads))
                    .ok_or_else(|| format!("must be a whole number between 1 and {THREADS_MAX}"))?;
            }
            Self::Log => {
                let filter = text(given, LOG_FORM)?;
                if !says_which_lines(filter) {
                    return Err(LOG_FORM.to_owned());
                }
                settings.log = filter.to_owned();
            }
        }
        Ok(())
    }

    /// The value in TOML.
    pub fn show(self, settings: &mut Settings) -> String {
        match self {
            Self::Server(setting) => show(setting.value(&mut settings.server)),
            Self::Threads => settings.threads.to_string(),
            Self::Log => quoted(&settings.log),
        }
    }
}

fn set(value: Value<'_>, given: &Assignment) -> Result<(), String> {
    match value {
        Value::Addresses(value) => *value = addresses(given)?,
        Value::Name(value) => {
            let name = text(given, "must be a text in quotes")?;
            *value = Name::new(name).map_err(|error| error.to_string())?;
        }
        Value::Size(value) => *value = size(given)?,
        Value::Count(value) => *value = number(given)?,
        Value::Duration(value) => {
            *value = with_unit(given, units::duration, units::DURATION_FORM)?;
        }
        Value::Validation(value) => {
            *value = match given.text.as_str() {
                "payload" => Validation::Payload,
                "envelope" => Validation::Envelope,
                _ => return Err("must be \"payload\" or \"envelope\"".to_owned()),
            }
        }
        Value::Flag(value) => *value = boolean(given)?,
        Value::Pointers(value) => *value = texts(given, POINTERS_FORM, split_pointers)?,
        Value::Path(value) => {
            let path = text(given, "must be a text in quotes")?;
            *value = (!path.is_empty()).then(|| path.into());
        }
    }
    Ok(())
}

fn show(value: Value<'_>) -> String {
    match value {
        Value::Addresses(addresses) => match &addresses[..] {
            [one] => quoted(one),
            several => quoted_list(several),
        },
        Value::Name(name) => quoted(name.as_str()),
        Value::Size(bytes) => shown_size(*bytes),
        Value::Count(count) => count.to_string(),
        Value::Duration(duration) => quoted(&units::show_duration(*duration)),
        Value::Validation(Validation::Envelope) => quoted("envelope"),
        Value::Validation(_) => quoted("payload"),
        Value::Flag(is_set) => is_set.to_string(),
        Value::Pointers(pointers) => quoted_list(pointers),
        // An empty text is none.
        Value::Path(path) => {
            let path = path.as_deref().unwrap_or(Path::new(""));
            quoted(&path.to_string_lossy())
        }
    }
}

fn text<'a>(given: &'a Assignment, form: &str) -> Result<&'a str, String> {
    match given.kind {
        ValueKind::Untyped | ValueKind::Text => Ok(&given.text),
        ValueKind::Number | ValueKind::Texts | ValueKind::Other => Err(form.to_owned()),
    }
}

/// Reads one address or a list; in a variable or a flag commas separate them.
fn addresses(given: &Assignment) -> Result<Vec<String>, String> {
    if given.kind == ValueKind::Text {
        return Ok(vec![given.text.clone()]);
    }
    texts(given, ADDRESSES_FORM, |text| {
        let parts = text.split(',').map(|part| part.trim().to_owned());
        Some(parts.collect())
    })
}

/// Reads a list of texts. In a variable or a flag it is JSON, `["a", "b"]`, or plain:
/// then `split` takes it apart, or returns `None` where it may not guess.
fn texts(
    given: &Assignment,
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

/// Returns whether a text begins like a list in JSON. `[::1]:7411` is an address.
fn is_json_list(text: &str) -> bool {
    let inside = text.trim_start().strip_prefix('[');
    inside.is_some_and(|inside| inside.trim_start().starts_with(['"', ']']))
}

/// Splits JSON pointers, which begin with `/` and may hold commas. `/a, /b` could
/// be one pointer and was hardly meant as one: that needs a list in JSON.
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

/// Returns whether each part of a filter is a level or names its subject. Another
/// word, as `verbose`, would be a module's, and next to nothing would be logged.
fn says_which_lines(filter: &str) -> bool {
    let is_level = |part: &str| !part.is_empty() && part.parse::<LevelFilter>().is_ok();
    let says = |part: &str| is_level(part) || part.contains(['=', ':', '[', ']']);
    filter.split(',').all(says) && EnvFilter::try_new(filter).is_ok()
}

/// Reads a whole number. In a file it may not stand in quotes.
pub fn number(given: &Assignment) -> Result<usize, String> {
    let number = match given.kind {
        ValueKind::Untyped | ValueKind::Number => units::number(&given.text),
        ValueKind::Text | ValueKind::Texts | ValueKind::Other => None,
    };
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| "must be a whole number".to_owned())
}

/// Reads true or false. In a file it may not stand in quotes.
pub fn boolean(given: &Assignment) -> Result<bool, String> {
    match (given.kind, &*given.text) {
        (ValueKind::Untyped | ValueKind::Other, "true") => Ok(true),
        (ValueKind::Untyped | ValueKind::Other, "false") => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

pub fn size(given: &Assignment) -> Result<usize, String> {
    with_unit(given, units::size, units::SIZE_FORM)
}

fn with_unit<T>(given: &Assignment, read: fn(&str) -> Option<T>, form: &str) -> Result<T, String> {
    let value = match given.kind {
        ValueKind::Texts | ValueKind::Other => None,
        _ => read(&given.text),
    };
    value.ok_or_else(|| form.to_owned())
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

/// A text as TOML. Its basic strings have the escapes of JSON.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A list of texts as TOML, and as JSON.
pub fn quoted_list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}
