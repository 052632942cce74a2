//! Splitting files and streams into the messages that stand in them.
//!
//! A file holds objects one after another: one pretty-printed object, several,
//! or JSON Lines. [`Splitter`] only finds where each object begins and ends, by
//! its brackets and strings: a message with a `NaN` in it can be sent, and refused.
//!
//! Text that is no message is an error, behind which the splitter goes on at the
//! next line that begins with `{`. It keeps the bytes of one message at most.

use std::fmt;

use tickwire::limits::FRAME_BYTES_MAX_MAX;

use self::resync::{BOM, LineSearch, begins_anew, is_separator};

mod resync;

/// A line and a column, both from 1. Columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub line: u64,
    pub column: u64,
}

impl Position {
    /// Returns the position behind `bytes`, if they begin here.
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

impl Default for Position {
    fn default() -> Self {
        Self { line: 1, column: 1 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One object as it stands in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The bytes from `{` to `}`.
    pub json: &'a [u8],
    pub position: Position,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{position}: {problem}")]
pub struct SplitError {
    pub position: Position,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("not JSON: expected a message, an object that begins with {{, found {0}")]
    NotAnObject(String),
    #[error("found [: put the messages one after another, without an array around them")]
    Array,
    #[error("found a comma: put the messages one after another, without commas between them")]
    Comma,
    #[error("the text is UTF-16: save it as UTF-8")]
    Utf16,
    #[error("not JSON: found {found} where {expected} should come")]
    Mismatched { found: char, expected: char },
    #[error(
        "not JSON: the string that begins here has no closing quote on its line \
         (a line break inside a string is written \\n)"
    )]
    OpenString,
    #[error("not JSON: the object that begins here never ends")]
    OpenObject,
    #[error(
        "not JSON: the object that begins here is not closed before a line that begins with {{"
    )]
    Unclosed,
    #[error(
        "the message that begins here is larger than {FRAME_BYTES_MAX_MAX} bytes, the most that a server can be told to take"
    )]
    TooLarge,
}

/// Finds the objects in bytes that arrive bit by bit.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// The start of the object that is being looked at, or of the unread bytes.
    begin: usize,
    /// The end of the object given out last; it is passed with the next call.
    given: usize,
    /// The end of the bytes looked at: `begin ≤ given ≤ at ≤ buffer.len()`. While
    /// an object is being looked for, `given` is `begin`.
    at: usize,
    /// The position of `begin`.
    position: Position,
    /// The closing brackets that are still to come.
    closing: Vec<u8>,
    /// The start of the string around `at`.
    string: Option<usize>,
    /// The search for the next message, behind a broken one.
    lost: Option<LineSearch>,
    /// Something was looked at.
    begun: bool,
    ended: bool,
}

impl Splitter {
    pub fn push(&mut self, bytes: &[u8]) {
        self.pass(self.given);
        self.buffer.drain(..self.begin);
        self.at -= self.begin;
        self.string = self.string.map(|start| start - self.begin);
        self.begin = 0;
        self.given = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// Notes that the input ends here. There may be pieces left.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Returns the next object, if all of it is there.
    ///
    /// # Errors
    /// The next text is no message. The next call goes on behind it.
    pub fn next(&mut self) -> Result<Option<Piece<'_>>, SplitError> {
        self.pass(self.given);
        let found = self.find().inspect_err(|_| {
            self.closing.clear();
            self.string = None;
            self.lost = Some(LineSearch::default());
            // Not at the position of the error: a missing end of one message is
            // often noticed only within the next.
            self.pass(self.begin + 1);
        })?;
        if !found {
            return Ok(None);
        }
        self.given = self.at;
        Ok(Some(Piece {
            json: &self.buffer[self.begin..self.at],
            position: self.position,
        }))
    }

    fn find(&mut self) -> Result<bool, SplitError> {
        if self.closing.is_empty() && !self.find_begin()? {
            return Ok(false);
        }
        if self.find_end()? {
            return Ok(true);
        }
        if self.buffer.len() - self.begin > FRAME_BYTES_MAX_MAX {
            return Err(self.error(self.begin, Problem::TooLarge));
        }
        match self.string {
            _ if !self.ended => Ok(false),
            Some(start) => Err(self.broken(start, Problem::OpenString)),
            None => Err(self.error(self.begin, Problem::OpenObject)),
        }
    }

