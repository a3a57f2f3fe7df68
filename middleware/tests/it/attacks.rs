//! What was done to other gateways, and must not be done to this one: see the first table of `docs/COVERAGE.md`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use mcp_auth::McpAuthLayer;
use mcp_auth::clock::SystemClock;
use mcp_auth::policy::{Policy, PolicyHandle};
use mcp_auth::verifier::InsecureSharedSecretVerifier;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

use crate::harness::{Answer, Harness, ISSUER, METADATA, NOW, POLICY, RESOURCE, bearer, call, mint};

/// A body in pieces of unknown length, with trailers behind it.
struct Pieces(VecDeque<Frame<Bytes>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

impl From<Bytes> for Pieces {
    fn from(bytes: Bytes) -> Self {
        Self([Frame::data(bytes)].into())
    }
}

fn request(headers: &[(&str, &str)], body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::post("/mcp").header("host", "gw.test");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}

/// No failure of a credential makes an anonymous caller of its sender, least of all where anonymous ones are served.
#[tokio::test]
async fn a_failed_credential_is_never_an_empty_identity() {
    let harness = Harness::new();
    let good = bearer("notes:read");
    let token = good.strip_prefix("Bearer ").unwrap();
    let bogus = [
        vec!["Bearer bogus".to_owned()],
        vec![format!("Bearer {}", mint(&json!({"exp": NOW - 31})))],
        vec![format!("Bearer {}", mint(&json!({"aud": "https://gw.test/other"})))],
        vec![format!("Bearer {}", mint(&json!({"aud": []})))],
        vec![format!("Bearer {}", mint(&json!({"sub": ""})))],
        vec![format!("Basic {token}")],
        vec![format!("Token {token}")],
        vec![token.to_owned()],
        vec![String::new()],
        vec!["Bearer ".to_owned()],
        vec![good.clone(), good.clone()],
        vec![good.clone(), "Bearer bogus".to_owned()],
        vec!["Basic eA==".to_owned(), good.clone()],
        vec![format!("{good}, Bearer bogus")],
    ];
    for tool in ["open", "teaser"] {
        assert_eq!(harness.call(tool, &[]).await.status, 200, "{tool} serves strangers");
        let before = harness.reached();
        for authorization in &bogus {
            let headers: Vec<_> =
                authorization.iter().map(|value| ("authorization", value.as_str())).collect();
            let answer = harness.call(tool, &headers).await;
            // Which of two tokens is meant is a malformed request, an invalid token an unauthorized one.
            let two = authorization.len() > 1 || authorization[0].contains(',');
            assert_eq!(answer.status, if two { 400 } else { 401 }, "{tool} with {authorization:?}");
        }
        assert_eq!(harness.reached(), before, "{tool}");
    }
}

/// In every object on the way to the name of a tool: twice, in both orders, in another case, in the letters that Go folds,
/// and escaped.
#[tokio::test]
async fn no_key_smuggles_another_value_past_the_decision() {
    let harness = Harness::new();
    // An envelope with a place for one more member, that member, and another value for it.
    let places = [
        (
            r#"{"jsonrpc":"2.0","id":1,"params":{"name":"open"}~}"#,
            "method",
            r#""tools/call""#,
            r#""tools/list""#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"~}"#,
            "params",
            r#"{"name":"open"}"#,
            r#"{"name":"closed"}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"x":1~}}"#,
            "name",
            r#""open""#,
            r#""closed""#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"~}}"#,
            "arguments",
            "{}",
            r#"{"a":1}"#,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"~}}"#,
            "_meta",
            "{}",
            r#"{"a":1}"#,
        ),
        (r#"{"jsonrpc":"2.0","method":"tools/call","params":{"name":"open"}~}"#, "id", "1", "2"),
        (r#"{"id":1,"method":"tools/call","params":{"name":"open"}~}"#, "jsonrpc", r#""2.0""#, r#""1.0""#),
    ];
    for (envelope, key, value, other) in places {
        let with = |members: &str| envelope.replace('~', &format!(",{members}"));
        let fine = with(&format!("\"{key}\":{value}"));
        assert_eq!(harness.post(&fine, &[]).await.status, 200, "{fine}");

        let mut rest = key.chars();
        let (first, rest) = (u32::from(rest.next().unwrap()), rest.as_str());
        let mut variants = vec![
            key.to_owned(),
            key.to_uppercase(),
            format!("{}{rest}", key.split_at(1).0.to_uppercase()),
            format!("\\u{first:04x}{rest}"),
            format!("\\u{first:04X}{rest}"),
            key.to_uppercase().replacen('M', "\\u004d", 1),
            key.replace('s', "ſ"),
            key.replace('s', "\\u017f"),
        ];
        variants.dedup();
        let before = harness.reached();
        for variant in &variants {
            for members in [
                format!("\"{key}\":{value},\"{variant}\":{other}"),
                format!("\"{variant}\":{other},\"{key}\":{value}"),
                format!("\"{key}\":{other},\"{variant}\":{value}"),
                format!("\"{key}\":{value},\"x1\":null,\"{variant}\":{value}"),
            ] {
                let answer = harness.post(&with(&members), &[]).await;
                assert_eq!((answer.status, answer.refusal), (400, Some("malformed")), "{}", with(&members));
            }
        }
        assert_eq!(harness.reached(), before);
    }
    // Nested objects that name something of their own are guarded alike.
    for (method, params) in [
        ("completion/complete", r#"{"ref":{"type":"ref/prompt","name":"a","Name":"b"}}"#),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/prompt","type":"ref/resource","name":"a","uri":"ui://x"}}"#,
        ),
        (
            "subscriptions/listen",
            r#"{"notifications":{"resourceSubscriptions":[],"resourceſubscriptions":["file:///x"]}}"#,
        ),
        ("subscriptions/listen", r#"{"notifications":{"taskIds":[],"tas\u212aIds":["x"]}}"#),
        ("tasks/get", r#"{"taskId":"a","TaskID":"b"}"#),
        (
            "tools/call",
            r#"{"name":"open","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/ProtocolVersion":"x"}}"#,
        ),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        let answer = harness.post(&body, &[("authorization", &bearer("notes:read"))]).await;
        assert_eq!((answer.status, answer.refusal), (400, Some("malformed")), "{body}");
    }
    for seen in harness.seen.lock().unwrap().iter() {
        assert!(seen.body.starts_with(b"{") && !seen.body.windows(6).any(|part| part == b"closed"));
    }
}

/// A call that needs a token needs it in whatever clothes it comes, and what cannot be read is refused.
#[tokio::test]
async fn no_declaration_of_a_body_hides_a_call_from_the_decision() {
    let harness = Harness::new();
    let closed = call("closed");
    let json_type = ("content-type", "application/json");
    for content_type in [
        "application/json",
        "Application/JSON",
        "APPLICATION/json;charset=UTF-8",
        "application/json ; a=b; charset=\"utf-8\"",
    ] {
        let answer = harness.send(request(&[("content-type", content_type)], closed.clone())).await;
        assert_eq!((answer.status, answer.refusal), (401, Some("sign-in")), "{content_type}");
    }
    for types in [
        &[][..],
        &[""],
        &["text/plain"],
        &["application/json-rpc"],
        &["application/jsonrpc"],
        &["application/vnd.mcp+json"],
        &["text/json"],
        &["application/x-www-form-urlencoded"],
        &["multipart/form-data; boundary=x"],
        &["application/json", "application/json"],
        &["application/json", "text/plain"],
        &["text/plain, application/json"],
        &["application/json; charset=utf-16"],
        &["application/json; charset=utf-8; charset=utf-16"],
    ] {
        let headers: Vec<_> = types.iter().map(|value| ("content-type", *value)).collect();
        let answer = harness.send(request(&headers, closed.clone())).await;
        assert_eq!((answer.status, answer.refusal), (415, Some("malformed")), "{types:?}");
    }
    let utf16 = |big: bool, mark: bool| -> Vec<u8> {
        let units = mark.then_some(0xFEFF).into_iter().chain(closed.encode_utf16());
        units.flat_map(|unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
    };
    let gzip_magic = [&[0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3][..], closed.as_bytes()].concat();
    for body in [
        [b"\xEF\xBB\xBF", closed.as_bytes()].concat(),
        utf16(true, true),
        utf16(true, false),
        utf16(false, true),
        utf16(false, false),
        gzip_magic,
        closed
            .replace("closed", "%FF")
            .into_bytes()
            .iter()
            .map(|b| if *b == b'%' { 0xFF } else { *b })
            .collect(),
        Vec::new(),
        b"method=tools/call&name=closed".to_vec(),
    ] {
        let answer = harness.send(request(&[json_type], body.clone())).await;
        assert_eq!((answer.status, answer.refusal), (400, Some("malformed")), "{}", body.escape_ascii());
    }
    assert_eq!(harness.reached(), 0);
}

/// Declared or not, a compressed body is judged in clear or refused.
#[cfg(feature = "compression")]
#[tokio::test]
async fn compression_hides_no_call_from_the_decision() {
    use std::io::Write;
    let harness = Harness::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(call("closed").as_bytes()).unwrap();
    let coded = encoder.finish().unwrap();
    let json_type = ("content-type", "application/json");
    let answer = harness.send(request(&[json_type, ("content-encoding", "gzip")], coded.clone())).await;
    assert_eq!((answer.status, answer.refusal), (401, Some("sign-in")));
    let undeclared = harness.send(request(&[json_type], coded.clone())).await;
    assert_eq!((undeclared.status, undeclared.refusal), (400, Some("malformed")));
    for coding in ["zstd", "gzip, gzip", "chunked", "x"] {
        let answer = harness.send(request(&[json_type, ("content-encoding", coding)], coded.clone())).await;
        assert_eq!((answer.status, answer.refusal), (415, Some("malformed")), "{coding}");
    }
    assert_eq!(harness.reached(), 0);
}

/// The headers that repeat the body for routers in between: wrong ones are refused or dropped, and never believed.
#[tokio::test]
async fn routing_headers_never_choose_the_rule() {
    let modern = |tool: &str| {
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
        }}})
        .to_string()
    };
    let oversized = "open".repeat(4_000);
    let (version, method) = (("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"));
    let sets: [&[(&str, &str)]; 18] = [
        // What was claimed instead of the tool that needs a token.
        &[version, method, ("mcp-name", "open")],
        &[version, method],
        &[version, ("mcp-name", "closed")],
        &[version],
        &[method, ("mcp-name", "closed")],
        &[],
        &[version, ("mcp-method", "tools/list"), ("mcp-name", "closed")],
        &[version, ("mcp-method", "TOOLS/CALL"), ("mcp-name", "closed")],
        &[version, method, method, ("mcp-name", "closed")],
        &[version, method, ("mcp-name", "closed"), ("mcp-name", "open")],
        &[version, method, ("mcp-name", "open"), ("mcp-name", "closed")],
        &[version, method, ("mcp-name", "closed, open")],
        &[version, ("mcp-method", "tools/call, tools/list"), ("mcp-name", "closed")],
        &[version, method, ("mcp-name", "=?base64?b3Blbg==?=")],
        &[version, method, ("mcp-name", &oversized)],
        &[version, ("mcp-method", &oversized), ("mcp-name", "closed")],
        // The version is lowered, so that the others would not be looked at.
        &[("mcp-protocol-version", "2025-06-18"), method, ("mcp-name", "open")],
        &[version, ("mcp-protocol-version", "2025-06-18"), method, ("mcp-name", "closed")],
    ];
    let harness = Harness::new();
    for headers in sets {
        let answer = harness.post(&modern("closed"), headers).await;
        assert_eq!((answer.status, answer.refusal), (400, Some("malformed")), "{headers:?}");
        assert_eq!(answer.json()["error"]["code"], -32020, "{headers:?}");
        // A legacy body is decided by itself, whatever the headers say.
        let legacy: Vec<_> = headers.iter().copied().filter(|header| *header != version).collect();
        let answer = harness.post(&call("closed"), &legacy).await;
        assert_eq!((answer.status, answer.refusal), (401, Some("sign-in")), "{legacy:?}");
        assert_eq!(harness.reached(), 0);
        assert_eq!(harness.post(&call("open"), &legacy).await.status, 200, "{legacy:?}");
        let seen = harness.seen.lock().unwrap().pop().unwrap();
        let kept = seen.head.headers;
        assert!(!kept.contains_key("mcp-name") && !kept.contains_key("mcp-method"), "{kept:?}");
    }
    // The right ones, the name in base64 too, go on: they say what the body says.
    for name in ["closed", "=?base64?Y2xvc2Vk?="] {
        let token = bearer("notes:read");
        let headers = [version, method, ("mcp-name", name), ("authorization", token.as_str())];
        assert_eq!(harness.post(&modern("closed"), &headers).await.status, 200);
        let seen = harness.seen.lock().unwrap().pop().unwrap();
        assert_eq!(seen.head.headers["mcp-name"], name);
        assert_eq!(seen.body, modern("closed"));
    }
}

/// A body is read to its end or refused: no padding, depth or framing puts a call behind what is looked at.
#[tokio::test]
async fn no_size_depth_or_framing_hides_a_call_from_the_decision() {
    let verifier = InsecureSharedSecretVerifier::with_insecure_shared_secret(
        RESOURCE.parse().unwrap(),
        ISSUER,
        b"x",
        Arc::new(SystemClock),
    );
    let limit = 64 * 1024;
    let layer = McpAuthLayer::builder(
        RESOURCE.parse().unwrap(),
        PolicyHandle::new(Policy::parse(POLICY).unwrap()),
        Arc::new(verifier),
    )
    .authorization_server(ISSUER)
    .max_body_bytes(limit)
    .build()
    .unwrap();
    let reached = Arc::new(Mutex::new(Vec::new()));
    let server = service_fn({
        let reached = Arc::clone(&reached);
        move |request: Request<Pieces>| {
            let reached = Arc::clone(&reached);
            async move {
                let collected = request.into_body().collect().await.unwrap();
                reached.lock().unwrap().push((collected.trailers().cloned(), collected.to_bytes()));
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        }
    });
    let send = |body: Vec<u8>, piece: usize, trailers: Option<HeaderMap>| {
        let mut frames: VecDeque<_> =
            body.chunks(piece).map(|piece| Frame::data(Bytes::copy_from_slice(piece))).collect();
        frames.extend(trailers.map(Frame::trailers));
        let request =
            Request::post("/mcp").header("host", "gw.test").header("content-type", "application/json");
        let sent = layer.layer(server.clone()).oneshot(request.body(Pieces(frames)).unwrap());
        async move { sent.await.unwrap().status().as_u16() }
    };
    let padded = |tool: &str, padding: usize| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"arguments":{{"a":"{}"}},"name":"{tool}"}}}}"#,
            "x".repeat(padding)
        )
        .into_bytes()
    };
    for piece in [1, 7, 1000, usize::MAX] {
        // Past any part of a body that might be thought enough, up to the limit, and beyond it.
        for padding in [0, 5_000, 20_000, 60_000] {
            assert_eq!(send(padded("closed", padding), piece, None).await, 401, "{padding} by {piece}");
        }
        assert_eq!(send(padded("open", limit), piece, None).await, 413, "by {piece}");
        let spaces = [padded("open", 0), vec![b' '; limit]].concat();
        assert_eq!(send(spaces, piece, None).await, 413, "by {piece}");
        for deep in [["[", "]"], [r#"{"a":"#, "}"]] {
            let nested = format!("{}1{}", deep[0].repeat(500), deep[1].repeat(500));
            for body in [
                format!(
                    r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"arguments":{nested},"name":"open"}}}}"#
                ),
                format!(
                    r#"{{"x":{nested},"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"open"}}}}"#
                ),
                format!(r#"{{"jsonrpc":"2.0","id":1,"result":{nested}}}"#),
                nested,
            ] {
                assert_eq!(send(body.into_bytes(), piece, None).await, 400, "by {piece}");
            }
        }
    }
    assert!(reached.lock().unwrap().is_empty());

    // Trailers are no part of what was judged, and do not go on.
    let mut trailers = HeaderMap::new();
    for (name, value) in [("authorization", "Bearer x"), ("x-auth-subject", "admin"), ("mcp-name", "closed")]
    {
        trailers.insert(name, value.parse().unwrap());
    }
    assert_eq!(send(padded("closed", 0), 10, Some(trailers.clone())).await, 401);
    assert_eq!(send(padded("open", 0), 10, Some(trailers)).await, 200);
    assert_eq!(*reached.lock().unwrap(), [(None, Bytes::from(padded("open", 0)))]);
}

