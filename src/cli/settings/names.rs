//! Settings of single names, `[names."api-gateway"]`, and of all that begin alike,
//! `[names."feed-*"]`.

use std::collections::BTreeMap;

use tickwire::ids::Name;
use tickwire::router::{NameConfig, Overflow};

use super::Settings;
use super::assignment::Assignment;
use super::keys::{boolean, number, quoted, shown_size, size};

const PREFIX: &str = "names.";

pub struct NameKey {
    /// Its key, behind the name.
    pub name: &'static str,
    pub text: &'static str,
    set: fn(&mut NameConfig, &Assignment) -> Result<(), String>,
    /// Its value in TOML, unless it is as for all queues.
    show: fn(&NameConfig) -> Option<String>,
}

pub const KEYS: &[NameKey] = &[
    NameKey {
        name: "queue_bytes",
        text: "The bytes that the queue may hold.",
        set: |own, given| size(given).map(|bytes| own.queue_bytes = Some(bytes)),
        show: |own| own.queue_bytes.map(shown_size),
    },
    NameKey {
        name: "queue_messages",
        text: "The messages that the queue may hold.",
        set: |own, given| number(given).map(|count| own.queue_messages = Some(count)),
        show: |own| own.queue_messages.map(|messages| messages.to_string()),
    },
    NameKey {
        name: "overflow",
        text: "The fate of events that don't fit: \"pause\" their sender, \"refuse\" them, or \
               \"drop\" them. [default: \"pause\"]",
        set: |own, given| {
            let known = OVERFLOWS.iter().find(|(word, _)| *word == given.text);
            let (_, overflow) = known.ok_or("must be \"pause\", \"refuse\" or \"drop\"")?;
            own.overflow = *overflow;
            Ok(())
        },
        show: |own| {
            let known = OVERFLOWS.iter().find(|(_, known)| *known == own.overflow);
            known.map(|(word, _)| quoted(word))
        },
    },
    NameKey {
        name: "durable",
        text: "true: the messages to the name are kept in data_dir until their receiver settles \
               them with an ack of its own. [default: false]",
        set: |own, given| boolean(given).map(|durable| own.durable = durable),
        show: |own| own.durable.then(|| "true".to_owned()),
    },
];

const OVERFLOWS: [(&str, Overflow); 3] = [
    ("pause", Overflow::Pause),
    ("refuse", Overflow::Refuse),
    ("drop", Overflow::Drop),
];

/// Returns the name and its setting, if `key` is about a name.
pub fn parts(key: &str) -> Option<(&str, &'static NameKey)> {
    let (name, key) = key.strip_prefix(PREFIX)?.rsplit_once('.')?;
    let key = KEYS.iter().find(|known| known.name == key)?;
    Some((name, key))
}

/// Takes a value over, if it is about a name; `Err` holds the values allowed.
pub fn set(settings: &mut Settings, given: &Assignment) -> Option<Result<(), String>> {
    let (name, key) = parts(&given.key)?;
    let name = Name::new(name).map_err(|error| error.to_string());
    Some(name.and_then(|name| {
        let own = settings.server.router.names.entry(name).or_default();
        (key.set)(own, given)
    }))
}

/// Returns the key meant by `key`, if that is about a name and nearly right, as
/// with single underscores for the two of a variable.
pub fn nearest(key: &str) -> Option<String> {
    let rest = key.strip_prefix(PREFIX);
    let Some((name, wrong)) = rest.and_then(|rest| rest.rsplit_once('.')) else {
        let rest = key.strip_prefix("names")?.strip_prefix(['.', '_'])?;
        let mut known = KEYS.iter().map(|known| known.name);
        let known = known.find(|known| rest.ends_with(known))?;
        let name = rest[..rest.len() - known.len()].strip_suffix(['.', '_'])?;
        return Some(format!("{PREFIX}{name}.{known}"));
    };
    let nearest = nearest_of(KEYS.iter().map(|known| known.name), wrong)?;
    Some(format!("{PREFIX}{name}.{nearest}"))
}

/// Returns the one of `known` that is nearest to `wrong`, if that is a slip of it:
/// one letter of three.
pub fn nearest_of<'a>(known: impl Iterator<Item = &'a str>, wrong: &str) -> Option<&'a str> {
    let distances = known.map(|name| (strsim::damerau_levenshtein(name, wrong), name));
    let (distance, name) = distances.min()?;
    (distance <= name.len() / 3).then_some(name)
}

/// Returns the settings of each name, as keys and values in TOML.
pub fn sections(settings: &Settings) -> BTreeMap<&Name, Vec<(&'static str, String)>> {
    let section = |own: &NameConfig| {
        let shown = KEYS.iter().map(|key| Some((key.name, (key.show)(own)?)));
        shown.flatten().collect()
    };
    let names = settings.server.router.names.iter();
    names.map(|(name, own)| (name, section(own))).collect()
}

pub fn key_of(name: &str, key: &str) -> String {
    format!("{PREFIX}{name}.{key}")
}
