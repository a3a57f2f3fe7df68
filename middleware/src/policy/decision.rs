//! The decision: (policy, what is wanted, who asks) → a [`Permit`], or a [`Refusal`].

use std::fmt;
use std::sync::Arc;

use super::Policy;
use super::load::NEVER_CHALLENGED;
use super::raw::{Access, ChallengeScopes};
use super::rule::Rule;
use super::scope::ScopeSet;
use crate::possession::Caller;
use crate::request::{Classified, Malformed, ObjectKind, Operation};
use crate::verifier::VerifiedToken;

/// Leave to go on to the server, made only by [`Policy::decide`]. It travels in the extensions of the request.
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
}

impl Permit {
    /// The user to serve the request as; `None` is to serve it anonymously, whatever token came with it.
    pub fn principal(&self) -> Option<&VerifiedToken> {
        self.principal.as_ref().map(Caller::token)
    }

    /// The rule that allowed it.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("principal", &self.principal())
            .field("rule", &self.rule.label())
            .finish()
    }
}

/// Why a request goes no further. It stays in the extensions of the response that tells the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The `Host` is none of ours.
    ForeignHost,
    /// The `Origin` is not allowed.
    ForeignOrigin,
    /// The HTTP method has no meaning at an MCP endpoint.
    MethodNotAllowed,
    /// The request is not one unambiguous JSON-RPC message.
    Malformed(Malformed),
    /// More than one token, or a token where none may be (RFC 6750 §3.1, `invalid_request`).
    AmbiguousCredentials(&'static str),
    /// The token does not verify (RFC 6750 §3.1, `invalid_token`).
    InvalidToken {
        /// The words for the client.
        description: &'static str,
        /// The scopes to ask for.
        scopes: ScopeSet,
    },
    /// Nobody can say now whether the token is good.
    VerifierUnavailable,
    /// A token is needed and none came.
    SignIn {
        /// The scopes to ask for.
        scopes: ScopeSet,
    },
    /// The token is good and does not hold the scopes (RFC 6750 §3.1, `insufficient_scope`).
    InsufficientScope {
        /// The scopes to ask for.
        scopes: ScopeSet,
        /// The scopes that the operation needs.
        needed: ScopeSet,
    },
    /// Denied by the policy, or absent from it: as if it did not exist.
    Unknown(UnknownObject),
}

/// What a caller asked for that, to this caller, does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownObject {
    /// An object of this kind.
    Object(ObjectKind),
    /// A method.
    Method,
}

impl Refusal {
    /// A stable name for logs, metrics and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::ForeignHost => "foreign-host",
            Self::ForeignOrigin => "foreign-origin",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Malformed(_) => "malformed",
            Self::AmbiguousCredentials(_) => "ambiguous-credentials",
            Self::InvalidToken { .. } => "invalid-token",
            Self::VerifierUnavailable => "verifier-unavailable",
            Self::SignIn { .. } => "sign-in",
            Self::InsufficientScope { .. } => "insufficient-scope",
            Self::Unknown(_) => "unknown",
        }
    }
}

impl fmt::Display for Refusal {
    /// For the operator's log: what was wrong, or missing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignHost => f.write_str("the Host is none of the allowed ones"),
            Self::ForeignOrigin => f.write_str("the Origin is none of the allowed ones"),
            Self::MethodNotAllowed => f.write_str("the HTTP method has no meaning here"),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::AmbiguousCredentials(why) => f.write_str(why),
            Self::InvalidToken { description, .. } => f.write_str(description),
            Self::VerifierUnavailable => f.write_str("access tokens cannot be verified now"),
            Self::SignIn { scopes } => write!(f, "a token is needed, with the scopes `{scopes}`"),
            Self::InsufficientScope { needed, .. } => {
                write!(f, "the token lacks some of the scopes `{needed}`")
            }
            Self::Unknown(_) => f.write_str("denied, or no rule for it"),
        }
    }
}

/// What one rule says of one caller.
enum Verdict {
    AsUser,
    Anonymously,
    NoToken,
    NoScope,
    Absent,
}

fn judge(rule: &Rule, caller: Option<&VerifiedToken>) -> Verdict {
    match (rule.access(), caller) {
        (Access::Deny, _) => Verdict::Absent,
        (Access::OAuth2, None) => Verdict::NoToken,
        (Access::Public, Some(_)) => Verdict::AsUser,
        (Access::OAuth2 | Access::Optional, Some(token)) if rule.is_satisfied_by(token.scopes()) => {
            Verdict::AsUser
        }
        (Access::OAuth2, Some(_)) => Verdict::NoScope,
        // Strangers, and those whose token does not hold the scopes: their identity is withheld.
        (Access::Public, None) | (Access::Optional, _) => Verdict::Anonymously,
    }
}

