//! Signing in: passwords, sessions, cookies, throttling.

use reqwest::{Method, StatusCode, header};

use crate::harness::{Answer, Browser, Form, PASSWORD, Server, Setup, az, refresh};

fn set_cookie(answer: &Answer, name: &str) -> String {
    answer
        .headers
        .get_all(header::SET_COOKIE)
        .iter()
        .map(|value| value.to_str().unwrap().to_owned())
        .find(|cookie| cookie.starts_with(&format!("{name}=")))
        .unwrap_or_else(|| panic!("no cookie {name}: {:?}", answer.headers))
}

/// T1
#[tokio::test]
async fn guessing_is_throttled_and_locks_nobody_out() {
    let server = Server::start().await;
    let mut own = server.browser();
    let page = own.page(&az()).await;
    own.login(&page, "alice").await;

    let mut stranger = server.browser();
    let page = stranger.page(&az()).await;
    let mut refused = Vec::new();
    for _ in 0..10 {
        refused.push(stranger.submit_login(&page, "alice", "guess").await);
    }
    assert_eq!(refused[0].status, StatusCode::UNAUTHORIZED);
    let last = refused.last().unwrap();
    assert_eq!(last.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(last.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    assert!(last.body.contains("Too many wrong passwords"));
    let answer = stranger.submit_login(&page, "alice", PASSWORD).await;
    assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "even the right one");
    // the one address of these tests is shared: only the browser tells them apart
    let again = own.page(&az().with("prompt", "login")).await;
    assert_eq!(own.submit_login(&again, "alice", PASSWORD).await.status, StatusCode::SEE_OTHER);
    // and somebody else is not affected
    assert_eq!(stranger.submit_login(&page, "bob", PASSWORD).await.status, StatusCode::SEE_OTHER);

    server.clock.advance_seconds(600);
    let page = stranger.page(&az()).await;
    if page.is_login_page() {
        assert_eq!(stranger.submit_login(&page, "alice", PASSWORD).await.status, StatusCode::SEE_OTHER);
    }
}

/// A server that believes what this machine says about where requests come from.
async fn behind_a_proxy() -> Server {
    Setup { server: "trusted_proxies = [\"127.0.0.1\"]".to_owned(), ..Setup::default() }.start().await
}

/// Tries to sign in from an address.
async fn try_from(
    browser: &mut Browser<'_>,
    page: &Answer,
    address: &str,
    name: &str,
    password: &str,
) -> Answer {
    let form = Form::of(&[
        ("transaction", &page.input("transaction")),
        ("csrf", &page.input("csrf")),
        ("username", name),
        ("password", password),
    ]);
    browser.send(Method::POST, "/login", &[("x-forwarded-for", address)], Some(&form)).await
}

/// T1: from ten addresses.
#[tokio::test]
async fn guessing_from_many_addresses_is_throttled_and_locks_nobody_out() {
    let server = behind_a_proxy().await;
    let mut own = server.browser();
    let page = own.page(&az()).await;
    own.login(&page, "alice").await;

    let mut stranger = server.browser();
    let page = stranger.page(&az()).await;
    let mut guessed = 0;
    for round in 0..10 {
        for n in 1..=10 {
            let answer = try_from(&mut stranger, &page, &format!("203.0.113.{n}"), "alice", "guess").await;
            guessed += usize::from(answer.status == StatusCode::UNAUTHORIZED);
            if round == 9 {
                assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{n}");
                assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
            }
        }
    }
    assert!(guessed <= 30, "{guessed} of 100 guesses were looked at");
    let new_address = try_from(&mut stranger, &page, "198.51.100.1", "alice", PASSWORD).await;
    assert_eq!(new_address.status, StatusCode::TOO_MANY_REQUESTS, "nor from another one");
    let again = own.page(&az().with("prompt", "login")).await;
    assert_eq!(own.submit_login(&again, "alice", PASSWORD).await.status, StatusCode::SEE_OTHER);
    let bob = try_from(&mut stranger, &page, "198.51.100.1", "bob", PASSWORD).await;
    assert_eq!(bob.status, StatusCode::SEE_OTHER, "somebody else is not affected");
}

/// T3
#[tokio::test]
async fn one_password_for_many_users_is_throttled() {
    let server = behind_a_proxy().await;
    let mut stranger = server.browser();
    let page = stranger.page(&az()).await;
    let mut tried = 0;
    for n in 0..500 {
        let answer = try_from(&mut stranger, &page, "203.0.113.1", &format!("user{n}"), "Summer2026!").await;
        match answer.status {
            StatusCode::UNAUTHORIZED => tried += 1,
            status => assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{n}"),
        }
    }
    assert!(tried <= 60, "{tried} of 500");
    // not even for a name that is there and its right password
    let right = try_from(&mut stranger, &page, "203.0.113.1", "bob", PASSWORD).await;
    assert_eq!(right.status, StatusCode::TOO_MANY_REQUESTS);
    let elsewhere = try_from(&mut stranger, &page, "203.0.113.2", "bob", PASSWORD).await;
    assert_eq!(elsewhere.status, StatusCode::SEE_OTHER);
}

/// T2, as far as the answer goes.
#[tokio::test]
async fn unknown_users_and_wrong_passwords_look_the_same() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let page = browser.page(&az()).await;
    let mut answers = Vec::new();
    for (name, password) in [
        ("alice", "wrong-password"),
        ("nobody", PASSWORD),
        ("nobody", "x"),
        ("not a name!", "x"),
        ("", ""),
        ("alice", ""),
    ] {
        let answer = browser.submit_login(&page, name, password).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}");
        assert!(answer.headers.get(header::SET_COOKIE).is_none());
        let body = answer.body.replace(&format!("value=\"{name}\""), "value=\"\"");
        let mut headers = answer.headers;
        // the time of day; and the length, which is that of the name that was typed
        headers.remove("date");
        headers.remove("content-length");
        answers.push((headers, body));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

/// T2: 300 tries, known and unknown names by turns. That the one takes longer than the other must be no more certain than
/// chance: by the sum of ranks (Mann and Whitney), which no outlier moves.
#[tokio::test]
async fn unknown_users_take_as_long_as_known_ones() {
    const TRIES: usize = 150;
    let server = Server::start().await;
    let mut browser = server.browser();
    let mut page = browser.page(&az()).await;
    let mut times = Vec::new();
    for round in 0..TRIES {
        if round % 4 == 0 {
            // so that no limit is met, and the page is not over
            server.clock.advance_seconds(600);
            page = browser.page(&az()).await;
        }
        let mut order = [("alice", true), ("nobody", false)];
        order.rotate_left(round % 2);
        for (name, known) in order {
            let started = std::time::Instant::now();
            let answer = browser.submit_login(&page, name, "wrong-password").await;
            times.push((started.elapsed(), known));
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        }
    }
    times.sort_unstable();
    let ranks: usize = times.iter().zip(1..).filter(|((_, known), _)| *known).map(|(_, rank)| rank).sum();
    let (n, sum) = (f64::from(u32::try_from(TRIES).unwrap()), f64::from(u32::try_from(ranks).unwrap()));
    let expected = n * (2.0 * n + 1.0) / 2.0;
    let deviation = (n * n * (2.0 * n + 1.0) / 12.0).sqrt();
    let z = (sum - expected) / deviation;
    assert!(z.abs() < 4.0, "{z} deviations; fastest {:?}, slowest {:?}", times[0], times[2 * TRIES - 1]);
}

/// T5
#[tokio::test]
async fn passwords_that_are_too_long_are_not_hashed() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let page = browser.page(&az()).await;
    browser.submit_login(&page, "alice", &"x".repeat(129)).await.assert_page400("129");
    let answer = browser.submit_login(&page, "alice", &"x".repeat(1 << 20)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(browser.submit_login(&page, "alice", &"x".repeat(128)).await.status, StatusCode::UNAUTHORIZED);
}

/// T5
#[tokio::test]
async fn many_sign_ins_at_once_hold_up_nobody_else() {
    let server = behind_a_proxy().await;
    let tokens = server.tokens().await;
    let mut browser = server.browser();
    let page = browser.page(&az()).await;
    let cookies: Vec<_> = browser.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut attempts = tokio::task::JoinSet::new();
    for n in 0..200 {
        let form = Form::of(&[
            ("transaction", &page.input("transaction")),
            ("csrf", &page.input("csrf")),
            ("username", &format!("user{n}")),
            ("password", "wrong-password"),
        ]);
        let request = server
            .http
            .post(format!("{}/login", server.at))
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", cookies.join("; "))
            .header("x-forwarded-for", format!("203.0.113.{n}"))
            .body(form.encoded());
        attempts.spawn(async move { request.send().await.unwrap().status() });
    }
    // the first has its answer, and most are still to come
    let first = attempts.join_next().await.unwrap().unwrap();
    assert_eq!(first, StatusCode::UNAUTHORIZED);
    let mut refreshing = tokens["refresh_token"].as_str().unwrap().to_owned();
    for _ in 0..3 {
        let answer = server.token(&refresh(&refreshing)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()["refresh_token"].as_str().unwrap().clone_into(&mut refreshing);
        assert_eq!(server.get("/oauth2/jwks").await.status, StatusCode::OK);
    }
    while attempts.try_join_next().is_some() {}
    assert!(!attempts.is_empty(), "others are served while passwords are hashed");
    for status in attempts.join_all().await {
        // a machine that is busy otherwise may not get to the last ones in time
        assert!(matches!(status, StatusCode::UNAUTHORIZED | StatusCode::SERVICE_UNAVAILABLE), "{status}");
    }
}

/// T6
#[tokio::test]
async fn cookies_over_tls_are_bound_to_the_host() {
    let server = Setup { issuer: Some("https://as.test".to_owned()), ..Setup::default() }.start().await;
    let mut browser = server.browser();
    let first = browser.authorize(&az()).await;
    let browser_cookie = set_cookie(&first, "__Host-mcp-auth-browser");
    let page = browser.follow(first).await;
    let answer = browser.submit_login(&page, "alice", PASSWORD).await;
    let session_cookie = set_cookie(&answer, "__Host-mcp-auth-session");
    for cookie in [browser_cookie, session_cookie] {
        for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(cookie.split("; ").any(|part| part == attribute), "{attribute}: {cookie}");
        }
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
}

/// T6
#[tokio::test]
async fn cookies_on_plain_loopback_are_neither_secure_nor_host_bound() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let page = browser.page(&az()).await;
    let answer = browser.submit_login(&page, "alice", PASSWORD).await;
    let cookie = set_cookie(&answer, "mcp-auth-session");
    assert!(
        !cookie.contains("Secure") && cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
}

/// T6, T7
#[tokio::test]
async fn the_session_id_changes_at_every_sign_in_and_the_old_one_is_dead() {
    let server = Server::start().await;
    let mut browser = server.browser();
    browser.cookies.insert("mcp-auth-session".to_owned(), "A".repeat(43));
    let page = browser.page(&az()).await;
    assert!(page.is_login_page(), "a planted id is no session");
    browser.login(&page, "alice").await;
    let first = browser.cookies["mcp-auth-session"].clone();
    assert_ne!(first, "A".repeat(43));
    let page = browser.page(&az().with("prompt", "login")).await;
    browser.login(&page, "alice").await;
    assert_ne!(browser.cookies["mcp-auth-session"], first);
    browser.cookies.insert("mcp-auth-session".to_owned(), first);
    assert!(browser.page(&az()).await.is_login_page());
}

/// T7
#[tokio::test]
async fn a_session_is_over_after_signing_out_and_after_its_time() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let page = browser.consent_page(&az()).await;
    let cookies = browser.cookies.clone();
    let switched = browser.decide(&page, "switch").await;
    assert!(!browser.cookies.contains_key("mcp-auth-session"));
    assert!(browser.follow(switched).await.is_login_page());
    browser.cookies = cookies;
    assert!(browser.page(&az()).await.is_login_page(), "the old cookie");

    let mut browser = server.browser().signed_in().await;
    server.clock.advance_seconds(12 * 3600);
    assert!(browser.page(&az()).await.is_login_page(), "twelve hours later");
}

/// T8
#[tokio::test]
async fn signing_in_leads_to_the_pending_request_and_nowhere_else() {
    let server = Server::start().await;
    for next in ["//evil", "/\\evil", "https:evil", "%2f%2fevil", "javascript:alert(1)", "/ok?x=https://evil"]
    {
        let mut browser = server.browser();
        let page = browser.page(&az()).await;
        let transaction = page.input("transaction");
        let form = Form::of(&[
            ("transaction", &transaction),
            ("csrf", &page.input("csrf")),
            ("username", "alice"),
            ("password", PASSWORD),
            ("next", next),
            ("return_to", next),
        ]);
        let answer = browser.send(Method::POST, "/login", &[], Some(&form)).await;
        assert_eq!(
            answer.header("location"),
            Some(&*format!("/consent?transaction={transaction}")),
            "{next}"
        );
        let broken = form.with("transaction", next);
        browser.send(Method::POST, "/login", &[], Some(&broken)).await.assert_page400(next);
    }
}

/// T14, T17
#[tokio::test]
async fn a_sign_in_form_belongs_to_the_browser_that_asked_for_it() {
    let server = Server::start().await;
    let mut attacker = server.browser();
    let page = attacker.page(&az()).await;
    let mut victim = server.browser();
    let victims = victim.page(&az()).await;
    let answer = victim.submit_login(&page, "alice", PASSWORD).await;
    answer.assert_page400("the attacker's transaction");
    let form = |csrf: &str| {
        Form::of(&[
            ("transaction", &victims.input("transaction")),
            ("csrf", csrf),
            ("username", "alice"),
            ("password", PASSWORD),
        ])
    };
    let own = victims.input("csrf");
    for (case, headers, csrf) in [
        ("the attacker's token", &[][..], page.input("csrf")),
        ("no token", &[], String::new()),
        ("cross-site", &[("sec-fetch-site", "cross-site")], own.clone()),
        ("Origin", &[("origin", "https://evil.test")], own.clone()),
    ] {
        let answer = victim.send(Method::POST, "/login", headers, Some(&form(&csrf))).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{case}");
        assert!(!victim.cookies.contains_key("mcp-auth-session"), "{case}");
    }
    let answer = victim.send(Method::POST, "/login", &[], Some(&form(&own))).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
}

/// T16
#[tokio::test]
async fn a_forwarded_address_is_not_believed() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let page = browser.page(&az()).await;
    let mut last = StatusCode::OK;
    for n in 0..10 {
        let form = Form::of(&[
            ("transaction", &page.input("transaction")),
            ("csrf", &page.input("csrf")),
            ("username", "alice"),
            ("password", "guess"),
        ]);
        let address = format!("203.0.113.{n}");
        last =
            browser.send(Method::POST, "/login", &[("x-forwarded-for", &address)], Some(&form)).await.status;
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
}

/// T16: behind a proxy that the operator names, the address behind it counts.
#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let setup = Setup { server: "trusted_proxies = [\"127.0.0.1\"]".to_owned(), ..Setup::default() };
    let server = setup.start().await;
    let mut browser = server.browser();
    let page = browser.page(&az()).await;
    let form = Form::of(&[
        ("transaction", &page.input("transaction")),
        ("csrf", &page.input("csrf")),
        ("username", "alice"),
        ("password", "guess"),
    ]);
    let mut statuses = Vec::new();
    for (n, address) in
        [("203.0.113.1", 10), ("203.0.113.2", 1), ("198.51.100.1, 203.0.113.1", 1)].iter().enumerate()
    {
        for _ in 0..address.1 {
            let headers = [("x-forwarded-for", address.0)];
            statuses.push((n, browser.send(Method::POST, "/login", &headers, Some(&form)).await.status));
        }
    }
    assert_eq!(statuses[9], (0, StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(statuses[10], (1, StatusCode::UNAUTHORIZED), "another address");
    assert_eq!(statuses[11], (2, StatusCode::TOO_MANY_REQUESTS), "what the stranger wrote is not read");
}

#[tokio::test]
async fn names_are_found_in_any_case() {
    let server = Server::start().await;
    let mut browser: Browser<'_> = server.browser();
    let page = browser.page(&az()).await;
    assert_eq!(browser.submit_login(&page, " Alice", PASSWORD).await.status, StatusCode::SEE_OTHER);
}
