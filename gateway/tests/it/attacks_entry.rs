//! Ways in at the gateway itself: credentials that failed, and everything that is no call of a tool by `POST`. By the numbers of
//! `docs/COVERAGE.md`.

use http::Method;
use serde_json::json;

use crate::harness::{Gateway, POLICY};
use crate::raw::{exchange, statuses};
use crate::upstream::Upstream;

/// Row 1: a credential that failed is never taken for none, where none would do.
#[tokio::test]
async fn row_1_a_failed_credential_is_no_anonymous_caller() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let good = gateway.token("alex", "read");
    let long_ago = json!({ "iat": 1_000_000_000, "exp": 1_000_000_300 });
    let expired = gateway.token_with("alex", "read", &long_ago);
    let elsewhere = gateway.files.token("https://other.example/mcp", "alex", "read", &json!({}));
    let foreign = gateway.token_with("alex", "read", &json!({ "iss": "https://other.example" }));
    for tool in ["open", "teaser"] {
        for (credentials, expected) in [
            (vec!["Bearer bogus".to_owned()], 401),
            (vec!["Bearer ".to_owned()], 401),
            (vec![format!("Bearer {expired}")], 401),
            (vec![format!("Bearer {elsewhere}")], 401),
            (vec![format!("Bearer {foreign}")], 401),
            (vec![format!("Bearer {}x", good)], 401),
            (vec![format!("Basic {good}")], 401),
            (vec![format!("Token {good}")], 401),
            (vec![good.clone()], 401),
            (vec![format!("Bearer {good}"), format!("Bearer {good}")], 400),
            (vec![format!("Bearer {good}"), "Basic YTpi".to_owned()], 400),
            (vec!["Bearer bogus".to_owned(), format!("Bearer {good}")], 400),
        ] {
            let mut call = gateway.call(tool).build().unwrap();
            for value in &credentials {
                call.headers_mut().append("authorization", value.parse().unwrap());
            }
            let answer = gateway.client.execute(call).await.unwrap();
            assert_eq!(answer.status(), expected, "{tool} {credentials:?}");
            assert!(upstream.got().is_empty(), "{tool} {credentials:?}");
        }
    }
    for tool in ["open", "teaser"] {
        assert_eq!(gateway.call(tool).send().await.unwrap().status(), 200);
        // the scheme has no case (RFC 9110 §11.1)
        let call = gateway.call(tool).header("authorization", format!("bEARER {good}"));
        assert_eq!(call.send().await.unwrap().status(), 200);
    }
    let served: Vec<_> = upstream.got().iter().map(|got| got.header("x-auth-subject").is_some()).collect();
    assert_eq!(served, [false, true, false, true]);
}

/// Row 8: every method, at the route and wherever other servers have a transport of their own, without a token.
#[tokio::test]
async fn row_8_no_transport_and_no_method_is_a_way_around() {
    let upstream = Upstream::plain().await;
    let closed = POLICY.replace("\"public\"", "\"oauth2\"").replace("\"optional\"", "\"oauth2\"");
    let gateway = Gateway::with(&upstream.url(), &closed, "", "").await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"closed"}}"#;
    let paths =
        ["/mcp", "/message", "/messages", "/messages/", "/sse", "/mcp/sse", "/mcp/message", "/ws", "/mcp/ws"];
    for path in paths {
        for method in
            ["POST", "GET", "DELETE", "OPTIONS", "HEAD", "PUT", "PATCH", "TRACE", "PROPFIND", "QUERY"]
        {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            for body in [None, Some(call)] {
                for session in [None, Some("guessed")] {
                    let mut request = gateway.client.request(method.clone(), gateway.url(path));
                    request = request.header("accept", "application/json, text/event-stream");
                    if let Some(body) = body {
                        request = request.header("content-type", "application/json").body(body);
                    }
                    if let Some(session) = session {
                        request = request.header("mcp-session-id", session).header("last-event-id", "1");
                    }
                    let status = request.send().await.unwrap().status().as_u16();
                    let expected: &[u16] = match path {
                        // a browser asks whether it may
                        "/mcp" if method == Method::OPTIONS => &[204],
                        "/mcp" => &[400, 401, 404, 405, 415],
                        _ => &[404],
                    };
                    assert!(expected.contains(&status), "{method} {path} {body:?} {session:?}: {status}");
                }
            }
        }
        let upgrade = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            gateway.addr
        );
        let (answer, _) = exchange(gateway.addr, upgrade.as_bytes()).await;
        assert!(matches!(statuses(&answer)[..], [400 | 401 | 404 | 405]), "{path}: {:?}", statuses(&answer));
    }
    assert!(upstream.got().is_empty(), "{:?}", upstream.got());
}
