//! `when`: what a rule asks of one request besides access and scopes, in the Common Expression Language.
//!
//! ```
//! use mcp_auth::policy::condition::{Condition, Inputs};
//!
//! let condition = Condition::compile("args.amount <= 100 && claims.department == 'sales'").map_err(|e| e.to_string())?;
//! let claims = serde_json::json!({"department": "sales"});
//! let inputs = Inputs { claims: claims.as_object(), args: Some(r#"{"amount": 99.5}"#), tool: "order", client: "c" };
//! assert!(condition.evaluate(&inputs).is_ok());
//! let dearer = Inputs { args: Some(r#"{"amount": 100.5}"#), ..inputs };
//! assert!(condition.evaluate(&dearer).is_err());
//! # Ok::<(), String>(())
//! ```
//!
//! # What a condition sees
//!
//! | name | value |
//! | --- | --- |
//! | `claims` | the claims of the token of the user that the request would be served as; `{}` for a stranger |
//! | `args` | `params.arguments` of the request; `{}` where it has none |
//! | `tool` | the tool's or prompt's name, the resource's URI, or the method |
//! | `client` | the token's client; `""` where it names none, and for a stranger |
//!
//! Only `true` lets the request pass. `false`, any other value and any error refuse it: a missing key is an error, so
//! that an expression says `has(args.limit)` of what may be absent.
//!
//! # The language
//!
//! The grammar is that of the `cel` crate, the meaning that of the CEL specification, for these parts of it:
//! literals (`null`, booleans, `1`, `1u`, `1.5`, strings, lists, and maps of literals), `.field`, `[index]`, `!`, `-`,
//! `&&`, `||`, `?:`, `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `+`, `-`, `*`, `/`, `%`; `has`, `size`, `contains`,
//! `startsWith`, `endsWith`, `matches`, `int`, `uint`, `double`, `string`; `all`, `exists`, `exists_one`, `map`,
//! `filter`. Anything else is refused when the policy is loaded, and so are a comprehension within another, a pattern
//! that is not a literal, and an expression that is too long or too deep.
//!
//! `matches` looks for the pattern anywhere in the text: write `^` and `$` where the whole of it is meant. `string` of a
//! double has all its digits and no exponent, and no `.0`: `3.0`, which many parsers cannot tell from `3`, is `"3"`.
//!
//! # Bounds
//!
//! Arguments come from an attacker. They are read again for a condition that looks at them, and refused where two
//! parsers could understand them differently (see [`ConditionFailure`]), or where they are longer than 64 KiB, in a
//! message of more than 128 KiB, deeper than 32 levels, or more than 4096 values. The evaluation takes at most 20,000
//! steps, where a step is one operation, 32 bytes of a text that is compared or searched, or two bytes of a text that a
//! pattern is matched against; of a pattern with more than 25 characters, repetitions written out, a byte takes as much
//! more. What takes more is refused.
//!
//! In the `condition` bench the worst arguments take 3 ms to read (keys that have to be folded), and the worst
//! evaluation of all steps 1 ms; an ordinary condition takes less than a microsecond.

#[cfg(feature = "cel")]
mod arguments;
#[cfg(feature = "cel")]
mod compile;
#[cfg(not(feature = "cel"))]
mod disabled;
#[cfg(feature = "cel")]
mod evaluate;
mod failure;
#[cfg(feature = "cel")]
mod number;
#[cfg(feature = "cel")]
mod pattern;
#[cfg(feature = "cel")]
mod program;
#[cfg(feature = "cel")]
mod value;

#[cfg(feature = "cel")]
mod enabled;

use serde_json::{Map, Value};

#[cfg(not(feature = "cel"))]
pub use disabled::Condition;
#[cfg(feature = "cel")]
pub use enabled::Condition;
pub use failure::{ConditionError, ConditionFailure};

/// The longest text of `params.arguments` that is judged, in bytes.
pub(crate) const LONGEST_ARGUMENTS: usize = 64 * 1024;
/// The longest message whose arguments are judged, in bytes.
pub(crate) const LONGEST_MESSAGE: usize = 2 * LONGEST_ARGUMENTS;

/// What a condition is evaluated over.
#[derive(Debug, Clone, Copy, Default)]
pub struct Inputs<'a> {
    /// The claims of the token; `None` for a stranger.
    pub claims: Option<&'a Map<String, Value>>,
    /// `params.arguments` as JSON text, exactly as it is in the body that is judged; `None` where there is none.
    pub args: Option<&'a str>,
    /// The name or URI of the object, or the method.
    pub tool: &'a str,
    /// `client_id`, or nothing.
    pub client: &'a str,
}

#[cfg(test)]
#[cfg(feature = "cel")]
mod tests;
