//! Devices without a browser (RFC 8628): their side of it. What their users see is in `device_pages`.

use reqwest::StatusCode;

use crate::harness::{Answer, Form, R1, Server, Setup};

pub(crate) const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

pub(crate) fn with_devices() -> Setup {
    let client = |id: &str| {
        format!(
            "[[clients.registered]]\nid = \"{id}\"\nname = \"Television\"\ngrant_types = [\"{GRANT}\", \"refresh_token\"]\n"
        )
    };
    Setup { more: client("tv") + &client("tv2"), ..Setup::default() }
}

pub(crate) async fn ask(server: &Server) -> Answer {
    let form = Form::of(&[("client_id", "tv"), ("scope", "mcp:read"), ("resource", R1)]);
    server.post("/oauth2/device", &form).await
}

pub(crate) async fn poll(server: &Server, client: &str, device_code: &str) -> Answer {
    let form = Form::of(&[("grant_type", GRANT), ("client_id", client), ("device_code", device_code)]);
    server.token(&form).await
}

#[tokio::test]
async fn a_device_gets_two_codes_and_says_where_its_user_goes() {
    let server = with_devices().start().await;
    let answer = ask(&server).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let json = answer.json();
    let code = json["user_code"].as_str().unwrap();
    assert_eq!(json["verification_uri"], format!("{}/device", server.issuer));
    assert_eq!(json["verification_uri_complete"], format!("{}/device?user_code={code}", server.issuer));
    assert_eq!((json["expires_in"].as_i64(), json["interval"].as_i64()), (Some(600), Some(5)));
    assert_eq!(code.len(), 9);
    let bytes = server.database_bytes().await;
    for secret in [json["device_code"].as_str().unwrap(), code, &code.replace('-', "")] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "kept in clear");
    }
}

#[tokio::test]
async fn what_no_device_may_ask_is_refused() {
    let server = with_devices().start().await;
    for (case, form, status, error) in [
        ("another client", Form::of(&[("client_id", "pub1")]), 400, "unauthorized_client"),
        ("nobody", Form::of(&[("client_id", "nope")]), 401, "invalid_client"),
        ("no client", Form::of(&[("scope", "mcp:read")]), 400, "invalid_request"),
        ("no resource of several", Form::of(&[("client_id", "tv")]), 400, "invalid_target"),
        (
            "scope",
            Form::of(&[("client_id", "tv"), ("resource", R1), ("scope", "admin")]),
            400,
            "invalid_scope",
        ),
    ] {
        let answer = server.post("/oauth2/device", &form).await;
        assert_eq!(answer.json()["error"], error, "{case}");
        assert_eq!(answer.status.as_u16(), status, "{case}");
    }
}

/// P1, P4, and P2's expiry
#[tokio::test]
async fn a_device_waits_and_asks_no_faster_than_it_may() {
    let server = with_devices().start().await;
    let code = ask(&server).await.json()["device_code"].as_str().unwrap().to_owned();
    poll(&server, "tv2", &code).await.assert_json_error(400, "invalid_grant", "another client");
    poll(&server, "tv", "x").await.assert_json_error(400, "invalid_grant", "unknown");
    poll(&server, "tv", &code).await.assert_json_error(400, "authorization_pending", "early");
    poll(&server, "tv", &code).await.assert_json_error(400, "slow_down", "at once");
    server.clock.advance_seconds(9);
    poll(&server, "tv", &code).await.assert_json_error(400, "slow_down", "before the longer wait is over");
    server.clock.advance_seconds(15);
    poll(&server, "tv", &code).await.assert_json_error(400, "authorization_pending", "in time");
    server.clock.advance_seconds(600);
    poll(&server, "tv", &code).await.assert_json_error(400, "expired_token", "too late");
    let form = Form::of(&[("grant_type", GRANT), ("client_id", "tv")]);
    server.token(&form).await.assert_json_error(400, "invalid_request", "no code");
}
