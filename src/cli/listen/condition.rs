//! Conditions as they are written on the command line.

use tickwire::wire::{Condition, FilterValue, Operator};

/// The operators and their signs, in the order in which they are shown.
pub static OPERATORS: [(&str, Operator); 6] = [
    ("=", Operator::Eq),
    ("<", Operator::Lt),
    ("<=", Operator::Le),
    (">", Operator::Gt),
    (">=", Operator::Ge),
    ("^=", Operator::Prefix),
];

/// The characters of which operators are made, here and elsewhere. A value that
/// begins with one of them stands in quotes, or an operator that there isn't
/// could be taken for one that there is and the beginning of a text.
const OF_OPERATORS: [char; 6] = ['=', '<', '>', '^', '!', '~'];

/// Reads a condition: `payload.payload_json.symbol=BTCUSDT`. Errors of this file
/// are the fault in words for people.
pub fn condition(text: &str) -> Result<Condition, String> {
    let begins_a_sign = |c: char| OPERATORS.iter().any(|(sign, _)| sign.starts_with(c));
    let Some(at) = text.find(begins_a_sign) else {
        return Ok(Condition::present(field(text)?));
    };
    let (path, rest) = text.split_at(at);
    if path.ends_with('!') {
        return Err("there is no != : several --where must all hold, and none excludes".to_owned());
    }
    let fitting = OPERATORS.iter().filter(|(sign, _)| rest.starts_with(sign));
    let Some((sign, operator)) = fitting.max_by_key(|(sign, _)| sign.len()) else {
        return Err(all_operators());
    };
    let rest = &rest[sign.len()..];
    let value = rest.trim();
    if path.ends_with('~') || rest.starts_with(OF_OPERATORS) {
        let start = path.trim_end_matches(OF_OPERATORS).len();
        let end = text.len() - rest.trim_start_matches(OF_OPERATORS).len();
        let spelled = &text[start..end];
        return Err(format!(
            "there is no {spelled} : {}; a value that begins with one of their \
             characters stands in quotes, as in a=\"=\"",
            all_operators()
        ));
    }
    if value.starts_with(OF_OPERATORS) {
        return Err(format!(
            "a value that begins like an operator stands in quotes: write \"{value}\""
        ));
    }
    let value = self::value(value, operator)?;
    Ok(Condition::new(field(path)?, operator.clone()).against(value))
}

/// The prefix's is the last of them.
fn all_operators() -> String {
    let [others @ .., prefix] = &OPERATORS.each_ref().map(|(sign, _)| *sign);
    let others = others.join(" ");
    format!("the operators are {others} and {prefix} for the beginning of a text")
}

/// Reads a path: `source`, `msg_type`, `payload.run_id`, or a JSON pointer.
pub fn field(text: &str) -> Result<String, String> {
    let path = text.trim();
    if matches!(path, "source" | "msg_type") {
        return Ok(path.to_owned());
    }
    pointer(path)
}

/// Reads a path as a JSON pointer: `payload.payload_json.symbol`.
pub fn pointer(text: &str) -> Result<String, String> {
    let path = text.trim();
    if path.starts_with('/') {
        let mut tildes = path.split('~').skip(1);
        return match tildes.all(|rest| rest.starts_with(['0', '1'])) {
            true => Ok(path.to_owned()),
            false => Err("in a JSON pointer ~ is written ~0, and / within a key ~1".to_owned()),
        };
    }
    if path.split('.').any(str::is_empty) {
        return Err(format!(
            "{path:?} is no path: write one like payload.payload_json.symbol, or a JSON pointer"
        ));
    }
    let keys = path.split('.');
    let escaped = keys.map(|key| key.replace('~', "~0").replace('/', "~1"));
    Ok(escaped.map(|key| format!("/{key}")).collect())
}

pub fn begins_a_number(c: char) -> bool {
    c == '-' || c.is_ascii_digit()
}

