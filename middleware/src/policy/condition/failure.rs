//! What can be wrong with a condition: as it is written, and when it is evaluated.

use std::borrow::Cow;
use std::fmt;

/// Why an expression is no condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionError {
    pub(super) offset: Option<usize>,
    pub(super) message: String,
}

impl ConditionError {
    /// Where in the expression, in characters from its start; `None` where it is the whole of it.
    pub fn offset(&self) -> Option<usize> {
        self.offset
    }

    /// What was expected, and what was found.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConditionError {
    /// As a person counts: the first character is number 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.offset {
            Some(offset) => write!(f, " (at character {} of the condition)", offset.saturating_add(1)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConditionError {}

/// Why a request that has access and scopes is refused by its rule's condition.
///
/// `Display` is for the operator. [`public_reason`](Self::public_reason) is for the client: it says nothing of the
/// expression and of the claims, because the condition may know more than the caller does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConditionFailure {
    /// It is `false`.
    False,
    /// It is no boolean, or an error: a missing key, a type that does not fit, a division by zero.
    Error(Cow<'static, str>),
    /// The arguments cannot be judged, because another parser could understand them differently:
    /// - a key given twice in one object, or two keys that are equal to a parser that folds case
    /// - a key that is one of the condition's only to such a parser
    /// - a number that 64 bits cannot hold as it is spelled, or a text with half a surrogate pair
    /// - more than 32 levels, more than 4096 values, or no object
    Arguments(Cow<'static, str>),
    /// The arguments are longer than this many bytes.
    TooLong(usize),
    /// The evaluation would take too many steps.
    TooMuchWork,
}

impl ConditionFailure {
    /// The words for the client.
    pub fn public_reason(&self) -> Cow<'static, str> {
        match self {
            Self::False | Self::Error(_) => "a condition of the server's policy does not hold".into(),
            Self::Arguments(why) => format!("the arguments cannot be judged: {why}").into(),
            Self::TooLong(limit) => {
                format!("the arguments are longer than the {limit} bytes that the server's policy can judge")
                    .into()
            }
            Self::TooMuchWork => "the arguments are more than the server's policy can judge".into(),
        }
    }
}

impl fmt::Display for ConditionFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::False => f.write_str("the condition is false"),
            Self::Error(why) => write!(f, "the condition ended in an error: {why}"),
            Self::Arguments(_) | Self::TooLong(_) => f.write_str(&self.public_reason()),
            Self::TooMuchWork => f.write_str("the condition takes too many steps with these arguments"),
        }
    }
}

impl std::error::Error for ConditionFailure {}
