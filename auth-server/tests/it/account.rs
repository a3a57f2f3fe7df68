//! The account page: connected apps, sessions, the password.

use reqwest::{Method, StatusCode};

use crate::harness::{Answer, Browser, Form, PASSWORD, R1, Server, Setup, az, redeem, refresh};

const NEW: &str = "another horse entirely";

async fn account(browser: &mut Browser<'_>) -> Answer {
    let path = format!("{}/account", browser.server.prefix);
    let page = browser.get(&path).await;
    assert!(page.body.contains("<h1>Your account</h1>"), "{} {}", page.status, page.body);
    page
}

async fn act(browser: &mut Browser<'_>, page: &Answer, action: &str, field: (&str, &str)) -> Answer {
    let form = Form::of(&[("csrf", &page.input("csrf")), ("action", action), field]);
    browser.send(Method::POST, "/account", &[("sec-fetch-site", "same-origin")], Some(&form)).await
}

/// The values of all hidden inputs of a name.
fn inputs(page: &Answer, name: &str) -> Vec<String> {
    let mark = format!("name=\"{name}\" value=\"");
    page.body.split(&mark).skip(1).map(|rest| rest[..rest.find('"').unwrap()].to_owned()).collect()
}

/// The tokens that `az` brings the user of this browser.
async fn tokens(browser: &mut Browser<'_>, az: &Form) -> serde_json::Value {
    let code = browser.code(az).await;
    let parameter = |name: &str| az.0.iter().find(|(own, _)| own == name).unwrap().1.clone();
    let form = redeem(&code)
        .with("client_id", &parameter("client_id"))
        .with("redirect_uri", &parameter("redirect_uri"));
    let answer = browser.server.token(&form).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json()
}

async fn refreshes(server: &Server, tokens: &serde_json::Value, client_id: &str) -> bool {
    let form = refresh(tokens["refresh_token"].as_str().unwrap()).with("client_id", client_id);
    let answer = server.token(&form).await;
    if answer.status != StatusCode::OK {
        answer.assert_json_error(400, "invalid_grant", client_id);
    }
    answer.status == StatusCode::OK
}

/// T8: signing in leads to pages of this server that it knows, and back to the one that was asked for.
#[tokio::test]
async fn signing_in_leads_to_the_page_that_was_asked_for() {
    for issuer in [None, Some("https://as.test/t1".to_owned())] {
        let server = Setup { issuer, ..Setup::default() }.start().await;
        let at = |path: &str| format!("{}{path}", server.prefix);
        for place in ["/account", "/account/password"] {
            let mut browser = server.browser();
            let answer = browser.get(&at(place)).await;
            assert_eq!(answer.header("location"), Some(&*at(&format!("/login?next={place}"))));
            let page = browser.follow(answer).await;
            assert!(page.is_login_page() && page.body.contains("your account"), "{}", page.body);
            assert_eq!(page.input("next"), place);
            let form = |next: &str, csrf: &str| {
                Form::of(&[("next", next), ("csrf", csrf), ("username", "alice"), ("password", PASSWORD)])
            };
            let csrf = page.input("csrf");
            for next in [
                "//evil",
                "/\\evil",
                "https:evil",
                "%2f%2fevil",
                "javascript:alert(1)",
                "/ok?x=https://evil",
                "/account/../evil",
                "/consent",
            ] {
                browser.get(&format!("{}?next={next}", at("/login"))).await.assert_page400(next);
                let answer = browser.send(Method::POST, &at("/login"), &[], Some(&form(next, &csrf))).await;
                answer.assert_page400(next);
            }
            // the token is for this page, this browser and no request
            let other = if place == "/account" { "/account/password" } else { "/account" };
            for (case, form) in [
                ("another page", form(other, &csrf)),
                ("no token", form(place, "")),
                (
                    "another browser",
                    form(place, &{
                        let mut other = server.browser();
                        other.get(&format!("{}?next={place}", at("/login"))).await.input("csrf")
                    }),
                ),
            ] {
                let answer = browser.send(Method::POST, &at("/login"), &[], Some(&form)).await;
                assert_eq!(answer.status, StatusCode::FORBIDDEN, "{case}");
            }
            let answer = browser.send(Method::POST, &at("/login"), &[], Some(&form(place, &csrf))).await;
            assert_eq!(
                (answer.status, answer.header("location")),
                (StatusCode::SEE_OTHER, Some(&*at(place)))
            );
            assert_eq!(browser.get(&at(place)).await.status, StatusCode::OK);
            let again = browser.get(&format!("{}?next={place}", at("/login"))).await;
            assert_eq!(again.header("location"), Some(&*at(place)), "signed in already");
        }
        let well_known = server.get("/.well-known/change-password").await;
        assert_eq!(well_known.header("location"), Some(&*at("/account/password")));
    }
}

