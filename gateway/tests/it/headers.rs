//! What the upstream is told, and what it is not.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Gateway, ISSUER, POLICY};
use crate::upstream::{Upstream, respond};

/// Every way to say "I am root" that a client might try.
const FORGED: &[&str] = &[
    "X-Auth-Issuer",
    "X-Auth-Subject",
    "x_auth_subject",
    "X-Auth_Subject",
    "x.auth.subject",
    "X-Auth-Client-Id",
    "X-Auth-Scopes",
    "X-Auth-Email",
    "X-AUTH-ANYTHING",
    "X-Forwarded-For",
    "x_forwarded_host",
    "Forwarded",
    "X-Real-IP",
    "X-Original-URL",
    "Sec-Fetch-Site",
    // what popular servers believe of the proxy in front of them
    "Remote-User",
    "Remote_User",
    "Remote-Email",
    "Remote-Groups",
    "X-Remote-User",
    "X_Remote_User",
    "X-Remote-Group",
    "X-Remote-Extra-Scopes",
    "X-Forwarded-User",
    "X_Forwarded_User",
    "X-Forwarded-Email",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Groups",
    "X-Forwarded-Access-Token",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Tls-Client-Cert",
    "X-User",
    "X-User-Id",
    "X-Username",
    "X-Email",
    "X-Groups",
    "X-Roles",
    "X-Authenticated-User",
    "X_Authenticated_User",
    "X-Authenticated-Userid",
    "X-WebAuth-User",
    "X-Proxy-User",
    "SSL-Client-Cert",
    "SSL_CLIENT_S_DN",
    "SSL-Client-Verify",
    "X-SSL-Client-Cert",
    "X-SSL-Client-S-DN",
    "X-SSL-Client-Verify",
    "X-TLS-Client-Subject",
    "X-Client-Cert",
    "X-Client-DN",
    "X-Client-Verify",
    "Client-Cert",
    "Client-Cert-Chain",
    "X-ARR-ClientCert",
    "X-Goog-Authenticated-User-Email",
    "X-Goog-IAP-JWT-Assertion",
    "X-Endpoint-API-UserInfo",
    "X-Apigateway-Api-Userinfo",
    "X-Amzn-Oidc-Identity",
    "X-Amzn-Oidc-Data",
    "X-MS-Client-Principal",
    "X-MS-Client-Principal-Name",
    "X-MS-Token-AAD-Access-Token",
    "Cf-Access-Jwt-Assertion",
    "Cf-Access-Authenticated-User-Email",
    "Tailscale-User-Login",
    "X-Consumer-Username",
    "X-Anonymous-Consumer",
    "X-Credential-Identifier",
    "X-Userinfo",
    "X-ID-Token",
    "X-Access-Token",
    "OIDC_CLAIM_sub",
    "OIDC-Claim-Email",
    "X-Pomerium-Jwt-Assertion",
    "X-Authentik-Username",
    "X-Vouch-User",
];

fn forge(mut request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    for name in FORGED.iter().copied() {
        request = request.header(name, "root");
    }
    request
        .header("cookie", "session=root")
        .header("dpop", "root")
        .header("connection", "x-hop")
        .header("x-hop", "root")
}

#[tokio::test]
async fn an_anonymous_caller_has_no_identity_whatever_it_claims() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    for tool in ["open", "teaser"] {
        assert_eq!(forge(gateway.call(tool)).send().await.unwrap().status(), 200);
    }
    for got in upstream.got() {
        for (name, value) in &got.headers {
            assert!(!value.to_str().unwrap().contains("root"), "{name}: {value:?}");
            assert!(!name.as_str().replace('_', "-").starts_with("x-auth-"), "{name}");
        }
        assert_eq!(got.header("authorization"), None);
        assert_eq!(got.header("cookie"), None);
    }
}

#[tokio::test]
async fn a_user_is_named_and_nobody_else() {
    let upstream = Upstream::plain().await;
    let route = "forward_claims = { \"X-Auth-Email\" = \"email\", \"X-Auth-Absent\" = \"absent\" }";
    let gateway = Gateway::with(&upstream.url(), POLICY, "", route).await;
    let token = gateway.token_with("alex", "read write", &json!({ "email": "alex@example.com" }));
    let response = forge(gateway.call("closed")).bearer_auth(&token).send().await.unwrap();
    assert_eq!(response.status(), 200);

    let got = upstream.got_one();
    let mut identity: Vec<_> = got
        .headers
        .iter()
        .filter(|(name, _)| name.as_str().replace(['_', '.'], "-").starts_with("x-auth-"))
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    identity.sort_unstable();
    let expected = [
        ("x-auth-client-id", "the-client"),
        ("x-auth-email", "alex@example.com"),
        ("x-auth-issuer", ISSUER),
        ("x-auth-scopes", "read write"),
        ("x-auth-subject", "alex"),
    ];
    assert_eq!(identity, expected);
    assert!(!format!("{:?}", got.headers).contains(&token), "the token went on");
}

#[tokio::test]
async fn an_optional_tool_without_its_scope_withholds_the_identity() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let token = gateway.token("alex", "other");
    assert_eq!(gateway.call("teaser").bearer_auth(token).send().await.unwrap().status(), 200);
    assert_eq!(upstream.got_one().header("x-auth-subject"), None);
}