    fn pass(&mut self, to: usize) {
        debug_assert!(self.begin <= to && to <= self.buffer.len());
        if to > self.begin {
            self.position = self.position.after(&self.buffer[self.begin..to]);
            self.begin = to;
            self.given = to;
            self.at = self.at.max(to);
        }
    }

    /// Skips the bytes between messages. Returns whether an object begins there.
    fn find_begin(&mut self) -> Result<bool, SplitError> {
        if let Some(search) = &mut self.lost {
            let Some(line) = search.find(&self.buffer[self.begin..]) else {
                self.pass(self.buffer.len());
                return Ok(false);
            };
            self.lost = None;
            self.pass(self.begin + line);
        }
        if !self.begun {
            let head = &self.buffer[..self.buffer.len().min(2)];
            if matches!(head, [] | [0xFE | 0xFF]) && !self.ended {
                return Ok(false);
            }
            if head == b"\xFF\xFE" || head == b"\xFE\xFF" {
                return Err(self.error(0, Problem::Utf16));
            }
            self.begun = true;
        }
        self.pass_separators();
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
                Err(e) if e.valid_up_to() == 0 && e.error_len().is_none() && !self.ended => {
                    Ok(false)
                }
                _ => Err(self.not_an_object()),
            },
        }
    }

    /// Passes over white space, record separators and byte order marks, also of
    /// files that were put together.
    fn pass_separators(&mut self) {
        loop {
            let rest = &self.buffer[self.begin..];
            let separators = rest.iter().take_while(|byte| is_separator(**byte)).count();
            self.pass(self.begin + separators);
            if !self.buffer[self.begin..].starts_with(BOM) {
                return;
            }
            // A mark has no column.
            let position = self.position;
            self.pass(self.begin + BOM.len());
            self.position = position;
        }
    }

    /// Looks on for the end of the object. Returns whether it is there.
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
                b'{' if begins_anew(&self.buffer[self.begin..here], &self.closing) => {
                    return Err(self.error(self.begin, Problem::Unclosed));
                }
                b'{' => self.closing.push(b'}'),
                b'[' => self.closing.push(b']'),
                found => {
                    let expected = self.closing.pop().expect("an object is open");
                    if found != expected {
                        let problem = Problem::Mismatched {
                            found: char::from(found),
                            expected: char::from(expected),
                        };
                        return Err(self.broken(here, problem));
                    }
                    if self.closing.is_empty() {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// Looks on for the quote that closes the string. Returns whether it is there.
    fn find_string_end(&mut self, start: usize) -> Result<bool, SplitError> {
        while let Some(found) = memchr::memchr3(b'"', b'\\', b'\n', &self.buffer[self.at..]) {
            self.at += found;
            match self.buffer[self.at] {
                b'"' => {
                    self.at += 1;
                    return Ok(true);
                }
                b'\n' => return Err(self.broken(start, Problem::OpenString)),
                _ => match self.buffer.get(self.at + 1) {
                    // No escape: it has to be found as the end of the line.
                    Some(b'\n') => self.at += 1,
                    Some(_) => self.at += 2,
                    // The escaped byte has not arrived: come back to the backslash.
                    None => return Ok(false),
                },
            }
        }
        self.at = self.buffer.len();
        Ok(false)
    }

    /// Returns the error of an object that shows at `at` to be broken. If a line
    /// before could begin a message, the object was probably broken off there.
    fn broken(&self, at: usize, problem: Problem) -> SplitError {
        let mut search = LineSearch::default();
        match search.find(&self.buffer[self.begin + 1..at]) {
            Some(_) => self.error(self.begin, Problem::Unclosed),
            None => self.error(at, problem),
        }
    }

    fn error(&self, at: usize, problem: Problem) -> SplitError {
        SplitError {
            position: self.position.after(&self.buffer[self.begin.min(at)..at]),
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
