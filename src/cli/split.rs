//! Splitting files and streams into the messages that stand in them.
//!
//! A file holds objects one after another: one pretty-printed object, several,
//! or JSON Lines. [`Splitter`] only finds where each object begins and ends,
//! by its brackets and strings, and leaves the judgement of what is inside to
//! whoever gets the piece. So a message with a `NaN` in it can be sent, and
//! refused, as it stands.
//!
//! Use: [`push`](Splitter::push) bytes, take pieces with
//! [`next`](Splitter::next) until there is none, and at the end of the input
//! ask [`finish`](Splitter::finish) whether something was left over.

use std::fmt;

use tickwire::limits::FRAME_BYTES_MAX_MAX;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// A line and a column, both from 1. Columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column.
    pub column: u64,
}

impl Place {
    /// Where a file begins.
    pub const START: Self = Self { line: 1, column: 1 };

    /// The place behind `bytes`, if they begin here.
    #[must_use]
    pub fn after(self, bytes: &[u8]) -> Self {
        let breaks = memchr::memchr_iter(b'\n', bytes).count() as u64;
        let last_line = match memchr::memrchr(b'\n', bytes) {
            Some(at) => &bytes[at + 1..],
            None => bytes,
        };
        // A continuation byte of UTF-8 is no character of its own.
        let characters = last_line.iter().filter(|b| *b & 0xC0 != 0x80).count() as u64;
        Self {
            line: self.line + breaks,
            column: if breaks == 0 { self.column } else { 1 } + characters,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One object as it stands in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The object's bytes, from `{` to `}`.
    pub json: &'a [u8],
    /// Where it begins.
    pub place: Place,
}

/// Why the input can't be split into messages.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct SplitError {
    /// Where.
    pub place: Place,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Something other than an object stands between the messages.
    #[error("not JSON: expected a message, an object that begins with {{, found {0}")]
    NotAnObject(String),
    /// The messages are wrapped in an array.
    #[error("found [: put the messages one after another, without an array around them")]
    Array,
    /// There are commas between the messages.
    #[error("found a comma: put the messages one after another, without commas between them")]
    Comma,
    /// The input is UTF-16.
    #[error("the text is UTF-16: save it as UTF-8")]
    Utf16,
    /// A bracket closes what another kind of bracket opened.
    #[error("not JSON: found {found} where {expected} should come")]
    Mismatched {
        /// The closing bracket that stands there.
        found: char,
        /// The closing bracket that belongs there.
        expected: char,
    },
    /// A string is not closed on its line.
    #[error(
        "not JSON: the string that begins here has no closing quote on its line \
         (a line break inside a string is written \\n)"
    )]
    OpenString,
    /// The input ends inside an object.
    #[error("not JSON: the object that begins here never ends")]
    OpenObject,
    /// An object is larger than any server takes.
    #[error(
        "the message that begins here is larger than {FRAME_BYTES_MAX_MAX} bytes, the most that a server can be told to take"
    )]
    TooLarge,
}

/// Finds the objects in bytes that arrive bit by bit.
#[derive(Debug)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// Where the object begins that is being looked at, or what is unread.
    begin: usize,
    /// The end of the object given out last; it is passed with the next call.
    given: usize,
    /// What was looked at: `begin ≤ given ≤ at ≤ buffer.len()`. While an object
    /// is being looked for, `given` is `begin`.
    at: usize,
    /// The place of `begin`.
    place: Place,
    /// The closing brackets that are still to come.
    closing: Vec<u8>,
    /// Where the string begins inside of which `at` stands.
    string: Option<usize>,
    /// Whether a byte order mark may still come.
    fresh: bool,
}

impl Splitter {
    /// A splitter at the beginning of a file.
    pub fn new() -> Self {
        Self {
            buffer: Vec::new(),
            begin: 0,
            given: 0,
            at: 0,
            place: Place::START,
            closing: Vec::new(),
            string: None,
            fresh: true,
        }
    }

