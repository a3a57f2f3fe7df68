//! Plain HTTP beside MCP: one rule a route, and no body that anyone reads.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use ::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use mcp_auth::challenge::ReplyTo;
use mcp_auth::clock::ManualClock;
use mcp_auth::{HttpAuthLayer, HttpAuthLayerBuilder, HttpRule, Judged, Permit, Refusal};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::harness::{ISSUER, NOW, mint, verifier};
use crate::possession::CLIENT;

const RESOURCE: &str = "https://gw.test/reports";

/// A body that is no bytes, and that nobody may read.
#[derive(Debug)]
struct Unread;

type Seen = Arc<Mutex<Vec<(Option<String>, Vec<String>)>>>;

fn layer(rule: HttpRule) -> HttpAuthLayerBuilder {
    HttpAuthLayer::builder(RESOURCE.parse().unwrap(), rule, verifier(RESOURCE))
        .authorization_server(ISSUER)
        .clock(Arc::new(ManualClock::at(NOW)))
}

fn oauth2() -> HttpRule {
    HttpRule::oauth2(["reports:read"]).unwrap()
}

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    body: String,
    refusal: Option<&'static str>,
}

/// Sends a request through the layer; says who was served, and by what headers.
async fn send(builder: HttpAuthLayerBuilder, request: Request<()>) -> (Answer, Seen) {
    let seen = Seen::default();
    let server = {
        let seen = Arc::clone(&seen);
        service_fn(move |request: Request<Unread>| {
            let permit: &Permit = request.extensions().get().expect("nothing is forwarded without a permit");
            assert!(request.extensions().get::<ReplyTo>().is_some());
            assert!(request.extensions().get::<Judged>().is_some());
            let user = permit.principal().map(|user| user.subject().to_owned());
            let headers = request.headers().keys().map(ToString::to_string).collect();
            seen.lock().unwrap().push((user, headers));
            async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("served")))) }
        })
    };
    let service = builder.build().unwrap().layer(server);
    let response = service.oneshot(request.map(|()| Unread)).await.unwrap();
    let refusal = response.extensions().get::<Refusal>().map(Refusal::code);
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    (Answer { status: parts.status, headers: parts.headers, body, refusal }, seen)
}