/// Every path but those of the metadata is the protected one: no spelling of one leads around the decision.
#[tokio::test]
async fn no_spelling_of_a_path_leads_around_the_decision() {
    let harness = Harness::new();
    for path in [
        "/mcp",
        "/mcp/",
        "//mcp",
        "/mcp//",
        "/mcp%2f",
        "/%6dcp",
        "/mcp;x=1",
        "/mcp;/.well-known/oauth-protected-resource",
        "/MCP",
        "/Mcp",
        "/mcp?",
        "/mcp?x=/.well-known/oauth-protected-resource",
        "/",
        "/sse",
        "/message",
        "/health",
        "/health/../mcp",
        "/metrics",
        "/favicon.ico",
        "/.well-known/../mcp",
        "/.well-known/%2e%2e/mcp",
        "/.well-known/mcp",
        "/.well-known",
        "/.well-knownX",
        "/.well-known/oauth-protected-resourceX",
        "/.well-known/oauth-protected-resource/",
        "/.well-known/oauth-protected-resource/mcp/",
        "/.well-known/oauth-protected-resource/../../mcp",
        "/.well-known/oauth-protected-resource%2fmcp",
        "/.well-known//oauth-protected-resource",
        "//.well-known/oauth-protected-resource",
        "/.Well-Known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource;x",
        "/x/.well-known/oauth-protected-resource",
        "/mcp/.well-known/oauth-protected-resource",
        "https://gw.test/mcp",
        "https://gw.test//mcp",
        "http://gw.test/mcp",
    ] {
        let post = Request::post(path).header("host", "gw.test").header("content-type", "application/json");
        let answer = harness.send(post.body(call("closed").into()).unwrap()).await;
        assert_eq!((answer.status, answer.refusal), (401, Some("sign-in")), "{path}");
        let get = Request::get(path).header("host", "gw.test").header("authorization", "Bearer x");
        let answer = harness.send(get.body(Full::default()).unwrap()).await;
        assert_eq!((answer.status, answer.refusal), (401, Some("invalid-token")), "{path}");
    }
    // The host decides before the path does.
    for (path, host) in [
        ("https://evil.test/mcp", "gw.test"),
        ("https://gw.test/mcp", "evil.test"),
        ("/mcp", "gw.test:8443"),
        ("/mcp", "gw.test."),
        ("/mcp", "gw.test/mcp"),
        ("/mcp", "x@gw.test"),
        ("/mcp", ""),
    ] {
        let post = Request::post(path).header("host", host).header("content-type", "application/json");
        let answer = harness.send(post.body(call("open").into()).unwrap()).await;
        assert_eq!((answer.status, answer.refusal), (403, Some("foreign-host")), "{path} at {host:?}");
    }
    for hosts in [&[][..], &["gw.test", "gw.test"], &["gw.test", "evil.test"], &["evil.test", "gw.test"]] {
        let mut post = Request::post("/mcp").header("content-type", "application/json");
        for host in hosts {
            post = post.header("host", *host);
        }
        let answer = harness.send(post.body(call("open").into()).unwrap()).await;
        assert_eq!((answer.status, answer.refusal), (403, Some("foreign-host")), "{hosts:?}");
    }
    assert_eq!(harness.reached(), 0);
}

