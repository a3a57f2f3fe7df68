//! [`Permit`]: leave to go on to the server.

use std::fmt;
use std::sync::Arc;

use super::refusal::Refusal;
use super::rule::Rule;
use super::version::PolicyVersion;
use crate::possession::Caller;
use crate::verifier::VerifiedToken;

/// Leave to go on to the server, made only by [`Policy::decide`](super::Policy::decide). It travels in the extensions of
/// the request.
///
/// Nothing outside of this crate can make one:
///
/// ```compile_fail,E0451
/// let forged = |permit: mcp_auth::Permit| mcp_auth::Permit { principal: None, ..permit };
/// ```
#[derive(Clone)]
pub struct Permit {
    principal: Option<Caller>,
    rule: Arc<Rule>,
    /// Shared, since a permit is copied to where it is logged.
    shadowed: Option<Arc<Refusal>>,
    version: PolicyVersion,
}

impl Permit {
    pub(super) fn new(principal: Option<Caller>, rule: &Arc<Rule>, version: PolicyVersion) -> Self {
        Self { principal, rule: Arc::clone(rule), shadowed: None, version }
    }

    /// The same, in place of a refusal that is only noted.
    pub(super) fn in_spite_of(self, refusal: Refusal) -> Self {
        Self { shadowed: Some(Arc::new(refusal)), ..self }
    }

    /// For a request that needs another permit as well: anonymous where one of them is, and shadowed where one is.
    pub(super) fn and(mut self, other: Self) -> Self {
        if other.principal.is_none() {
            self.principal = None;
        }
        if self.shadowed.is_none() && other.shadowed.is_some() {
            self.shadowed = other.shadowed;
            self.rule = other.rule;
        }
        self
    }

    /// The user to serve the request as; `None` is to serve it anonymously, whatever token came with it.
    pub fn principal(&self) -> Option<&VerifiedToken> {
        self.principal.as_ref().map(Caller::token)
    }

    /// The rule that allowed it.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// What the request would have been refused with, had its rule not been in [shadow mode](super::Mode::Shadow).
    pub fn shadowed(&self) -> Option<&Refusal> {
        self.shadowed.as_deref()
    }

    /// The version of the policy that decided.
    pub fn policy_version(&self) -> PolicyVersion {
        self.version
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("principal", &self.principal())
            .field("rule", &self.rule.label())
            .field("shadowed", &self.shadowed)
            .field("version", &self.version)
            .finish()
    }
}
