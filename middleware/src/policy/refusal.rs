//! [`Refusal`]: why a request goes no further.

use std::fmt;

use super::condition::ConditionFailure;
use super::scope::ScopeSet;
use crate::possession::NotProven;
use crate::request::{Malformed, ObjectKind};

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
        /// What is wrong with it, which the client is not always told: for the operator.
        cause: &'static str,
        /// The scopes to ask for.
        scopes: ScopeSet,
    },
    /// The token is good, and whoever sent it has not proved that it is theirs to use (RFC 9449 §7.1, RFC 8705 §3).
    NotProven {
        /// What is missing or wrong.
        why: NotProven,
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
    /// Access and scopes are there, and the rule's condition does not hold. Signing in does not help.
    ConditionFailed(ConditionFailure),
    /// Denied by the policy, or absent from it: as if it did not exist.
    Unknown(UnknownObject),
    /// Permitted, but in the name of a session that is not the caller's, or is none: the client has to open a new one.
    UnknownSession,
    /// Whose session or task it is cannot be looked up now.
    StateUnavailable,
}

/// What a caller asked for that, to this caller, does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownObject {
    /// An object of this kind.
    Object(ObjectKind),
    /// A method.
    Method,
    /// A task.
    Task,
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
            Self::NotProven { .. } => "not-proven",
            Self::VerifierUnavailable => "verifier-unavailable",
            Self::SignIn { .. } => "sign-in",
            Self::InsufficientScope { .. } => "insufficient-scope",
            Self::ConditionFailed(_) => "condition-failed",
            Self::Unknown(_) => "unknown",
            Self::UnknownSession => "unknown-session",
            Self::StateUnavailable => "state-unavailable",
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
            Self::InvalidToken { cause, .. } => f.write_str(cause),
            Self::NotProven { why, .. } => why.fmt(f),
            Self::VerifierUnavailable => f.write_str("access tokens cannot be verified now"),
            Self::SignIn { scopes } => write!(f, "a token is needed, with the scopes `{scopes}`"),
            Self::InsufficientScope { needed, .. } => {
                write!(f, "the token lacks some of the scopes `{needed}`")
            }
            Self::ConditionFailed(failure) => failure.fmt(f),
            Self::Unknown(_) => f.write_str("denied, or no rule for it"),
            Self::UnknownSession => f.write_str("the session is none of the caller's"),
            Self::StateUnavailable => f.write_str("sessions, tasks and used proofs cannot be looked up now"),
        }
    }
}