fn get(path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::get(path).header("host", "gw.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn token(changes: &Value) -> String {
    let mut claims = json!({ "aud": RESOURCE, "scope": "reports:read" });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    format!("Bearer {}", mint(&claims))
}

#[tokio::test]
async fn the_table_of_rules_holds() {
    let (good, poor) = (token(&json!({})), token(&json!({ "scope": "other" })));
    let alex = Some("alex".to_owned());
    let cases = [
        (HttpRule::public(), None, 200, Some(None)),
        (HttpRule::public(), Some(&good), 200, Some(alex.clone())),
        (HttpRule::public(), Some(&poor), 200, Some(alex.clone())),
        (oauth2(), None, 401, None),
        (oauth2(), Some(&good), 200, Some(alex.clone())),
        (oauth2(), Some(&poor), 403, None),
        (HttpRule::oauth2([""; 0]).unwrap(), None, 401, None),
        (HttpRule::oauth2([""; 0]).unwrap(), Some(&poor), 200, Some(alex)),
    ];
    for (rule, token, status, served) in cases {
        for method in [Method::GET, Method::POST, Method::DELETE, Method::HEAD, Method::OPTIONS] {
            let mut request = get("/reports/today", &[]);
            *request.method_mut() = method.clone();
            if let Some(token) = token {
                request.headers_mut().insert("authorization", token.parse().unwrap());
            }
            let (answer, seen) = send(layer(rule.clone()), request).await;
            assert_eq!(answer.status, status, "{rule:?} {token:?} {method}");
            let users: Vec<_> = seen.lock().unwrap().iter().map(|(user, _)| user.clone()).collect();
            assert_eq!(users, served.clone().into_iter().collect::<Vec<_>>(), "{rule:?} {token:?} {method}");
        }
    }
}

/// An identity that failed is none that may be replaced by nobody's.
#[tokio::test]
async fn an_invalid_token_is_refused_on_a_public_route_too() {
    let bad = [
        "Bearer nonsense".to_owned(),
        "Basic YTpi".to_owned(),
        "Bearer".to_owned(),
        token(&json!({ "exp": NOW - 100 })),
        token(&json!({ "aud": "https://gw.test/mcp" })),
        token(&json!({ "iss": "https://evil.test" })),
    ];
    for rule in [HttpRule::public(), oauth2()] {
        for token in &bad {
            let (answer, seen) =
                send(layer(rule.clone()), get("/reports", &[("authorization", token)])).await;
            assert_eq!(answer.status, 401, "{token}");
            assert_eq!(answer.refusal, Some("invalid-token"), "{token}");
            assert!(answer.headers["www-authenticate"].to_str().unwrap().contains("error=\"invalid_token\""));
            assert!(seen.lock().unwrap().is_empty());
        }
        let twice = get("/reports", &[("authorization", "Bearer a"), ("authorization", "Bearer a")]);
        for request in [twice, get("/reports?access_token=a", &[])] {
            let (answer, seen) = send(layer(rule.clone()), request).await;
            assert_eq!((answer.status.as_u16(), answer.refusal), (400, Some("ambiguous-credentials")));
            assert!(seen.lock().unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn challenges_and_refusals_are_no_json_rpc() {
    let metadata = "https://gw.test/.well-known/oauth-protected-resource/reports";
    let (answer, _) = send(layer(oauth2()), get("/reports/today", &[])).await;
    assert_eq!(
        answer.headers["www-authenticate"],
        format!("Bearer resource_metadata=\"{metadata}\", scope=\"reports:read\"")
    );
    assert_eq!(
        answer.body,
        r#"{"error":"insufficient_scope","error_description":"Sign in to use this server"}"#
    );
    // the form of a challenge in a tool result is for tools alone
    let chatgpt = get("/reports", &[("user-agent", "openai-mcp/1")]);
    assert_eq!(send(layer(oauth2()), chatgpt).await.0.status, 401);

    let poor = token(&json!({ "scope": "other" }));
    let (answer, _) = send(layer(oauth2()), get("/reports/today", &[("authorization", &poor)])).await;
    assert_eq!(
        answer.headers["www-authenticate"],
        format!(
            "Bearer error=\"insufficient_scope\", error_description=\"This needs more permissions: reports:read\", \
             scope=\"reports:read\", resource_metadata=\"{metadata}\""
        )
    );
    assert_eq!(
        answer.body,
        r#"{"error":"insufficient_scope","error_description":"This needs more permissions: reports:read"}"#
    );

    let mut foreign = get("/reports", &[]);
    foreign.headers_mut().insert("host", "evil.test".parse().unwrap());
    let page = get("/reports", &[("origin", "https://evil.test")]);
    let smuggled = get("/reports", &[("connection", "authorization")]);
    for (request, status, refusal, error) in [
        (foreign, 403, "foreign-host", "forbidden"),
        (page, 403, "foreign-origin", "forbidden"),
        (smuggled, 400, "malformed", "bad_request"),
    ] {
        let (answer, seen) = send(layer(HttpRule::public()), request).await;
        assert_eq!((answer.status.as_u16(), answer.refusal), (status, Some(refusal)));
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(body["error"], error);
        assert!(body.get("jsonrpc").is_none() && body["error_description"].is_string(), "{body}");
        assert!(seen.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_server_gets_no_token_and_no_way_around_the_layer() {
    let good = token(&json!({}));
    let request =
        get("/reports", &[("authorization", &good), ("dpop", "x"), ("upgrade", "websocket"), ("x-own", "1")]);
    let (answer, seen) = send(layer(oauth2()), request).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "served"));
    assert_eq!(seen.lock().unwrap()[0].1, ["host", "x-own"]);
}

#[tokio::test]
async fn pages_of_allowed_origins_may_ask_and_read() {
    let preflight = |origin: &str| {
        let mut request = get(
            "/reports/today",
            &[
                ("origin", origin),
                ("access-control-request-method", "PATCH"),
                ("access-control-request-headers", "authorization, x-own"),
            ],
        );
        *request.method_mut() = Method::OPTIONS;
        request
    };
    let listed = || layer(oauth2()).allowed_origin("https://app.test");
    let (answer, seen) = send(listed(), preflight("https://app.test")).await;
    assert_eq!(answer.status, 204, "a preflight is never challenged");
    assert_eq!(answer.headers["access-control-allow-origin"], "https://app.test");
    assert_eq!(answer.headers["access-control-allow-methods"], "PATCH");
    assert_eq!(answer.headers["access-control-allow-headers"], "authorization, x-own");
    assert!(seen.lock().unwrap().is_empty());
    assert_eq!(send(listed(), preflight("https://evil.test")).await.0.status, 403);

    let (answer, _) = send(listed(), get("/reports", &[("origin", "https://app.test")])).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.headers["access-control-allow-origin"], "https://app.test");
    assert!(answer.headers["access-control-expose-headers"].to_str().unwrap().contains("WWW-Authenticate"));

    let any = || layer(HttpRule::public()).allow_any_origin(true);
    for origin in ["https://a.sandbox.test", "null"] {
        let (answer, _) = send(any(), get("/reports/a.js", &[("origin", origin)])).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "served"), "{origin}");
        assert_eq!(answer.headers["access-control-allow-origin"], origin);
    }
    // where a token counts, a page that nobody knows must not send it
    let error = layer(oauth2()).allow_any_origin(true).build().unwrap_err().to_string();
    assert_eq!(error, "expected listed origins where a token is needed, but found any origin");
}

#[tokio::test]
async fn metadata_says_what_to_ask_for() {
    let path = "/.well-known/oauth-protected-resource/reports";
    let (answer, seen) = send(layer(oauth2()), get(path, &[])).await;
    let document: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(document["resource"], RESOURCE);
    assert_eq!(document["scopes_supported"], json!(["reports:read"]));
    assert!(seen.lock().unwrap().is_empty());
}

/// A proof that was made for one path is none for another one below the same resource (RFC 9449 §4.3, check 9).
#[tokio::test]
async fn a_proof_of_possession_is_for_the_path_of_its_request() {
    let token = CLIENT.bound(&json!({ "aud": RESOURCE, "scope": "reports:read" }));
    for (htu, status) in [
        ("https://gw.test/reports/today", 200),
        ("https://gw.test/reports", 401),
        ("https://gw.test/reports/tomorrow", 401),
        ("https://evil.test/reports/today", 401),
    ] {
        let proof = CLIENT.proof(&token, htu, &json!({ "htu": htu, "htm": "GET" }));
        let headers = [("authorization", &*format!("DPoP {token}")), ("dpop", &*proof)];
        let (answer, seen) = send(layer(oauth2()), get("/reports/today", &headers)).await;
        assert_eq!(answer.status, status, "{htu}: {}", answer.body);
        assert_eq!(seen.lock().unwrap().len(), usize::from(status == 200));
    }
}
