//! The values of a running condition: of JSON, borrowed where they can be.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

use serde_json::{Map, Value as Json};

#[derive(Debug, Clone)]
pub(super) enum Value<'v> {
    Null,
    Bool(bool),
    Int(i64),
    /// Of a literal, or beyond [`i64::MAX`].
    Uint(u64),
    Double(f64),
    Text(Cow<'v, str>),
    List(List<'v>),
    Map(&'v Map<String, Json>),
}

#[derive(Debug, Clone)]
pub(super) enum List<'v> {
    Given(&'v [Json]),
    Made(Rc<[Value<'v>]>),
}

impl<'v> From<&'v Json> for Value<'v> {
    fn from(json: &'v Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(number), ..) => Self::Int(number),
                (None, Some(number), _) => Self::Uint(number),
                // What is neither integer is a float.
                (None, None, number) => Self::Double(number.unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::Text(Cow::Borrowed(text)),
            Json::Array(list) => Self::List(List::Given(list)),
            Json::Object(map) => Self::Map(map),
        }
    }
}

impl<'v> List<'v> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Given(list) => list.len(),
            Self::Made(list) => list.len(),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<Value<'v>> {
        match self {
            Self::Given(list) => list.get(index).map(Value::from),
            Self::Made(list) => list.get(index).cloned(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Value<'v>> + '_ {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl Value<'_> {
    /// The name of its type, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Uint(_) => "an unsigned integer",
            Self::Double(_) => "a double",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// The order of two numbers of any types by what they are; `None` for what is no number, and for NaN.
    pub(super) fn compare_numbers(&self, other: &Self) -> Option<Ordering> {
        match (self.as_number()?, other.as_number()?) {
            (Number::Whole(left), Number::Whole(right)) => Some(left.cmp(&right)),
            (Number::Real(left), Number::Real(right)) => left.partial_cmp(&right),
            (Number::Whole(left), Number::Real(right)) => compare_exactly(left, right),
            (Number::Real(left), Number::Whole(right)) => compare_exactly(right, left).map(Ordering::reverse),
        }
    }

    fn as_number(&self) -> Option<Number> {
        match self {
            Self::Int(number) => Some(Number::Whole(i128::from(*number))),
            Self::Uint(number) => Some(Number::Whole(i128::from(*number))),
            Self::Double(number) => Some(Number::Real(*number)),
            _ => None,
        }
    }
}

enum Number {
    Whole(i128),
    Real(f64),
}

/// Without rounding either of them.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a cast to i128 saturates, and 64 bits are far from its ends"
)]
fn compare_exactly(whole: i128, real: f64) -> Option<Ordering> {
    if real.is_nan() {
        return None;
    }
    Some(whole.cmp(&(real.trunc() as i128)).then_with(|| 0.0_f64.total_cmp(&(real.fract() + 0.0))))
}
