//! A test harness: learned shapes, each held to the parser's verdict on a frame, on
//! every set of instructions.

#[cfg(target_arch = "x86_64")]
use super::super::avx2;
use super::super::hints::PaddedCopy;
use super::super::matcher::{self, LOOKAHEAD, Portable};
use super::super::{Hints, LearnOutcome, Offsets, Shape, ShapeMatch, Shapes};
use super::show;
use crate::limits::SHAPE_FRAME_BYTES_MAX;
use crate::wire::{Kind, Parser, Validation};

/// The shapes of a server and its parser.
#[derive(Debug)]
pub(crate) struct Harness {
    pub(super) shapes: Shapes,
    pub(super) parser: Parser,
    hints: Hints,
    window: Vec<u8>,
    offsets: Offsets,
    padded: PaddedCopy,
    now: u32,
}

/// The header of a frame, copied out.
#[derive(Debug, PartialEq, Eq)]
struct Routed {
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
            offsets: Offsets::default(),
            padded: PaddedCopy::default(),
            now: 0,
        }
    }

    /// Learns from a frame; `None` if the parser refuses it.
    pub(super) fn learn(&mut self, frame: &[u8]) -> Option<LearnOutcome> {
        self.now += 1;
        let header = self.parser.parse(frame).ok()?;
        let learned = self.shapes.learn(frame, &header, self.now);
        self.hints.note(learned, frame.len());
        Some(learned)
    }

    /// Learns from a frame as if it had been seen before. Returns whether a shape
    /// recognises it now.
    pub(crate) fn teach(&mut self, frame: &[u8]) -> bool {
        if self.learn(frame) == Some(LearnOutcome::FirstSighting) {
            self.learn(frame);
        }
        self.hold(frame, &[])
    }

    /// Returns whether a shape recognises the frame, with `behind` behind it in the
    /// window. Fails if the parser refuses a recognised frame or finds another
    /// header, and if the sets of instructions differ.
    pub(crate) fn hold(&mut self, frame: &[u8], behind: &[u8]) -> bool {
        self.window.clear();
        self.window.extend_from_slice(frame);
        self.window.extend_from_slice(behind);
        // The last frame of a read has less behind it.
        let cut = self.window.len();
        if behind.len() < LOOKAHEAD {
            self.window.resize(frame.len() + LOOKAHEAD, 0);
        }
        let table = self.shapes.load();
        let mut recognized = None;
        for shape in table.shapes() {
            let found = by_every_matcher(shape, &self.window, frame.len(), &mut self.offsets);
            let window = (behind.len() >= LOOKAHEAD).then_some(&self.window[..]);
            for bytes in [window, self.padded.copy(frame)].into_iter().flatten() {
                let fits = matcher::matches(shape, bytes, frame.len(), &mut self.offsets);
                let again = fits.then(|| matcher::header_of(shape, &self.offsets));
                assert_same(frame, found.as_ref(), again.as_ref());
            }
            recognized = recognized.or(found);
            if let Some(found) = found {
                let parsed = self.parser.parse(frame).unwrap_or_else(|refusal| {
                    panic!("recognised, but {refusal}: {:?}", show(frame))
                });
                let text = |text: &[u8]| text.to_vec();
                let parsed = Routed {
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

fn by_every_matcher(
    shape: &Shape,
    window: &[u8],
    len: usize,
    offsets: &mut Offsets,
) -> Option<ShapeMatch> {
    if len > SHAPE_FRAME_BYTES_MAX {
        return None;
    }
    let fits = matcher::fits(Portable, shape, window, len, offsets);
    let found = fits.then(|| matcher::header_of(shape, offsets));
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = avx2::Avx2::detect() {
        let fits = avx2::fits(avx2, shape, window, len, offsets);
        let again = fits.then(|| matcher::header_of(shape, offsets));
        assert_same(&window[..len], found.as_ref(), again.as_ref());
    }
    found
}

fn assert_same(frame: &[u8], one: Option<&ShapeMatch>, other: Option<&ShapeMatch>) {
    let same = one == other;
    assert!(same, "{one:?} and {other:?}: {:?}", show(frame));
}

fn read(frame: &[u8], known: &ShapeMatch) -> Routed {
    assert!(!known.names.in_scratch);
    Routed {
        msg_id: known.msg_id(frame).unwrap().to_string(),
        kind: known.kind,
        source: known.source(frame).to_vec(),
        target: known.target(frame).map(<[u8]>::to_vec),
    }
}