    /// Takes the next bytes of the input.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pass(self.given);
        self.buffer.drain(..self.begin);
        self.at -= self.begin;
        self.string = self.string.map(|start| start - self.begin);
        self.begin = 0;
        self.given = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next object, if all of it is there.
    ///
    /// # Errors
    /// What stands there can't be the beginning of a message. The splitter
    /// can't go on after that.
    pub fn next(&mut self) -> Result<Option<Piece<'_>>, SplitError> {
        self.pass(self.given);
        if self.closing.is_empty() && !self.find_begin()? {
            return Ok(None);
        }
        if !self.find_end()? {
            if self.buffer.len() - self.begin > FRAME_BYTES_MAX_MAX {
                return Err(self.error(self.begin, Problem::TooLarge));
            }
            return Ok(None);
        }
        self.given = self.at;
        Ok(Some(Piece {
            json: &self.buffer[self.begin..self.at],
            place: self.place,
        }))
    }

    /// Whether the input may end here.
    ///
    /// # Errors
    /// The input ends in the middle of a message.
    pub fn finish(mut self) -> Result<(), SplitError> {
        self.pass(self.given);
        if let Some(start) = self.string {
            return Err(self.error(start, Problem::OpenString));
        }
        if !self.closing.is_empty() {
            return Err(self.error(self.begin, Problem::OpenObject));
        }
        if self.begin < self.buffer.len() {
            // Part of a character.
            return Err(self.not_an_object());
        }
        Ok(())
    }

    /// Moves `begin` on to `to`.
    fn pass(&mut self, to: usize) {
        debug_assert!(self.begin <= to && to <= self.buffer.len());
        if to > self.begin {
            self.place = self.place.after(&self.buffer[self.begin..to]);
            self.begin = to;
            self.given = to;
            self.at = self.at.max(to);
        }
    }

    /// Skips white space; whether an object begins there.
    fn find_begin(&mut self) -> Result<bool, SplitError> {
        if self.fresh {
            let head = &self.buffer[..self.buffer.len().min(BOM.len())];
            if head.len() < BOM.len() && BOM.starts_with(head) {
                return Ok(false);
            }
            if head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF") {
                return Err(self.error(0, Problem::Utf16));
            }
            if head == BOM {
                self.begin = BOM.len();
                self.given = self.begin;
                self.at = self.begin;
            }
            self.fresh = false;
        }
        let white = self.buffer[self.begin..]
            .iter()
            .take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
            .count();
        self.pass(self.begin + white);
        match self.buffer.get(self.begin) {
            None => Ok(false),
            Some(b'{') => {
                self.closing.push(b'}');
                self.at = self.begin + 1;
                Ok(true)
            }
            Some(b'[') => Err(self.error(self.begin, Problem::Array)),
            Some(b',') => Err(self.error(self.begin, Problem::Comma)),
            // A character of which only a part has arrived, or another.
            Some(_) => match str::from_utf8(&self.buffer[self.begin..]) {
                Err(error) if error.valid_up_to() == 0 && error.error_len().is_none() => Ok(false),
                _ => Err(self.not_an_object()),
            },
        }
    }

    /// Looks on for the bracket that closes the object; whether it is there.
    fn find_end(&mut self) -> Result<bool, SplitError> {
        loop {
            if let Some(start) = self.string {
                if !self.find_string_end(start)? {
                    return Ok(false);
                }
                self.string = None;
            }
            let rest = &self.buffer[self.at..];
            let structural = |byte: &u8| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']');
            let Some(found) = rest.iter().position(structural) else {
                self.at = self.buffer.len();
                return Ok(false);
            };
            let here = self.at + found;
            self.at = here + 1;
            match self.buffer[here] {
                b'"' => self.string = Some(here),
                b'{' => self.closing.push(b'}'),
                b'[' => self.closing.push(b']'),
                found => {
                    let expected = self.closing.pop().expect("an object is open");
                    if found != expected {
                        return Err(self.error(
                            here,
                            Problem::Mismatched {
                                found: char::from(found),
                                expected: char::from(expected),
                            },
                        ));
                    }
                    if self.closing.is_empty() {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Looks on for the quote that closes the string; whether it is there.
    fn find_string_end(&mut self, start: usize) -> Result<bool, SplitError> {
        while let Some(found) = memchr::memchr3(b'"', b'\\', b'\n', &self.buffer[self.at..]) {
            self.at += found;
            match self.buffer[self.at] {
                b'"' => {
                    self.at += 1;
                    return Ok(true);
                }
                b'\n' => return Err(self.error(start, Problem::OpenString)),
                _ if self.at + 1 < self.buffer.len() => self.at += 2,
                // What is escaped has not arrived: come back to the backslash.
                _ => return Ok(false),
            }
        }
        self.at = self.buffer.len();
        Ok(false)
    }

    fn error(&self, at: usize, problem: Problem) -> SplitError {
        SplitError {
            place: self.place.after(&self.buffer[self.begin.min(at)..at]),
            problem,
        }
    }

    fn not_an_object(&self) -> SplitError {
        let rest = &self.buffer[self.begin..];
        let text = String::from_utf8_lossy(&rest[..rest.len().min(4)]);
        let found = match text.chars().next() {
            Some(char::REPLACEMENT_CHARACTER) | None => "bytes that are not UTF-8".to_owned(),
            Some(c) => format!("{c:?}"),
        };
        self.error(self.begin, Problem::NotAnObject(found))
    }
}

#[cfg(test)]
mod tests;
