//! What gets in: bodies, methods, hosts, origins, and the metadata.

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Request;
use http_body_util::Full;
use mcp_auth::policy::Policy;

use crate::harness::{Harness, ISSUER, METADATA, RESOURCE, bearer, call};

#[tokio::test]
async fn a_body_that_is_not_understood_reaches_nobody() {
    let harness =
        Harness::with(|builder| builder.max_body_bytes(1000), ("application/json", "{}".to_owned()));
    let large = call(&"x".repeat(1000));
    for (body, status, code) in [
        ("", 400, -32700),
        ("not json", 400, -32700),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open","name":"closed"}}"#,
            400,
            -32600,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open","Name":"closed"}}"#,
            400,
            -32600,
        ),
        (r#"[[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"}}]]"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, 400, -32600),
        (&large, 413, 413),
    ] {
        let answer = harness.post(body, &[]).await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_i64()), (status, Some(code)), "{body}");
        // The id comes back where there is one for certain.
        let certain = body.starts_with(r#"{"jsonrpc":"2.0","id":1,"#);
        assert_eq!(answer.json().get("id"), certain.then_some(&serde_json::json!(1)), "{body}");
    }
    for content_type in ["text/plain", "application/json-rpc", "application/json; charset=utf-16"] {
        let request = Request::post("/mcp").header("host", "gw.test").header("content-type", content_type);
        let answer = harness.send(request.body(call("open").into()).unwrap()).await;
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_i64()),
            (415, Some(415)),
            "{content_type}"
        );
    }
    assert_eq!(harness.reached(), 0);
}

#[tokio::test]
async fn what_was_judged_is_what_is_forwarded_byte_for_byte() {
    let harness = Harness::new();
    let body = " {\"id\" :\"\\u0061\",\"params\":{\"arguments\":{\"b\":1.0e5 ,\"a\":null},\"name\":\"op\\u0065n\"},\r\n\t\"method\":\"tools\\/call\",\"jsonrpc\":\"2.0\"} ";
    assert_eq!(
        harness.post(body, &[("x-kept", "1"), ("mcp-name", "closed"), ("mcp-method", "x")]).await.status,
        200
    );
    let seen = harness.seen.lock().unwrap();
    assert_eq!(seen[0].body, body);
    assert_eq!(seen[0].head.headers["x-kept"], "1");
    assert!(
        !seen[0].head.headers.contains_key("mcp-name") && !seen[0].head.headers.contains_key("mcp-method")
    );
    assert_eq!(
        seen[0].head.extensions.get::<mcp_auth::challenge::ReplyTo>().unwrap().id().unwrap().as_json(),
        r#""\u0061""#
    );
}

#[tokio::test]
async fn a_modern_request_loses_its_session_and_keeps_its_headers() {
    let harness = Harness::new();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "open"),
        ("mcp-param-x", "1"),
        ("mcp-session-id", "s"),
        ("last-event-id", "e"),
    ];
    assert_eq!(harness.post(body, &headers).await.status, 200);
    let mismatch = harness.post(&body.replace("open", "closed"), &headers).await;
    assert_eq!(
        (mismatch.status, mismatch.json()["error"]["code"].as_i64(), mismatch.json()["id"].as_i64()),
        (400, Some(-32020), Some(1))
    );
    let seen = harness.seen.lock().unwrap();
    assert_eq!(seen.len(), 1);
    let kept = &seen[0].head.headers;
    assert!(
        kept.contains_key("mcp-name")
            && kept.contains_key("mcp-param-x")
            && kept.contains_key("mcp-protocol-version")
    );
    assert!(!kept.contains_key("mcp-session-id") && !kept.contains_key("last-event-id"));
}

