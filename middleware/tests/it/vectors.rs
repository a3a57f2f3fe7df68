//! The cases of `tests/vectors`, through the layer.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use mcp_auth::McpAuthLayer;
use mcp_auth::clock::ManualClock;
use mcp_auth::policy::{Policy, PolicyHandle};
use mcp_auth::request::UpstreamEra;
use mcp_auth::verifier::keys::FixedKeys;
use mcp_auth::verifier::{Issuer, JwtVerifier};
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

use crate::harness::{ISSUER, NOW, RESOURCE, Seen, jwks, mint_exactly};

pub(crate) const FILES: [(&str, &str); 5] = [
    ("authorization", include_str!("../vectors/authorization.json")),
    ("modern", include_str!("../vectors/modern.json")),
    ("legacy", include_str!("../vectors/legacy.json")),
    ("both-eras", include_str!("../vectors/both-eras.json")),
    ("lists", include_str!("../vectors/lists.json")),
];

#[tokio::test]
async fn every_vector_holds() {
    let mut failed = Vec::new();
    for (file, text) in FILES {
        let cases: Vec<Value> = serde_json::from_str(text).unwrap();
        assert!(!cases.is_empty(), "{file}");
        for case in cases {
            known_keys(file, &case);
            if let Err(why) = run(&case).await {
                failed.push(format!("{file}: {} {}: {why}", case["requirement"], case["name"]));
            }
        }
    }
    assert!(failed.is_empty(), "{}\n{} failed", failed.join("\n"), failed.len());
}

/// A misspelt key would be an expectation that nobody looks at.
fn known_keys(file: &str, case: &Value) {
    let keys = |value: &Value| {
        value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>()
    };
    for (object, known) in [
        (
            case,
            &["requirement", "name", "upstream_era", "request", "caller", "upstream", "expect", "difference"]
                [..],
        ),
        (&case["request"], &["method", "path", "headers", "body"]),
        (&case["upstream"], &["status", "content_type", "body"]),
        (
            &case["expect"],
            &[
                "status",
                "forwarded",
                "headers",
                "code",
                "id",
                "json",
                "body",
                "body_contains",
                "body_lacks",
                "as",
                "forwarded_headers",
                "forwarded_body",
                "refusal",
            ],
        ),
    ] {
        for key in keys(object) {
            assert!(known.contains(&&*key), "{file}: {}: the key `{key}`", case["name"]);
        }
    }
}

async fn run(case: &Value) -> Result<(), String> {
    let keys = FixedKeys::from_jwks(&jwks()).unwrap();
    let verifier = JwtVerifier::builder(RESOURCE.parse().unwrap(), Arc::new(ManualClock::at(NOW)))
        .issuer(Issuer::new(ISSUER, Arc::new(keys)))
        .build()
        .unwrap();
    let policy = PolicyHandle::new(Policy::parse(include_str!("../vectors/policy.toml")).unwrap());
    let layer = McpAuthLayer::builder(RESOURCE.parse().unwrap(), policy, Arc::new(verifier))
        .authorization_server(ISSUER)
        .upstream_era(match case["upstream_era"].as_str() {
            Some("legacy") => UpstreamEra::Legacy,
            Some("modern") => UpstreamEra::Modern,
            None | Some("dual") => UpstreamEra::Dual,
            Some(other) => panic!("the era `{other}`"),
        })
        .build()
        .unwrap();

    let seen = Arc::new(Mutex::new(None));
    let upstream = case["upstream"].clone();
    let server = {
        let seen = Arc::clone(&seen);
        service_fn(move |request: Request<Full<Bytes>>| {
            let (head, body) = request.into_parts();
            let body = futures_util::FutureExt::now_or_never(body.collect()).unwrap().unwrap().to_bytes();
            *seen.lock().unwrap() = Some(Seen { head, body });
            let answer =
                upstream["body"].as_str().unwrap_or(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).to_owned();
            let response = Response::builder()
                .status(u16::try_from(upstream["status"].as_u64().unwrap_or(200)).unwrap())
                .header("content-type", upstream["content_type"].as_str().unwrap_or("application/json"))
                .body(Full::<Bytes>::from(answer))
                .unwrap();
            std::future::ready(Ok::<_, Infallible>(response))
        })
    };
    let response = layer.layer(server).oneshot(request(case)).await.unwrap();
    let refusal = response.extensions().get::<mcp_auth::Refusal>().map(mcp_auth::Refusal::code);
    let (head, body) = response.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    let seen = seen.lock().unwrap().take();

    let expected = &case["expect"];
    let check = |what: &str, expected: Value, found: Value| {
        if expected == found {
            Ok(())
        } else {
            Err(format!("expected {what} {expected}, but found {found}: {text}"))
        }
    };
    check("status", expected["status"].clone(), head.status.as_u16().into())?;
    check("forwarded", expected["forwarded"].clone(), seen.is_some().into())?;
    answered(expected, &head.headers, &text, refusal, &check)?;
    match seen {
        Some(seen) => passed_on(expected, &seen, &check),
        None => Ok(()),
    }
}

