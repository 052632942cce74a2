//! The errors of settings, and the key that was probably meant by a wrong one.

use std::path::PathBuf;

use super::assignment::{Assignment, Origin, variable};
use super::keys::{self, Key};
use super::names;

#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("{origin}: {key} = {value}: {allowed}")]
    Value {
        origin: Origin,
        key: String,
        value: String,
        allowed: String,
    },
    #[error("{origin}: unknown setting{key}{remedy}")]
    Unknown {
        origin: Origin,
        /// The key, but for a variable, which is its own key.
        key: String,
        /// The key that may have been meant, or all there are.
        remedy: String,
    },
    #[error("{0}: the value is not UTF-8")]
    NotUnicode(String),
    /// The name of the configuration file is empty.
    #[error("{0}names no configuration file: name one, or leave it out")]
    NoFile(&'static str),
    #[error("{given}can't read the configuration file {}: {error}", path.display())]
    Unreadable {
        /// The variable that names the file, if one does.
        given: &'static str,
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("{}:{line}:{column}: not TOML: {problem} (texts stand in quotes)", path.display())]
    NotToml {
        path: PathBuf,
        line: u64,
        column: u64,
        problem: String,
    },
}

impl SettingsError {
    pub fn not_allowed(given: Assignment, allowed: String) -> Self {
        Self::Value {
            value: given.shown(),
            origin: given.origin,
            key: given.key,
            allowed,
        }
    }
}

pub fn is_known(key: &str) -> bool {
    Key::named(key).is_some() || names::parts(key).is_some()
}

pub fn nearest(key: &str) -> Option<String> {
    let known = keys::all().map(Key::name);
    let nearest = names::nearest_of(known, key).map(str::to_owned);
    nearest.or_else(|| names::nearest(key))
}

pub fn unknown(key: String, origin: Origin) -> SettingsError {
    let spelled = |key: &str| match &origin {
        Origin::Variable(_) => variable(key),
        _ => key.to_owned(),
    };
    let remedy = match nearest(&key) {
        Some(name) => format!(": did you mean {}?", spelled(&name)),
        None => {
            let of_names = names::KEYS.iter();
            let of_names = of_names.map(|key| spelled(&format!("names.NAME.{}", key.name)));
            let all = keys::all().map(|key| spelled(key.name()));
            let all: Vec<_> = all.chain(of_names).collect();
            format!("; there are {}", all.join(", "))
        }
    };
    SettingsError::Unknown {
        key: match &origin {
            Origin::Variable(_) => String::new(),
            _ => format!(" {key}"),
        },
        remedy,
        origin,
    }
}
