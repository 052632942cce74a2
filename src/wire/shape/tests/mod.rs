//! The promises of the shapes: a yes is never wrong, and repeated frames get one.
//! The harness serves the fuzz targets as well.

#![cfg_attr(fuzzing, allow(unused, reason = "tests use more of it"))]

use self::harness::Harness;
use super::LearnOutcome;
use crate::wire::testing::generate::{Seed, message};
use crate::wire::testing::vary::{Variation, behind, edit, vary};
use crate::wire::testing::{MESSAGES, compact, reversed};
use crate::wire::{Parser, Validation};

#[cfg(test)]
mod against_parser;
pub(in crate::wire) mod harness;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod rules;
#[cfg(test)]
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
