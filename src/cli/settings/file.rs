//! The configuration file as a list of values with their lines.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::assignment::{Assignment, Origin, ValueKind};
use super::error::SettingsError;
use super::keys;
use crate::cli::split::Position;

/// Reads the file at `path`. Errors begin with `named_by`, the variable that
/// names it.
pub fn read(path: &Path, named_by: &'static str) -> Result<Vec<Assignment>, SettingsError> {
    let text = std::fs::read_to_string(path).map_err(|error| SettingsError::Unreadable {
        given: named_by,
        path: path.to_owned(),
        error,
    })?;
    values(&text, path)
}

/// Returns the values in `text`, which stands in the file at `path`.
pub fn values(text: &str, path: &Path) -> Result<Vec<Assignment>, SettingsError> {
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(text.len(), |span| span.start);
        let position = Position::default().after(text.get(..at).unwrap_or(text).as_bytes());
        SettingsError::NotToml {
            path: path.to_owned(),
            line: position.line,
            column: position.column,
            problem: error.message().replace('\n', ", "),
        }
    })?;
    let mut values = Vec::new();
    gather(table.get_ref(), "", &mut values);
    // In the order of the file, so that the first error is the topmost.
    values.sort_by_key(|(start, ..)| *start);
    let assignment = |(start, key, value): Value<'_, '_>| {
        let (value, kind) = text_of(value);
        let line = Position::default().after(&text.as_bytes()[..start]).line;
        Assignment {
            key,
            text: value,
            kind,
            origin: Origin::File(path.to_owned(), line),
        }
    };
    Ok(values.into_iter().map(assignment).collect())
}

/// The start of a key, the key with dots, and its value.
type Value<'a, 'i> = (usize, String, &'a Spanned<DeValue<'i>>);

fn gather<'a, 'i>(table: &'a DeTable<'i>, prefix: &str, values: &mut Vec<Value<'a, 'i>>) {
    for (key, value) in table {
        let dotted = format!("{prefix}{}", key.get_ref());
        match value.get_ref() {
            DeValue::Table(inner) if !inner.is_empty() => {
                gather(inner, &format!("{dotted}."), values);
            }
            _ => values.push((key.span().start, dotted, value)),
        }
    }
}

fn text_of(value: &Spanned<DeValue<'_>>) -> (String, ValueKind) {
    match value.get_ref() {
        DeValue::String(text) => (text.to_string(), ValueKind::Text),
        DeValue::Integer(number) => {
            let decimal = i128::from_str_radix(number.as_str(), number.radix());
            let text = decimal.map_or_else(|_| number.to_string(), |number| number.to_string());
            (text, ValueKind::Number)
        }
        DeValue::Float(number) => (number.to_string(), ValueKind::Number),
        DeValue::Boolean(value) => (value.to_string(), ValueKind::Other),
        DeValue::Datetime(value) => (value.to_string(), ValueKind::Other),
        DeValue::Array(values) => {
            let text = |value: &Spanned<DeValue<'_>>| value.get_ref().as_str().map(str::to_owned);
            match values.iter().map(text).collect::<Option<Vec<_>>>() {
                Some(texts) => (keys::quoted_list(&texts), ValueKind::Texts),
                None => ("[…]".to_owned(), ValueKind::Other),
            }
        }
        DeValue::Table(_) => ("{…}".to_owned(), ValueKind::Other),
    }
}
