//! Introspection (RFC 7662), userinfo and id tokens (OpenID Connect Core).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::{
    Answer, CONF1_SECRET, Form, R1, START, Server, Setup, az, claims, part, redeem, refresh,
};

/// A resource server for `R1`, and one for another resource.
fn resource_servers() -> Setup {
    let client = |id: &str, serves: &str| {
        format!(
            "[[clients.registered]]\nid = \"{id}\"\nsecret_file = \"conf1.secret\"\n\
             grant_types = []\nserves = [\"{serves}\"]\n"
        )
    };
    Setup { more: client("rs1", R1) + &client("rs2", "https://gw.test/other"), ..Setup::default() }
}

async fn introspect_as(server: &Server, id: &str, token: &str) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{CONF1_SECRET}")));
    server.post_with("/oauth2/introspect", &[("authorization", &basic)], &Form::of(&[("token", token)])).await
}

/// M4
#[tokio::test]
async fn a_token_is_nobody_elses_business() {
    let server = resource_servers().start().await;
    let tokens = server.tokens().await;
    let access = tokens["access_token"].as_str().unwrap();
    let refresh_token = tokens["refresh_token"].as_str().unwrap();
    let form = Form::of(&[("token", access)]);
    server.post("/oauth2/introspect", &form).await.assert_json_error(401, "invalid_client", "nobody");
    let public = form.with("client_id", "pub1");
    server.post("/oauth2/introspect", &public).await.assert_json_error(401, "invalid_client", "public");
    for (case, id, token) in [
        ("another audience", "rs2", access),
        ("a client without resources", "conf1", access),
        ("random", "rs1", "AAAA"),
        ("altered", "rs1", &format!("{access}x")),
        ("a refresh token of another client", "rs1", refresh_token),
    ] {
        let answer = introspect_as(&server, id, token).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({"active": false})), "{case}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    introspect_as(&server, "rs1", "").await.assert_json_error(400, "invalid_request", "no token");
}

#[tokio::test]
async fn a_resource_server_learns_what_the_token_says_until_it_ends() {
    let server = resource_servers().start().await;
    let tokens = server.tokens().await;
    let access = tokens["access_token"].as_str().unwrap();
    let answer = introspect_as(&server, "rs1", access).await.json();
    let own = claims(access);
    for claim in ["iss", "sub", "aud", "client_id", "scope", "exp", "iat", "jti"] {
        assert_eq!(answer[claim], own[claim], "{claim}");
    }
    assert_eq!((&answer["active"], &answer["token_type"]), (&json!(true), &json!("Bearer")));

    // an access token by itself
    let form = Form::of(&[("client_id", "pub1"), ("token", access)]);
    assert_eq!(server.post("/oauth2/revoke", &form).await.status, StatusCode::OK);
    assert_eq!(introspect_as(&server, "rs1", access).await.json(), json!({"active": false}));
    // the grant with everything
    let next = server.token(&refresh(tokens["refresh_token"].as_str().unwrap())).await.json();
    let access = next["access_token"].as_str().unwrap();
    assert_eq!(introspect_as(&server, "rs1", access).await.json()["active"], true);
    let form = Form::of(&[("client_id", "pub1"), ("token", next["refresh_token"].as_str().unwrap())]);
    server.post("/oauth2/revoke", &form).await;
    assert_eq!(introspect_as(&server, "rs1", access).await.json(), json!({"active": false}));
    // and time
    let access = server.tokens().await["access_token"].as_str().unwrap().to_owned();
    server.clock.advance_seconds(900);
    assert_eq!(introspect_as(&server, "rs1", &access).await.json(), json!({"active": false}));
}

