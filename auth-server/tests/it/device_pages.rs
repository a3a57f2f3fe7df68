//! Devices without a browser (RFC 8628): what their users see and decide.

use reqwest::{Method, StatusCode};

use crate::{
    devices::{ask, poll, with_devices},
    harness::{Answer, Browser, Form, Server, claims},
};

async fn page<'s>(server: &'s Server, user_code: &str) -> (Browser<'s>, Answer) {
    let mut browser = server.browser().signed_in().await;
    let page = browser.get(&format!("/device?user_code={user_code}")).await;
    (browser, page)
}

fn answer(page: &Answer, decision: &str) -> Form {
    Form::of(&[
        ("csrf", &page.input("csrf")),
        ("user_code", &page.input("user_code")),
        ("decision", decision),
    ])
}

async fn send(browser: &mut Browser<'_>, form: &Form) -> Answer {
    browser.send(Method::POST, "/device", &[("sec-fetch-site", "same-origin")], Some(form)).await
}

fn codes(asked: &Answer) -> (String, String) {
    let json = asked.json();
    (json["device_code"].as_str().unwrap().to_owned(), json["user_code"].as_str().unwrap().to_owned())
}

/// P7
#[tokio::test]
async fn only_the_own_page_can_let_a_device_in() {
    let server = with_devices().start().await;
    let (_, user_code) = codes(&ask(&server).await);
    let (_, other_code) = codes(&ask(&server).await);
    let (mut browser, shown) = page(&server, &user_code).await;
    assert!(shown.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"));
    let good = answer(&shown, "allow").with("with_me", "1");
    for (case, form) in [
        ("no token", good.clone().without("csrf")),
        ("another token", good.clone().with("csrf", &"A".repeat(43))),
        ("another device", good.clone().with("user_code", &other_code)),
    ] {
        assert_eq!(send(&mut browser, &form).await.status, StatusCode::FORBIDDEN, "{case}");
    }
    for headers in [[("sec-fetch-site", "cross-site")], [("origin", "https://evil.test")]] {
        let answer = browser.send(Method::POST, "/device", &headers, Some(&good)).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    // somebody else's session
    let mut bob = server.browser();
    let login = bob.page(&crate::harness::az()).await;
    bob.login(&login, "bob").await;
    assert_eq!(send(&mut bob, &good).await.status, StatusCode::FORBIDDEN);
}

/// P5
#[tokio::test]
async fn a_link_with_the_code_still_shows_everything_and_asks() {
    let server = with_devices().start().await;
    let (device_code, user_code) = codes(&ask(&server).await);
    let (mut browser, shown) =
        page(&server, &user_code.to_lowercase().replace('-', " ").replace(' ', "%20")).await;
    assert_eq!(shown.status, StatusCode::OK, "{}", shown.body);
    for words in [user_code.as_str(), "Television", "Read your notes", "127.0.0.1", "alice", "with me"] {
        assert!(shown.body.contains(words), "{words}: {}", shown.body);
    }
    let unticked = send(&mut browser, &answer(&shown, "allow")).await;
    assert_eq!(unticked.status, StatusCode::BAD_REQUEST);
    assert!(unticked.body.contains("Tick that you have the device"), "{}", unticked.body);
    poll(&server, "tv", &device_code).await.assert_json_error(400, "authorization_pending", "not yet");
}

/// P2
#[tokio::test]
async fn a_device_gets_what_its_user_gave_once_and_nothing_when_denied() {
    let server = with_devices().start().await;
    let (device_code, user_code) = codes(&ask(&server).await);
    let (mut browser, shown) = page(&server, &user_code).await;
    let allowed = send(&mut browser, &answer(&shown, "allow").with("with_me", "1")).await;
    assert_eq!(allowed.status, StatusCode::SEE_OTHER, "{}", allowed.body);
    let told = browser.follow(allowed).await;
    assert!(told.body.contains("The device is connected"), "{}", told.body);
    // the same answer again
    let again = send(&mut browser, &answer(&shown, "allow").with("with_me", "1")).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND);

    poll(&server, "tv2", &device_code).await.assert_json_error(400, "invalid_grant", "another client");
    let tokens = poll(&server, "tv", &device_code).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.body);
    let tokens = tokens.json();
    assert_eq!(claims(tokens["access_token"].as_str().unwrap())["client_id"], "tv");
    assert_eq!(tokens["scope"], "mcp:read");
    server.clock.advance_seconds(10);
    poll(&server, "tv", &device_code).await.assert_json_error(400, "invalid_grant", "used");
    let form = Form::of(&[
        ("grant_type", "refresh_token"),
        ("client_id", "tv"),
        ("refresh_token", tokens["refresh_token"].as_str().unwrap()),
    ]);
    assert_eq!(server.token(&form).await.status, StatusCode::OK);

    let (device_code, user_code) = codes(&ask(&server).await);
    let shown = browser.get(&format!("/device?user_code={user_code}")).await;
    assert_eq!(send(&mut browser, &answer(&shown, "deny")).await.status, StatusCode::SEE_OTHER);
    poll(&server, "tv", &device_code).await.assert_json_error(400, "access_denied", "denied");
}

/// P3
#[tokio::test]
async fn guessing_codes_is_stopped() {
    let server = with_devices().start().await;
    let (_, user_code) = codes(&ask(&server).await);
    let mut browser = server.browser().signed_in().await;
    for _ in 0..10 {
        let page = browser.get("/device?user_code=BCDF-GHJK").await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{}", page.body);
    }
    let right = browser.get(&format!("/device?user_code={user_code}")).await;
    assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS, "the right one comes too late");
    server.clock.advance_seconds(601);
    assert_eq!(browser.get("/device").await.status, StatusCode::OK);
}

#[tokio::test]
async fn whoever_is_not_signed_in_signs_in_first() {
    let server = with_devices().start().await;
    let no_code =
        ["", "?user_code=", "?user_code=BCDF", "?user_code=//evil.test", "?user_code=%3Cb%3E-%3Cb%3E"];
    for query in no_code {
        let answer = server.browser().get(&format!("/device{query}")).await;
        assert_eq!(answer.header("location"), Some("/login?next=/device"), "{query}");
        let page = server.browser().get(&format!("/login{query}")).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

/// P5: the code of a link, or one that was typed, is there after signing in.
#[tokio::test]
async fn the_code_is_kept_while_its_user_signs_in() {
    let server = with_devices().start().await;
    let (_, user_code) = codes(&ask(&server).await);
    let mut browser = server.browser();
    let asked = browser.get(&format!("/device?user_code={}", user_code.to_lowercase())).await;
    assert_eq!(asked.header("location").unwrap(), format!("/login?user_code={user_code}"));
    let login = browser.follow(asked).await;
    assert!(login.body.contains("connect a device"), "{}", login.body);
    let form = |code: &str| {
        Form::of(&[
            ("user_code", code),
            ("csrf", &login.input("csrf")),
            ("username", "alice"),
            ("password", crate::harness::PASSWORD),
        ])
    };
    let own = [("sec-fetch-site", "same-origin")];
    let other = browser.send(Method::POST, "/login", &own, Some(&form("BCDF-GHJK"))).await;
    assert_eq!(other.status, StatusCode::FORBIDDEN, "the form is for this code");
    let answer = browser.send(Method::POST, "/login", &own, Some(&form(&user_code))).await;
    let shown = browser.follow(answer).await;
    assert!(shown.body.contains("Television") && shown.body.contains(&user_code), "{}", shown.body);
}
