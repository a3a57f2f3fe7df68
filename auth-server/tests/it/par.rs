//! Pushed authorization requests (RFC 9126).

use reqwest::StatusCode;

use crate::harness::{Answer, Form, Server, Setup, az, redeem};

async fn push(server: &Server, form: &Form) -> Answer {
    server.post("/oauth2/par", form).await
}

async fn pushed(server: &Server) -> String {
    let answer = push(server, &az()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    answer.json()["request_uri"].as_str().unwrap().to_owned()
}

fn with_uri(client_id: &str, request_uri: &str) -> Form {
    Form::of(&[("client_id", client_id), ("request_uri", request_uri)])
}

/// O1
#[tokio::test]
async fn a_pushed_request_gets_a_uri_for_a_while() {
    let server = Server::start().await;
    let answer = push(&server, &az()).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let json = answer.json();
    assert!(json["request_uri"].as_str().unwrap().starts_with("urn:ietf:params:oauth:request_uri:"));
    assert!((5..=600).contains(&json["expires_in"].as_i64().unwrap()));
    let code = server.code(&with_uri("pub1", json["request_uri"].as_str().unwrap())).await;
    let tokens = server.token(&redeem(&code)).await;
    assert_eq!(tokens.json()["scope"], "mcp:read");
}

/// O2
#[tokio::test]
async fn a_request_uri_is_good_once_for_its_client_and_not_for_long() {
    let server = Server::start().await;
    let uri = pushed(&server).await;
    let page = async |client: &str, uri: &str| server.browser().authorize(&with_uri(client, uri)).await;
    page("pub2", &uri).await.assert_page400("another client");
    page("pub1", &format!("{uri}x")).await.assert_page400("tampered");
    page("pub1", "urn:ietf:params:oauth:request_uri:").await.assert_page400("empty");
    assert_eq!(page("pub1", &uri).await.status, StatusCode::SEE_OTHER);
    page("pub1", &uri).await.assert_page400("twice");
    let uri = pushed(&server).await;
    server.clock.advance_seconds(90);
    page("pub1", &uri).await.assert_page400("expired");
}

/// O3
#[tokio::test]
async fn what_stands_beside_a_request_uri_counts_for_nothing() {
    let server = Server::start().await;
    let uri = pushed(&server).await;
    let form = with_uri("pub1", &uri)
        .with("scope", "mcp:read mcp:write")
        .with("state", "other")
        .with("redirect_uri", "https://evil.test/cb");
    let mut browser = server.browser();
    let page = browser.consent_page(&form).await;
    let callback = browser.decide(&page, "allow").await.callback();
    assert_eq!(callback["state"], "s1");
    let tokens = server.token(&redeem(&callback["code"])).await;
    assert_eq!(tokens.json()["scope"], "mcp:read");
}

/// O4
#[tokio::test]
async fn what_the_authorization_endpoint_would_refuse_is_refused_at_once() {
    let server = Server::start().await;
    for (case, form, error) in [
        ("request_uri", az().with("request_uri", "urn:x"), "invalid_request"),
        ("another redirect", az().with("redirect_uri", "https://evil.test/cb"), "invalid_request"),
        ("no redirect", az().without("redirect_uri"), "invalid_request"),
        ("no PKCE", az().without("code_challenge"), "invalid_request"),
        ("another resource", az().with("resource", "https://evil.test"), "invalid_target"),
        ("another scope", az().with("scope", "admin"), "invalid_scope"),
        ("no code", az().with("response_type", "token"), "unsupported_response_type"),
        ("a request object", az().with("request", "x"), "request_not_supported"),
        ("twice", az().and("scope", "mcp:read"), "invalid_request"),
    ] {
        push(&server, &form).await.assert_json_error(400, error, case);
    }
    let form = az().with("client_id", "conf1").with("redirect_uri", "https://conf.test/cb");
    push(&server, &form).await.assert_json_error(401, "invalid_client", "no secret");
    push(&server, &az().with("client_id", "nope")).await.assert_json_error(401, "invalid_client", "unknown");
    let answer = push(&server, &az().with("state", &"x".repeat(1 << 20))).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

/// O5
#[tokio::test]
async fn a_client_that_pushes_its_requests_sends_none_directly() {
    let more = "[[clients.registered]]\nid = \"push\"\nredirect_uris = [\"https://push.test/cb\"]\n\
                require_pushed_authorization_requests = true\n";
    let server = Setup { more: more.to_owned(), ..Setup::default() }.start().await;
    let az = az().with("client_id", "push").with("redirect_uri", "https://push.test/cb");
    server.browser().authorize(&az).await.assert_error_redirect(&server, "invalid_request", "directly");
    let uri = push(&server, &az).await.json()["request_uri"].as_str().unwrap().to_owned();
    assert!(!server.code(&with_uri("push", &uri)).await.is_empty());
}

/// The secret of a client that came with the push is kept nowhere.
#[tokio::test]
async fn credentials_of_a_push_are_not_kept() {
    let more = "[[clients.registered]]\nid = \"post\"\nredirect_uris = [\"https://post.test/cb\"]\n\
                secret_file = \"conf1.secret\"\n";
    let server = Setup { more: more.to_owned(), ..Setup::default() }.start().await;
    let form = az()
        .with("client_id", "post")
        .with("redirect_uri", "https://post.test/cb")
        .with("client_secret", crate::harness::CONF1_SECRET);
    let answer = push(&server, &form).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    let bytes = server.database_bytes().await;
    let found = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    assert!(found("post.test"), "the request itself is kept");
    assert!(!found(crate::harness::CONF1_SECRET));
    let uri = answer.json()["request_uri"].as_str().unwrap().to_owned();
    assert!(!found(uri.rsplit(':').next().unwrap()));
}
