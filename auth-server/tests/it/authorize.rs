//! The authorization endpoint: which requests are answered where.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};

use crate::harness::{Server, az};

/// Each request leaves a row behind until it ends.
#[tokio::test]
async fn authorization_requests_are_rate_limited_by_address() {
    let server = Server::start().await;
    for _ in 0..300 {
        assert_eq!(server.browser().authorize(&az()).await.status, StatusCode::SEE_OTHER);
    }
    let refused = server.browser().authorize(&az()).await;
    assert_eq!((refused.status, refused.header("location")), (StatusCode::TOO_MANY_REQUESTS, None));
    assert_eq!(refused.header("retry-after"), Some("60"));
    server.clock.advance_seconds(60);
    assert_eq!(server.browser().authorize(&az()).await.status, StatusCode::SEE_OTHER);
}

/// B1
#[tokio::test]
async fn an_unknown_client_gets_a_page_and_no_redirect() {
    let server = Server::start().await;
    for id in ["nope", "", "PUB1", "pub1 ", "http://client.test/c.json"] {
        server.browser().authorize(&az().with("client_id", id)).await.assert_page400(id);
    }
    server.browser().authorize(&az().without("client_id")).await.assert_page400("none");
    server.browser().authorize(&az().and("client_id", "pub2")).await.assert_page400("two");
}

/// B2, B3
#[tokio::test]
async fn redirect_uris_are_compared_as_text() {
    let server = Server::start().await;
    for uri in [
        "https://evil.test/cb",
        "https://app.test/cb/",
        "https://app.test/CB",
        "https://app.test/cb?x=1",
        "https://app.test/cb#f",
        "https://app.test/cb/../cb",
        "https://app.test/cb%2f",
        "https://app.test:443/cb",
        "https://APP.test/cb",
        "https://app.test@evil.test/cb",
        "https://app.test.evil.test/cb",
        "https://evil.test\\@app.test/cb",
        "https://app.test\\.evil.test/cb",
        "//app.test/cb",
        "https:app.test/cb",
        "https://app.test/cb ",
        "https://app.test/cb\r\nX:y",
        "https://аpp.test/cb",
        "javascript:alert(1)",
    ] {
        server.browser().authorize(&az().with("redirect_uri", uri)).await.assert_page400(uri);
    }
    let raw = az().without("redirect_uri").encoded() + "&redirect_uri=https://app.test/cb%00";
    server.get(&format!("/oauth2/authorize?{raw}")).await.assert_page400("NUL");
}

/// B4
#[tokio::test]
async fn a_client_with_several_redirect_uris_must_name_one() {
    let server = Server::start().await;
    server.browser().authorize(&az().without("redirect_uri")).await.assert_page400("several");
    let sole = az().without("redirect_uri").with("client_id", "pub2");
    let page = server.browser().page(&sole).await;
    assert!(page.is_login_page(), "{}", page.body);
}

/// B5
#[tokio::test]
async fn two_redirect_uris_are_none() {
    let server = Server::start().await;
    let good_first = az().and("redirect_uri", "https://evil.test/cb");
    let evil_first =
        az().with("redirect_uri", "https://evil.test/cb").and("redirect_uri", "https://app.test/cb");
    for (case, az) in [("good first", good_first), ("evil first", evil_first)] {
        server.browser().authorize(&az).await.assert_page400(case);
    }
}

/// B6, B7
#[tokio::test]
async fn a_loopback_port_may_differ() {
    let server = Server::start().await;
    for uri in ["http://127.0.0.1:51004/cb", "http://127.0.0.1/cb", "http://localhost:61234/callback"] {
        let mut browser = server.browser();
        let page = browser.consent_page(&az().with("redirect_uri", uri)).await;
        let location = browser.decide(&page, "allow").await.location();
        assert!(location.as_str().starts_with(&format!("{uri}?")), "{location}");
    }
}

/// B8
#[tokio::test]
async fn nothing_but_a_loopback_port_may_differ() {
    let server = Server::start().await;
    for uri in [
        "http://127.0.0.1:5/other",
        "http://127.0.0.2:5/cb",
        "http://[::1]:5/cb",
        "https://127.0.0.1:5/cb",
        "http://localhost:5/cb",
        "http://2130706433:5/cb",
        "http://127.1:5/cb",
        "http://0x7f.0.0.1:5/cb",
        "http://127.0.0.1:5/cb?x=1",
        "http://127.0.0.1:5@evil.test/cb",
    ] {
        server.browser().authorize(&az().with("redirect_uri", uri)).await.assert_page400(uri);
    }
}

