//! The caller's own token goes on only where that is asked for, and only as whose it is.

use std::sync::Arc;

use http::Request;
use mcp_auth::CallerToken;
use mcp_auth::clock::ManualClock;
use mcp_auth::possession::PeerCertificate;
use serde_json::json;

use crate::harness::{Harness, NOW, bearer, call, mint};
use crate::possession::CLIENT;

fn harness(hand_on: bool) -> Harness {
    let answer = ("application/json", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned());
    let clock = Arc::new(ManualClock::at(NOW));
    Harness::with(|builder| builder.hand_on_caller_token(hand_on).clock(clock), answer)
}

/// The tokens that the server got.
fn got(harness: &Harness) -> Vec<Option<String>> {
    let seen = harness.seen.lock().unwrap();
    seen.iter()
        .inspect(|seen| assert!(!seen.head.headers.contains_key("authorization")))
        .map(|seen| seen.head.extensions.get::<CallerToken>().map(|token| token.expose().to_owned()))
        .collect()
}

#[tokio::test]
async fn it_is_not_handed_on_unless_that_is_asked_for() {
    let harness = harness(false);
    assert_eq!(harness.call("closed", &[("authorization", &bearer("notes:read"))]).await.status, 200);
    assert_eq!(got(&harness), [None]);
}

#[tokio::test]
async fn it_is_handed_on_for_whom_the_request_is_served_as() {
    let harness = harness(true);
    let authorization = bearer("notes:read");
    for tool in ["closed", "open", "teaser"] {
        assert_eq!(harness.call(tool, &[("authorization", &authorization)]).await.status, 200);
    }
    let token = authorization.strip_prefix("Bearer ").map(str::to_owned);
    assert_eq!(got(&harness), [token.clone(), token.clone(), token.clone()]);
    let seen = harness.seen.lock().unwrap();
    assert!(!format!("{:?}", seen[0].head.extensions.get::<CallerToken>()).contains(&token.unwrap()));
}

#[tokio::test]
async fn it_is_not_handed_on_for_a_request_that_is_served_as_nobody() {
    let harness = harness(true);
    assert_eq!(harness.call("open", &[]).await.status, 200);
    // its identity is withheld, and so is its token
    assert_eq!(harness.call("teaser", &[("authorization", &bearer("other"))]).await.status, 200);
    let batch = format!("[{},{}]", call("teaser"), call("teaser").replace("\"id\":7", "\"id\":8"));
    let headers = [("mcp-protocol-version", "2025-03-26"), ("authorization", &bearer("other"))];
    let answer = harness.post(&batch, &headers).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(got(&harness), [None, None, None]);
    // refused, so that nothing goes on at all
    assert_eq!(harness.call("open", &[("authorization", "Bearer forged")]).await.status, 401);
    assert_eq!(harness.reached(), 3);
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_certificate_is_not_handed_on() {
    let harness = harness(true);
    let certificate = PeerCertificate::from_der(b"a certificate");
    let bound = mint(&json!({ "cnf": { "x5t#S256": certificate.thumbprint() } }));
    let mut request = Request::post("/mcp")
        .header("host", "gw.test")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {bound}"))
        .body(call("closed").into())
        .unwrap();
    request.extensions_mut().insert(certificate);
    assert_eq!(harness.send(request).await.status, 200);
    assert_eq!(harness.seen.lock().unwrap()[0].subject(), Some("alex".to_owned()));
    assert_eq!(got(&harness), [None]);
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_key_is_not_handed_on() {
    let harness = harness(true);
    let token = CLIENT.token("notes:read");
    let proof = CLIENT.proof(&token, "1", &json!({}));
    let headers = [("authorization", format!("DPoP {token}")), ("dpop", proof)];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(harness.call("closed", &headers).await.status, 200);
    assert_eq!(harness.seen.lock().unwrap()[0].subject(), Some("alex".to_owned()));
    assert_eq!(got(&harness), [None]);
}