/// M6, as far as this server decides; G11.
#[tokio::test]
async fn a_removed_app_stops_and_must_ask_again() {
    let server = Server::start().await;
    let mut alice = server.browser();
    let first = tokens(&mut alice, &az()).await;
    let second = tokens(&mut alice, &az().with("prompt", "consent")).await;
    let two = az().with("client_id", "pub2").with("redirect_uri", "https://two.test/cb");
    let other = tokens(&mut alice, &two).await;
    server.clock.advance_seconds(86_400 / 2 - 60);
    assert!(refreshes(&server, &first, "pub1").await);
    let page = account(&mut alice).await;
    let grants = inputs(&page, "grant");
    assert_eq!(grants.len(), 3, "one for each time that it was allowed: {}", page.body);
    assert_eq!(page.body.matches("<h3").count(), 2, "one heading for each app");
    for words in [
        "Public One",
        "verified by your administrator",
        "<strong>Notes</strong> <code>https://gw.test/mcp</code>",
        "Read your notes",
        "2027-01-15, until 2027-07-14",
        "2027-01-15 19:59 UTC from 127.0.0.1",
        "<dd>app.test</dd>",
        "stops within seconds",
    ] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }

    // the newest first: of pub1, the second grant
    let headings = page.body.find("Public One").unwrap() < page.body.find("pub2").unwrap();
    let of_pub1 = if headings { &grants[..2] } else { &grants[1..] };
    let answer = act(&mut alice, &page, "remove", ("grant", &of_pub1[1])).await;
    assert_eq!(answer.header("location"), Some("/account?done=removed"));
    let page = alice.follow(answer).await;
    assert!(page.body.contains("The app was removed. What it still holds stops within seconds."));
    assert!(!inputs(&page, "grant").contains(&of_pub1[1]));
    let working = [
        refreshes(&server, &first, "pub1").await,
        refreshes(&server, &second, "pub1").await,
        refreshes(&server, &other, "pub2").await,
    ];
    assert_eq!(working.iter().filter(|works| **works).count(), 2, "that grant alone: {working:?}");
    assert!(working[2]);
    assert!(alice.page(&az()).await.is_consent_page(), "it must ask again");
    assert!(alice.page(&two).await.callback().contains_key("code"), "the other need not");
    let again = act(&mut alice, &page, "remove", ("grant", &of_pub1[1])).await;
    assert_eq!(again.status, StatusCode::NOT_FOUND, "twice");
}

/// T13
#[tokio::test]
async fn what_is_somebody_elses_does_not_exist() {
    let server = Server::start().await;
    let mut bob = server.browser();
    let page = bob.consent_page_of(&az(), "bob").await;
    let code = bob.decide(&page, "allow").await.callback()["code"].clone();
    let tokens = server.token(&redeem(&code)).await.json();
    let bobs = account(&mut bob).await;
    let mut alice = server.browser().signed_in().await;
    let page = account(&mut alice).await;
    assert!(inputs(&page, "grant").is_empty() && page.body.contains("No app has access"));
    for (action, name) in [("remove", "grant"), ("end-session", "session")] {
        for value in [&bobs.input(name), "", "0", "' OR 1=1--"] {
            let answer = act(&mut alice, &page, action, (name, value)).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{action} {value}");
        }
    }
    assert_eq!(act(&mut alice, &page, "remove-unused", ("x", "")).await.status, StatusCode::SEE_OTHER);
    assert_eq!(act(&mut alice, &page, "end-sessions", ("x", "")).await.status, StatusCode::SEE_OTHER);
    assert!(refreshes(&server, &tokens, "pub1").await);
    assert_eq!(inputs(&account(&mut bob).await, "session").len(), 1);
}