/// What a proxy, a framework or a health check may mean by a header means nothing here.
#[tokio::test]
async fn no_header_but_authorization_makes_a_caller_or_another_request() {
    let harness = Harness::new();
    let headers = [
        ("x-auth-subject", "admin"),
        ("x-auth-issuer", ISSUER),
        ("x-auth-scopes", "notes:read"),
        ("x_auth_subject", "admin"),
        ("x-forwarded-user", "admin"),
        ("x-forwarded-email", "admin@gw.test"),
        ("x-authenticated-user", "admin"),
        ("remote-user", "admin"),
        ("x-api-key", "x"),
        ("cookie", "session=admin"),
        ("proxy-authorization", "Basic YTpi"),
        ("mcp-init-host", "internal"),
        ("router-key", "secret"),
        ("x-internal", "1"),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-real-ip", "127.0.0.1"),
        ("forwarded", "for=127.0.0.1;host=gw.test;proto=https"),
        ("x-forwarded-uri", "/.well-known/oauth-protected-resource"),
        ("x-forwarded-path", "/health"),
        ("x-forwarded-prefix", "/.well-known"),
        ("x-forwarded-method", "OPTIONS"),
        ("x-original-url", "/.well-known/oauth-protected-resource"),
        ("x-original-uri", "/health"),
        ("x-rewrite-url", "/health"),
        ("x-http-method-override", "OPTIONS"),
        ("x-http-method", "GET"),
        ("x-method-override", "GET"),
        ("user-agent", "GoogleHC/1.0"),
        ("user-agent", "kube-probe/1.30"),
        ("user-agent", "ELB-HealthChecker/2.0"),
        ("upgrade", "websocket"),
        ("x-forwarded-host", "gw.test"),
        ("sec-fetch-site", "same-origin"),
    ];
    let outcome =
        |answer: &Answer| (answer.status, answer.refusal, answer.header("www-authenticate").to_owned());
    for tool in ["open", "teaser", "closed", "unknown"] {
        let plain = outcome(&harness.call(tool, &[]).await);
        for header in headers {
            assert_eq!(outcome(&harness.call(tool, &[header]).await), plain, "{tool} with {header:?}");
        }
        assert_eq!(outcome(&harness.call(tool, &headers).await), plain, "{tool} with all of them");
    }
    assert!(harness.seen.lock().unwrap().iter().all(|seen| seen.subject().is_none()));
    // Nor does what looks like a fragment: it is no part of a request's target.
    for path in
        ["/mcp%23/.well-known/oauth-protected-resource", "/mcp?#", "/.well-known/oauth-protected-resource%23"]
    {
        let post = Request::post(path).header("host", "gw.test").header("content-type", "application/json");
        assert_eq!(harness.send(post.body(call("closed").into()).unwrap()).await.status, 401, "{path}");
    }
}

