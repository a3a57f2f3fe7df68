//! Which path leads where.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Gateway, POLICY, body};
use crate::logs;
use crate::upstream::Upstream;

/// Sends a request line as it stands; clients' libraries would tidy it up.
pub async fn raw(gateway: &Gateway, method: &str, target: &str, host: &str) -> (u16, String) {
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"}}"#;
    let call = if method == "POST" { call } else { "" };
    let request = format!(
        "{method} {target} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\nconnection: close\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: {}\r\n\r\n{call}",
        call.len()
    );
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[tokio::test]
async fn only_the_exact_path_is_the_route() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let host = gateway.addr.to_string();
    let others = [
        "/",
        "/mcp/",
        "//mcp",
        "/MCP",
        "/%6dcp",
        "/mcp%2f",
        "/mcp/x",
        "/x/../mcp",
        "/./mcp",
        "/mcp;a=b",
        "/mcp%00",
        "/mc",
        "/mcpx",
        "/livez/../mcp",
        "/livez",
        "/readyz",
        "/metrics",
        "/.well-known/../mcp",
        "/.well-known",
        "/.well-knownX",
        "/.well-knownX/../mcp",
        "/.well-known-mcp",
        "/health/../mcp",
        "/health",
        "/.well-known/oauth-protected-resourcex",
        "/.well-known/oauth-protected-resource/mcp/",
        "/.well-known/oauth-protected-resource//mcp",
        "/.well-known/oauth-protected-resource/other",
        "/upstream/mcp",
    ];
    for target in others {
        let (status, answer) = raw(&gateway, "POST", target, &host).await;
        assert_eq!(status, 404, "{target}: {answer}");
        assert!(answer.contains(r#"{"error":"not_found""#), "{target}: {answer}");
    }
    assert!(upstream.got().is_empty());
    for target in ["/mcp".to_owned(), "/mcp?a".to_owned(), format!("http://{host}/mcp")] {
        assert_eq!(raw(&gateway, "POST", &target, &host).await.0, 200, "{target}");
    }
    // the absolute form names a host too (RFC 9112 §3.2.2), and there is one host only
    assert_eq!(raw(&gateway, "POST", "http://evil.example/mcp", &host).await.0, 400);
    assert_eq!(raw(&gateway, "POST", "http://evil.example/mcp", "evil.example").await.0, 403);
    assert_eq!(raw(&gateway, "OPTIONS", "*", &host).await.0, 404);
}

#[tokio::test]
async fn metadata_derives_from_the_public_url_alone() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::with(&upstream.url(), POLICY, "", "resource_name = \"Notes\"").await;
    for path in ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"] {
        let response = gateway
            .client
            .get(gateway.url(path))
            .header("x-forwarded-host", "evil.example")
            .header("forwarded", "host=evil.example")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        let document = body(response).await;
        assert_eq!(document["resource"], format!("{}/mcp", gateway.public_url));
        assert_eq!(document["authorization_servers"], json!(["https://as.example"]));
        assert_eq!(document["scopes_supported"], json!(["base"]));
        assert_eq!(document["resource_name"], "Notes");
    }
    let challenge = gateway.call("closed").send().await.unwrap();
    let challenge = challenge.headers()["www-authenticate"].to_str().unwrap();
    let url = format!("{}/.well-known/oauth-protected-resource/mcp", gateway.public_url);
    assert_eq!(challenge, format!("Bearer resource_metadata=\"{url}\", scope=\"read\""));
}

#[tokio::test]
async fn several_routes_have_no_root_document() {
    let upstream = Upstream::plain().await;
    let more = format!(
        "[[routes]]\npath = \"/two\"\nupstream = \"{}\"\npolicy = \"policy.toml\"\nresource = \"https://public.example/a/b\"\n",
        upstream.url()
    );
    let gateway = Gateway::with(&upstream.url(), POLICY, "", &more).await;
    let get = async |path: &str| gateway.client.get(gateway.url(path)).send().await.unwrap();
    assert_eq!(get("/.well-known/oauth-protected-resource").await.status(), 404);
    let one = body(get("/.well-known/oauth-protected-resource/mcp").await).await;
    assert_eq!(one["resource"], format!("{}/mcp", gateway.public_url));
    for path in ["/.well-known/oauth-protected-resource/two", "/.well-known/oauth-protected-resource/a/b"] {
        assert_eq!(body(get(path).await).await["resource"], "https://public.example/a/b", "{path}");
    }
    // a token for one is none for the other
    let token = gateway.token("alex", "read");
    let call = gateway.call("closed").bearer_auth(token).build().unwrap();
    let mut other = call.try_clone().unwrap();
    other.url_mut().set_path("/two");
    assert_eq!(gateway.client.execute(call).await.unwrap().status(), 200);
    assert_eq!(gateway.client.execute(other).await.unwrap().status(), 401);
}

#[tokio::test]
async fn who_looks_for_an_authorization_server_here_is_told_that_there_is_none() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/mcp",
        "/.well-known/openid-configuration",
        "/.well-known/openid-configuration/mcp",
        "/mcp/.well-known/openid-configuration",
    ] {
        for method in [http::Method::GET, http::Method::HEAD] {
            let request = gateway
                .client
                .request(method.clone(), gateway.url(path))
                .header("origin", "https://any.example");
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 404, "{method} {path}");
            assert_eq!(response.headers()["access-control-allow-origin"], "*");
            assert_eq!(response.headers()["content-type"], "application/json");
            if method == http::Method::GET {
                assert_eq!(body(response).await["error"], "not_found");
            }
        }
        let preflight = gateway
            .client
            .request(http::Method::OPTIONS, gateway.url(path))
            .header("origin", "https://any.example")
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "mcp-protocol-version");
        let response = preflight.send().await.unwrap();
        assert_eq!(response.status(), 204);
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
    }
}

#[tokio::test]
async fn each_request_is_one_event_without_secrets() {
    let upstream = Upstream::plain().await;
    // a name that no other test's events have
    let policy =
        POLICY.replace("tools.closed", "tools.logged_closed").replace("tools.open", "tools.logged_open");
    let gateway = Gateway::with(&upstream.url(), &policy, "", "").await;
    let token = gateway.token("alex-in-the-log", "read");
    gateway.call("logged_closed").bearer_auth(&token).send().await.unwrap();
    gateway.call("logged_closed").send().await.unwrap();
    gateway.call("logged_open").send().await.unwrap();
    let long = "logged_".repeat(1000);
    gateway.call(&long).send().await.unwrap();

    let events = logs::with("\"object\":\"logged_");
    let seen: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event["object"].as_str().unwrap(),
                event["decision"].as_str().unwrap(),
                event["status"].as_u64().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("logged_closed", "as-user", 200),
        ("logged_closed", "sign-in", 401),
        ("logged_open", "anonymously", 200),
        (&long[..128], "unknown", 200),
    ];
    assert_eq!(seen, expected);
    assert_eq!(events[0]["route"], "/mcp");
    assert_eq!(events[0]["http.method"], "POST");
    assert_eq!(events[0]["rpc.method"], "tools/call");
    assert_eq!(events[0]["policy.rule"], "tools.logged_closed");
    assert!(events[0]["duration_ms"].is_u64());
    let signature = token.rsplit('.').next().unwrap();
    assert!(logs::with(signature).is_empty(), "a token in the log");
}
