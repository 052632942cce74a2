//! Files and standard input as messages.

use std::fs::File;
use std::io::{self, Read};

use tickwire::limits::READ_BUFFER_BYTES;

use crate::cli::split::{Piece, SplitError, Splitter};

#[derive(Debug)]
pub enum Input {
    File(String),
    Stdin,
}

/// An event while an input is read.
#[derive(Debug)]
pub enum Event<'a> {
    Piece(Piece<'a>),
    /// Nothing more is at hand.
    Idle,
}

#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error("{name}: {error}")]
    Unreadable { name: String, error: io::Error },
    #[error("{name}:{error}")]
    NotMessages { name: String, error: SplitError },
    /// The taker of the messages wants no more.
    #[error(transparent)]
    Stopped(io::Error),
}

/// The amount to read, as far as is known beforehand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    pub messages: u64,
    pub bytes: u64,
    /// There is more, of unknown amount.
    pub open_ended: bool,
}

impl Input {
    pub fn new(argument: impl AsRef<str>) -> Self {
        match argument.as_ref() {
            "-" => Self::Stdin,
            path => Self::File(path.to_owned()),
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Self::File(path) => path,
            Self::Stdin => "stdin",
        }
    }

    /// Calls `take` with each message, and whenever there is none at hand. Ends
    /// with an error at the first text that is no message.
    pub fn each_piece(
        &self,
        mut take: impl FnMut(Event<'_>) -> io::Result<()>,
    ) -> Result<(), InputError> {
        let not_messages = |error| InputError::NotMessages {
            name: self.name().to_owned(),
            error,
        };
        self.each_piece_or_fault(|event| {
            take(event.map_err(not_messages)?).map_err(InputError::Stopped)
        })
    }

    /// Calls `take` with each message and with each text that is none, and
    /// whenever there is neither at hand.
    pub fn each_piece_or_fault(
        &self,
        mut take: impl FnMut(Result<Event<'_>, SplitError>) -> Result<(), InputError>,
    ) -> Result<(), InputError> {
        let mut reader: Box<dyn Read> = match self {
            Self::File(path) => Box::new(File::open(path).map_err(|error| self.unreadable(error))?),
            Self::Stdin => Box::new(io::stdin().lock()),
        };
        let mut splitter = Splitter::default();
        let mut bytes = vec![0; READ_BUFFER_BYTES];
        loop {
            let count = match reader.read(&mut bytes) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.unreadable(error)),
            };
            match count {
                0 => splitter.end(),
                _ => splitter.push(&bytes[..count]),
            }
            while let Some(piece) = splitter.next().transpose() {
                take(piece.map(Event::Piece))?;
            }
            take(Ok(Event::Idle))?;
            if count == 0 {
                return Ok(());
            }
        }
    }

    fn unreadable(&self, error: io::Error) -> InputError {
        InputError::Unreadable {
            name: self.name().to_owned(),
            error,
        }
    }
}

/// Reads all files once, so that a broken one is found before anything is sent.
/// Pipes and standard input, which can be read only once, are left alone.
pub fn look_through(inputs: &[Input]) -> Result<Amount, InputError> {
    let mut amount = Amount::default();
    for input in inputs {
        let Input::File(path) = input else {
            amount.open_ended = true;
            continue;
        };
        let metadata = std::fs::metadata(path).map_err(|error| input.unreadable(error))?;
        if metadata.is_dir() {
            return Err(input.unreadable(io::ErrorKind::IsADirectory.into()));
        }
        if !metadata.is_file() {
            amount.open_ended = true;
            continue;
        }
        input.each_piece(|event| {
            if let Event::Piece(piece) = event {
                amount.messages += 1;
                amount.bytes += piece.json.len() as u64;
            }
            Ok(())
        })?;
    }
    Ok(amount)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_through_files_and_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.jsonl");
        std::fs::write(&path, "{}\n{\"a\":1}\n").unwrap();
        let file = Input::new(path.to_str().unwrap());
        let amount = look_through(&[file, Input::new("-")]).unwrap();
        let expected = Amount {
            messages: 2,
            bytes: 9,
            open_ended: true,
        };
        assert_eq!(amount, expected);
    }

    #[test]
    fn names_file_line_and_column_of_what_is_no_message() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.jsonl");
        std::fs::write(&path, "{}\n  x\n").unwrap();
        let path = path.to_str().unwrap();
        let error = look_through(&[Input::new(path)]).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("{path}:2:3: not JSON: "))
        );
    }

    #[test]
    fn a_directory_is_found_before_anything_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let error = look_through(&[Input::new(path)]).unwrap_err();
        assert_eq!(error.to_string(), format!("{path}: is a directory"));
    }

    #[test]
    fn names_a_file_that_is_not_there() {
        let error = look_through(&[Input::new("/nowhere/a.json")]).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/a.json: "));
    }
}
