//! What is kept of every act that matters to security.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    devices,
    harness::{Browser, Form, PASSWORD, Server, az, redeem, refresh},
};

/// The events since `seen` were, which are counted then.
async fn news(server: &Server, seen: &mut usize) -> Vec<Value> {
    let all = server.audit().await;
    let new = all[*seen..].to_vec();
    *seen = all.len();
    new
}

/// Exactly one event, of this kind, about these.
#[track_caller]
fn assert_one(events: &[Value], kind: &str, wanted: &Value) {
    assert_eq!(events.len(), 1, "{kind}: {events:?}");
    assert_eq!(events[0]["kind"], kind, "{events:?}");
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(events[0][name], *value, "{kind}: {name}: {events:?}");
    }
}

/// That one grant was made without a page, of this kind and about these, and that its token is not in the audit.
pub(crate) async fn assert_granted(server: &Server, kind: &str, about: &Value, token: &str) {
    let all = server.audit().await;
    assert!(!json!(all).to_string().contains(token), "{kind}");
    let granted: Vec<Value> = all.into_iter().filter(|event| event["kind"] == "grant.issued").collect();
    assert_one(&granted, "grant.issued", about);
    assert_eq!((&granted[0]["detail"]["kind"], &granted[0]["address"]), (&json!(kind), &json!("127.0.0.1")));
}

