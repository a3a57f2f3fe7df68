//! Consent: what the page says, and who may answer it.

use reqwest::{Method, StatusCode};

use crate::harness::{Browser, Form, R2, Server, az, redeem};

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

/// I3
#[tokio::test]
async fn only_what_is_ticked_is_granted() {
    let server = Server::start().await;
    let wide = az().with("scope", "mcp:read mcp:write offline_access");
    let boxes = |page: &crate::harness::Answer, ticked: &[&str]| {
        let form = Browser::decision(page, "allow");
        // all of them empty is told from a form without boxes by this
        let form = if ticked.is_empty() { form.and("boxes", &page.input("boxes")) } else { form };
        ticked.iter().fold(form, |form, scope| form.and(&format!("scope:{scope}"), "1"))
    };
    for (case, ticked) in [
        ("not asked for", &["mcp:read", "mcp:admin"][..]),
        ("of another resource", &["mcp:read", "other:read"]),
        ("not optional", &["mcp:read", "offline_access"]),
        ("two in one", &["mcp:read mcp:write"]),
        ("nothing", &[]),
    ] {
        let mut browser = server.browser();
        let page = browser.consent_page(&wide).await;
        for scope in ["mcp:read", "mcp:write"] {
            assert!(page.body.contains(&format!("name=\"scope:{scope}\" value=\"1\"")), "{}", page.body);
        }
        let answer = submit(&mut browser, &[], &boxes(&page, ticked)).await;
        answer.assert_page400(case);
        assert_eq!(answer.is_consent_page(), case == "nothing", "{case}: {}", answer.body);
        // the request still stands, and nothing was granted
        let answer = submit(&mut browser, &[], &boxes(&page, &["mcp:write"])).await;
        let tokens = server.token(&redeem(&answer.callback()["code"])).await.json();
        assert_eq!(tokens["scope"], "mcp:write offline_access");
        assert_eq!(crate::harness::claims(tokens["access_token"].as_str().unwrap())["scope"], "mcp:write");
        let wider =
            crate::harness::refresh(tokens["refresh_token"].as_str().unwrap()).with("scope", "mcp:read");
        server.token(&wider).await.assert_json_error(400, "invalid_scope", case);
    }
}

/// I3: what was left out was not consented to.
#[tokio::test]
async fn what_was_not_ticked_is_asked_again() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let wide = az().with("scope", "mcp:read mcp:write");
    let page = browser.consent_page(&wide).await;
    let form = Browser::decision(&page, "allow").and("boxes", "shown").and("scope:mcp:read", "1");
    assert!(submit(&mut browser, &[], &form).await.callback().contains_key("code"));
    assert!(browser.page(&az()).await.callback().contains_key("code"), "the part that was allowed");
    assert!(browser.page(&wide).await.is_consent_page());
}

/// H13
#[tokio::test]
async fn only_new_permissions_are_marked_and_the_old_ones_stay() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let new = "<span class=\"new\">new</span>";
    let page = browser.consent_page(&az()).await;
    assert!(!page.body.contains(new), "a first consent: {}", page.body);
    browser.decide(&page, "allow").await;
    let page = browser.consent_page(&az().with("scope", "mcp:read mcp:write")).await;
    assert!(page.body.contains(&format!("Change your notes {new}")), "{}", page.body);
    assert!(page.body.contains("Read your notes <code>"), "{}", page.body);
    let code = browser.decide(&page, "allow").await.callback()["code"].clone();
    assert_eq!(server.token(&redeem(&code)).await.json()["scope"], "mcp:read mcp:write");
    // what bob allowed is nothing to alice
    let page = server.browser().consent_page_of(&az().with("scope", "mcp:write"), "bob").await;
    assert!(!page.body.contains(new));
}

/// I3, I17: a program that fills in no boxes gets what was asked for, and no more.
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