impl Policy {
    /// Decides one request of one caller; `None` is a caller without a token.
    ///
    /// A caller whose token did not verify never gets here: that is a refusal of its own, for everything.
    ///
    /// # Errors
    /// - a token is needed: [`Refusal::SignIn`]
    /// - scopes are missing: [`Refusal::InsufficientScope`]
    /// - denied, or nothing by that name: [`Refusal::Unknown`], or [`Refusal::SignIn`] where the caller may not see the
    ///   list either, so that neither tells more than the other
    pub fn decide(&self, request: &Classified<'_>, caller: Option<&Caller>) -> Result<Permit, Refusal> {
        match &request.operation {
            Operation::Lifecycle(method) => {
                let rule = self.open_rule(method.as_deref(), self.any_open());
                self.enforce(rule, caller, UnknownObject::Method)
            }
            Operation::List(kind, method) => {
                let rule = self.open_rule(Some(method), self.kind_open(*kind));
                self.enforce(rule, caller, UnknownObject::Method)
            }
            Operation::Object { kind, name } => self.enforce_object(*kind, name, caller),
            Operation::Method { name, resources } => {
                let mut permit = self.enforce(self.methods.get(name), caller, UnknownObject::Method)?;
                for uri in resources {
                    let on_resource = self.enforce_object(ObjectKind::Resource, uri, caller)?;
                    if on_resource.principal.is_none() {
                        permit.principal = None;
                    }
                }
                Ok(permit)
            }
        }
    }

    /// The scopes that a caller whose token is no good should come back with.
    ///
    /// Those of the rule, unless the object is denied, which is nobody's business: then the baseline.
    pub(crate) fn scopes_for(&self, request: &Classified<'_>) -> ScopeSet {
        let rule = match &request.operation {
            Operation::Object { kind, name } => Some(self.rule(*kind, name)),
            Operation::Method { name, .. } => Some(self.methods.get(name)),
            Operation::Lifecycle(_) | Operation::List(..) => None,
        };
        self.challenge_scopes_of(rule.filter(|rule| rule.access() != Access::Deny).map(|rule| &**rule))
    }

    fn enforce_object(
        &self,
        kind: ObjectKind,
        name: &str,
        caller: Option<&Caller>,
    ) -> Result<Permit, Refusal> {
        let refused = match self.enforce(self.rule(kind, name), caller, UnknownObject::Object(kind)) {
            Err(refused @ Refusal::Unknown(_)) if caller.is_none() => refused,
            decided => return decided,
        };
        let list = match kind {
            ObjectKind::Tool => "tools/list",
            ObjectKind::Resource => "resources/list",
            ObjectKind::Prompt => "prompts/list",
        };
        match judge(self.open_rule(Some(list), self.kind_open(kind)), None) {
            Verdict::Anonymously | Verdict::AsUser => Err(refused),
            Verdict::NoToken | Verdict::NoScope | Verdict::Absent => Err(self.sign_in(None)),
        }
    }

    /// The rule of a method that is open to everyone while `open`, unless the policy has a rule for it.
    fn open_rule(&self, method: Option<&str>, open: bool) -> &Arc<Rule> {
        method.and_then(|method| self.methods.explicit(method)).unwrap_or(if open {
            &self.opened
        } else {
            &self.closed
        })
    }

    fn enforce(
        &self,
        rule: &Arc<Rule>,
        caller: Option<&Caller>,
        object: UnknownObject,
    ) -> Result<Permit, Refusal> {
        let permit = |principal| Ok(Permit { principal, rule: Arc::clone(rule) });
        match judge(rule, caller.map(Caller::token)) {
            Verdict::AsUser => permit(caller.cloned()),
            Verdict::Anonymously => permit(None),
            Verdict::NoToken => Err(self.sign_in(Some(rule))),
            Verdict::NoScope => Err(self.step_up(rule, caller)),
            Verdict::Absent => Err(Refusal::Unknown(object)),
        }
    }

    fn sign_in(&self, rule: Option<&Rule>) -> Refusal {
        Refusal::SignIn { scopes: self.challenge_scopes_of(rule) }
    }

    fn challenge_scopes_of(&self, rule: Option<&Rule>) -> ScopeSet {
        let needed: ScopeSet = rule.into_iter().flat_map(Rule::scopes).collect();
        let scopes = if needed.is_empty() { &self.baseline_scopes } else { &needed };
        challengeable(scopes.iter())
    }

    fn step_up(&self, rule: &Rule, caller: Option<&Caller>) -> Refusal {
        let held = match self.challenge_scopes {
            ChallengeScopes::Accumulate => caller,
            ChallengeScopes::Minimal => None,
        };
        let held = held
            .into_iter()
            .flat_map(|caller| caller.token().scopes().iter())
            .filter(|scope| self.known_scopes.contains(scope));
        Refusal::InsufficientScope {
            scopes: challengeable(held.chain(rule.scopes())),
            needed: rule.scopes().collect(),
        }
    }
}

fn challengeable<'a>(scopes: impl Iterator<Item = &'a str>) -> ScopeSet {
    scopes.filter(|scope| !NEVER_CHALLENGED.contains(scope)).collect()
}

#[cfg(test)]
mod tests;
