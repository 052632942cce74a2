//! The promises of the shapes: a yes is never wrong, and repeated frames get one.

use super::LearnOutcome;
use super::harness::Harness;
use crate::wire::testing::generate::{Seed, message};
use crate::wire::testing::vary::{Variation, behind, edit, vary};
use crate::wire::testing::{MESSAGES, compact, reversed};
use crate::wire::{Parser, Validation};

mod against_parser;
mod limits;
mod rules;
mod usefulness;

/// The platform's messages in three spellings.
fn spellings() -> Vec<Vec<u8>> {
    let each = |message: &&str| [(*message).to_owned(), compact(message), reversed(message)];
    let all = MESSAGES.iter().flat_map(each);
    all.map(String::into_bytes).collect()
}

fn show(frame: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(frame)
}
