//! Servers that stop between any two requests, and clocks that jump.

use mcp_auth_server::outside::Clock as _;
use reqwest::StatusCode;

use crate::harness::{Browser, Form, Server, az, claims, redeem, refresh};

/// V5
#[tokio::test]
async fn jumps_of_the_clock_leave_tokens_that_live_no_longer() {
    let server = Server::start().await;
    for jump in [0, 600, -1200, -600, 1200, 0] {
        server.clock.advance_seconds(jump);
        let now = server.clock.now().unix_seconds();
        let tokens = server.tokens().await;
        let claims = claims(tokens["access_token"].as_str().unwrap());
        assert_eq!((claims["iat"].as_i64(), claims["exp"].as_i64()), (Some(now), Some(now + 900)), "{jump}");
        let renewed = server.token(&refresh(tokens["refresh_token"].as_str().unwrap())).await;
        assert_eq!(renewed.status, StatusCode::OK, "{jump}: {}", renewed.body);
        let keys = server.get("/oauth2/jwks").await.json();
        assert_eq!(keys["keys"].as_array().unwrap().len(), 1, "{jump}");
    }
    // what was issued before the clock went back ends when it said that it would
    let tokens = server.tokens().await;
    server.clock.advance_seconds(-600);
    let renewed = server.token(&refresh(tokens["refresh_token"].as_str().unwrap())).await;
    assert_eq!(renewed.status, StatusCode::OK, "{}", renewed.body);
}

/// V3
#[tokio::test]
async fn a_flow_goes_on_after_a_restart_between_any_two_steps() {
    let mut server = Server::start().await;
    // a browser that outlives the server
    macro_rules! restarted {
        ($browser:ident) => {{
            let cookies = $browser.cookies;
            server = server.restart().await;
            Browser { server: &server, cookies }
        }};
    }
    let mut browser = server.browser();
    let page = browser.page(&az()).await;
    assert!(page.is_login_page());
    let mut browser = restarted!(browser);
    let page = browser.login(&page, "alice").await;
    assert!(page.is_consent_page());
    let mut browser = restarted!(browser);
    let answer = browser.decide(&page, "allow").await;
    let code = answer.callback()["code"].clone();
    let browser = restarted!(browser);
    drop(browser);
    let tokens = server.token(&redeem(&code)).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.body);
    let tokens = tokens.json();
    let server = server.restart().await;
    let first = tokens["refresh_token"].as_str().unwrap();
    let renewed = server.token(&refresh(first)).await;
    assert_eq!(renewed.status, StatusCode::OK, "{}", renewed.body);
    let second = renewed.json()["refresh_token"].as_str().unwrap().to_owned();
    // its successor again, though this process never issued it
    let server = server.restart().await;
    let again = server.token(&refresh(first)).await;
    assert_eq!(again.json()["refresh_token"], second.as_str(), "{}", again.body);
    let form = Form::of(&[("client_id", "pub1"), ("token", &second)]);
    assert_eq!(server.post("/oauth2/revoke", &form).await.status, StatusCode::OK);
    let server = server.restart().await;
    server.token(&refresh(&second)).await.assert_json_error(400, "invalid_grant", "revoked");
}