type Check<'a> = &'a dyn Fn(&str, Value, Value) -> Result<(), String>;

/// The client's side.
fn answered(
    expected: &Value,
    headers: &http::HeaderMap,
    text: &str,
    refusal: Option<&str>,
    check: Check<'_>,
) -> Result<(), String> {
    let object = |value: &Value| value.as_object().cloned().unwrap_or_default();
    for (name, value) in object(&expected["headers"]) {
        let found = headers.get(&name).map(|value| value.to_str().unwrap());
        check(&name, value, json!(found))?;
    }
    let answer = || serde_json::from_str::<Value>(text).unwrap_or_default();
    if let Some(code) = expected.get("code") {
        check("code", code.clone(), answer()["error"]["code"].clone())?;
    }
    if let Some(id) = expected.get("id") {
        check("id", id.clone(), answer()["id"].clone())?;
    }
    if let Some(json) = expected.get("json") {
        check("body", json.clone(), answer())?;
    }
    if let Some(body) = expected.get("body") {
        check("body", body.clone(), text.into())?;
    }
    for part in expected["body_contains"].as_array().into_iter().flatten() {
        check(&format!("{part} in the body"), true.into(), text.contains(part.as_str().unwrap()).into())?;
    }
    for part in expected["body_lacks"].as_array().into_iter().flatten() {
        check(&format!("{part} in the body"), false.into(), text.contains(part.as_str().unwrap()).into())?;
    }
    match expected.get("refusal") {
        Some(code) => check("refusal", code.clone(), json!(refusal)),
        None => Ok(()),
    }
}

/// The server's side.
fn passed_on(expected: &Value, seen: &Seen, check: Check<'_>) -> Result<(), String> {
    for (name, value) in expected["forwarded_headers"].as_object().into_iter().flatten() {
        let found =
            seen.head.headers.get(name).map(|value| value.to_str().unwrap().trim_matches([' ', '\t']));
        check(&format!("forwarded {name}"), value.clone(), json!(found))?;
    }
    if let Some(body) = expected.get("forwarded_body") {
        check("forwarded body", body.clone(), String::from_utf8_lossy(&seen.body).into())?;
    }
    match expected.get("as") {
        Some(user) => check("user", user.clone(), json!(seen.subject())),
        None => Ok(()),
    }
}

fn request(case: &Value) -> Request<Full<Bytes>> {
    let described = &case["request"];
    let mut request = Request::builder()
        .method(described["method"].as_str().unwrap())
        .uri(described["path"].as_str().unwrap())
        .body(Full::from(described["body"].as_str().unwrap_or_default().to_owned()))
        .unwrap();
    for header in described["headers"].as_array().unwrap() {
        let (name, value) = (header[0].as_str().unwrap(), header[1].as_str().unwrap());
        request
            .headers_mut()
            .append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    if let Some(authorization) = authorization(&case["caller"]) {
        request.headers_mut().append("authorization", authorization.parse().unwrap());
    }
    request
}

fn authorization(caller: &Value) -> Option<String> {
    if let Some(raw) = caller["authorization"].as_str() {
        return Some(raw.to_owned());
    }
    let mut claims = json!({
        "iss": ISSUER, "sub": "alex", "aud": RESOURCE, "client_id": "c", "scope": "notes:read", "exp": NOW + 60,
    });
    for (name, value) in caller["claims"].as_object()? {
        match (&**name, value) {
            (name, Value::Null) => drop(claims.as_object_mut().unwrap().remove(name)),
            ("exp", seconds) => claims["exp"] = NOW.checked_add_signed(seconds.as_i64().unwrap()).into(),
            (name, value) => claims[name] = value.clone(),
        }
    }
    Some(format!("Bearer {}", mint_exactly(&claims)))
}
