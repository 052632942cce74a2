//! The messages that `--message` means.

use std::io;

use tickwire::limits::FRAME_BYTES_MAX_MAX;
use tickwire::wire::{Kind, Parser, Validation};
use tickwire_load::messages::{Example, Selection};

use crate::cli::input::{Event, Input, InputError};

/// Numbers in other widths must not make a message longer than a frame may be.
const MESSAGE_BYTES_MAX: usize = FRAME_BYTES_MAX_MAX / 4;

#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    #[error("--message {0}: no such file, and none of {names}, mix, escaped-order", names = names())]
    Unknown(String),
    /// The file can't be read, or one of its messages would be refused.
    #[error("--message {0}")]
    Unreadable(#[from] InputError),
    #[error("--message {0}: the file holds no message")]
    Empty(String),
    #[error("--message {0}: an ack has one target and can't be broadcast; choose another message")]
    OnlyAcks(String),
}

/// Finds the messages that `argument` means. For a broadcast, they can't all be
/// acks.
pub fn of(argument: &str, broadcast: bool) -> Result<Selection, SelectionError> {
    let selection = match named(argument) {
        Some(selection) => selection,
        None => read(argument)?,
    };
    if broadcast && only_acks(&selection) {
        return Err(SelectionError::OnlyAcks(argument.to_owned()));
    }
    Ok(selection)
}

fn named(argument: &str) -> Option<Selection> {
    match argument {
        "mix" => Some(Selection::Mix),
        "escaped-order" => Some(Selection::EscapedOrder),
        name => {
            let mut examples = Example::ALL.into_iter();
            examples
                .find(|example| example.name() == name)
                .map(Selection::One)
        }
    }
}

fn names() -> String {
    Example::ALL.map(Example::name).join(", ")
}

fn read(path: &str) -> Result<Selection, SelectionError> {
    let mut messages = Vec::new();
    let mut parser = Parser::new(Validation::Payload);
    let read = Input::File(path.to_owned()).each_piece(|event| {
        if let Event::Piece(piece) = event {
            let line = piece.position.line;
            check(&mut parser, piece.json)
                .map_err(|reason| io::Error::other(format!("{path}:{line}: {reason}")))?;
            messages.push(piece.json.to_vec());
        }
        Ok(())
    });
    match read {
        Err(InputError::Unreadable { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            Err(SelectionError::Unknown(path.to_owned()))
        }
        Err(error) => Err(error.into()),
        Ok(()) if messages.is_empty() => Err(SelectionError::Empty(path.to_owned())),
        Ok(()) => Ok(Selection::Custom(messages)),
    }
}

/// Checks that a load can be made of a message.
fn check(parser: &mut Parser, json: &[u8]) -> Result<(), String> {
    let kind = parser
        .parse(json)
        .map_err(|refusal| refusal.to_string())?
        .kind;
    if kind.is_control() {
        return Err(format!(
            "a {} is for the server itself; a load consists of messages that are passed on",
            kind.as_str()
        ));
    }
    if json.len() > MESSAGE_BYTES_MAX {
        return Err(format!(
            "has {} bytes; a load is made of messages of {MESSAGE_BYTES_MAX} at most",
            json.len()
        ));
    }
    Ok(())
}

fn only_acks(selection: &Selection) -> bool {
    match selection {
        Selection::One(example) => *example == Example::Ack,
        Selection::Custom(messages) => {
            let mut parser = Parser::new(Validation::Envelope);
            messages.iter().all(|json| {
                let header = parser.parse(json);
                header.is_ok_and(|header| header.kind == Kind::Ack)
            })
        }
        Selection::Mix | Selection::EscapedOrder => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_files_are_understood() {
        assert_eq!(of("order", false).unwrap(), Selection::One(Example::Order));
        assert_eq!(of("mix", true).unwrap(), Selection::Mix);
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/messages");
        let Selection::Custom(messages) = of(&format!("{folder}/06-heartbeat.json"), true).unwrap()
        else {
            panic!("a file is something of one's own");
        };
        assert_eq!(messages, [Example::Heartbeat.json().trim().as_bytes()]);
    }

    #[test]
    fn says_what_is_wrong() {
        let error = of("ordre", false).unwrap_err().to_string();
        assert!(error.starts_with("--message ordre: no such file, and none of order, "));
        let error = of("ack", true).unwrap_err().to_string();
        assert!(error.contains("can't be broadcast"), "{error}");

        let folder = tempfile::tempdir().unwrap();
        let error = |text: &str| {
            let path = folder.path().join("m.json");
            std::fs::write(&path, text).unwrap();
            let error = of(path.to_str().unwrap(), false).unwrap_err().to_string();
            assert!(!error.contains('\n'), "{error}");
            error.split_once("m.json").unwrap().1.to_owned()
        };
        assert_eq!(error("\n"), ": the file holds no message");
        let heartbeat = Example::Heartbeat.json();
        let wrong = error(&format!("{heartbeat}\n{{}}\n"));
        assert!(wrong.starts_with(":13: "), "{wrong}");
        assert!(wrong.contains("msg_id"), "{wrong}");
        let hello = r#"{"msg_id":"550e8400-e29b-41d4-a716-446655440000","msg_type":"hello","timestamp":"2026-01-03T12:41:00Z","source":"a","payload":{"protocol":1}}"#;
        assert!(error(hello).contains("for the server itself"));
        assert!(error("[]").contains("m.json") || !error("[]").is_empty());
    }
}