/// D1, G2: what a theft ends is inactive
#[tokio::test]
async fn tokens_of_a_stolen_code_or_refresh_token_are_inactive() {
    let server = resource_servers().start().await;
    let active = async |token: &serde_json::Value| {
        introspect_as(&server, "rs1", token.as_str().unwrap()).await.json()["active"] == true
    };
    let code = server.code(&az()).await;
    let first = server.token(&redeem(&code)).await.json();
    assert!(active(&first["access_token"]).await);
    server.token(&redeem(&code)).await.assert_json_error(400, "invalid_grant", "twice");
    assert!(!active(&first["access_token"]).await);

    let first = server.tokens().await;
    let second = server.token(&refresh(first["refresh_token"].as_str().unwrap())).await.json();
    let third = server.token(&refresh(second["refresh_token"].as_str().unwrap())).await.json();
    assert!(active(&third["access_token"]).await);
    let again = server.token(&refresh(first["refresh_token"].as_str().unwrap())).await;
    again.assert_json_error(400, "invalid_grant", "used before");
    for tokens in [&first, &second, &third] {
        assert!(!active(&tokens["access_token"]).await);
    }
    let end = server.token(&refresh(third["refresh_token"].as_str().unwrap())).await;
    end.assert_json_error(400, "invalid_grant", "the family");
}

/// G1: what was used up is inactive, and its successor is not
#[tokio::test]
async fn a_refresh_token_is_active_until_it_is_used() {
    let server = Server::start().await;
    let client = ("conf1", "https://conf.test/cb");
    let az = az().with("client_id", client.0).with("redirect_uri", client.1);
    let code = server.code(&az.with("scope", "mcp:read offline_access")).await;
    let basic = format!("Basic {}", STANDARD.encode(format!("conf1:{CONF1_SECRET}")));
    let send = async |form: Form| {
        let form = form.without("client_id");
        let answer = server.post_with("/oauth2/token", &[("authorization", &basic)], &form).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()["refresh_token"].as_str().unwrap().to_owned()
    };
    let active = async |token: &str| introspect_as(&server, "conf1", token).await.json()["active"] == true;
    let first = send(redeem(&code).with("redirect_uri", client.1)).await;
    assert!(active(&first).await);
    let second = send(refresh(&first)).await;
    assert!(!active(&first).await, "used");
    assert!(active(&second).await);
    server.clock.advance_seconds(31 * 86_400);
    assert!(!active(&second).await, "expired");
}

async fn userinfo(server: &Server, authorization: Option<&str>) -> Answer {
    let headers: Vec<_> = authorization.iter().map(|value| ("authorization", *value)).collect();
    server.request(Method::GET, "/oauth2/userinfo", &headers, Vec::new()).await
}

