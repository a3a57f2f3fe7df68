//! Consent: what the page says, and who may answer it.

use reqwest::{Method, StatusCode};

use crate::harness::{Browser, Form, R2, Server, Setup, az, redeem};

async fn submit(browser: &mut Browser<'_>, headers: &[(&str, &str)], form: &Form) -> crate::harness::Answer {
    browser.send(Method::POST, "/consent", headers, Some(form)).await
}

/// I1, T14
#[tokio::test]
async fn only_the_own_page_can_answer() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let page = browser.consent_page(&az()).await;
    let form = Browser::decision(&page, "allow");
    let mut other = server.browser();
    let foreign = other.consent_page(&az()).await.input("csrf");
    for (case, headers, form) in [
        ("no token", &[][..], form.clone().without("csrf")),
        ("empty token", &[], form.clone().with("csrf", "")),
        ("another session's token", &[], form.clone().with("csrf", &foreign)),
        ("two tokens", &[], form.clone().and("csrf", &foreign)),
        ("Origin", &[("origin", "https://evil.test")], form.clone()),
        ("Origin of another scheme", &[("origin", "https://127.0.0.1")], form.clone()),
        ("cross-site", &[("sec-fetch-site", "cross-site")], form.clone()),
        ("same-site", &[("sec-fetch-site", "same-site")], form.clone()),
    ] {
        let answer = submit(&mut browser, headers, &form).await;
        assert!(matches!(answer.status.as_u16(), 400 | 403), "{case}: {}", answer.status);
        assert!(answer.header("location").is_none(), "{case}");
    }
    let as_query = browser.get(&format!("/consent?{}", form.encoded())).await;
    assert!(as_query.is_consent_page(), "a GET decides nothing");
    // the right one still works, so the transaction was not touched
    let issuer = server.issuer.clone();
    let answer = submit(&mut browser, &[("origin", &issuer), ("sec-fetch-site", "same-origin")], &form).await;
    assert!(answer.callback().contains_key("code"));
}

/// I2
#[tokio::test]
async fn another_users_transaction_cannot_be_answered() {
    let server = Server::start().await;
    let mut alice = server.browser();
    let alices = alice.consent_page(&az()).await;
    let mut bob = server.browser();
    let bobs = bob.consent_page_of(&az(), "bob").await;
    let transaction = alices.input("transaction");
    let stolen = Browser::decision(&bobs, "allow").with("transaction", &transaction);
    submit(&mut bob, &[], &stolen).await.assert_page400("bob posts");
    bob.get(&format!("/consent?transaction={transaction}")).await.assert_page400("bob looks");
    server.browser().get(&format!("/login?transaction={transaction}")).await.assert_page400("nobody looks");
    assert!(alice.decide(&alices, "allow").await.callback().contains_key("code"));
}

/// I2: in the same browser, after another user signed in.
#[tokio::test]
async fn a_page_shown_to_one_user_cannot_be_answered_by_the_next() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let alices = browser.consent_page(&az()).await;
    let switched = browser.decide(&alices, "switch").await;
    let login = browser.follow(switched).await;
    assert!(login.is_login_page(), "{}", login.body);
    let bobs = browser.login(&login, "bob").await;
    assert!(bobs.body.contains("<strong>bob</strong>"));
    let answer = browser.decide(&alices, "allow").await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(browser.decide(&bobs, "allow").await.callback().contains_key("code"));
}

/// I3, I17
#[tokio::test]
async fn a_form_adds_nothing_to_the_request() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let page = browser.consent_page(&az()).await;
    let form = Browser::decision(&page, "allow")
        .with("scope", "mcp:read mcp:write")
        .with("resource", R2)
        .with("client_id", "pub2")
        .with("redirect_uri", "https://evil.test/cb")
        .with("state", "other");
    let answer = submit(&mut browser, &[], &form).await;
    assert!(answer.header("location").unwrap().starts_with("https://app.test/cb?"));
    let callback = answer.callback();
    assert_eq!(callback["state"], "s1");
    assert_eq!(server.token(&redeem(&callback["code"])).await.json()["scope"], "mcp:read");
}

/// I17
#[tokio::test]
async fn parameters_in_the_url_of_a_step_change_nothing() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let page = browser.consent_page(&az()).await;
    let path = format!("/consent?transaction={}&client_id=pub2&scope=mcp:write", page.input("transaction"));
    let again = browser.get(&path).await;
    assert!(again.body.contains("Public One") && !again.body.contains("Change your notes"));
}

