//! Tokens that are bound to a key, and who may use them.

use std::sync::Arc;

use mcp_auth::policy::ScopeSet;
use mcp_auth::request::UnverifiedToken;
use mcp_auth::verifier::{BoxFuture, TokenVerifier, VerifiedToken, VerifyError};
use serde_json::{Value, json};

use crate::harness::{Harness, mint};

/// Every shape of `cnf`, known or not: none of them is a bearer token.
fn bindings() -> [Value; 7] {
    [
        json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
        json!({"x5t#S256": "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"}),
        json!({"kid": "x"}),
        json!({"jkt": "x", "x5t#S256": "y"}),
        json!({}),
        json!(null),
        json!("x"),
    ]
}

#[tokio::test]
async fn a_bound_token_is_no_bearer_token() {
    let harness = Harness::new();
    for cnf in bindings() {
        let authorization = format!("Bearer {}", mint(&json!({ "cnf": cnf })));
        for tool in ["open", "teaser", "closed"] {
            let answer = harness.call(tool, &[("authorization", &authorization)]).await;
            assert_eq!((answer.status, answer.refusal), (401, Some("invalid-token")), "{tool} with {cnf}");
        }
    }
    assert_eq!(harness.reached(), 0);
}

/// The guard stands behind every verifier, whoever wrote it.
#[tokio::test]
async fn a_verifier_that_overlooks_the_binding_lets_nobody_in() {
    #[derive(Debug)]
    struct Trusting(Value);
    impl TokenVerifier for Trusting {
        fn verify<'a>(
            &'a self,
            _: &'a UnverifiedToken,
        ) -> BoxFuture<'a, Result<Arc<VerifiedToken>, VerifyError>> {
            let claims = json!({ "cnf": self.0 }).as_object().unwrap().clone();
            let scopes = ScopeSet::from_space_separated("notes:read");
            let token = VerifiedToken::assert_verified("i", "s", None, scopes, u64::MAX, claims);
            Box::pin(std::future::ready(Ok(Arc::new(token))))
        }
    }
    for cnf in bindings() {
        let verifier = Arc::new(Trusting(cnf.clone()));
        let harness =
            Harness::with_verifier(verifier, |builder| builder, ("application/json", "{}".to_owned()));
        for scheme in ["Bearer", "DPoP"] {
            let answer = harness.call("closed", &[("authorization", &format!("{scheme} opaque"))]).await;
            assert_eq!((answer.status, answer.refusal), (401, Some("invalid-token")), "{scheme} {cnf}");
        }
        assert_eq!(harness.reached(), 0);
    }
}
