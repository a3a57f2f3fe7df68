//! [`Condition`]: compiled once, evaluated for each request of its rule.

use std::fmt;

use serde_json::{Map, Value as Json};

use super::arguments::{self, FoldedNames};
use super::evaluate::Evaluation;
use super::program::Node;
use super::value::Value;
use super::{ConditionError, ConditionFailure, Inputs, LONGEST_ARGUMENTS, compile};

/// An expression that is known to be safe to evaluate.
pub struct Condition {
    text: Box<str>,
    program: Node,
    /// Every name that the expression could look up in the arguments.
    names: FoldedNames,
    reads_args: bool,
}

impl Condition {
    /// Compiles an expression.
    ///
    /// # Errors
    /// Whatever is not a safe expression over `claims`, `args`, `tool` and `client`, with the place of the fault: see
    /// the language and its bounds in the module's documentation.
    pub fn compile(text: &str) -> Result<Self, ConditionError> {
        let compiled = compile::compile(text)?;
        Ok(Self {
            text: text.into(),
            program: compiled.program,
            names: FoldedNames::new(compiled.names),
            reads_args: compiled.reads_args,
        })
    }

    /// Whether it looks at the arguments: one that does cannot be evaluated before there is a call.
    pub fn reads_args(&self) -> bool {
        self.reads_args
    }

    /// Evaluates it for one request. Pure, and bounded in time whatever the inputs are.
    ///
    /// # Errors
    /// Everything but `true`.
    pub fn evaluate(&self, inputs: &Inputs<'_>) -> Result<(), ConditionFailure> {
        let nothing = Map::new();
        let args = match inputs.args {
            Some(text) if self.reads_args => {
                if text.len() > LONGEST_ARGUMENTS {
                    return Err(ConditionFailure::TooLong(LONGEST_ARGUMENTS));
                }
                arguments::read(text, &self.names).map_err(|why| ConditionFailure::Arguments(why.into()))?
            }
            _ => Map::new(),
        };
        self.evaluate_read(inputs.claims.unwrap_or(&nothing), &args, inputs.tool, inputs.client)
    }

    pub(super) fn evaluate_read(
        &self,
        claims: &Map<String, Json>,
        args: &Map<String, Json>,
        tool: &str,
        client: &str,
    ) -> Result<(), ConditionFailure> {
        match Evaluation::new(claims, args, tool, client).run(&self.program)? {
            Value::Bool(true) => Ok(()),
            Value::Bool(false) => Err(ConditionFailure::False),
            other => Err(ConditionFailure::Error(
                format!("expected true or false, but found {}", other.kind()).into(),
            )),
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Condition").field(&self.text).finish()
    }
}

impl PartialEq for Condition {
    /// The text says everything.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Condition {}
