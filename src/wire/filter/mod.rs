//! The filters of subscriptions: conditions on the fields of a message.
//!
//! The fields of many filters make one [`Probe`], and [`Values`] finds their values in
//! each frame. Many conditions on equality make one [`ValueMap`].
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
