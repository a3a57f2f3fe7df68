//! Registered clients, and what they are held to.

use serde_json::json;

use crate::harness::{Form, Setup, az, redeem};

const CALLBACK: &str = "https://held.test/cb";

fn with_client(more: &str) -> Setup {
    let more = format!("[[clients.registered]]\nid = \"held\"\nredirect_uris = [\"{CALLBACK}\"]\n{more}\n");
    Setup { more, ..Setup::default() }
}

fn az_of(id: &str) -> Form {
    az().with("client_id", id).with("redirect_uri", CALLBACK)
}

#[tokio::test]
async fn a_client_that_signs_nobody_in_gets_no_code() {
    let more = "grant_types = [\"urn:ietf:params:oauth:grant-type:device_code\"]";
    let server = with_client(more).start().await;
    let mut browser = server.browser().signed_in().await;
    browser.authorize(&az_of("held")).await.assert_error_redirect(
        &server,
        "unauthorized_client",
        "no code grant",
    );
    // without redirect URIs there is not even anybody to tell
    let more = "[[clients.registered]]\nid = \"held\"\ngrant_types = [\"urn:ietf:params:oauth:grant-type:device_code\"]";
    let server = Setup { more: more.to_owned(), ..Setup::default() }.start().await;
    server.browser().authorize(&az_of("held")).await.assert_page400("no redirect URI");
    server.browser().authorize(&az_of("held").without("redirect_uri")).await.assert_page400("none at all");
}

/// O5
#[tokio::test]
async fn a_client_that_pushes_its_requests_does_not_come_directly() {
    let server = with_client("require_pushed_authorization_requests = true").start().await;
    let mut browser = server.browser().signed_in().await;
    browser.authorize(&az_of("held")).await.assert_error_redirect(&server, "invalid_request", "registered");
    // a client that registers itself may bind itself so
    let body = json!({
        "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "none",
        "require_pushed_authorization_requests": true,
    });
    let client = server.register(&body.to_string()).await.json();
    assert_eq!(client["require_pushed_authorization_requests"], true);
    let answer = server.browser().authorize(&az_of(client["client_id"].as_str().unwrap())).await;
    assert!(answer.status.is_client_error() && answer.body.contains("invalid_request"), "{}", answer.body);
    for wrong in [json!("true"), json!(1)] {
        let mut body = body.clone();
        body["require_pushed_authorization_requests"] = wrong;
        let answer = server.register(&body.to_string()).await;
        answer.assert_json_error(400, "invalid_client_metadata", "no boolean");
    }
}

/// N9
#[tokio::test]
async fn a_client_with_bound_tokens_gets_none_without_a_proof() {
    let server = with_client("dpop_bound_access_tokens = true").start().await;
    let code = server.code(&az_of("held")).await;
    let form = redeem(&code).with("client_id", "held").with("redirect_uri", CALLBACK);
    server.token(&form).await.assert_json_error(400, "invalid_dpop_proof", "registered");
    let body = json!({
        "redirect_uris": [CALLBACK],
        "token_endpoint_auth_method": "none",
        "dpop_bound_access_tokens": true,
    });
    let client = server.register(&body.to_string()).await.json();
    assert_eq!(client["dpop_bound_access_tokens"], true);
    let id = client["client_id"].as_str().unwrap();
    let code = server.code(&az_of(id)).await;
    let form = redeem(&code).with("client_id", id).with("redirect_uri", CALLBACK);
    server.token(&form).await.assert_json_error(400, "invalid_dpop_proof", "by itself");
}
