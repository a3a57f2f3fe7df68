//! [`Warning`]: what loads, and is perhaps not meant.

use std::fmt;
use std::ops::Deref;

use crate::document::Fault;

/// Something in a policy file that is no fault and probably not what was meant. It has the form of a [`Fault`], with its
/// line, its key and often a hint, and stops nothing.
///
/// ```
/// use mcp_auth::policy::Policy;
///
/// let policy = Policy::parse("version = 1\n[scopes.\"notes:read\"]\n")?;
/// let warnings: Vec<String> = policy.warnings().iter().map(|warning| warning.render("policy.toml")).collect();
/// assert_eq!(warnings, [
///     "policy.toml:2:1: `scopes.\"notes:read\"`: no rule needs this scope",
///     "policy.toml:2:1: `scopes.\"notes:read\"`: expected a description, since a consent page can show nothing but the bare name",
/// ]);
/// # Ok::<(), mcp_auth::document::Faults>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(Fault);

impl From<Fault> for Warning {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl Deref for Warning {
    type Target = Fault;

    fn deref(&self) -> &Fault {
        &self.0
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