#[tokio::test]
async fn every_http_method_has_a_rule() {
    let harness = Harness::new();
    let send = |method: &str, body: &'static str| {
        harness.send(
            Request::builder()
                .method(method)
                .uri("/mcp")
                .header("host", "gw.test")
                .body(body.into())
                .unwrap(),
        )
    };
    assert_eq!((send("GET", "").await.status, send("DELETE", "").await.status), (200, 200));
    assert_eq!((send("GET", "{}").await.status, send("DELETE", "x").await.status), (400, 400));
    for method in ["PUT", "PATCH", "TRACE", "QUERY"] {
        assert_eq!(send(method, "").await.status, 405, "{method}");
    }
    assert_eq!((send("OPTIONS", "").await.status, harness.reached()), (204, 2));
    // Where nothing is open, a stream needs a token like everything else.
    harness.policy.replace(Policy::parse("version = 1\n[tools.closed]\nauth = \"oauth2\"\n").unwrap());
    for method in ["GET", "DELETE"] {
        assert_eq!(send(method, "").await.status, 401, "{method}");
    }
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_403() {
    let harness = Harness::with(
        |builder| builder.allowed_origin("https://app.test"),
        ("application/json", "{}".to_owned()),
    );
    for (host, origin, refusal) in [
        ("evil.test", None, "foreign-host"),
        ("gw.test:1", None, "foreign-host"),
        ("localhost", None, "foreign-host"),
        ("gw.test", Some("https://evil.test"), "foreign-origin"),
        ("gw.test", Some("null"), "foreign-origin"),
        ("gw.test", Some("http://localhost:1"), "foreign-origin"),
    ] {
        let mut request =
            Request::post("/mcp").header("host", host).header("content-type", "application/json");
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let answer = harness.send(request.body(call("open").into()).unwrap()).await;
        assert_eq!((answer.status, answer.refusal), (403, Some(refusal)), "{host} {origin:?}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
        assert_eq!(answer.json().get("id"), None);
    }
    assert_eq!(harness.reached(), 0);
}

#[tokio::test]
async fn an_allowed_origin_can_read_the_challenge() {
    let harness = Harness::with(
        |builder| builder.allowed_origin("https://app.test"),
        ("application/json", "{}".to_owned()),
    );
    for tool in ["open", "closed"] {
        let answer = harness.call(tool, &[("origin", "https://app.test")]).await;
        assert_eq!(answer.header("access-control-allow-origin"), "https://app.test", "{tool}");
        assert_eq!(
            answer.header("access-control-expose-headers"),
            "WWW-Authenticate, Mcp-Session-Id",
            "{tool}"
        );
        assert_eq!(answer.header("vary"), "Origin", "{tool}");
    }
    let preflight = Request::options("/mcp")
        .header("host", "gw.test")
        .header("origin", "https://app.test")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization, mcp-param-region, x-evil\u{7f}")
        .body(Full::<Bytes>::default());
    assert!(preflight.is_err(), "a header value with a control character is no header value");
    let preflight = Request::options("/mcp")
        .header("host", "gw.test")
        .header("origin", "https://app.test")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization, mcp-param-region, x-other")
        .body(Full::default())
        .unwrap();
    let answer = harness.send(preflight).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, "https://app.test"));
    let allowed = answer.header("access-control-allow-headers");
    assert!(
        allowed.contains("Authorization")
            && allowed.ends_with(", mcp-param-region")
            && !allowed.contains("x-other"),
        "{allowed}"
    );
}

#[tokio::test]
async fn the_metadata_is_published_at_both_places_and_from_the_configuration_alone() {
    let harness = Harness::new();
    for path in ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"] {
        let request = Request::get(path)
            .header("host", "gw.test")
            .header("x-forwarded-host", "evil.test")
            .header("origin", "https://any.test");
        let answer = harness.send(request.body(Full::default()).unwrap()).await;
        assert_eq!(
            (answer.status, answer.header("content-type"), answer.header("access-control-allow-origin")),
            (200, "application/json", "*")
        );
        assert_eq!(
            answer.text,
            format!(
                r#"{{"resource":"{RESOURCE}","authorization_servers":["{ISSUER}"],"scopes_supported":["profile:read"],"bearer_methods_supported":["header"]}}"#
            )
        );
    }
    for path in [
        "/.well-known/oauth-protected-resource/",
        "/.well-known/oauth-protected-resource/mcp/",
        "/.well-known/oauth-protected-resourcex",
    ] {
        let post = Request::post(path).header("host", "gw.test").header("content-type", "application/json");
        assert_eq!(harness.send(post.body(call("closed").into()).unwrap()).await.status, 401, "{path}");
    }
    let post = Request::post("/.well-known/oauth-protected-resource/mcp").header("host", "gw.test");
    assert_eq!(harness.send(post.body(Full::default()).unwrap()).await.status, 405);
    assert_eq!(harness.reached(), 0);
    assert!(
        harness
            .call("closed", &[])
            .await
            .header("www-authenticate")
            .starts_with(&format!("Bearer resource_metadata=\"{METADATA}\""))
    );
}