/// M7, G13
#[tokio::test]
async fn userinfo_is_for_tokens_that_may_know_who_the_user_is() {
    let server = Server::start().await;
    let tokens = server.tokens().await;
    let (access, refresh_token) =
        (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    let challenged = |answer: &Answer, status: u16, error: &str| {
        answer.assert_json_error(status, error, &answer.body);
        assert!(answer.header("www-authenticate").unwrap().contains(error), "{answer:?}");
    };
    challenged(&userinfo(&server, Some(&format!("Bearer {access}"))).await, 403, "insufficient_scope");
    for authorization in [None, Some("Bearer x"), Some("Basic eDp5"), Some("Bearer")] {
        challenged(&userinfo(&server, authorization).await, 401, "invalid_token");
    }
    challenged(&userinfo(&server, Some(&format!("Bearer {refresh_token}"))).await, 401, "invalid_token");
    challenged(&userinfo(&server, Some(&format!("DPoP {access}"))).await, 401, "invalid_token");
    let in_query = server.get(&format!("/oauth2/userinfo?access_token={access}")).await;
    challenged(&in_query, 401, "invalid_token");
    let in_form = server.post("/oauth2/userinfo", &Form::of(&[("access_token", access)])).await;
    challenged(&in_form, 401, "invalid_token");
    // an access token is no refresh token either
    server.token(&refresh(access)).await.assert_json_error(400, "invalid_grant", "access token");

    let code = server.code(&az().with("scope", "mcp:read openid profile email")).await;
    let tokens = server.token(&redeem(&code)).await.json();
    let bearer = format!("bearer {}", tokens["access_token"].as_str().unwrap());
    let answer = userinfo(&server, Some(&bearer)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let sub = claims(tokens["access_token"].as_str().unwrap())["sub"].clone();
    assert_eq!(answer.json(), json!({"sub": sub, "preferred_username": "alice"}));
    let two = [("authorization", bearer.as_str()), ("authorization", bearer.as_str())];
    let answer = server.request(Method::GET, "/oauth2/userinfo", &two, Vec::new()).await;
    answer.assert_json_error(400, "invalid_request", "two headers");
}

#[tokio::test]
async fn an_id_token_says_who_signed_in_and_is_no_access_token() {
    let server = Server::start().await;
    let plain = server.tokens().await;
    assert!(plain.get("id_token").is_none());
    let az = az().with("scope", "mcp:read openid profile").with("nonce", "n-0S6");
    let page = server.browser().consent_page(&az).await;
    for words in ["Know who you are", "See your user name and profile", "Read your notes"] {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    let code = server.code(&az).await;
    let tokens = server.token(&redeem(&code)).await.json();
    let id_token = tokens["id_token"].as_str().unwrap();
    assert_eq!(part(id_token, 0)["typ"], "JWT");
    let said = claims(id_token);
    let sub = claims(tokens["access_token"].as_str().unwrap())["sub"].clone();
    assert_eq!(
        said,
        json!({
            "iss": server.issuer, "sub": sub, "aud": "pub1", "iat": START, "exp": START + 900,
            "auth_time": START, "nonce": "n-0S6", "preferred_username": "alice",
        })
    );
    let answer = userinfo(&server, Some(&format!("Bearer {id_token}"))).await;
    answer.assert_json_error(401, "invalid_token", "an id token");
    // a refreshed one has no nonce (§12.2)
    let next = server.token(&refresh(tokens["refresh_token"].as_str().unwrap())).await.json();
    assert!(claims(next["id_token"].as_str().unwrap()).get("nonce").is_none());
    // whoever asks only who the user is gets nothing at the resource
    let az = az.with("scope", "openid");
    let code = server.code(&az).await;
    assert_eq!(server.token(&redeem(&code)).await.json()["scope"], "openid");
}

/// M3: the server itself takes only what it issued, as it issued it, and as long as it said.
#[tokio::test]
async fn a_token_of_another_time_or_issuer_is_refused() {
    let server = Server::start().await;
    let code = server.code(&az().with("scope", "openid")).await;
    let token = server.token(&redeem(&code)).await.json()["access_token"].as_str().unwrap().to_owned();
    let userinfo = async |token: &str| {
        let bearer = format!("Bearer {token}");
        server.request(Method::GET, "/oauth2/userinfo", &[("authorization", &bearer)], Vec::new()).await
    };
    assert_eq!(userinfo(&token).await.status, StatusCode::OK);
    let signer = crate::signer::Signer::es256(part(&token, 0)["kid"].as_str().unwrap());
    for (case, change) in [
        ("the same again", json!({})),
        ("no end", json!({"exp": START + 100_000})),
        ("not yet", json!({"nbf": START + 500})),
        ("over", json!({"exp": START - 1})),
        ("another issuer", json!({"iss": "https://evil.test"})),
        ("a slash more", json!({"iss": format!("{}/", server.issuer)})),
    ] {
        let forged = signer.sign(&json!({"typ": "at+jwt"}), &crate::signer::with(claims(&token), &change));
        let spliced = format!("{}.{}", forged.rsplit_once('.').unwrap().0, token.rsplit_once('.').unwrap().1);
        for token in [forged, spliced] {
            let answer = userinfo(&token).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{case}: {}", answer.body);
            assert!(answer.header("www-authenticate").unwrap().contains("invalid_token"), "{case}");
        }
    }
    // another server's, which is as good there
    let other = Server::start().await;
    let foreign = other.token(&redeem(&other.code(&az().with("scope", "openid")).await)).await.json();
    assert_eq!(userinfo(foreign["access_token"].as_str().unwrap()).await.status, StatusCode::UNAUTHORIZED);
    server.clock.advance_seconds(899);
    assert_eq!(userinfo(&token).await.status, StatusCode::OK);
    server.clock.advance_seconds(1);
    assert_eq!(userinfo(&token).await.status, StatusCode::UNAUTHORIZED, "over");
}
