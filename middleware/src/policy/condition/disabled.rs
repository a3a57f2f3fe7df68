//! Without the feature `cel` there are no conditions, and a policy that has one is not loaded.

use super::{ConditionError, ConditionFailure, Inputs};

/// A condition, of which there are none without the feature `cel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {}

impl Condition {
    /// Always an error.
    ///
    /// # Errors
    /// Says which feature is missing.
    pub fn compile(_: &str) -> Result<Self, ConditionError> {
        Err(ConditionError {
            offset: None,
            message: "expected no condition, because this program was built without the feature `cel`; enable it in \
                      the `mcp-auth` dependency"
                .to_owned(),
        })
    }

    /// Whether it looks at the arguments.
    pub fn reads_args(&self) -> bool {
        match *self {}
    }

    /// Evaluates nothing.
    ///
    /// # Errors
    /// None, because there is nothing to call this on.
    pub fn evaluate(&self, _: &Inputs<'_>) -> Result<(), ConditionFailure> {
        match *self {}
    }
}