/// B9, B10, B14, L1
#[tokio::test]
async fn faults_of_a_known_client_are_sent_to_it() {
    let server = Server::start().await;
    for (case, az, error) in [
        ("no response_type", az().without("response_type"), "invalid_request"),
        ("token", az().with("response_type", "token"), "unsupported_response_type"),
        ("code token", az().with("response_type", "code token"), "unsupported_response_type"),
        ("id_token", az().with("response_type", "id_token"), "unsupported_response_type"),
        ("fragment", az().with("response_mode", "fragment"), "invalid_request"),
        ("form_post", az().with("response_mode", "form_post"), "invalid_request"),
        ("scope twice", az().and("scope", "mcp:write"), "invalid_request"),
        ("response_type twice", az().and("response_type", "code"), "invalid_request"),
        ("unknown scope", az().with("scope", "mcp:read bogus"), "invalid_scope"),
        ("scope with a quote", az().with("scope", "mcp:read\""), "invalid_scope"),
        ("unknown prompt", az().with("prompt", "create"), "invalid_request"),
        ("none and login", az().with("prompt", "none login"), "invalid_request"),
        ("max_age", az().with("max_age", "-1"), "invalid_request"),
        ("request_uri", az().with("request_uri", "https://169.254.169.254/"), "request_uri_not_supported"),
        ("request", az().with("request", "eyJhbGciOiJub25lIn0.e30."), "request_not_supported"),
    ] {
        let answer = server.browser().authorize(&az).await;
        answer.assert_error_redirect(&server, error, case);
        assert!(answer.header("location").unwrap().starts_with("https://app.test/cb?"), "{case}");
    }
}

/// B10: a state that is given twice is nobody's.
#[tokio::test]
async fn a_state_given_twice_is_not_echoed() {
    let server = Server::start().await;
    let callback = server.browser().authorize(&az().and("state", "s2")).await.callback();
    assert_eq!(callback["error"], "invalid_request");
    assert!(!callback.contains_key("state"));
}

/// B11, B12
#[tokio::test]
async fn repeated_resources_and_unknown_parameters_are_fine() {
    let server = Server::start().await;
    let second = az().and("resource", "https://gw.test/other");
    for (case, az) in [
        ("two resources", second),
        ("unknown", az().with("foo", "bar").with("nonce", "")),
        ("nonce", az().with("nonce", "n")),
    ] {
        assert!(server.browser().page(&az).await.is_login_page(), "{case}");
    }
}

/// B13, L1
#[tokio::test]
async fn the_state_comes_back_byte_for_byte() {
    let server = Server::start().await;
    let long = "x".repeat(2048);
    for state in ["a b&c=%26<\">'日本", "\r\nSet-Cookie: a=b", long.as_str(), "+%2B "] {
        let az = az().with("state", state).with("prompt", "consent");
        let callback = server.browser().authorize(&az.clone().with("scope", "bogus")).await.callback();
        assert_eq!(callback["state"], state);
        let mut browser = server.browser();
        let page = browser.consent_page(&az).await;
        assert!(!page.body.contains(state), "the state is nowhere on the page");
        let callback = browser.decide(&page, "allow").await.callback();
        assert_eq!(callback["state"], state);
        assert_eq!(callback["iss"], server.issuer);
        assert!(callback.contains_key("code"));
    }
}

/// B15
#[tokio::test]
async fn no_other_origin_may_read_the_authorization_endpoint() {
    let server = Server::start().await;
    for method in [Method::GET, Method::OPTIONS] {
        let path = format!("/oauth2/authorize?{}", az().encoded());
        let answer = server.request(method, &path, &[("origin", "https://x.test")], Vec::new()).await;
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
}

/// B16
#[tokio::test]
async fn a_client_that_nobody_vouches_for_is_no_open_redirector() {
    let server = Server::start().await;
    let id = server.registered("https://phish.test/cb").await;
    let az = az().with("client_id", &id).with("redirect_uri", "https://phish.test/cb").with("scope", "bogus");
    let answer = server.browser().authorize(&az).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.header("location"), None);
    assert!(
        answer.body.contains("<strong>phish.test</strong>"),
        "names where the link leads: {}",
        answer.body
    );
    assert!(answer.body.contains("error=invalid_scope"), "the user's own click may tell the client");
    assert!(!answer.body.contains("http-equiv"));
}

