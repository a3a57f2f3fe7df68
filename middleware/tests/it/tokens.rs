//! Whose token counts, and what a bad one gets.

use std::sync::{Arc, OnceLock};

use http::Request;
use mcp_auth::policy::{Policy, PolicyHandle, ScopeSet};
use mcp_auth::request::UnverifiedToken;
use mcp_auth::verifier::{BoxFuture, TokenVerifier, VerifiedToken, VerifyError};
use serde_json::json;

use crate::harness::{Harness, METADATA, NOW, bearer, call, mint};

/// A failed credential must never become an empty identity: not on a public tool, not on an optional one, not anywhere.
#[tokio::test]
async fn an_invalid_token_is_401_on_everything_and_never_anonymous() {
    let harness = Harness::new();
    let bad = [
        "Bearer garbage".to_owned(),
        "Bearer".to_owned(),
        "Basic YWxleDpwYXNzd29yZA==".to_owned(),
        format!("DPoP {}", mint(&json!({}))),
        format!("Bearer {}", mint(&json!({"exp": NOW - 31}))),
        format!("Bearer {}", mint(&json!({"aud": "https://gw.test/other"}))),
        format!("Bearer {}", mint(&json!({"iss": "https://evil.test"}))),
        format!("Bearer {}x", mint(&json!({}))),
    ];
    for authorization in &bad {
        let headers = [("authorization", authorization.as_str())];
        for tool in ["open", "teaser", "closed", "unknown"] {
            let answer = harness.call(tool, &headers).await;
            assert_eq!(
                (answer.status, answer.refusal),
                (401, Some(if authorization.starts_with("DPoP ") { "not-proven" } else { "invalid-token" })),
                "{tool} with {authorization}"
            );
            let challenge = answer.header("www-authenticate");
            assert!(
                challenge.contains(r#"error="invalid_token""#) && challenge.contains(METADATA),
                "{challenge}"
            );
            assert_eq!(answer.json()["id"], 7);
        }
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"vendor/x"}"#,
        ] {
            assert_eq!(harness.post(body, &headers).await.status, 401, "{body} with {authorization}");
        }
        for method in ["GET", "DELETE"] {
            let request = Request::builder()
                .method(method)
                .uri("/mcp")
                .header("host", "gw.test")
                .header("authorization", authorization);
            assert_eq!(
                harness.send(request.body("".into()).unwrap()).await.status,
                401,
                "{method} with {authorization}"
            );
        }
    }
    assert_eq!(harness.reached(), 0);
}

#[tokio::test]
async fn two_tokens_or_one_in_the_query_are_400() {
    let harness = Harness::new();
    let good = bearer("notes:read");
    let answer = harness.call("open", &[("authorization", &good), ("authorization", &good)]).await;
    assert_eq!((answer.status, answer.refusal), (400, Some("ambiguous-credentials")));
    assert!(answer.header("www-authenticate").contains(r#"error="invalid_request""#));
    for query in ["access_token=x", "a=b&access_token=x", "access%5ftoken="] {
        let request = Request::post(format!("/mcp?{query}"))
            .header("host", "gw.test")
            .header("content-type", "application/json");
        let answer = harness.send(request.body(call("open").into()).unwrap()).await;
        assert_eq!(answer.status, 400, "{query}");
    }
    assert_eq!(harness.reached(), 0);
}

#[tokio::test]
async fn who_is_served_as_whom() {
    for (tool, scopes, status, subject) in [
        ("open", None, 200, None),
        ("open", Some(""), 200, Some("alex")),
        ("teaser", None, 200, None),
        ("teaser", Some("other"), 200, None),
        ("teaser", Some("notes:read"), 200, Some("alex")),
        ("closed", None, 401, None),
        ("closed", Some("other"), 403, None),
        ("closed", Some("notes:read"), 200, Some("alex")),
    ] {
        let harness = Harness::new();
        let authorization = scopes.map(bearer);
        let headers: Vec<_> = authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        let answer = harness.call(tool, &headers).await;
        assert_eq!(answer.status, status, "{tool} with {scopes:?}");
        let seen = harness.seen.lock().unwrap();
        assert_eq!(seen.len(), usize::from(status == 200), "{tool} with {scopes:?}");
        if let Some(seen) = seen.first() {
            assert_eq!(seen.subject().as_deref(), subject, "{tool} with {scopes:?}");
            assert!(!seen.head.headers.contains_key("authorization"), "the token went on to the server");
        }
    }
}

/// Keys that cannot be had are no reason to let somebody in.
#[tokio::test]
async fn an_unreachable_key_server_is_503_and_strangers_are_still_served() {
    #[derive(Debug)]
    struct Down;
    impl TokenVerifier for Down {
        fn verify<'a>(
            &'a self,
            _: &'a UnverifiedToken,
        ) -> BoxFuture<'a, Result<Arc<VerifiedToken>, VerifyError>> {
            Box::pin(std::future::ready(Err(VerifyError::Unavailable("down".to_owned()))))
        }
    }
    let harness =
        Harness::with_verifier(Arc::new(Down), |builder| builder, ("application/json", "{}".to_owned()));
    for tool in ["open", "teaser", "closed"] {
        let answer = harness.call(tool, &[("authorization", "Bearer a.b.c")]).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_i64(), answer.json()["id"].as_i64()),
            (503, Some(503), Some(7))
        );
        assert!(!answer.headers.contains_key("www-authenticate"));
    }
    assert_eq!(harness.reached(), 0);
    assert_eq!(harness.call("open", &[]).await.status, 200);
}

#[tokio::test]
async fn the_form_of_a_challenge_follows_the_client_and_the_decision_does_not() {
    let harness = Harness::new();
    for (agent, status) in [("openai-mcp/1.0.0 (+https://openai.com/bot)", 200), ("Claude-User", 401)] {
        let answer = harness.call("closed", &[("user-agent", agent)]).await;
        assert_eq!((answer.status, answer.refusal), (status, Some("sign-in")), "{agent}");
        assert_eq!(answer.json()["result"]["isError"], true, "{agent}");
        let bad = harness.call("closed", &[("user-agent", agent), ("authorization", "Bearer x")]).await;
        assert_eq!(bad.status, 401, "{agent}");
    }
    assert_eq!(harness.reached(), 0);
}

/// A body may take its time to come, and a token to be verified: what was revoked meanwhile is revoked.
#[tokio::test]
async fn a_request_is_decided_by_the_policy_of_the_moment_of_its_decision() {
    #[derive(Debug, Default)]
    struct Slow(OnceLock<PolicyHandle>);
    impl TokenVerifier for Slow {
        fn verify<'a>(
            &'a self,
            _: &'a UnverifiedToken,
        ) -> BoxFuture<'a, Result<Arc<VerifiedToken>, VerifyError>> {
            let closed = "version = 1\n[tools.open]\nauth = \"oauth2\"\nscopes = [\"admin\"]\n";
            self.0.get().unwrap().replace(Policy::parse(closed).unwrap());
            let nothing = (ScopeSet::default(), serde_json::Map::new());
            let token = VerifiedToken::assert_verified("i", "s", None, nothing.0, u64::MAX, nothing.1);
            Box::pin(std::future::ready(Ok(Arc::new(token))))
        }
    }
    let slow = Arc::new(Slow::default());
    let answer = ("application/json", "{}".to_owned());
    let harness = Harness::with_verifier(slow.clone(), |builder| builder, answer);
    slow.0.set(harness.policy.clone()).unwrap();
    assert_eq!(harness.call("open", &[("authorization", "Bearer a.b.c")]).await.status, 403);
    assert_eq!(harness.reached(), 0);
}