#[tokio::test]
async fn another_policy_decides_the_next_request() {
    let harness = Harness::new();
    assert_eq!(harness.call("open", &[]).await.status, 200);
    harness
        .policy
        .replace(Policy::parse("version = 1\n[tools.open]\nauth = \"oauth2\"\nscopes = [\"s\"]\n").unwrap());
    assert_eq!(harness.call("open", &[]).await.status, 401);
    assert_eq!(harness.call("open", &[("authorization", &bearer(""))]).await.status, 403);
    assert_eq!(harness.call("open", &[("authorization", &bearer("s"))]).await.status, 200);
}

#[tokio::test]
async fn the_names_of_this_machine_are_answered_to_where_the_resource_is_on_it() {
    for (resource, host, origin, status) in [
        ("http://localhost:3000/mcp", "127.0.0.1:3000", "http://localhost:6274", 200),
        ("http://[::1]:3000/mcp", "localhost:1", "http://127.0.0.1:5", 200),
        ("http://localhost:3000/mcp", "evil.test:3000", "http://localhost:6274", 403),
        ("http://localhost:3000/mcp", "localhost:3000", "http://evil.test", 403),
        ("https://gw.test/mcp", "localhost", "https://gw.test", 403),
        ("https://gw.test/mcp", "gw.test", "http://localhost", 403),
    ] {
        let verifier = mcp_auth::verifier::InsecureSharedSecretVerifier::with_insecure_shared_secret(
            resource.parse().unwrap(),
            ISSUER,
            b"x",
            std::sync::Arc::new(mcp_auth::clock::SystemClock),
        );
        let policy = mcp_auth::policy::PolicyHandle::new(Policy::parse(crate::harness::POLICY).unwrap());
        let layer =
            mcp_auth::McpAuthLayer::builder(resource.parse().unwrap(), policy, std::sync::Arc::new(verifier))
                .authorization_server(ISSUER)
                .build()
                .unwrap();
        let service = tower::Layer::layer(
            &layer,
            tower::service_fn(|_: Request<Full<Bytes>>| {
                std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(
                    Full::<Bytes>::default(),
                )))
            }),
        );
        let request = Request::post("/mcp")
            .header("host", host)
            .header("origin", origin)
            .header("content-type", "application/json")
            .body(Full::from(call("open")))
            .unwrap();
        let answer = tower::ServiceExt::oneshot(service, request).await.unwrap();
        assert_eq!(answer.status(), status, "{resource} {host} {origin}");
    }
}

/// The one thread for blocking work is taken, so that reading the large body has to wait for it: nothing else has.
#[test]
fn a_large_body_does_not_hold_up_other_requests() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let (release, released) = std::sync::mpsc::channel::<()>();
        let taken = tokio::task::spawn_blocking(move || released.recv());
        let harness = Harness::new();
        let large =
            call("open").replace("{\"name\"", &format!("{{\"x\":\"{}\",\"name\"", "x".repeat(1 << 20)));
        let mut waiting = std::pin::pin!(harness.post(&large, &[]));
        assert!(waiting.as_mut().now_or_never().is_none());

        assert_eq!(harness.call("open", &[]).await.status, 200);
        assert_eq!(harness.reached(), 1);

        release.send(()).unwrap();
        assert_eq!(waiting.await.status, 200);
        assert_eq!(harness.reached(), 2);
        assert_eq!(harness.seen.lock().unwrap()[1].body, large);
        taken.await.unwrap().unwrap();

        // What is no message is refused all the same.
        let broken = harness.post(large.strip_prefix('{').unwrap(), &[]).await;
        assert_eq!((broken.status, harness.reached()), (400, 2));
    });
}

