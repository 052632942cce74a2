//! What subscriptions ask for: conditions on the fields of a message.
//!
//! A subscription has a [`Filter`]: all of its conditions must hold. What fields there are is known before any message comes, so
//! they are put together in a [`Probe`], and [`Values`] finds what a frame has
//! at each of them. Whoever holds many conditions puts those on equality into a
//! [`ValueMap`] and asks it once a message, instead of each of them.
//!
//! How values compare: numbers as `f64`, texts by their bytes after unescaping,
//! and nothing equals or orders with what is of another type. A number beyond an
//! `f64` compares with nothing. Of repeated keys the first counts.

#![forbid(unsafe_code)]

mod condition;
mod pointer;
mod probe;
mod scalar;
mod scan;
mod value_map;
mod values;

pub(crate) use condition::{Condition, Filter, Relation, Test};
pub(crate) use pointer::{Field, Pointer};
pub(crate) use probe::Probe;
pub(crate) use scalar::{Finite, Scalar, Value};
pub(crate) use value_map::ValueMap;
pub(crate) use values::{Values, View};

#[cfg(test)]
mod tests;