/// T18
#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one act after the other")]
async fn each_act_that_matters_leaves_an_event_without_secrets() {
    let server = devices::with_devices().start().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let mut seen = server.audit().await.len();
    let here = json!("127.0.0.1");
    let mut secrets = vec![PASSWORD.to_owned(), "wrong-password".to_owned(), "no-such-user".to_owned()];

    let mut browser = server.browser();
    let page = browser.page(&az()).await;
    browser.submit_login(&page, "alice", "wrong-password").await;
    assert_one(&news(&server, &mut seen).await, "login.failed", &json!({"user_id": alice, "address": here}));
    // what was typed may have been a password
    browser.submit_login(&page, "no-such-user", "wrong-password").await;
    assert_one(&news(&server, &mut seen).await, "login.failed", &json!({"user_id": null, "address": here}));
    let page = browser.login(&page, "alice").await;
    assert_one(
        &news(&server, &mut seen).await,
        "login.succeeded",
        &json!({"user_id": alice, "address": here}),
    );

    browser.decide(&page, "deny").await;
    let about = json!({"user_id": alice, "client_id": "pub1"});
    assert_one(&news(&server, &mut seen).await, "consent.denied", &about);
    let page = browser.page(&az()).await;
    let code = browser.decide(&page, "allow").await.callback()["code"].clone();
    let given = news(&server, &mut seen).await;
    assert_one(&given, "consent.given", &about);
    assert_eq!(given[0]["detail"]["scopes"], "mcp:read");
    let grant = given[0]["grant_id"].clone();
    let about = json!({"user_id": alice, "client_id": "pub1", "grant_id": grant});

    let tokens = server.token(&redeem(&code)).await.json();
    let first = tokens["refresh_token"].as_str().unwrap().to_owned();
    let second = server.token(&refresh(&first)).await.json()["refresh_token"].as_str().unwrap().to_owned();
    assert_eq!(news(&server, &mut seen).await, [] as [Value; 0], "the daily round is no event");
    server.clock.advance_seconds(31);
    server.token(&refresh(&first)).await.assert_json_error(400, "invalid_grant", "used");
    assert_one(&news(&server, &mut seen).await, "refresh.reused", &about);
    secrets.extend([code, first, second, tokens["access_token"].as_str().unwrap().to_owned()]);

    let code = browser.code(&az()).await;
    news(&server, &mut seen).await;
    assert_eq!(server.token(&redeem(&code)).await.status, StatusCode::OK);
    server.token(&redeem(&code)).await.assert_json_error(400, "invalid_grant", "used");
    assert_one(
        &news(&server, &mut seen).await,
        "code.reused",
        &json!({"user_id": alice, "client_id": "pub1"}),
    );
    secrets.push(code);

    let code = browser.code(&az()).await;
    let tokens = server.token(&redeem(&code)).await.json();
    let refresh_token = tokens["refresh_token"].as_str().unwrap().to_owned();
    news(&server, &mut seen).await;
    let form = Form::of(&[("client_id", "pub1"), ("token", &refresh_token)]);
    assert_eq!(server.post("/oauth2/revoke", &form).await.status, StatusCode::OK);
    assert_one(
        &news(&server, &mut seen).await,
        "grant.revoked",
        &json!({"user_id": alice, "client_id": "pub1"}),
    );
    secrets.push(refresh_token);

    let metadata = json!({"client_name": "Self Made", "redirect_uris": ["https://new.test/cb"]});
    let registered = server.register(&metadata.to_string()).await.json();
    let id = registered["client_id"].clone();
    let about = json!({"client_id": id, "address": here, "user_id": null});
    assert_one(&news(&server, &mut seen).await, "client.registered", &about);
    secrets.extend(registered["client_secret"].as_str().map(str::to_owned));

    for (decision, kind) in [("allow", "device.approved"), ("deny", "device.denied")] {
        let asked = devices::ask(&server).await.json();
        let user_code = asked["user_code"].as_str().unwrap();
        let page = browser.get(&format!("/device?user_code={user_code}")).await;
        let form = Form::of(&[
            ("csrf", &page.input("csrf")),
            ("user_code", user_code),
            ("decision", decision),
            ("with_me", "1"),
        ]);
        let headers = [("sec-fetch-site", "same-origin")];
        browser.send(reqwest::Method::POST, "/device", &headers, Some(&form)).await;
        let about = json!({"user_id": alice, "client_id": "tv", "address": here});
        assert_one(&news(&server, &mut seen).await, kind, &about);
        secrets.extend([user_code.to_owned(), asked["device_code"].as_str().unwrap().to_owned()]);
    }

    let own = |browser: &Browser<'_>| -> Vec<String> { browser.cookies.values().cloned().collect() };
    secrets.extend(own(&browser));
    let page = browser.get("/account").await;
    let form = Form::of(&[("csrf", &page.input("csrf")), ("action", "sign-out")]);
    browser.send(reqwest::Method::POST, "/account", &[("sec-fetch-site", "same-origin")], Some(&form)).await;
    assert_one(&news(&server, &mut seen).await, "login.ended", &json!({"user_id": alice, "address": here}));

    let config = server.dir.path().join("auth-server.toml");
    for (arguments, stdin, kind, about) in [
        (
            &["user", "set", "bob", "--email", "bob@example.com"][..],
            "",
            "user.changed",
            json!({"user_id": bob}),
        ),
        (&["user", "passwd", "bob"], "another horse battery", "password.changed", json!({"user_id": bob})),
        (&["user", "disable", "bob"], "", "user.disabled", json!({"user_id": bob})),
        (&["user", "enable", "bob"], "", "user.enabled", json!({"user_id": bob})),
        (&["client", "delete", id.as_str().unwrap()], "", "client.deleted", json!({"client_id": id})),
        (&["user", "add", "carol"], "another horse battery", "user.created", json!({})),
        (&["key", "rotate", "--at-once"], "", "key.created", json!({})),
    ] {
        let said = crate::commands::run(&config, arguments, stdin);
        assert_eq!(said.code, 0, "{arguments:?}: {}", said.err);
        assert_one(&news(&server, &mut seen).await, kind, &about);
    }
    secrets.push("another horse battery".to_owned());

    let everything = json!(server.audit().await).to_string();
    for secret in secrets {
        assert!(!everything.contains(&secret), "{secret}");
    }
}

/// Guesses are counted by the events of the first ones, and then by one that says that there were more.
#[tokio::test]
async fn guessing_does_not_flood_the_audit() {
    let server = Server::start().await;
    let mut seen = server.audit().await.len();
    let mut stranger = server.browser();
    let page = stranger.page(&az()).await;
    for _ in 0..30 {
        stranger.submit_login(&page, "alice", "guess").await;
    }
    let events = news(&server, &mut seen).await;
    let count = |kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
    assert_eq!((count("login.failed"), count("login.throttled"), events.len()), (8, 1, 9), "{events:?}");
}