/// A page of another origin, and a name that was bound to our address, get nothing, whatever they ask for.
#[tokio::test]
async fn foreign_hosts_and_origins_get_nothing_by_any_method_or_path() {
    let harness = Harness::new();
    let good = bearer("notes:read");
    for method in ["POST", "GET", "DELETE", "HEAD", "OPTIONS", "PUT"] {
        for path in [
            "/mcp",
            "/.well-known/oauth-protected-resource",
            "/.well-known/oauth-protected-resource/mcp",
            "/x",
        ] {
            let request = |host: &str| {
                Request::builder()
                    .method(method)
                    .uri(path)
                    .header("host", host)
                    .header("content-type", "application/json")
                    .header("authorization", &good)
            };
            let body = || Full::from(if method == "POST" { call("closed") } else { String::new() });
            for host in ["evil.test", "localhost", "127.0.0.1", "[::1]", "gw.test.evil.test", "0.0.0.0"] {
                let answer = harness.send(request(host).body(body()).unwrap()).await;
                assert_eq!(
                    (answer.status, answer.refusal),
                    (403, Some("foreign-host")),
                    "{method} {path} at {host}"
                );
                assert!(
                    !answer.text.contains("resource")
                        && !answer.headers.contains_key("access-control-allow-origin")
                );
            }
            // The metadata is for everybody's pages.
            if path.starts_with("/.well-known") {
                continue;
            }
            for origin in
                ["https://evil.test", "null", "http://localhost:3000", "https://gw.test:8443", "file://"]
            {
                let answer =
                    harness.send(request("gw.test").header("origin", origin).body(body()).unwrap()).await;
                assert_eq!(
                    (answer.status, answer.refusal),
                    (403, Some("foreign-origin")),
                    "{method} {path} of {origin}"
                );
                assert!(!answer.headers.contains_key("access-control-allow-origin"));
            }
        }
    }
    assert_eq!(harness.reached(), 0);
}