/// Nothing that is said behind an upgrade would be judged.
#[tokio::test]
async fn no_connection_is_upgraded_past_the_decision() {
    let harness = Harness::new();
    for (method, body) in
        [("GET", String::new()), ("HEAD", String::new()), ("DELETE", String::new()), ("POST", call("open"))]
    {
        for protocol in ["websocket", "h2c"] {
            let request = http::Request::builder()
                .method(method)
                .uri("/mcp")
                .header("host", "gw.test")
                .header("content-type", "application/json")
                .header("connection", "upgrade")
                .header("upgrade", protocol);
            assert_eq!(
                harness.send(request.body(body.clone().into()).unwrap()).await.status,
                200,
                "{method}"
            );
        }
    }
    let seen = harness.seen.lock().unwrap();
    assert_eq!(seen.len(), 8);
    for seen in &*seen {
        assert!(!seen.head.headers.contains_key("upgrade"), "{} {:?}", seen.head.method, seen.head.headers);
    }
}

/// Each resource that a message names is decided: as many as fit into a body would keep a thread for seconds.
#[tokio::test]
async fn one_message_names_so_many_objects_and_no_more() {
    let harness = Harness::new();
    let opened =
        format!("{}\n[methods.\"subscriptions/listen\"]\nauth = \"public\"\n", crate::harness::POLICY);
    harness.policy.replace(mcp_auth::policy::Policy::parse(&opened).unwrap());
    for (key, count, status) in [
        ("resourceSubscriptions", 100, 200),
        ("resourceSubscriptions", 101, 400),
        ("resourceSubscriptions", 100_000, 400),
        ("taskIds", 101, 400),
    ] {
        let named = vec!["ui://a"; count];
        let body = serde_json::json!({"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{key: named}}});
        assert_eq!(harness.post(&body.to_string(), &[]).await.status, status, "{key} {count}");
    }
    assert_eq!(harness.reached(), 1);
}

/// What is filtered has to be read.
#[tokio::test]
async fn lists_are_asked_for_without_coding() {
    for method in ["tools/list", "tasks/list"] {
        let harness = Harness::new();
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}"}}"#);
        let headers = [("authorization", &*bearer("notes:read")), ("accept-encoding", "zstd")];
        harness.post(&body, &headers).await;
        assert_eq!(harness.seen.lock().unwrap()[0].head.headers["accept-encoding"], "identity", "{method}");
    }
}

/// A proxy behind the layer takes away what `Connection` names, after it was judged.
#[tokio::test]
async fn no_header_that_was_judged_is_taken_away_behind_the_decision() {
    let harness = Harness::new();
    for connection in [
        &["mcp-session-id"][..],
        &["close, MCP-Protocol-Version"],
        &["keep-alive", "Mcp-Name ,te"],
        &["authorization"],
        &["content-length"],
        &["Content-Type"],
        &["content-encoding"],
        &["host"],
        &["Origin"],
        &["last-event-id"],
        &["dpop"],
    ] {
        for method in ["POST", "GET"] {
            let mut request = Request::builder()
                .method(method)
                .uri("/mcp")
                .header("host", "gw.test")
                .header("content-type", "application/json");
            for value in connection {
                request = request.header("connection", *value);
            }
            let body = if method == "POST" { call("open") } else { String::new() };
            let answer = harness.send(request.body(body.into()).unwrap()).await;
            assert_eq!((answer.status, answer.refusal), (400, Some("malformed")), "{connection:?}");
        }
    }
    assert_eq!(harness.reached(), 0);
    for connection in ["close", "Keep-Alive, TE", "x-own, http2-settings", ""] {
        assert_eq!(harness.call("open", &[("connection", connection)]).await.status, 200, "{connection}");
    }
}
