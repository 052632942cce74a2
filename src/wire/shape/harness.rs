//! A test harness: shapes learned from frames, and every one of them, by every
//! lane, held to what the parser says of a frame.

#![forbid(unsafe_code)]

use super::matcher::{self, LOOKAHEAD, Lookahead, Scalar, Starts};
use super::{Hints, Learned, Recognized, Shape, Shapes};
use crate::limits::SHAPE_FRAME_BYTES_MAX;
use crate::wire::envelope::{Kind, Validation};
use crate::wire::parser::Parser;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Harness {
    pub(super) shapes: Shapes,
    pub(super) parser: Parser,
    hints: Hints,
    window: Vec<u8>,
    starts: Starts,
    lookahead: Lookahead,
    now: u32,
}

/// What routing gets of a frame.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    msg_id: String,
    kind: Kind,
    source: Vec<u8>,
    target: Option<Vec<u8>>,
}

impl Harness {
    pub(crate) fn new(validation: Validation) -> Self {
        Self {
            shapes: Shapes::new(validation),
            parser: Parser::new(validation),
            hints: Hints::default(),
            window: Vec::new(),
            starts: Starts::default(),
            lookahead: Lookahead::default(),
            now: 0,
        }
    }

    /// What comes of learning from a frame; `None` if the parser refuses it.
    pub(super) fn learn(&mut self, frame: &[u8]) -> Option<Learned> {
        self.now += 1;
        let header = self.parser.parse(frame).ok()?;
        let learned = self.shapes.learn(frame, &header, self.now);
        self.hints.note(learned, frame.len());
        Some(learned)
    }

    /// Learns from a frame as if it had been seen before. Says whether a shape
    /// recognises it now; one must if it can be learned from.
    pub(crate) fn teach(&mut self, frame: &[u8]) -> bool {
        if self.learn(frame) == Some(Learned::FirstSighting) {
            self.learn(frame);
        }
        self.hold(frame, &[])
    }

    /// Whether a shape recognises the frame, with `behind` behind it in the
    /// window. Fails if any does that the parser refuses, or finds another
    /// header than the parser, and if lanes differ.
    pub(crate) fn hold(&mut self, frame: &[u8], behind: &[u8]) -> bool {
        self.window.clear();
        self.window.extend_from_slice(frame);
        self.window.extend_from_slice(behind);
        // What a read's last frame has behind it.
        let cut = self.window.len();
        if behind.len() < LOOKAHEAD {
            self.window.resize(frame.len() + LOOKAHEAD, 0);
        }
        let table = self.shapes.load();
        let mut recognized = None;
        for shape in table.shapes() {
            let found = by_every_lane(shape, &self.window, frame.len(), &mut self.starts);
            let window = (behind.len() >= LOOKAHEAD).then_some(&self.window[..]);
            for bytes in [window, self.lookahead.copy(frame)].into_iter().flatten() {
                let fits = matcher::recognizes(shape, bytes, frame.len(), &mut self.starts);
                let again = fits.then(|| matcher::found(shape, &self.starts));
                assert_same(frame, found.as_ref(), again.as_ref());
            }
            recognized = recognized.or(found);
            if let Some(found) = found {
                let parsed = self.parser.parse(frame).unwrap_or_else(|refusal| {
                    panic!("recognised, but {refusal}: {:?}", show(frame))
                });
                let text = |text: &[u8]| text.to_vec();
                let parsed = Found {
                    msg_id: parsed.msg_id.to_string(),
                    kind: parsed.kind,
                    source: text(self.parser.source(frame, &parsed.names)),
                    target: self.parser.target(frame, &parsed.names).map(text),
                };
                assert_eq!(read(frame, &found), parsed, "{:?}", show(frame));
            }
        }
        for end in [frame.len(), cut] {
            let bytes = &self.window[..end];
            if let Some(found) = self.hints.recognize(&table, bytes, frame.len(), self.now) {
                assert_same(frame, recognized.as_ref(), Some(&found));
            }
        }
        recognized.is_some()
    }
}

fn by_every_lane(
    shape: &Shape,
    window: &[u8],
    len: usize,
    starts: &mut Starts,
) -> Option<Recognized> {
    if len > SHAPE_FRAME_BYTES_MAX {
        return None;
    }
    let fits = matcher::fits_by(Scalar, shape, window, len, starts);
    let found = fits.then(|| matcher::found(shape, starts));
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = super::avx2::Avx2::detect() {
        let fits = super::avx2::fits(avx2, shape, window, len, starts);
        let again = fits.then(|| matcher::found(shape, starts));
        assert_same(&window[..len], found.as_ref(), again.as_ref());
    }
    found
}

fn assert_same(frame: &[u8], one: Option<&Recognized>, other: Option<&Recognized>) {
    let same = one == other;
    assert!(same, "{one:?} and {other:?}: {:?}", show(frame));
}

fn read(frame: &[u8], known: &Recognized) -> Found {
    assert!(!known.names.in_scratch);
    Found {
        msg_id: known.msg_id(frame).unwrap().to_string(),
        kind: known.kind,
        source: known.source(frame).to_vec(),
        target: known.target(frame).map(<[u8]>::to_vec),
    }
}

fn show(frame: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(frame)
}