/// I4
#[tokio::test]
async fn a_transaction_is_answered_once() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let page = browser.consent_page(&az()).await;
    assert!(browser.decide(&page, "allow").await.callback().contains_key("code"));
    for decision in ["allow", "deny"] {
        browser.decide(&page, decision).await.assert_page400(decision);
    }
}

#[tokio::test]
async fn a_transaction_ends_after_a_quarter_of_an_hour() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let page = browser.consent_page(&az()).await;
    server.clock.advance_seconds(15 * 60);
    browser.decide(&page, "allow").await.assert_page400("late");
}

/// I5
#[tokio::test]
async fn denying_stores_nothing() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let page = browser.consent_page(&az()).await;
    browser.decide(&page, "deny").await.assert_error_redirect(&server, "access_denied", "deny");
    browser.decide(&page, "allow").await.assert_page400("after all");
    // and it is asked again
    browser.consent_page(&az()).await;
}

/// I6, I7, I8, I15
#[tokio::test]
async fn an_earlier_consent_stands_only_for_the_same_and_checked() {
    let server = Server::start().await;
    let mut browser = server.browser();
    browser.code(&az()).await;
    let same = browser.page(&az()).await;
    assert!(same.callback().contains_key("code"), "asked for the same again");
    for (case, az) in [
        ("more scopes", az().with("scope", "mcp:read mcp:write")),
        ("another resource", az().with("resource", R2).with("scope", "other:read")),
        ("loopback", az().with("redirect_uri", "http://127.0.0.1:7/cb")),
        ("prompt=consent", az().with("prompt", "consent")),
        ("another client", az().with("client_id", "pub2").with("redirect_uri", "https://two.test/cb")),
    ] {
        assert!(browser.page(&az).await.is_consent_page(), "{case}");
    }
    let loopback = az().with("redirect_uri", "http://127.0.0.1:7/cb");
    browser.code(&loopback).await;
    assert!(browser.page(&loopback).await.is_consent_page(), "loopback, again");

    let first = server.registered("https://dcr.test/cb").await;
    let registered = |id: &str| az().with("client_id", id).with("redirect_uri", "https://dcr.test/cb");
    browser.code(&registered(&first)).await;
    assert!(browser.page(&registered(&first)).await.is_consent_page(), "registered itself, again");
    let second = server.registered("https://dcr.test/cb").await;
    assert!(browser.page(&registered(&second)).await.is_consent_page(), "same name, another client");

    let mut bob = server.browser();
    let page = bob.consent_page_of(&az(), "bob").await;
    assert!(page.is_consent_page(), "another user");
}

/// I15
#[tokio::test]
async fn a_client_can_ask_for_a_fresh_sign_in() {
    let server = Server::start().await;
    let mut browser = server.browser().signed_in().await;
    for az in [
        az().with("prompt", "login"),
        az().with("prompt", "select_account"),
        az().with("prompt", "login consent"),
        az().with("max_age", "0"),
    ] {
        let page = browser.page(&az).await;
        assert!(page.is_login_page(), "{az:?}");
        // going straight to the next step does not help
        let skipped = browser.get(&format!("/consent?transaction={}", page.input("transaction"))).await;
        assert_eq!(
            skipped.header("location"),
            Some(&*format!("/login?transaction={}", page.input("transaction")))
        );
        let page = browser.login(&page, "alice").await;
        assert!(page.is_consent_page(), "{az:?}: once is enough: {}", page.body);
    }
    server.clock.advance_seconds(100);
    assert!(browser.page(&az().with("max_age", "100")).await.is_login_page());
    let mut fresh = server.browser().signed_in().await;
    assert!(fresh.page(&az().with("max_age", "100")).await.is_consent_page());
}

/// I9, V1
#[tokio::test]
async fn every_page_has_its_guards() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let login = browser.page(&az()).await;
    let wrong = browser.submit_login(&login, "alice", "wrong").await;
    let consent = browser.login(&login, "alice").await;
    let error = browser.authorize(&az().with("client_id", "nope")).await;
    let id = server.registered("https://dcr.test/cb").await;
    let leave = az().with("client_id", &id).with("redirect_uri", "https://dcr.test/cb").with("scope", "x");
    let leave = server.browser().authorize(&leave).await;
    assert!(login.is_login_page() && wrong.is_login_page() && consent.is_consent_page());
    for page in [&login, &wrong, &consent, &error, &leave] {
        let csp = page.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'self'"] {
            assert!(csp.contains(part), "{csp}");
        }
        assert!(!csp.contains("unsafe") && !csp.contains("form-action"), "{csp}");
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("strict-transport-security"), None);
        assert!(
            !page.body.contains("<script") && !page.body.contains("<style") && !page.body.contains(" style=")
        );
        // I14: nothing is loaded from anywhere else
        assert!(!page.body.contains("src=") && !page.body.contains("url("));
    }
    let style = browser.get("/assets/style.css").await;
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
    assert!(!style.body.contains("url(") && !style.body.contains("@import"));

    let tls = Setup { issuer: Some("https://as.test".to_owned()), ..Setup::default() }.start().await;
    let page = tls.browser().authorize(&az()).await;
    assert!(page.header("strict-transport-security").is_some());
}

