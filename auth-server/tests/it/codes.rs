//! Authorization codes: good once, for a minute, for one client.

use reqwest::{Method, StatusCode};

use crate::harness::{Form, PASSWORD, Server, az, redeem, refresh};

/// D1
#[tokio::test]
async fn a_code_that_comes_twice_ends_the_tokens_that_it_bought() {
    let server = Server::start().await;
    let code = server.code(&az()).await;
    let first = server.token(&redeem(&code)).await;
    assert_eq!(first.status, StatusCode::OK, "{}", first.body);
    server.token(&redeem(&code)).await.assert_json_error(400, "invalid_grant", "replay");
    let token = first.json()["refresh_token"].as_str().unwrap().to_owned();
    server.token(&refresh(&token)).await.assert_json_error(400, "invalid_grant", "its refresh token");
}

/// D2
#[tokio::test]
async fn a_replay_that_proves_nothing_harms_nobody() {
    let server = Server::start().await;
    let code = server.code(&az()).await;
    let first = server.token(&redeem(&code)).await.json();
    for (case, form) in [
        ("wrong verifier", redeem(&code).with("code_verifier", &"w".repeat(43))),
        ("another client", redeem(&code).with("client_id", "pub2")),
        ("another redirect URI", redeem(&code).with("redirect_uri", "https://two.test/cb")),
    ] {
        server.token(&form).await.assert_json_error(400, "invalid_grant", case);
    }
    let wrong_secret = redeem(&code).with("client_id", "conf1").with("client_secret", "guess");
    server.token(&wrong_secret).await.assert_json_error(401, "invalid_client", "wrong secret");
    let token = first["refresh_token"].as_str().unwrap();
    assert_eq!(server.token(&refresh(token)).await.status, StatusCode::OK);
}

/// D3, on one server.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_redemptions_at_once_one_succeeds() {
    let server = Server::start().await;
    let code = server.code(&az()).await;
    let form = redeem(&code);
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let request = server
            .http
            .post(format!("{}/oauth2/token", server.at))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.encoded());
        attempts.spawn(async move { request.send().await.unwrap().status() });
    }
    let statuses = attempts.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::OK).count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::BAD_REQUEST).count(), 49);
}

/// D4
#[tokio::test]
async fn a_code_lives_for_a_minute() {
    let server = Server::start().await;
    for (seconds, status) in [(59, StatusCode::OK), (60, StatusCode::BAD_REQUEST)] {
        let code = server.code(&az()).await;
        server.clock.advance_seconds(seconds);
        assert_eq!(server.token(&redeem(&code)).await.status, status, "after {seconds} s");
    }
}

/// D5
#[tokio::test]
async fn another_client_cannot_use_a_code_nor_use_it_up() {
    let server = Server::start().await;
    let code = server.code(&az()).await;
    let foreign = redeem(&code).with("client_id", "pub2");
    server.token(&foreign).await.assert_json_error(400, "invalid_grant", "pub2");
    assert_eq!(server.token(&redeem(&code)).await.status, StatusCode::OK);
}

/// D6, D7
#[tokio::test]
async fn a_redirect_uri_at_the_token_endpoint_must_be_the_same_or_absent() {
    let server = Server::start().await;
    let code = server.code(&az()).await;
    for uri in ["https://app.test/cb/", "http://127.0.0.1/cb", "x"] {
        let answer = server.token(&redeem(&code).with("redirect_uri", uri)).await;
        answer.assert_json_error(400, "invalid_grant", uri);
    }
    assert_eq!(server.token(&redeem(&code)).await.status, StatusCode::OK);
    let code = server.code(&az()).await;
    assert_eq!(server.token(&redeem(&code).without("redirect_uri")).await.status, StatusCode::OK);
}

/// D9, E2
#[tokio::test]
async fn the_token_endpoint_takes_posts_only() {
    let server = Server::start().await;
    let code = server.code(&az()).await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let path = format!("/oauth2/token?{}", redeem(&code).encoded());
        let answer = server.request(method, &path, &[], Vec::new()).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), Some("POST"));
    }
    assert_eq!(server.token(&redeem(&code)).await.status, StatusCode::OK);
}

