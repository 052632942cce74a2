//! A peer's text, as a refusal may repeat it.

use std::fmt::Write;

/// The most characters of a peer's text that a refusal repeats.
const ECHO_CHARS_MAX: usize = 80;

/// `text` in quotes, shortened, with everything escaped that could harm a terminal.
#[cold]
pub(crate) fn echo(text: &str) -> String {
    format!("\"{}\"", plain(text))
}

/// Like [`echo`], without the quotes: for the name of a field.
#[cold]
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut used = 0;
    for character in text.chars() {
        let escaped = match character {
            '"' | '\'' => character.to_string(),
            other => other.escape_debug().to_string(),
        };
        used += escaped.chars().count();
        if used > ECHO_CHARS_MAX {
            out.push('…');
            break;
        }
        let _ = out.write_str(&escaped);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_are_short_and_harmless() {
        assert_eq!(echo("BTC é 注文"), "\"BTC é 注文\"");
        let hostile = "\u{1b}[2J\0\u{202e}\u{9b}\r\n".repeat(1000);
        let echoed = echo(&hostile);
        assert!(echoed.chars().count() <= 100);
        assert!(!echoed.chars().any(char::is_control));
        assert!(!echoed.contains('\u{202e}'));
    }
}