/// I11, I13, I16
#[tokio::test]
async fn what_strangers_wrote_is_shown_harmless() {
    let server = Server::start().await;
    for (name, shown) in [
        ("<script>alert(1)</script>", Some("&#60;script&#62;alert(1)&#60;/script&#62;")),
        ("\\\"><img src=x onerror=1>", Some("&#34;&#62;&#60;img")),
        ("{{7*7}}", Some("{{7*7}}")),
        ("${7*7}", Some("${7*7}")),
        ("Cla\\u202Eu\\u200Bde", Some("<q>Claude</q>")),
        ("Claude\\u0000", Some("<q>Claude</q>")),
        ("A\\nB", Some("<q>A B</q>")),
        ("\\u200B", Some("<q>Unnamed app</q>")),
    ] {
        let body = format!(
            r#"{{"client_name":"{name}","redirect_uris":["https://dcr.test/cb"],"token_endpoint_auth_method":"none"}}"#
        );
        let client = server.register(&body).await.json();
        let az = az()
            .with("client_id", client["client_id"].as_str().unwrap())
            .with("redirect_uri", "https://dcr.test/cb")
            .with("login_hint", "\"><b>hint</b>");
        let mut browser = server.browser();
        let login = browser.page(&az).await;
        let consent = browser.login(&login, "alice").await;
        let leave = server.browser().authorize(&az.with("scope", "x")).await;
        for page in [&login, &consent, &leave] {
            for raw in ["<script", "<img", "<b>", "\u{202E}", "\u{200B}", "\u{0}"] {
                assert!(!page.body.contains(raw), "{name}: {raw}");
            }
            if let Some(shown) = shown {
                assert!(page.body.contains(shown), "{name}: {}", page.body);
            }
        }
    }
    let long = format!(
        r#"{{"client_name":"{}","redirect_uris":["https://b\u00fccher.test/cb"],"token_endpoint_auth_method":"none"}}"#,
        "L".repeat(5000)
    );
    server.register(&long).await.assert_json_error(400, "invalid_redirect_uri", "IDN in Unicode");
    let long = long.replace("b\\u00fccher", "xn--bcher-kva");
    let client = server.register(&long).await.json();
    assert_eq!(client["client_name"].as_str().unwrap().len(), 100);
    let az = az()
        .with("client_id", client["client_id"].as_str().unwrap())
        .with("redirect_uri", "https://xn--bcher-kva.test/cb");
    let page = server.browser().consent_page(&az).await;
    assert!(page.body.contains("<strong>xn--bcher-kva.test</strong>"), "{}", page.body);
}

/// I18, K28
#[tokio::test]
async fn the_page_says_who_asks_for_what_and_where_the_answer_goes() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let page = browser.consent_page(&az().with("scope", "mcp:read mcp:write offline_access")).await;
    for words in [
        "<q>Public One</q>",
        "added by your administrator",
        "You will be sent to <strong>app.test</strong>",
        "<strong>Notes</strong>",
        "https://gw.test/mcp",
        "Read your notes",
        "<code>mcp:read</code>",
        "Change your notes",
        "Stay signed in",
        "<strong>alice</strong>",
        "Use another account",
        "name=\"decision\" value=\"deny\"",
    ] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    assert!(!page.body.contains("autofocus"));
    let loopback = az().with("redirect_uri", "http://localhost:61234/callback");
    let page = server.browser().page(&loopback).await;
    assert!(page.body.contains("app on this computer (<strong>localhost</strong>)"), "{}", page.body);
    let page = browser.consent_page(&loopback).await;
    assert!(page.body.contains("<strong>localhost</strong>"), "{}", page.body);
    assert!(page.body.contains("app on this computer") && page.body.contains("port 61234"), "{}", page.body);

    let id = server.registered("http://localhost:3/callback").await;
    let registered = az().with("client_id", &id).with("redirect_uri", "http://localhost:4/callback");
    let page = browser.consent_page(&registered).await;
    assert!(
        page.body.contains("registered itself on 2027-01-15") && page.body.contains("Nobody has checked")
    );
    assert!(page.body.contains("app on this computer"));
}
