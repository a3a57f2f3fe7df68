//! Refresh tokens: rotation, reuse, and clients that ask twice.

use reqwest::StatusCode;

use crate::harness::{Form, R1, R2, Server, az, claims, redeem, refresh};

async fn refresh_token(server: &Server) -> String {
    server.tokens().await["refresh_token"].as_str().unwrap().to_owned()
}

async fn next(server: &Server, token: &str) -> String {
    let answer = server.token(&refresh(token)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json()["refresh_token"].as_str().unwrap().to_owned()
}

/// G1
#[tokio::test]
async fn every_use_gives_a_new_pair() {
    let server = Server::start().await;
    let first = server.tokens().await;
    let second = server.token(&refresh(first["refresh_token"].as_str().unwrap())).await.json();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_ne!(first["access_token"], second["access_token"]);
    let (before, after) =
        (claims(first["access_token"].as_str().unwrap()), claims(second["access_token"].as_str().unwrap()));
    for claim in ["sub", "aud", "client_id", "scope", "iss"] {
        assert_eq!(before[claim], after[claim], "{claim}");
    }
    assert_ne!(before["jti"], after["jti"]);
}

/// G2
#[tokio::test]
async fn an_old_token_after_its_successor_was_used_ends_the_family() {
    let server = Server::start().await;
    let first = refresh_token(&server).await;
    let second = next(&server, &first).await;
    let third = next(&server, &second).await;
    server.token(&refresh(&first)).await.assert_json_error(400, "invalid_grant", "the first again");
    server.token(&refresh(&third)).await.assert_json_error(400, "invalid_grant", "the last");
}

/// Tokens that an earlier version issued are a secret alone, and are good for months: nobody has to sign in again.
#[tokio::test]
async fn a_token_from_before_tokens_named_their_grant_goes_on_and_is_guarded_as_well() {
    let server = Server::start().await;
    let first = refresh_token(&server).await;
    let (grant, secret) = first.split_once('.').unwrap();
    server.token(&refresh(secret)).await.assert_json_error(
        400,
        "invalid_grant",
        "a new one without its name",
    );
    let age = "UPDATE refresh_tokens SET names_grant = 0 WHERE grant_id = $1 RETURNING grant_id";
    server.sql(age, &[grant]).await.unwrap();
    let second = next(&server, secret).await;
    assert!(second.starts_with(&format!("{grant}.")), "{second}");
    assert_eq!(next(&server, secret).await, second, "for a client that lost the answer");
    let third = next(&server, &second).await;
    server.token(&refresh(secret)).await.assert_json_error(400, "invalid_grant", "the old one again");
    server.token(&refresh(&third)).await.assert_json_error(400, "invalid_grant", "its family");
}

/// The name of a grant opens nothing, and ends nothing.
#[tokio::test]
async fn who_knows_the_name_of_a_grant_can_do_nothing_with_it() {
    let server = Server::start().await;
    let (mine, theirs) = (refresh_token(&server).await, refresh_token(&server).await);
    let (grant, secret) = mine.split_once('.').unwrap();
    let (other, _) = theirs.split_once('.').unwrap();
    assert_ne!(grant, other);
    for token in [
        format!("{other}.{secret}"),
        format!("{grant}."),
        grant.to_owned(),
        format!(".{secret}"),
        format!("{grant}.{secret}."),
        format!("{grant}..{secret}"),
        format!("{grant}.{secret}.{secret}"),
    ] {
        server.token(&refresh(&token)).await.assert_json_error(400, "invalid_grant", &token);
        let form = Form::of(&[("client_id", "pub1"), ("token", &token)]);
        assert_eq!(server.post("/oauth2/revoke", &form).await.status, StatusCode::OK, "{token}");
    }
    // no database has a text with this in it, and neither is asked for one
    let nul = format!("{grant}\0.{secret}");
    server.token(&refresh(&nul)).await.assert_json_error(400, "invalid_request", "NUL");
    next(&server, &mine).await;
    next(&server, &theirs).await;
}

/// G2
#[tokio::test]
async fn an_old_token_after_the_retry_window_ends_the_family() {
    let server = Server::start().await;
    let first = refresh_token(&server).await;
    let second = next(&server, &first).await;
    server.clock.advance_seconds(30);
    server.token(&refresh(&first)).await.assert_json_error(400, "invalid_grant", "late");
    server.token(&refresh(&second)).await.assert_json_error(400, "invalid_grant", "successor");
}

/// G3, G15
#[tokio::test]
async fn a_client_that_lost_the_answer_gets_the_same_successor() {
    let server = Server::start().await;
    let first = refresh_token(&server).await;
    let second = next(&server, &first).await;
    server.clock.advance_seconds(29);
    assert_eq!(next(&server, &first).await, second);
    let third = next(&server, &second).await;
    next(&server, &third).await;
}

/// G4, on one server.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn refreshing_many_times_at_once_leaves_one_branch() {
    let server = Server::start().await;
    let first = refresh_token(&server).await;
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let request = server
            .http
            .post(format!("{}/oauth2/token", server.at))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(refresh(&first).encoded());
        attempts.spawn(async move {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            let body: serde_json::Value = response.json().await.unwrap();
            body["refresh_token"].as_str().unwrap().to_owned()
        });
    }
    let successors: std::collections::HashSet<_> = attempts.join_all().await.into_iter().collect();
    assert_eq!(successors.len(), 1);
    next(&server, successors.iter().next().unwrap()).await;
}

