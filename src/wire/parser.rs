//! The parser that checks a frame: in a copy, for simd-json unescapes strings in place,
//! and the frame is forwarded as it was received.

use std::fmt;
use std::mem;

use simd_json::{Buffers, INPUT_PADDING, Tape};

use super::envelope::{Envelope, Header, Names, Span, Validation};
use super::json::{self, KeySet, TapeValue};
use super::refusal::{ErrorCode, Refusal};
use super::rules;
use crate::limits::{FRAME_BYTES_MAX_MAX, JSON_DEPTH_MAX, READ_BUFFER_BYTES};

/// The largest frame whose buffers are kept. They never shrink: one large frame
/// must not keep its memory for good.
const BUFFERED_FRAME_BYTES_MAX: usize = READ_BUFFER_BYTES;
/// The longest tape that is kept: a small frame may have many small values.
const TAPE_NODES_MAX: usize = 8 * 1024;
/// The size of the buffers at first.
const FRAME_BYTES_EXPECTED: usize = 1024;

/// A parser with buffers. Once they are warm, an accepted frame costs no allocation.
pub struct Parser {
    validation: Validation,
    buffers: Buffers,
    tape: Tape<'static>,
    /// The frame parsed last and its padding, with strings unescaped.
    scratch: Vec<u8>,
    keys: KeySet,
}

impl Parser {
    /// Creates a parser.
    #[must_use]
    pub fn new(validation: Validation) -> Self {
        Self {
            validation,
            buffers: new_buffers(),
            tape: Tape(Vec::new()),
            scratch: Vec::new(),
            keys: KeySet::default(),
        }
    }

    /// The extent of the checks.
    #[must_use]
    pub const fn validation(&self) -> Validation {
        self.validation
    }

    /// Sets the extent of the checks from now on.
    pub fn set_validation(&mut self, validation: Validation) {
        self.validation = validation;
    }

    /// Checks one frame, without its length prefix, by every rule of the protocol.
    ///
    /// # Errors
    /// The first rule that the frame breaks.
    #[inline]
    pub fn parse(&mut self, frame: &[u8]) -> Result<Header, Refusal> {
        self.check(frame).map(|found| found.header)
    }

    /// Checks one frame and gives its envelope.
    ///
    /// # Errors
    /// The first rule that the frame breaks.
    pub fn envelope<'a>(&'a mut self, frame: &'a [u8]) -> Result<Envelope<'a>, Refusal> {
        let CheckedFrame { header, timestamp } = self.check(frame)?;
        let text =
            |span: Span| str::from_utf8(self.text(frame, &header.names, span)).unwrap_or_default();
        Ok(Envelope {
            msg_id: header.msg_id,
            kind: header.kind,
            timestamp: text(timestamp),
            source: text(header.names.source),
            target: header.names.target.map(text),
        })
    }

    /// The `source` of the frame that was parsed last.
    #[must_use]
    #[inline]
    pub fn source<'a>(&'a self, frame: &'a [u8], names: &Names) -> &'a [u8] {
        self.text(frame, names, names.source)
    }

    /// The `target` of the frame that was parsed last.
    #[must_use]
    #[inline]
    pub fn target<'a>(&'a self, frame: &'a [u8], names: &Names) -> Option<&'a [u8]> {
        names.target.map(|span| self.text(frame, names, span))
    }

    #[inline]
    fn text<'a>(&'a self, frame: &'a [u8], names: &Names, span: Span) -> &'a [u8] {
        span.of(if names.in_scratch {
            &self.scratch
        } else {
            frame
        })
    }

    #[inline]
    fn check(&mut self, frame: &[u8]) -> Result<CheckedFrame, Refusal> {
        if frame.len() > FRAME_BYTES_MAX_MAX {
            return Err(too_large(frame.len()));
        }
        self.scratch.clear();
        self.scratch.reserve(frame.len() + INPUT_PADDING);
        self.scratch.extend_from_slice(frame);
        self.scratch.extend_from_slice(&[b' '; INPUT_PADDING]);
        let base = self.scratch.as_ptr() as usize;

        let mut tape = mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let filled = simd_json::fill_tape_padded(
            &mut self.scratch,
            frame.len(),
            &mut self.buffers,
            &mut tape,
        );
        let outcome = match filled {
            Ok(()) => rules::check(TapeValue(&tape.0), self.validation, &mut self.keys)
                .map(|envelope| CheckedFrame::locate(&envelope, frame, base)),
            Err(_) => Ok(None),
        };
        self.tape = tape.reset();
        let outcome = match outcome {
            Ok(Some(found)) => Ok(found),
            Ok(None) => self.read_again(frame),
            Err(refusal) => Err(refusal),
        };
        if frame.len() > BUFFERED_FRAME_BYTES_MAX || self.tape.0.capacity() > TAPE_NODES_MAX {
            return self.retire_buffers(outcome);
        }
        outcome
    }