/// B16: somebody who allowed the client before is sent there.
#[tokio::test]
async fn a_client_that_the_user_allowed_before_gets_its_errors() {
    let server = Server::start().await;
    let id = server.registered("https://known.test/cb").await;
    let az = az().with("client_id", &id).with("redirect_uri", "https://known.test/cb");
    let mut browser = server.browser();
    browser.code(&az).await;
    browser.authorize(&az.with("scope", "bogus")).await.assert_error_redirect(
        &server,
        "invalid_scope",
        "known",
    );
}

/// B17, I15
#[tokio::test]
async fn prompt_none_never_shows_a_page_and_never_serves_strangers() {
    let server = Server::start().await;
    let id = server.registered("https://phish.test/cb").await;
    let stranger =
        az().with("client_id", &id).with("redirect_uri", "https://phish.test/cb").with("prompt", "none");
    server.browser().authorize(&stranger).await.assert_page400("stranger, fresh browser");
    let mut browser = server.browser().signed_in().await;
    browser.authorize(&stranger).await.assert_page400("stranger, signed in");

    let known = az().with("prompt", "none");
    server.browser().authorize(&known).await.assert_error_redirect(
        &server,
        "login_required",
        "fresh browser",
    );
    browser.authorize(&known).await.assert_error_redirect(&server, "consent_required", "signed in");
    browser.code(&az()).await;
    let callback = browser.authorize(&known).await.callback();
    assert!(callback.contains_key("code"), "{callback:?}");
    browser.authorize(&known.with("scope", "mcp:write")).await.assert_error_redirect(
        &server,
        "consent_required",
        "more than was allowed",
    );
}

/// B18
#[tokio::test]
async fn forms_are_answered_with_303() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let page = browser.page(&az()).await;
    let answer = browser.submit_login(&page, "alice", crate::harness::PASSWORD).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let page = browser.follow(answer).await;
    assert_eq!(browser.decide(&page, "allow").await.status, StatusCode::SEE_OTHER);
}

/// B19
#[tokio::test]
async fn the_authorization_endpoint_takes_no_posts() {
    let server = Server::start().await;
    assert_eq!(server.post("/oauth2/authorize", &az()).await.status, StatusCode::METHOD_NOT_ALLOWED);
}

/// B20
#[tokio::test]
async fn broken_queries_are_refused_at_once() {
    let server = Server::start().await;
    let good = az().encoded();
    for (case, query) in [
        ("10 kB", format!("{good}&x={}", "a".repeat(10_000))),
        ("200 parameters", format!("{good}{}", "&a=b".repeat(200))),
        ("bad UTF-8", format!("{good}&x=%ff")),
        ("bad UTF-8 in a name", format!("{good}&%ff=x")),
        ("NUL", format!("{good}&x=%00")),
    ] {
        let started = Instant::now();
        let answer = server.get(&format!("/oauth2/authorize?{query}")).await;
        answer.assert_page400(case);
        assert!(started.elapsed() < Duration::from_secs(2), "{case}");
    }
}

#[tokio::test]
async fn an_authorization_request_alone_changes_nothing_for_the_user() {
    let server = Server::start().await;
    let mut browser = server.browser();
    // some clients look before they send the user
    server.get(&format!("/oauth2/authorize?{}", az().encoded())).await;
    let answer = server.get(&format!("/oauth2/authorize?{}", az().encoded())).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let code = browser.code(&az()).await;
    assert_eq!(server.token(&crate::harness::redeem(&code)).await.status, StatusCode::OK);
}

/// M9
#[tokio::test]
async fn scope_lists_are_bounded() {
    let server = Server::start().await;
    let many: Vec<_> = (0..500).map(|n| format!("s{n}")).collect();
    let az = az().with("scope", &many.join(" "));
    server.browser().authorize(&az).await.assert_error_redirect(&server, "invalid_scope", "500 scopes");
}