/// G5, G12, G13
#[tokio::test]
async fn nobody_else_can_use_a_token_nor_end_its_family() {
    let server = Server::start().await;
    let tokens = server.tokens().await;
    let token = tokens["refresh_token"].as_str().unwrap();
    let access = tokens["access_token"].as_str().unwrap();
    server.token(&refresh(token).with("client_id", "pub2")).await.assert_json_error(
        400,
        "invalid_grant",
        "pub2",
    );
    server.token(&refresh(token).without("client_id")).await.assert_json_error(
        400,
        "invalid_request",
        "no client",
    );
    server.token(&refresh(token).with("client_id", "conf1")).await.assert_json_error(
        401,
        "invalid_client",
        "conf1",
    );
    server.token(&refresh(access)).await.assert_json_error(400, "invalid_grant", "an access token");
    server.token(&refresh("guess")).await.assert_json_error(400, "invalid_grant", "a guess");
    server.token(&refresh("")).await.assert_json_error(400, "invalid_request", "none");
    next(&server, token).await;
}

/// G5: a stranger with a used token does not end the family either.
#[tokio::test]
async fn another_client_with_a_used_token_does_not_end_the_family() {
    let server = Server::start().await;
    let first = refresh_token(&server).await;
    let second = next(&server, &first).await;
    let third = next(&server, &second).await;
    server.token(&refresh(&first).with("client_id", "pub2")).await.assert_json_error(
        400,
        "invalid_grant",
        "pub2",
    );
    next(&server, &third).await;
}

/// G6, G7
#[tokio::test]
async fn scopes_can_be_narrowed_and_never_widened() {
    let server = Server::start().await;
    let code = server.code(&az().with("scope", "mcp:read mcp:write")).await;
    let token = server.token(&redeem(&code)).await.json()["refresh_token"].as_str().unwrap().to_owned();
    for wider in ["mcp:read other:read", "admin", "offline_access", "mcp:read\""] {
        let answer = server.token(&refresh(&token).with("scope", wider)).await;
        answer.assert_json_error(400, "invalid_scope", wider);
    }
    let narrow = server.token(&refresh(&token).with("scope", "mcp:read")).await.json();
    assert_eq!(narrow["scope"], "mcp:read");
    assert_eq!(claims(narrow["access_token"].as_str().unwrap())["scope"], "mcp:read");
    let full = server.token(&refresh(narrow["refresh_token"].as_str().unwrap())).await.json();
    assert_eq!(full["scope"], "mcp:read mcp:write");
}

/// G8, G9
#[tokio::test]
async fn the_resource_is_inherited_and_cannot_be_changed() {
    let server = Server::start().await;
    let token = refresh_token(&server).await;
    for other in [R2, "https://unknown.test/", "x"] {
        let answer = server.token(&refresh(&token).with("resource", other)).await;
        answer.assert_json_error(400, "invalid_target", other);
    }
    let same = server.token(&refresh(&token).with("resource", R1)).await.json();
    assert_eq!(claims(same["access_token"].as_str().unwrap())["aud"], R1);
    let inherited = server.token(&refresh(same["refresh_token"].as_str().unwrap())).await.json();
    assert_eq!(claims(inherited["access_token"].as_str().unwrap())["aud"], R1);
}

/// G10
#[tokio::test]
async fn idle_and_old_tokens_are_dead() {
    let day = 86_400;
    let server = Server::start().await;
    let idle = refresh_token(&server).await;
    server.clock.advance_seconds(30 * day);
    server.token(&refresh(&idle)).await.assert_json_error(400, "invalid_grant", "idle");

    let mut token = refresh_token(&server).await;
    for _ in 0..8 {
        server.clock.advance_seconds(20 * day);
        token = next(&server, &token).await;
    }
    server.clock.advance_seconds(20 * day);
    server.token(&refresh(&token)).await.assert_json_error(
        400,
        "invalid_grant",
        "180 days after the sign-in",
    );
}

/// G14
#[tokio::test]
async fn either_signal_brings_a_refresh_token() {
    let server = Server::start().await;
    for (grant_types, scope, wanted) in [
        (r#"["authorization_code","refresh_token"]"#, "mcp:read", true),
        (r#"["authorization_code"]"#, "mcp:read offline_access", true),
        (r#"["authorization_code"]"#, "mcp:read", false),
    ] {
        let body = format!(
            r#"{{"redirect_uris":["https://g14.test/cb"],"token_endpoint_auth_method":"none","grant_types":{grant_types}}}"#
        );
        let id = server.register(&body).await.json()["client_id"].as_str().unwrap().to_owned();
        let az = az().with("client_id", &id).with("redirect_uri", "https://g14.test/cb").with("scope", scope);
        let code = server.code(&az).await;
        let form: Form = redeem(&code).with("client_id", &id).without("redirect_uri");
        let tokens = server.token(&form).await.json();
        assert_eq!(tokens.get("refresh_token").is_some(), wanted, "{grant_types} {scope}");
    }
}