    /// Gets the second opinion on a frame.
    #[cold]
    fn read_again(&mut self, frame: &[u8]) -> Result<CheckedFrame, Refusal> {
        let root = json::read_again(frame)?;
        let envelope = rules::check(&root, self.validation, &mut self.keys)?;
        self.scratch.clear();
        let found = CheckedFrame::of(&envelope, |text| {
            let start = self.scratch.len();
            self.scratch.extend_from_slice(text.as_bytes());
            Span::new(start, self.scratch.len())
        });
        found.ok_or_else(|| too_large(frame.len()))
    }

    /// Replaces the buffers by small ones that keep only the names.
    #[cold]
    fn retire_buffers(
        &mut self,
        outcome: Result<CheckedFrame, Refusal>,
    ) -> Result<CheckedFrame, Refusal> {
        let large = mem::take(&mut self.scratch);
        self.buffers = new_buffers();
        self.tape = Tape(Vec::new());
        self.keys.shrink();
        let mut found = outcome?;
        let names = &mut found.header.names;
        if names.in_scratch {
            let mut keep = |span: &mut Span| {
                let start = self.scratch.len();
                self.scratch.extend_from_slice(span.of(&large));
                *span = Span::new(start, self.scratch.len()).unwrap_or(*span);
            };
            keep(&mut found.timestamp);
            keep(&mut names.source);
            if let Some(target) = &mut names.target {
                keep(target);
            }
        }
        Ok(found)
    }
}

impl fmt::Debug for Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parser")
            .field("validation", &self.validation)
            .finish_non_exhaustive()
    }
}

impl Default for Parser {
    fn default() -> Self {
        Self::new(Validation::default())
    }
}

/// The header of a checked frame, and the range of its timestamp.
struct CheckedFrame {
    header: Header,
    timestamp: Span,
}

impl CheckedFrame {
    /// Turns the texts of an envelope into ranges of the scratch. `None` if `span` is.
    #[inline]
    fn of(envelope: &Envelope<'_>, mut span: impl FnMut(&str) -> Option<Span>) -> Option<Self> {
        Some(Self {
            timestamp: span(envelope.timestamp)?,
            header: Header {
                msg_id: envelope.msg_id,
                kind: envelope.kind,
                names: Names {
                    source: span(envelope.source)?,
                    target: match envelope.target {
                        Some(target) => Some(span(target)?),
                        None => None,
                    },
                    in_scratch: true,
                },
            },
        })
    }

    /// Turns texts in the scratch at address `base` into ranges. `None` if one lies
    /// elsewhere, which simd-json doesn't do.
    #[inline]
    fn locate(envelope: &Envelope<'_>, frame: &[u8], base: usize) -> Option<Self> {
        let mut found = Self::of(envelope, |text| {
            let start = (text.as_ptr() as usize).checked_sub(base)?;
            let end = start.checked_add(text.len())?;
            (end <= frame.len()).then(|| Span::new(start, end))?
        })?;
        // A string without escapes has the same range in the frame. The first escape
        // of any other lies within the unescaped length: it left at least one byte.
        let escaped = |span: Span| memchr::memchr(b'\\', span.of(frame)).is_some();
        let names = &mut found.header.names;
        names.in_scratch =
            escaped(names.source) || escaped(found.timestamp) || names.target.is_some_and(escaped);
        Some(found)
    }
}

fn new_buffers() -> Buffers {
    Buffers::with_max_depth(FRAME_BYTES_EXPECTED, JSON_DEPTH_MAX)
}

#[cold]
fn too_large(len: usize) -> Refusal {
    Refusal::new(
        ErrorCode::FrameTooLarge,
        format!("a frame of {len} bytes; at most {FRAME_BYTES_MAX_MAX} are ever allowed"),
    )
}
