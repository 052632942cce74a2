//! The settings of `serve`: flag over environment over file over default.
//!
//! Every setting is a [`Key`], which reads and shows its value. All layers give text, and each value remembers where it came from, so
//! that an error can name the line of the file, the variable or the flag.
//!
//! The layers are joined here instead of by a configuration crate: those guess
//! types (an environment's `007` becomes the number 7 before anybody knows that
//! it is a name) and forget the lines of the file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use tickwire::server::{ConfigError, ServerConfig};

pub use self::keys::Key;

mod environment;
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

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave one.
    Default,
    File(PathBuf, u64),
    Variable(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One value as a layer gives it.
#[derive(Debug, Clone)]
struct Assignment {
    /// The dotted key.
    key: String,
    /// The value without quotes.
    text: String,
    /// The kind of the value in a file. The other layers give text that may stand
    /// for anything.
    kind: ValueKind,
    origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ValueKind {
    /// A flag's or variable's text, which may stand for a number.
    Untyped,
    Text,
    Number,
    /// A list of texts, as JSON spells it.
    Texts,
    /// A kind of value that no setting takes.
    Other,
}

impl Assignment {
    /// The value as an error shows it.
    fn shown(&self) -> String {
        match self.kind {
            ValueKind::Number | ValueKind::Texts | ValueKind::Other => self.text.clone(),
            ValueKind::Untyped | ValueKind::Text => format!("{:?}", self.text),
        }
    }
}

/// The reason for which the settings are not usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
        let named_by = if flags.config.is_some() {
            ""
        } else {
            "TICKWIRE_CONFIG: "
        };
        let config = flags.config.map(Path::to_owned).or(environment.config);
        if let Some(path) = config {
            if path.as_os_str().is_empty() {
                return Err(SettingsError::NoFile(named_by));
            }
            for given in file::read(&path, named_by)? {
                settings.set(given)?;
            }
        }
        for given in environment.settings {
            settings.set(given)?;
        }
        for (key, text) in &flags.settings {
            settings.set(Assignment {
                key: (*key).to_owned(),
                text: (*text).to_owned(),
                kind: ValueKind::Untyped,
                origin: Origin::Flag(format!("--{}", key.replace('_', "-"))),
            })?;
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
            return Err(SettingsError::Value {
                value: given.shown(),
                allowed: format!("{first} sets it already"),
                origin: given.origin,
                key: given.key,
            });
        }
        let taken = match Key::named(&given.key) {
            Some(key) => key.set(self, &given),
            None => match names::set(self, &given) {
                Some(taken) => taken,
                None => return Err(unknown(given.key, given.origin)),
            },
        };
        if let Err(allowed) = taken {
            return Err(SettingsError::Value {
                value: given.shown(),
                origin: given.origin,
                key: given.key,
                allowed,
            });
        }
        self.origins.insert(given.key, given.origin);
        Ok(())
    }

    /// Checks the limits, which only the server knows.
    fn check(&self) -> Result<(), SettingsError> {
        self.server.validate().map_err(|error| {
            let ConfigError {
                key,
                value,
                allowed,
                ..
            } = error;
            let origin = self.origins.get(&*key).cloned().unwrap_or(Origin::Default);
            SettingsError::Value {
                origin,
                key: key.into_owned(),
                value,
                allowed,
            }
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

/// Returns whether there is a setting with this key.
fn is_known(key: &str) -> bool {
    Key::named(key).is_some() || names::is_known(key)
}

/// Returns the setting that was probably meant by `key`.
fn nearest(key: &str) -> Option<String> {
    let distance = |name: &str| strsim::damerau_levenshtein(name, key);
    keys::all()
        .map(|known| (distance(known.name()), known.name()))
        .min()
        .filter(|(distance, name)| is_near(*distance, name))
        .map(|(_, name)| name.to_owned())
        .or_else(|| names::nearest(key))
}

/// Returns whether a text `distance` away from `name` is a slip of it: one letter
/// of three.
fn is_near(distance: usize, name: &str) -> bool {
    distance <= name.len() / 3
}

fn unknown(key: String, origin: Origin) -> SettingsError {
    let spelled = |key: &str| match &origin {
        Origin::Variable(_) => environment::variable(key),
        _ => key.to_owned(),
    };
    let remedy = match nearest(&key) {
        Some(name) => format!(": did you mean {}?", spelled(&name)),
        None => {
            let of_names = names::KEYS.iter();
            let of_names = of_names.map(|key| format!("names.NAME.{}", key.name));
            let all = keys::all().map(|key| key.name().to_owned()).chain(of_names);
            let all: Vec<_> = all.map(|key| spelled(&key)).collect();
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