/// Reads a value: a number, `true`, `false` or `null` as such, all else as a text.
fn value(text: &str, operator: &Operator) -> Result<FilterValue, String> {
    if text.starts_with('"') {
        return serde_json::from_str::<String>(text)
            .map(FilterValue::from)
            .map_err(|error| format!("{text} is no text in quotes: {error}"));
    }
    if *operator == Operator::Prefix {
        return Ok(text.into());
    }
    let constant = matches!(text, "true" | "false" | "null");
    if constant && *operator != Operator::Eq {
        return Err(format!(
            "only numbers and texts have an order: for the text write \"{text}\" in quotes"
        ));
    }
    let is_number =
        text.starts_with(begins_a_number) && serde_json::from_str::<FilterValue>(text).is_ok();
    if constant || is_number {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_paths_operators_and_values() {
        let symbol = "/payload/payload_json/symbol";
        for (text, field, op, value) in [
            (
                "payload.payload_json.symbol=BTCUSDT",
                symbol,
                Operator::Eq,
                "\"BTCUSDT\"",
            ),
            (
                "/payload/payload_json/symbol = BTC USDT ",
                symbol,
                Operator::Eq,
                "\"BTC USDT\"",
            ),
            ("source=feed", "source", Operator::Eq, "\"feed\""),
            (
                "msg_type^=ingest",
                "msg_type",
                Operator::Prefix,
                "\"ingest\"",
            ),
            ("target=x", "/target", Operator::Eq, "\"x\""),
            ("a.b<5", "/a/b", Operator::Lt, "5"),
            ("a<=-1.50e3", "/a", Operator::Le, "-1.50e3"),
            ("a>x", "/a", Operator::Gt, "\"x\""),
            ("a>=0", "/a", Operator::Ge, "0"),
            ("a=true", "/a", Operator::Eq, "true"),
            ("a=\"true\"", "/a", Operator::Eq, "\"true\""),
            ("a<\"null\"", "/a", Operator::Lt, "\"null\""),
            (
                "a=12345678901234567890123",
                "/a",
                Operator::Eq,
                "12345678901234567890123",
            ),
            ("a=\" \\u0061=\"", "/a", Operator::Eq, "\" a=\""),
            ("a=1x", "/a", Operator::Eq, "\"1x\""),
            ("a=1 2", "/a", Operator::Eq, "\"1 2\""),
            ("a=", "/a", Operator::Eq, "\"\""),
            ("a=\"=b\"", "/a", Operator::Eq, "\"=b\""),
            ("a=b==", "/a", Operator::Eq, "\"b==\""),
            ("a^=12", "/a", Operator::Prefix, "\"12\""),
            ("a^=null", "/a", Operator::Prefix, "\"null\""),
            ("a/b.c~d=1", "/a~1b/c~0d", Operator::Eq, "1"),
        ] {
            let read = condition(text).unwrap();
            assert_eq!((&*read.field, &read.op), (field, &op), "{text}");
            assert_eq!(read.value.unwrap().as_str(), value, "{text}");
        }
        assert_eq!(condition("a.b"), Ok(Condition::present("/a/b")));
        assert_eq!(condition("source"), Ok(Condition::present("source")));
        assert_eq!(condition("a=null"), Ok(Condition::eq("/a", ())));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, says) in [
            ("a!=b", "no !="),
            ("a^b", "operators"),
            ("a==b", "no == :"),
            ("a===", "no === :"),
            ("a=<b", "no =< :"),
            ("a=>5", "no => :"),
            ("a<>b", "no <> :"),
            ("a>>b", "no >> :"),
            ("a=!b", "no =! :"),
            ("a=~b", "no =~ :"),
            ("a~=b", "no ~= :"),
            ("a^==b", "no ^== :"),
            ("a==b", "^= for the beginning"),
            ("a==b", "in quotes"),
            ("a = =b", "write \"=b\""),
            ("", "no path"),
            ("=b", "no path"),
            ("a..b=c", "no path"),
            (".a", "no path"),
            ("/a~2=b", "~0"),
            ("a<true", "order"),
            ("a>=null", "order"),
            ("a=\"b", "quotes"),
            ("a=\"b\"c", "quotes"),
        ] {
            let error = condition(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
