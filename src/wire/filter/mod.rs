//! The filters of subscriptions: conditions on the fields of a message.
//!
//! All conditions of a [`Filter`] must hold. The fields of many filters are put
//! together in a [`Probe`] before any message comes, and [`Values`] finds the value
//! of each field in a frame. Many conditions on equality become one [`ValueMap`],
//! with one lookup a message.
//!
//! Numbers compare as `f64`, texts by their bytes after unescaping. Values of
//! different types are neither equal nor ordered. A number beyond an `f64` compares
//! with nothing. Of repeated keys the first counts.

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
