//! What came of tokens, for metrics.

use super::{InvalidToken, VerifyError};
use crate::counts::Counts;

const RESULTS: [&str; 8] = [
    "remembered",
    "verified",
    "untrusted",
    "unknown-issuer",
    "wrong-audience",
    "expired",
    "not-yet-valid",
    "unavailable",
];

/// Tokens by what a verifier has found. No label is anything of a token.
#[derive(Debug)]
pub(super) struct TokenCounts(Counts<{ RESULTS.len() }>);

impl TokenCounts {
    pub(super) fn new() -> Self {
        Self(Counts::new("mcp_auth_tokens_total", None, RESULTS))
    }

    /// It was found good before.
    pub(super) fn remembered(&self) {
        self.0.count(0);
    }

    /// It was looked at anew, and is good.
    pub(super) fn verified(&self) {
        self.0.count(1);
    }

    pub(super) fn refused(&self, why: &VerifyError) {
        self.0.count(match why {
            VerifyError::Invalid(InvalidToken::Untrusted(_)) => 2,
            VerifyError::Invalid(InvalidToken::UnknownIssuer) => 3,
            VerifyError::Invalid(InvalidToken::WrongAudience) => 4,
            VerifyError::Invalid(InvalidToken::Expired) => 5,
            VerifyError::Invalid(InvalidToken::NotYetValid) => 6,
            VerifyError::Unavailable(_) => 7,
        });
    }
}
