//! The rules of settings, and the error of a broken one.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::machine;
use crate::limits;
use crate::wire::filter::Pointer;

/// A setting that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: {allowed}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting's key.
    pub key: Cow<'static, str>,
    /// The value that it was given.
    pub value: String,
    /// The values that are allowed instead.
    pub allowed: String,
}

impl ConfigError {
    pub(super) fn new(key: &'static str, value: &impl fmt::Debug, allowed: String) -> Self {
        Self {
            key: key.into(),
            value: format!("{value:?}"),
            allowed,
        }
    }
}

/// The rule of a setting that has none of its own.
pub(super) fn anything<T>(_: &'static str, _: &T) -> Result<(), ConfigError> {
    Ok(())
}

/// The rule of a number or a duration.
pub(super) fn within<T: PartialOrd + fmt::Debug>(
    allowed: RangeInclusive<T>,
    unit: &str,
) -> impl Fn(&'static str, &T) -> Result<(), ConfigError> {
    move |key, value| {
        if allowed.contains(value) {
            return Ok(());
        }
        let min = format!("{:?}", allowed.start());
        // As it is written in a file.
        let min = if min == "0ns" { "0s" } else { &min };
        let allowed = format!("must be between {min} and {:?}{unit}", allowed.end());
        Err(ConfigError::new(key, value, allowed))
    }
}

/// The rule of a number of threads that never sleep: more than one a core would only
/// wait for each other.
pub(super) fn cores(key: &'static str, threads: &usize) -> Result<(), ConfigError> {
    let cores = *machine::CORES;
    if *threads <= cores {
        return Ok(());
    }
    let allowed = format!(
        "must be between 0 and {cores}, the cores that this process may use (its CPU affinity and \
         its cgroup's quota count)"
    );
    Err(ConfigError::new(key, threads, allowed))
}

/// The rule of a folder. Whether it can be made is known once it is.
pub(super) fn folder(key: &'static str, folder: &Option<PathBuf>) -> Result<(), ConfigError> {
    if folder.as_deref() == Some(Path::new("")) {
        let allowed = "must name a folder, or be left out".to_owned();
        return Err(ConfigError::new(key, &"", allowed));
    }
    Ok(())
}

pub(super) fn pointers(key: &'static str, pointers: &Vec<String>) -> Result<(), ConfigError> {
    let max = limits::SNAPSHOT_KEYS_MAX;
    let allowed = match pointers.iter().find(|key| Pointer::parse(key).is_err()) {
        Some(wrong) => {
            format!("{wrong:?} is no JSON pointer, as in \"/payload/payload_json/symbol\"")
        }
        None if pointers.len() > max => format!("must be at most {max} JSON pointers"),
        None => return Ok(()),
    };
    Err(ConfigError::new(key, pointers, allowed))
}

/// The rule of addresses to listen on. Hosts are looked up by the server.
pub(super) fn addresses(key: &'static str, addresses: &Vec<String>) -> Result<(), ConfigError> {
    let max = limits::LISTEN_MAX;
    if !(1..=max).contains(&addresses.len()) {
        let allowed = format!("must be between 1 and {max} addresses");
        return Err(ConfigError::new(key, addresses, allowed));
    }
    let Some(wrong) = addresses.iter().find(|address| !is_address(address)) else {
        return Ok(());
    };
    let allowed = format!(
        "must be HOST:PORT with a port from 0 (any free one) to 65535, \
         as in {:?} or \"[::1]:7411\"",
        limits::LISTEN_DEFAULT
    );
    Err(ConfigError::new(key, wrong, allowed))
}

/// Returns whether `text` is `HOST:PORT`, an IPv6 address in brackets.
fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let ambiguous = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        !host.is_empty() && !ambiguous && digits && port.parse::<u16>().is_ok()
    })
}