/// What is published comes from the configuration, and challenges are kept by nobody.
#[tokio::test]
async fn no_header_gets_into_the_metadata_or_a_challenge() {
    let harness = Harness::new();
    let forged = [
        ("x-forwarded-host", "evil.test"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", "8443"),
        ("x-forwarded-prefix", "/evil.test"),
        ("x-forwarded-server", "evil.test"),
        ("x-host", "evil.test"),
        ("x-original-host", "evil.test"),
        ("x-original-url", "https://evil.test/mcp"),
        ("forwarded", "host=evil.test;proto=http"),
        ("origin", "https://gw.test"),
        ("referer", "https://evil.test/"),
        ("via", "1.1 evil.test"),
    ];
    for path in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"] {
        let mut request = Request::get(path).header("host", "gw.test");
        for (name, value) in forged {
            request = request.header(name, value);
        }
        let answer = harness.send(request.body(Full::default()).unwrap()).await;
        let metadata: Value = answer.json();
        assert_eq!(
            (&metadata["resource"], &metadata["authorization_servers"]),
            (&json!(RESOURCE), &json!([ISSUER]))
        );
        assert!(!answer.text.contains("evil"), "{}", answer.text);
        // Nothing of a request is in it, so that a cache may keep it for everybody, of whatever origin.
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
    for (tool, token) in
        [("closed", None), ("closed", Some(bearer("other"))), ("open", Some("Bearer x".to_owned()))]
    {
        let mut headers = forged.to_vec();
        headers.extend(token.as_deref().map(|token| ("authorization", token)));
        let answer = harness.call(tool, &headers).await;
        assert!(answer.header("www-authenticate").contains(METADATA), "{answer:?}");
        assert!(!format!("{:?} {}", answer.headers, answer.text).contains("evil"), "{answer:?}");
        assert_eq!(
            (answer.header("cache-control"), answer.header("vary")),
            ("no-store", "Origin"),
            "{answer:?}"
        );
    }
    assert_eq!(harness.reached(), 0);
}