/// T14
#[tokio::test]
async fn every_form_of_the_account_needs_its_own_token() {
    let server = Server::start().await;
    let mut alice = server.browser();
    let tokens = tokens(&mut alice, &az()).await;
    let page = account(&mut alice).await;
    let mut bob = server.browser();
    let login = bob.page(&az()).await;
    bob.login(&login, "bob").await;
    let foreign = account(&mut bob).await.input("csrf");
    let own = page.input("csrf");
    let (grant, session) = (page.input("grant"), page.input("session"));
    let password = alice.get("/account/password").await;
    let passwords = [("current", PASSWORD), ("new", NEW), ("again", NEW)];
    for (path, own, fields) in [
        ("/account", &own, vec![("action", "remove"), ("grant", &*grant)]),
        ("/account", &own, vec![("action", "remove-unused")]),
        ("/account", &own, vec![("action", "end-session"), ("session", &*session)]),
        ("/account", &own, vec![("action", "end-sessions")]),
        ("/account", &own, vec![("action", "sign-out")]),
        ("/account/password", &password.input("csrf"), passwords.to_vec()),
    ] {
        let form = Form::of(&fields);
        for (case, headers, form) in [
            ("no token", &[][..], form.clone()),
            ("empty token", &[], form.clone().with("csrf", "")),
            ("bob's token", &[], form.clone().with("csrf", &foreign)),
            (
                "the other page's token",
                &[],
                form.clone().with("csrf", &{
                    if path == "/account" { password.input("csrf") } else { page.input("csrf") }
                }),
            ),
            ("cross-site", &[("sec-fetch-site", "cross-site")], form.clone().with("csrf", own)),
            ("same-site", &[("sec-fetch-site", "same-site")], form.clone().with("csrf", own)),
            ("Origin", &[("origin", "https://evil.test")], form.clone().with("csrf", own)),
        ] {
            let answer = alice.send(Method::POST, path, headers, Some(&form)).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {fields:?} {case}: {}", answer.body);
        }
        // a GET does nothing
        let query = form.with("csrf", own).encoded();
        assert_eq!(alice.get(&format!("{path}?{query}")).await.status, StatusCode::OK);
        // and nobody who is not signed in does anything
        let stranger = server.browser().send(Method::POST, path, &[], Some(&Form::of(&fields))).await;
        assert!(stranger.header("location").unwrap().starts_with("/login?next=/account"), "{stranger:?}");
    }
    assert!(refreshes(&server, &tokens, "pub1").await);
    assert_eq!(inputs(&account(&mut alice).await, "session").len(), 1);
    let nonsense = act(&mut alice, &page, "everything", ("x", "")).await;
    assert_eq!(nonsense.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_was_not_used_for_long_goes_together() {
    let setup = Setup {
        more: "[sessions]\nlifetime_seconds = 7776000\n[tokens]\nrefresh_token_idle_seconds = 31536000\n"
            .to_owned(),
        ..Setup::default()
    };
    let server = setup.start().await;
    let mut alice = server.browser();
    let unused = tokens(&mut alice, &az()).await;
    let used =
        tokens(&mut alice, &az().with("client_id", "pub2").with("redirect_uri", "https://two.test/cb")).await;
    server.clock.advance_seconds(86_400);
    assert!(refreshes(&server, &used, "pub2").await);
    server.clock.advance_seconds(89 * 86_400 - 1);
    let page = account(&mut alice).await;
    assert!(!page.body.contains("remove-unused"), "not yet: {}", page.body);
    act(&mut alice, &page, "remove-unused", ("x", "")).await;
    assert_eq!(inputs(&account(&mut alice).await, "grant").len(), 2, "nothing goes too early");

    server.clock.advance_seconds(1);
    let mut alice = server.browser();
    let login = alice.get("/login?next=/account").await;
    let form = Form::of(&[
        ("next", "/account"),
        ("csrf", &login.input("csrf")),
        ("username", "alice"),
        ("password", PASSWORD),
    ]);
    alice.send(Method::POST, "/login", &[], Some(&form)).await;
    let page = account(&mut alice).await;
    assert!(page.body.contains("not used for more than 90 days (1)"), "{}", page.body);
    act(&mut alice, &page, "remove-unused", ("x", "")).await;
    let page = account(&mut alice).await;
    assert_eq!(inputs(&page, "grant").len(), 1);
    assert!(!refreshes(&server, &unused, "pub1").await);
    assert!(alice.page(&az()).await.is_consent_page(), "it must ask again");
}

/// T7
#[tokio::test]
async fn sessions_end_one_by_one_and_all_at_once() {
    let server = Server::start().await;
    let mut first = server.browser().signed_in().await;
    let mut second = server.browser().signed_in().await;
    let page = account(&mut first).await;
    assert_eq!(page.body.matches("this browser</span>").count(), 1);
    let names = inputs(&page, "session");
    assert_eq!(names.len(), 2);
    // neither a cookie nor what is stored of it is on the page
    for cookie in [&first.cookies["mcp-auth-session"], &second.cookies["mcp-auth-session"]] {
        assert!(!page.body.contains(cookie));
    }
    let is_own = |name: &String| {
        let of = page.body.split("class=\"box access\"").find(|part| part.contains(name.as_str())).unwrap();
        of.contains("this browser</span>")
    };
    let other = names.iter().find(|name| !is_own(name)).unwrap().clone();
    let answer = act(&mut first, &page, "end-session", ("session", &other)).await;
    assert_eq!(answer.header("location"), Some("/account?done=session-ended"));
    assert!(second.get("/account").await.header("location").unwrap().starts_with("/login"));
    let page = account(&mut first).await;
    assert_eq!(inputs(&page, "session").len(), 1);

    // the own one
    let cookies = first.cookies.clone();
    let answer = act(&mut first, &page, "end-session", ("session", &page.input("session"))).await;
    assert_eq!(answer.header("location"), Some("/login?next=/account"));
    assert!(!first.cookies.contains_key("mcp-auth-session"));
    first.cookies = cookies;
    assert!(first.get("/account").await.header("location").is_some(), "the old cookie is dead");

    for action in ["sign-out", "end-sessions"] {
        let mut this = server.browser().signed_in().await;
        let mut that = server.browser().signed_in().await;
        let page = account(&mut this).await;
        let cookies = this.cookies.clone();
        let answer = act(&mut this, &page, action, ("x", "")).await;
        assert_eq!(answer.header("location"), Some("/login?next=/account"));
        this.cookies = cookies;
        assert!(this.get("/account").await.header("location").is_some(), "{action}");
        let other_ended = that.get("/account").await.header("location").is_some();
        assert_eq!(other_ended, action == "end-sessions", "{action}");
    }
}

fn passwords(page: &Answer, current: &str, new: &str, again: &str) -> Form {
    Form::of(&[("csrf", &page.input("csrf")), ("current", current), ("new", new), ("again", again)])
}

/// T6, T7, G11
#[tokio::test]
async fn a_new_password_ends_what_the_old_one_began() {
    let server = Server::start().await;
    let mut alice = server.browser();
    let given = tokens(&mut alice, &az()).await;
    let mut elsewhere = server.browser().signed_in().await;
    let page = alice.get("/account/password").await;
    let before = alice.cookies["mcp-auth-session"].clone();
    for (status, current, new, again) in [
        (401, "wrong password", NEW, NEW),
        (401, "", NEW, NEW),
        (400, PASSWORD, "seven77", "seven77"),
        (400, PASSWORD, "", ""),
        (400, PASSWORD, NEW, "another horse"),
        (400, PASSWORD, &"x".repeat(129), &"x".repeat(129)),
        (400, &"x".repeat(129), NEW, NEW),
    ] {
        let form = passwords(&page, current, new, again);
        let answer = alice.send(Method::POST, "/account/password", &[], Some(&form)).await;
        assert_eq!(answer.status.as_u16(), status, "{current} {new} {again}: {}", answer.body);
        for typed in [PASSWORD, NEW, "seven77"] {
            assert!(!answer.body.contains(typed));
        }
    }
    assert_eq!(elsewhere.get("/account").await.status, StatusCode::OK);
    assert!(refreshes(&server, &given, "pub1").await);

    let form = passwords(&page, PASSWORD, NEW, NEW);
    let answer = alice.send(Method::POST, "/account/password", &[], Some(&form)).await;
    assert_eq!(answer.header("location"), Some("/account?done=password-changed"));
    assert!(account(&mut alice).await.body.contains("No app has access"), "and this browser stays signed in");
    assert_ne!(alice.cookies["mcp-auth-session"], before, "under another id");
    alice.cookies.insert("mcp-auth-session".to_owned(), before);
    assert!(alice.get("/account").await.header("location").is_some());
    assert!(elsewhere.get("/account").await.header("location").is_some());
    let answer = server.token(&refresh(given["refresh_token"].as_str().unwrap())).await;
    answer.assert_json_error(400, "invalid_grant", "the grant is gone");

    let mut browser = server.browser();
    let login = browser.page(&az()).await;
    assert_eq!(browser.submit_login(&login, "alice", PASSWORD).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(browser.submit_login(&login, "alice", NEW).await.status, StatusCode::SEE_OTHER);
}

/// Whoever sits at a browser that was left open cannot try passwords there, nor by taking new names for the browser.
#[tokio::test]
async fn guessing_the_current_password_is_throttled() {
    for fresh_browsers in [false, true] {
        let server = Server::start().await;
        let mut alice = server.browser().signed_in().await;
        let page = alice.get("/account/password").await;
        let mut last = StatusCode::OK;
        for n in 0..25 {
            if fresh_browsers {
                alice.cookies.insert("mcp-auth-browser".to_owned(), format!("{n:A>43}"));
            }
            let form = passwords(&page, "guess", NEW, NEW);
            let answer = alice.send(Method::POST, "/account/password", &[], Some(&form)).await;
            last = answer.status;
            if last == StatusCode::TOO_MANY_REQUESTS {
                assert!(answer.header("retry-after").is_some());
                assert!(answer.body.contains("Try again in"));
                break;
            }
        }
        assert_eq!(last, StatusCode::TOO_MANY_REQUESTS, "{fresh_browsers}");
        let form = passwords(&page, PASSWORD, NEW, NEW);
        let answer = alice.send(Method::POST, "/account/password", &[], Some(&form)).await;
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "even the right one");
    }
}

/// I11: what strangers wrote, on the account page.
#[tokio::test]
async fn names_of_apps_and_browsers_are_shown_harmless() {
    let server = Server::start().await;
    let mut browser = server.browser();
    for name in ["<script>alert(1)</script>", "\\\"><img src=x onerror=1>", "Cla\\u202Eude\\u200B"] {
        let body = format!(
            r#"{{"client_name":"{name}","redirect_uris":["http://localhost/cb"],"token_endpoint_auth_method":"none"}}"#
        );
        let client = server.register(&body).await.json();
        let id = client["client_id"].as_str().unwrap();
        let az = az().with("client_id", id).with("redirect_uri", "http://localhost:7/cb");
        let page = browser.page(&az).await;
        let page = if page.is_login_page() {
            let form = Form::of(&[
                ("transaction", &page.input("transaction")),
                ("csrf", &page.input("csrf")),
                ("username", "alice"),
                ("password", PASSWORD),
            ]);
            let agent = [("user-agent", "<b>Evil browser</b>")];
            let answer = browser.send(Method::POST, "/login", &agent, Some(&form)).await;
            browser.follow(answer).await
        } else {
            page
        };
        browser.decide(&page, "allow").await;
    }
    let page = account(&mut browser).await;
    for raw in ["<script", "<img", "<b>", "\u{202E}", "\u{200B}"] {
        assert!(!page.body.contains(raw), "{raw}: {}", page.body);
    }
    for shown in [
        "&#60;script&#62;",
        "&#60;b&#62;Evil browser",
        "Claude",
        "registered itself, nobody checked it",
        "an app on the computer you used (localhost)",
        R1,
    ] {
        assert!(page.body.contains(shown), "{shown}: {}", page.body);
    }
}
