//! The settings of `serve`: flag over environment over file over default.
//!
//! Every setting is a [`Key`], which reads and shows its value. All layers give
//! text, and each value remembers its origin, so that an error can name the line
//! of the file, the variable or the flag.
//!
//! The layers are joined here instead of by a configuration crate: those guess
//! types (an environment's `007` becomes the number 7 before anybody knows that
//! it is a name) and forget the lines of the file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use tickwire::server::ServerConfig;

use self::assignment::{Assignment, Origin, ValueKind};
use self::error::{SettingsError, unknown};
pub use self::keys::Key;

mod assignment;
mod environment;
mod error;
mod file;
pub mod help;
mod keys;
mod names;
#[cfg(test)]
mod tests;

/// All settings of `serve`.
#[derive(Debug, Clone)]
pub struct Settings {
    pub server: ServerConfig,
    /// Worker threads of the runtime.
    pub threads: usize,
    /// The filter of log lines, as `tracing-subscriber` spells it.
    pub log: String,
    /// Variables with tickwire's prefix that are no setting.
    pub ignored: Vec<String>,
    origins: BTreeMap<String, Origin>,
}

/// The settings of the command line.
#[derive(Debug, Default)]
pub struct Flags<'a> {
    /// The configuration file.
    pub config: Option<&'a Path>,
    /// Settings that were given, by key.
    pub settings: Vec<(&'static str, &'a str)>,
}

impl Settings {
    /// Joins the layers and checks the result.
    ///
    /// # Errors
    /// The first thing that is wrong, with where it stands.
    pub fn load(
        flags: &Flags<'_>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, SettingsError> {
        let environment = environment::read(environment)?;
        let mut settings = Self {
            ignored: environment.ignored,
            ..Self::default()
        };
        let (config, named_by) = match flags.config {
            Some(path) => (Some(path.to_owned()), ""),
            None => (environment.config, "TICKWIRE_CONFIG: "),
        };
        let file = match config {
            Some(path) if path.as_os_str().is_empty() => {
                return Err(SettingsError::NoFile(named_by));
            }
            Some(path) => file::read(&path, named_by)?,
            None => Vec::new(),
        };
        let flags = flags.settings.iter().map(|(key, text)| Assignment {
            key: (*key).to_owned(),
            text: (*text).to_owned(),
            kind: ValueKind::Untyped,
            origin: Origin::Flag(format!("--{}", key.replace('_', "-"))),
        });
        for given in file.into_iter().chain(environment.settings).chain(flags) {
            settings.set(given)?;
        }
        settings.check()?;
        Ok(settings)
    }

    /// The settings as a configuration file that would give the same.
    pub fn to_toml(&self) -> String {
        let origin = |key: &str| {
            self.origins
                .get(key)
                .unwrap_or(&Origin::Default)
                .to_string()
        };
        let mut settings = self.clone();
        let mut shown = |key: Key| {
            let line = format!("{} = {}", key.name(), key.show(&mut settings));
            (line, origin(key.name()))
        };
        let mut lines: Vec<(String, String)> = keys::all().map(&mut shown).collect();
        for (name, section) in names::sections(self) {
            lines.push((
                format!("[names.{}]", keys::quoted(name.as_str())),
                String::new(),
            ));
            lines.extend(section.into_iter().map(|(key, value)| {
                let line = format!("{key} = {value}");
                (line, origin(&names::key_of(name, key)))
            }));
        }
        let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
        let mut toml = String::from("# The settings in effect, and where each comes from.\n");
        for (line, origin) in lines {
            if origin.is_empty() {
                toml.push_str(&format!("\n{line}\n"));
            } else {
                toml.push_str(&format!("{line:width$}  # {}\n", origin.escape_debug()));
            }
        }
        toml
    }

    fn set(&mut self, given: Assignment) -> Result<(), SettingsError> {
        // TOML refuses most keys that stand twice, but `[names.a.b]` and
        // `[names."a.b"]` are two sections to it.
        if let (Origin::File(..), Some(first @ Origin::File(..))) =
            (&given.origin, self.origins.get(&given.key))
        {
            let allowed = format!("{first} sets it already");
            return Err(SettingsError::not_allowed(given, allowed));
        }
        let taken = match Key::named(&given.key) {
            Some(key) => key.set(self, &given),
            None => match names::set(self, &given) {
                Some(taken) => taken,
                None => return Err(unknown(given.key, given.origin)),
            },
        };
        if let Err(allowed) = taken {
            return Err(SettingsError::not_allowed(given, allowed));
        }
        self.origins.insert(given.key, given.origin);
        Ok(())
    }

    /// Checks the limits, which only the server knows.
    fn check(&self) -> Result<(), SettingsError> {
        let origin = |key: &str| self.origins.get(key).cloned();
        self.server
            .validate()
            .map_err(|error| SettingsError::Value {
                origin: origin(&error.key).unwrap_or(Origin::Default),
                key: error.key.into_owned(),
                value: error.value,
                allowed: error.allowed,
            })
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            server: ServerConfig::default(),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            log: keys::LOG_DEFAULT.to_owned(),
            ignored: Vec::new(),
            origins: BTreeMap::new(),
        }
    }
}
