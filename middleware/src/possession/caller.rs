//! [`Caller`]: who calls, by a token that is theirs to use.

use std::sync::Arc;

use crate::verifier::VerifiedToken;

/// A verified token, in the hands of someone who may use it: the only thing that counts in a decision.
///
/// Made here of bearer tokens, and by the layer of bound tokens whose proof it has checked. Nothing else can make one,
/// and no token that was not verified gets this far:
///
/// ```compile_fail,E0423
/// # fn forge(token: std::sync::Arc<mcp_auth::verifier::VerifiedToken>) {
/// let forged = mcp_auth::Caller(token);
/// # }
/// ```
///
/// ```compile_fail,E0308
/// # fn forge(policy: &mcp_auth::policy::Policy, call: &mcp_auth::request::Classified<'_>) {
/// let token = mcp_auth::request::UnverifiedToken::new("whatever came");
/// let forged = policy.decide(call, Some(&token));
/// # }
/// ```
///
/// ```compile_fail,E0308
/// # fn forge(policy: &mcp_auth::policy::Policy, call: &mcp_auth::request::Classified<'_>, token: std::sync::Arc<mcp_auth::verifier::VerifiedToken>) {
/// let forged = policy.decide(call, Some(&token));
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Caller(Arc<VerifiedToken>);

/// A token that is bound to a key, where a bearer token was wanted (RFC 7800 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is bound to a key, and no proof of that key came with it")]
pub struct BoundToken;

impl Caller {
    /// Whoever has a bearer token.
    ///
    /// # Errors
    /// The token has a `cnf` claim, of whatever kind.
    pub fn bearer(token: Arc<VerifiedToken>) -> Result<Self, BoundToken> {
        match token.confirmation() {
            None => Ok(Self(token)),
            Some(_) => Err(BoundToken),
        }
    }

    /// Whoever has proved that the token is theirs; for the station that has checked the proof.
    pub(super) fn proven(token: Arc<VerifiedToken>) -> Self {
        Self(token)
    }

    /// The token.
    pub fn token(&self) -> &VerifiedToken {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::policy::ScopeSet;

    fn token(claims: &Value) -> Arc<VerifiedToken> {
        let claims = claims.as_object().unwrap().clone();
        Arc::new(VerifiedToken::assert_verified("i", "s", None, ScopeSet::default(), u64::MAX, claims))
    }

    #[test]
    fn a_token_with_any_binding_is_no_bearer_token() {
        for cnf in [json!({"jkt": "x"}), json!({"x5t#S256": "x"}), json!({}), json!(null), json!("x")] {
            assert_eq!(Caller::bearer(token(&json!({ "cnf": cnf }))), Err(BoundToken), "{cnf}");
        }
        let bearer = Caller::bearer(token(&json!({"CNF": 1, "cnf2": 1}))).unwrap();
        assert_eq!(bearer.token().subject(), "s");
    }
}
