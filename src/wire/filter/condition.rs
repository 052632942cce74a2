//! Conditions, and whether they hold.

use std::cmp::Ordering;

use super::pointer::Field;
use super::scalar::{Finite, Scalar, Value};

/// The `where` of a subscription: all conditions must hold, if there are any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Filter {
    pub(crate) conditions: Box<[Condition]>,
}

/// One condition on one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) field: Field,
    pub(crate) test: Test,
}

/// The test of a condition on the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Test {
    /// The value is one of these, which are sorted.
    OneOf(Box<[Scalar]>),
    /// The value is a text with this prefix.
    Prefix(Box<str>),
    /// The field is present, or it is absent.
    Exists(bool),
    /// The value has this relation to the bound.
    Order(Relation, Scalar),
}

/// The relation of a value to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The most values that are tried one by one. More are searched.
const TRIED_MAX: usize = 4;

impl Filter {
    /// The conditions, in the order in which they were given.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Returns whether all conditions hold. `value_of` gives the value of a field.
    pub fn matches<'v>(&self, mut value_of: impl FnMut(&Field) -> Option<Value<'v>>) -> bool {
        let holds = |condition: &Condition| condition.holds(value_of(&condition.field).as_ref());
        self.conditions.iter().all(holds)
    }
}

impl Condition {
    /// The field that it tests.
    pub fn field(&self) -> &Field {
        &self.field
    }

    /// Returns whether it holds for a message with `value` at the field.
    #[inline]
    pub fn holds(&self, value: Option<&Value<'_>>) -> bool {
        let Some(value) = value else {
            return self.test == Test::Exists(false);
        };
        match &self.test {
            Test::OneOf(scalars) if scalars.len() <= TRIED_MAX => {
                scalars.iter().any(|scalar| scalar.equals(value))
            }
            Test::OneOf(scalars) => is_among(scalars, value),
            Test::Prefix(prefix) => match value {
                Value::Text(text) => text.starts_with(prefix.as_bytes()),
                _ => false,
            },
            Test::Exists(wanted) => *wanted,
            Test::Order(relation, bound) => {
                let ordering = bound.compare(value);
                ordering.is_some_and(|ordering| relation.holds(ordering))
            }
        }
    }

    /// The values of a test for equality, each once; `None` for other tests.
    pub fn equals(&self) -> Option<&[Scalar]> {
        match &self.test {
            Test::OneOf(scalars) => Some(scalars),
            Test::Prefix(_) | Test::Exists(_) | Test::Order(..) => None,
        }
    }
}

/// Returns whether the value is one of many, which are sorted, by type first.
fn is_among(scalars: &[Scalar], value: &Value<'_>) -> bool {
    let place = match *value {
        Value::Null => scalars.binary_search(&Scalar::Null),
        Value::Bool(value) => scalars.binary_search(&Scalar::Bool(value)),
        Value::Number(spelling) => match Finite::read(spelling) {
            Some(number) => scalars.binary_search(&Scalar::Number(number)),
            None => return false,
        },
        Value::Text(text) => scalars.binary_search_by(|scalar| match scalar {
            Scalar::Text(own) => own.as_bytes().cmp(text),
            // Texts are the last.
            Scalar::Null | Scalar::Bool(_) | Scalar::Number(_) => Ordering::Less,
        }),
        Value::Container => return false,
    };
    place.is_ok()
}

impl Relation {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}