/// D10
#[tokio::test]
async fn the_database_holds_nothing_that_could_be_used() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let page = browser.consent_page(&az()).await;
    let transaction = page.input("transaction");
    let csrf = page.input("csrf");
    let code = browser.decide(&page, "allow").await.callback()["code"].clone();
    let first = server.token(&redeem(&code)).await.json();
    let first_refresh = first["refresh_token"].as_str().unwrap().to_owned();
    let second = server.token(&refresh(&first_refresh)).await.json();
    let registered = server.register(r#"{"redirect_uris":["https://a.test/cb"]}"#).await.json();

    let mut secrets = vec![
        code,
        first_refresh,
        transaction,
        csrf,
        first["access_token"].as_str().unwrap().to_owned(),
        second["refresh_token"].as_str().unwrap().to_owned(),
        registered["client_secret"].as_str().unwrap().to_owned(),
        crate::harness::VERIFIER.to_owned(),
        PASSWORD.to_owned(),
    ];
    assert_eq!(browser.cookies.len(), 2);
    secrets.extend(browser.cookies.values().cloned());
    let bytes = server.database_bytes().await;
    let holds = |needle: &str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
    assert!(holds("pub1"), "the test looks at the right bytes");
    for secret in secrets {
        assert!(!holds(&secret), "{secret}");
    }
}

/// D11
#[tokio::test]
async fn codes_are_256_random_bits() {
    let server = Server::start().await;
    let mut browser = server.browser();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..20 {
        let code = browser.code(&az()).await;
        assert_eq!(code.len(), 43);
        assert!(seen.insert(code));
    }
}

/// D8: what happens between the code and the tokens.
#[tokio::test]
async fn a_code_is_dead_once_its_user_is_disabled_signs_out_or_takes_it_back() {
    let post = async |browser: &mut crate::harness::Browser<'_>, path: &str, form: &Form| {
        browser.send(Method::POST, path, &[("sec-fetch-site", "same-origin")], Some(form)).await
    };
    for case in [
        "disabled",
        "signed out",
        "signed out everywhere",
        "signed out by an app",
        "another account",
        "removed",
    ] {
        let server = Server::start().await;
        let mut browser = server.browser();
        let code = browser.code(&az()).await;
        server.clock.advance_seconds(1);
        let mut other = server.browser();
        let stays = other.code(&az()).await;
        let account = browser.get("/account").await;
        let csrf = if account.status == StatusCode::OK { account.input("csrf") } else { String::new() };
        let act = |action: &str| Form::of(&[("csrf", &csrf), ("action", action)]);
        match case {
            "disabled" => server.disable(&server.user("alice").await).await,
            "signed out" => drop(post(&mut browser, "/account", &act("sign-out")).await),
            "signed out everywhere" => drop(post(&mut browser, "/account", &act("end-sessions")).await),
            "signed out by an app" => {
                let page = browser.get("/oauth2/logout").await;
                let form = Form::of(&[("csrf", &page.input("csrf")), ("decision", "sign-out")]);
                post(&mut browser, "/oauth2/logout", &form).await;
            }
            "another account" => {
                let page = browser.consent_page(&az().with("scope", "mcp:read mcp:write")).await;
                browser.decide(&page, "switch").await;
            }
            _ => {
                let all: Vec<_> = account
                    .body
                    .split("name=\"grant\" value=\"")
                    .skip(1)
                    .map(|rest| rest.split('"').next().unwrap().to_owned())
                    .collect();
                assert!(!all.is_empty());
                for grant in all {
                    let form = act("remove").with("grant", &grant);
                    assert_eq!(post(&mut browser, "/account", &form).await.status, StatusCode::SEE_OTHER);
                }
            }
        }
        server.token(&redeem(&code)).await.assert_json_error(400, "invalid_grant", case);
        // another browser's is its own
        let others = server.token(&redeem(&stays)).await.status;
        let is_for_all = matches!(case, "disabled" | "signed out everywhere" | "removed");
        assert_eq!(others == StatusCode::OK, !is_for_all, "{case}");
    }
}
