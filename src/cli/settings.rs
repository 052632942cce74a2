//! The settings of `serve`: flag over environment over file over default.
//!
//! Every setting is a [`Key`], which reads and shows its value. All layers give
//! text, and each value remembers its origin, for errors to name it.
//!
//! No configuration crate joins the layers: those guess types (an environment's
//! `007` becomes the number 7, though it is a name) and forget lines of the file.

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

#[derive(Debug, Clone)]
pub struct Settings {
    pub server: ServerConfig,
    pub threads: usize,
    /// The filter of log lines, as `tracing-subscriber` spells it.
    pub log: String,
    /// Variables with tickwire's prefix that are no setting.
    pub ignored: Vec<String>,
    origins: BTreeMap<String, Origin>,
}

#[derive(Debug, Default)]
pub struct Flags<'a> {
    pub config: Option<&'a Path>,
    pub settings: Vec<(&'static str, &'a str)>,
    /// Names, and patterns of names, that are to be durable.
    pub durable: &'a [String],
}

impl Flags<'_> {
    fn assignments(&self) -> impl Iterator<Item = Assignment> {
        let assignment = |key: String, text: &str, flag: &str| Assignment {
            key,
            text: text.to_owned(),
            kind: ValueKind::Untyped,
            origin: Origin::Flag(format!("--{flag}")),
        };
        let settings = self.settings.iter();
        let settings = settings
            .map(move |(key, text)| assignment((*key).to_owned(), text, &key.replace('_', "-")));
        let durable = self.durable.iter();
        settings.chain(
            durable.map(move |name| assignment(names::key_of(name, "durable"), "true", "durable")),
        )
    }
}

impl Settings {
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
        let given = file.into_iter().chain(environment.settings);
        for given in given.chain(flags.assignments()) {
            settings.set(given)?;
        }
        settings.check()?;
        Ok(settings)
    }

    /// The settings as a configuration file that would give the same.
    pub fn to_toml(&self) -> String {
        // Each line, and the origin of its value; a section has none.
        let mut lines = Vec::new();
        let mut settings = self.clone();
        for key in keys::all() {
            let line = format!("{} = {}", key.name(), key.show(&mut settings));
            lines.push((line, Some(self.origin(key.name()))));
        }
        for (name, section) in names::sections(self) {
            lines.push((format!("[names.{}]", keys::quoted(name.as_str())), None));
            for (key, value) in section {
                let origin = self.origin(&names::key_of(name.as_str(), key));
                lines.push((format!("{key} = {value}"), Some(origin)));
            }
        }
        let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
        let mut toml = String::from("# The settings in effect, and where each comes from.\n");
        for (line, origin) in lines {
            toml += &match origin.map(|origin| origin.to_string()) {
                None => format!("\n{line}\n"),
                Some(origin) => format!("{line:width$}  # {}\n", origin.escape_debug()),
            };
        }
        toml
    }

    fn origin(&self, key: &str) -> Origin {
        let known = self.origins.get(key).cloned();
        known.unwrap_or(Origin::Default)
    }

    fn set(&mut self, given: Assignment) -> Result<(), SettingsError> {
        // To TOML `[names.a.b]` and `[names."a.b"]` are two sections.
        if let (Origin::File(..), Some(first @ Origin::File(..))) =
            (&given.origin, self.origins.get(&given.key))
        {
            let allowed = format!("{first} sets it already");
            return Err(SettingsError::not_allowed(given, allowed));
        }
        let taken = match Key::named(&given.key) {
            Some(key) => Some(key.set(self, &given)),
            None => names::set(self, &given),
        };
        match taken {
            None => return Err(unknown(given.key, given.origin)),
            Some(Err(allowed)) => return Err(SettingsError::not_allowed(given, allowed)),
            Some(Ok(())) => self.origins.insert(given.key, given.origin),
        };
        Ok(())
    }

    /// Checks the limits, which only the server knows.
    fn check(&self) -> Result<(), SettingsError> {
        let checked = self.server.validate();
        checked.map_err(|error| SettingsError::Value {
            origin: self.origin(&error.key),
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
