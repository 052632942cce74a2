//! The texts of the settings, as the help shows them.

use super::keys::{self, Key};
use super::{Settings, names};

/// The column in which texts begin.
const INDENT: usize = 20;
const WIDTH: usize = 80;

pub fn text(key: Key) -> String {
    let text = key.text().replace('`', "");
    match default(key) {
        Some(default) => format!("{text} [default: {default}]"),
        None => text,
    }
}

/// Returns a default in TOML, unless it is none, or differs from machine to machine.
pub fn default(key: Key) -> Option<String> {
    let has_none = matches!(key.name(), "threads" | "memory_max" | "data_dir");
    (!has_none).then(|| key.show(&mut Settings::default()))
}

/// Returns the list of all settings but those of single names.
pub fn list() -> String {
    keys::all()
        .map(|key| entry(key.name(), &text(key)))
        .collect()
}

pub fn list_of_names() -> String {
    let keys = names::KEYS.iter();
    keys.map(|key| entry(key.name, key.text)).collect()
}

/// Returns `name` with its text beside it, in lines of [`WIDTH`].
fn entry(name: &str, text: &str) -> String {
    let mut lines = String::new();
    let mut line = format!("  {name:width$}", width = INDENT - 4);
    // Behind a name that is longer than its column, too.
    line.push(' ');
    let (text, default) = text.split_at(text.find(" [default").unwrap_or(text.len()));
    let default = default.strip_prefix(' ');
    for word in text.split(' ').chain(default) {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line = " ".repeat(INDENT - 1);
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}