#[tokio::test]
async fn where_a_request_came_from_is_told_by_the_gateway() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    forge(gateway.call("open")).header("host", "127.0.0.1").send().await.unwrap();
    let got = upstream.got_one();
    assert_eq!(got.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(got.header("x-forwarded-proto"), Some("http"));
    assert_eq!(got.header("x-forwarded-host"), gateway.public_url.strip_prefix("http://"));
    assert_eq!(got.header("host"), Some(upstream.addr.to_string().as_str()));
}

#[tokio::test]
async fn the_upstreams_guard_against_browsers_sees_no_browser() {
    let upstream = Upstream::plain().await;
    let server = "allowed_origins = [\"https://app.example\"]";
    let gateway = Gateway::with(&upstream.url(), POLICY, server, "").await;
    let call =
        gateway.call("open").header("origin", "https://app.example").header("sec-fetch-site", "cross-site");
    let response = call.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["access-control-allow-origin"], "https://app.example");
    let got = upstream.got_one();
    assert_eq!((got.header("origin"), got.header("sec-fetch-site")), (None, None));
}

#[tokio::test]
async fn the_request_arrives_as_it_was_judged() {
    let upstream = Upstream::start(|_| async {
        let headers = [("content-type", "application/json"), ("mcp-session-id", "s-1")];
        respond(200, &headers, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    let opened = gateway.call("open").send().await.unwrap();
    let session = opened.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    // odd white space, escapes and number forms: the very bytes
    let body = r#" {"id" : 1.0e0,"jsonrpc":"2.0"}"#.replace("1.0e0", "7") + "\n";
    let body =
        body.replace('}', r#","method":"tools/call","params":{"name":"op\u0065n","arguments":{"x":1.50}}}"#);
    let response = gateway
        .post(&body)
        .header("mcp-session-id", session)
        .header("last-event-id", "7")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("mcp-param-region", "eu")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let got = upstream.got().pop().unwrap();
    assert_eq!(String::from_utf8(got.body.clone()).unwrap(), body);
    assert_eq!(got.header("content-length"), Some(body.len().to_string().as_str()));
    assert_eq!(got.header("mcp-session-id"), Some("s-1"));
    assert_eq!(got.header("last-event-id"), Some("7"));
    assert_eq!(got.header("mcp-param-region"), Some("eu"));
    assert!(got.header("traceparent").is_some());
    assert_eq!((got.method.as_str(), got.uri.path()), ("POST", "/upstream/mcp"));
}

#[tokio::test]
async fn the_query_goes_on_and_the_path_does_not() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let response = gateway
        .client
        .get(gateway.url("/mcp?session=a%2Fb&x=../.."))
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(upstream.got_one().uri, "/upstream/mcp?session=a%2Fb&x=../..");
}

#[tokio::test]
async fn trailers_say_nothing_of_identity() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"}}"#;
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n\
         transfer-encoding: chunked\r\ntrailer: x-auth-subject, x_auth_subject\r\nconnection: close\r\n\r\n\
         {:x}\r\n{body}\r\n0\r\nX-Auth-Subject: root\r\nx_auth_subject: root\r\n\r\n",
        gateway.addr,
        body.len(),
    );
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let got = upstream.got_one();
    assert!(!format!("{got:?}").contains("root"), "{got:?}");
    assert_eq!(got.header("trailer"), None);
}

#[tokio::test]
async fn an_identity_that_no_header_can_carry_refuses_the_request() {
    let upstream = Upstream::plain().await;
    let route = "forward_claims = { \"X-Auth-Email\" = \"email\" }";
    let gateway = Gateway::with(&upstream.url(), POLICY, "", route).await;
    let cases = [
        ("alex\r\nX-Auth-Scopes: admin", json!({})),
        ("größe", json!({})),
        (" alex", json!({})),
        ("alex", json!({ "email": "a\nb" })),
    ];
    for (subject, claims) in cases {
        let token = gateway.token_with(subject, "read", &claims);
        let response = gateway.call("closed").bearer_auth(token).send().await.unwrap();
        // signing in again would not help, so it is no challenge but the result of the call
        assert_eq!(
            (response.status().as_u16(), response.headers().get("www-authenticate")),
            (200, None),
            "{subject:?}"
        );
        let answer: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!((&answer["id"], &answer["result"]["isError"]), (&json!(1), &json!(true)), "{answer}");
    }
    assert!(upstream.got().is_empty(), "{:?}", upstream.got());
}

#[tokio::test]
async fn of_the_answer_only_what_is_for_the_client_goes_back() {
    let upstream = Upstream::start(|_| async {
        let headers = [
            ("content-type", "application/json"),
            ("mcp-session-id", "s-1"),
            ("www-authenticate", "Basic realm=\"upstream\""),
            ("set-cookie", "a=b"),
            ("connection", "x-internal"),
            ("x-internal", "1"),
            ("access-control-allow-credentials", "true"),
            ("x-kept", "1"),
        ];
        respond(200, &headers, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    let response = gateway.call("open").send().await.unwrap();
    assert_eq!(response.status(), 200);
    for gone in ["www-authenticate", "set-cookie", "x-internal", "access-control-allow-credentials"] {
        assert!(!response.headers().contains_key(gone), "{gone}");
    }
    assert_eq!(response.headers()["x-kept"], "1");
    // the session is the client's, by an id that is nobody else's to use
    assert!(response.headers().contains_key("mcp-session-id"));
    assert_ne!(response.headers()["mcp-session-id"], "s-1");
}
