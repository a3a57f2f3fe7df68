//! Revocation.

use reqwest::StatusCode;

use crate::harness::{Form, Server, refresh};

fn revoke(token: &str) -> Form {
    Form::of(&[("client_id", "pub1"), ("token", token)])
}

/// M5
#[tokio::test]
async fn revoking_a_refresh_token_ends_the_grant() {
    for hint in [None, Some("refresh_token"), Some("access_token"), Some("nonsense")] {
        let server = Server::start().await;
        let first = server.tokens().await["refresh_token"].as_str().unwrap().to_owned();
        let second =
            server.token(&refresh(&first)).await.json()["refresh_token"].as_str().unwrap().to_owned();
        let mut form = revoke(&second);
        if let Some(hint) = hint {
            form = form.with("token_type_hint", hint);
        }
        let answer = server.post("/oauth2/revoke", &form).await;
        assert_eq!(answer.status, StatusCode::OK, "{hint:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        server.token(&refresh(&second)).await.assert_json_error(400, "invalid_grant", "revoked");
        server.token(&refresh(&first)).await.assert_json_error(400, "invalid_grant", "its parent");
    }
}

/// M5
#[tokio::test]
async fn what_is_not_the_clients_own_stays() {
    let server = Server::start().await;
    let tokens = server.tokens().await;
    let token = tokens["refresh_token"].as_str().unwrap();
    for (case, form) in [
        ("unknown", revoke("unknown")),
        ("another client's", revoke(token).with("client_id", "pub2")),
        ("an access token", revoke(tokens["access_token"].as_str().unwrap())),
    ] {
        assert_eq!(server.post("/oauth2/revoke", &form).await.status, StatusCode::OK, "{case}");
    }
    assert_eq!(server.token(&refresh(token)).await.status, StatusCode::OK);
    for (case, form, status, error) in [
        ("no token", revoke(""), 400, "invalid_request"),
        ("no client", revoke(token).without("client_id"), 400, "invalid_request"),
        ("unknown client", revoke(token).with("client_id", "nope"), 401, "invalid_client"),
        ("unproven client", revoke(token).with("client_id", "conf1"), 401, "invalid_client"),
    ] {
        server.post("/oauth2/revoke", &form).await.assert_json_error(status, error, case);
    }
}
