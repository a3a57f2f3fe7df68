//! The revisions that the server speaks, and what the layer may say in its place.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use mcp_auth::McpAuthLayer;
use mcp_auth::clock::SystemClock;
use mcp_auth::policy::{Policy, PolicyHandle};
use mcp_auth::request::{UpstreamEra, UpstreamEraHandle};
use mcp_auth::verifier::InsecureSharedSecretVerifier;
use serde_json::Value;
use tower::{Layer, ServiceExt, service_fn};

use crate::harness::{Harness, ISSUER, POLICY, RESOURCE};

const MODERN_CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;

fn in_front_of(era: impl Into<UpstreamEraHandle>) -> Harness {
    Harness::with(
        |builder| builder.upstream_era(era),
        ("application/json", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned()),
    )
}

#[tokio::test]
async fn a_modern_version_without_modern_metadata_is_refused_in_front_of_a_modern_server() {
    for (era, status) in [(UpstreamEra::Modern, 400), (UpstreamEra::Dual, 400), (UpstreamEra::Legacy, 200)] {
        let harness = in_front_of(era);
        let answer = harness.call("open", &[("mcp-protocol-version", "2026-07-28")]).await;
        assert_eq!(answer.status, status, "{era:?}");
        if status == 400 {
            assert_eq!(answer.json()["error"]["code"], -32602, "{era:?}");
        }
        assert_eq!(harness.reached(), usize::from(status == 200), "{era:?}");
    }
}

/// The headers of the modern era mean nothing to a legacy server: they are not held against the body, and do not reach it.
#[tokio::test]
async fn a_legacy_server_gets_modern_calls_as_they_are_without_the_headers_that_nobody_checked() {
    let harness = in_front_of(UpstreamEra::Legacy);
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/list"),
        ("mcp-name", "closed"),
        ("mcp-param-x", "1"),
    ];
    assert_eq!(harness.post(MODERN_CALL, &headers).await.status, 200);
    let seen = harness.seen.lock().unwrap();
    assert_eq!(seen[0].body, MODERN_CALL);
    let headers = &seen[0].head.headers;
    assert_eq!(headers["mcp-protocol-version"], "2026-07-28");
    assert_eq!(headers["mcp-param-x"], "1");
    assert!(!headers.contains_key("mcp-method") && !headers.contains_key("mcp-name"));
}

/// Where the tool decides, the era does not: the body is the same body.
#[tokio::test]
async fn the_decision_is_the_same_in_front_of_every_server() {
    let closed = MODERN_CALL.replace("open", "closed");
    let headers =
        [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "closed")];
    for era in [UpstreamEra::Legacy, UpstreamEra::Modern, UpstreamEra::Dual] {
        let harness = in_front_of(era);
        assert_eq!(harness.post(&closed, &headers).await.refusal, Some("sign-in"), "{era:?}");
        assert_eq!(harness.call("closed", &[]).await.refusal, Some("sign-in"), "{era:?}");
        assert_eq!(harness.reached(), 0, "{era:?}");
    }
}

/// `Mcp-Name` says nothing where no part of the body is repeated in it.
#[tokio::test]
async fn a_name_header_that_repeats_nothing_does_not_go_on() {
    let harness = in_front_of(UpstreamEra::Dual);
    let discover = r#"{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let headers =
        [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "server/discover"), ("mcp-name", "closed")];
    assert_eq!(harness.post(discover, &headers).await.status, 200);
    let seen = harness.seen.lock().unwrap();
    assert_eq!(seen[0].head.headers["mcp-method"], "server/discover");
    assert!(!seen[0].head.headers.contains_key("mcp-name"));
}

/// A client that speaks both eras reads from the server's own answer which one to fall back to.
#[tokio::test]
async fn what_a_legacy_server_answers_to_a_modern_probe_passes_unchanged() {
    let verifier = InsecureSharedSecretVerifier::with_insecure_shared_secret(
        RESOURCE.parse().unwrap(),
        ISSUER,
        b"x",
        Arc::new(SystemClock),
    );
    let layer = McpAuthLayer::builder(
        RESOURCE.parse().unwrap(),
        PolicyHandle::new(Policy::parse(POLICY).unwrap()),
        Arc::new(verifier),
    )
    .authorization_server(ISSUER)
    .upstream_era(UpstreamEra::Legacy)
    .build()
    .unwrap();
    for (status, body) in [
        (400, "Bad Request: Server not initialized"),
        (400, r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no session"}}"#),
        (404, ""),
        (405, "nope"),
    ] {
        let service = layer.layer(service_fn(move |_: Request<Full<Bytes>>| {
            let response = Response::builder()
                .status(status)
                .header("x-own", "1")
                .body(Full::<Bytes>::from(body))
                .unwrap();
            std::future::ready(Ok::<_, Infallible>(response))
        }));
        for method in ["server/discover", "tools/list"] {
            let probe = serde_json::json!({"jsonrpc": "2.0", "id": 1, "method": method,
                "params": {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}});
            let request = Request::post("/mcp")
                .header("host", "gw.test")
                .header("content-type", "application/json")
                .header("mcp-protocol-version", "2026-07-28")
                .body(Full::from(probe.to_string()))
                .unwrap();
            let response = service.clone().oneshot(request).await.unwrap();
            assert_eq!(
                (response.status().as_u16(), &response.headers()["x-own"]),
                (status, &"1".parse().unwrap())
            );
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body, "{method}");
        }
    }
}

#[tokio::test]
async fn what_ended_with_the_legacy_era_is_404_in_modern_words() {
    let harness = in_front_of(UpstreamEra::Dual);
    for method in ["initialize", "ping", "logging/setLevel"] {
        let body = serde_json::json!({"jsonrpc": "2.0", "id": "i", "method": method,
            "params": {"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}});
        let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
        let answer = harness.post(&body.to_string(), &headers).await;
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (404, &Value::from(-32601)), "{method}");
        assert_eq!(answer.json()["id"], "i");
    }
    assert_eq!(harness.reached(), 0);
}

/// A header that differs from the body is held against it only where somebody reads it.
#[tokio::test]
async fn an_era_that_changes_counts_from_the_next_request_on() {
    let era = UpstreamEraHandle::default();
    let harness = in_front_of(era.clone());
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/list")];
    for (now, status) in [
        (UpstreamEra::Dual, 400),
        (UpstreamEra::Legacy, 200),
        (UpstreamEra::Modern, 400),
        (UpstreamEra::Legacy, 200),
        (UpstreamEra::Dual, 400),
    ] {
        era.set(now);
        assert_eq!(era.get(), now);
        assert_eq!(harness.post(MODERN_CALL, &headers).await.status, status, "{now:?}");
    }
    assert_eq!(harness.reached(), 2);
}
