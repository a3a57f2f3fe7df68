//! Clients that act without a user being asked: for themselves, or with a token that was presented to them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    dpop,
    harness::{Answer, CONF1_SECRET, Form, R1, R2, Server, Setup, claims, refresh},
};

const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS: &str = "urn:ietf:params:oauth:token-type:access_token";

fn setup() -> Setup {
    let more = format!(
        r#"
[[clients.registered]]
id = "job"
secret_file = "conf1.secret"
grant_types = ["client_credentials"]
service_scopes = ["mcp:read", "other:read"]

[[clients.registered]]
id = "gateway"
secret_file = "conf1.secret"
grant_types = ["{EXCHANGE}"]
serves = ["{R1}"]
exchanges_for = ["{R2}", "{R1}"]

[[clients.registered]]
id = "second"
secret_file = "conf1.secret"
grant_types = ["{EXCHANGE}"]
serves = ["{R2}", "{R1}"]
exchanges_for = ["{R1}", "{R2}"]

[[clients.registered]]
id = "narrow"
secret_file = "conf1.secret"
grant_types = ["{EXCHANGE}"]
serves = ["{R1}"]
exchanges_for = ["{R1}"]
"#
    );
    let resources = format!(
        r#"
[[resources]]
url = "{R1}"
name = "Notes"
[resources.scopes."mcp:read"]
[resources.scopes."mcp:write"]

[[resources]]
url = "{R2}"
name = "Other"
[resources.scopes."mcp:read"]
[resources.scopes."other:read"]
"#
    );
    Setup { resources, more, ..Setup::default() }
}

async fn token_as(server: &Server, id: &str, form: &Form) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode(format!("{id}:{CONF1_SECRET}")));
    server.post_with("/oauth2/token", &[("authorization", &basic)], form).await
}

fn for_itself() -> Form {
    Form::of(&[("grant_type", "client_credentials"), ("resource", R1)])
}

/// Q1, E12
#[tokio::test]
async fn only_a_client_with_scopes_of_its_own_acts_for_itself() {
    let server = setup().start().await;
    let public = for_itself().with("client_id", "pub1");
    server.token(&public).await.assert_json_error(400, "unauthorized_client", "public");
    let registered = server.registered("https://app.test/cb").await;
    let form = for_itself().with("client_id", &registered);
    server.token(&form).await.assert_json_error(400, "unauthorized_client", "registered itself");
    let answer = token_as(&server, "conf1", &for_itself()).await;
    answer.assert_json_error(400, "unauthorized_client", "no such grant type");
    server.token(&for_itself().with("client_id", "job")).await.assert_json_error(
        401,
        "invalid_client",
        "no secret",
    );
}

/// Q2, T18
#[tokio::test]
async fn what_acts_for_itself_gets_what_the_administrator_gave_and_no_refresh_token() {
    let server = setup().start().await;
    for scope in ["openid offline_access", "offline_access", "mcp:write", "admin", "other:read"] {
        let answer = token_as(&server, "job", &for_itself().with("scope", scope)).await;
        answer.assert_json_error(400, "invalid_scope", scope);
    }
    for (case, form) in [
        ("unknown", for_itself().with("resource", "https://evil.test")),
        ("none of several", for_itself().without("resource")),
        ("two", for_itself().and("resource", R2)),
    ] {
        token_as(&server, "job", &form).await.assert_json_error(400, "invalid_target", case);
    }
    let answer = token_as(&server, "job", &for_itself()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let tokens = answer.json();
    assert!(tokens.get("refresh_token").is_none() && tokens.get("id_token").is_none());
    let said = claims(tokens["access_token"].as_str().unwrap());
    assert_eq!(
        (&said["sub"], &said["scope"], &said["aud"]),
        (&json!("client:job"), &json!("mcp:read"), &json!(R1))
    );
    let about = json!({"user_id": null, "client_id": "job"});
    let token = tokens["access_token"].as_str().unwrap();
    crate::audit::assert_granted(&server, "client_credentials", &about, token).await;
    // and it ends when it is revoked
    let form = Form::of(&[("token", tokens["access_token"].as_str().unwrap())]);
    let basic = format!("Basic {}", STANDARD.encode(format!("job:{CONF1_SECRET}")));
    let headers = [("authorization", basic.as_str())];
    assert_eq!(server.post_with("/oauth2/revoke", &headers, &form).await.status, StatusCode::OK);
    let answer = server.post_with("/oauth2/introspect", &headers, &form).await;
    assert_eq!(answer.json(), json!({"active": false}));
}

fn exchange(token: &str) -> Form {
    Form::of(&[
        ("grant_type", EXCHANGE),
        ("subject_token", token),
        ("subject_token_type", ACCESS),
        ("resource", R2),
    ])
}

/// R1
#[tokio::test]
async fn only_good_access_tokens_for_the_client_itself_are_exchanged() {
    let server = setup().start().await;
    let tokens = server.tokens().await;
    let access = tokens["access_token"].as_str().unwrap();
    for (case, form) in [
        ("foreign", exchange("eyJhbGciOiJub25lIn0.e30.")),
        ("a refresh token", exchange(tokens["refresh_token"].as_str().unwrap())),
        ("altered", exchange(&format!("{access}x"))),
    ] {
        token_as(&server, "gateway", &form).await.assert_json_error(400, "invalid_grant", case);
    }
    for (case, form) in [
        (
            "an id token",
            exchange(access).with("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ),
        ("no type", exchange(access).without("subject_token_type")),
        ("no token", exchange(access).without("subject_token")),
        (
            "another kind",
            exchange(access).with("requested_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ),
        ("an actor token", exchange(access).with("actor_token", access)),
        ("an audience", exchange(access).with("audience", R2)),
    ] {
        token_as(&server, "gateway", &form).await.assert_json_error(400, "invalid_request", case);
    }
    // a token for another resource than the client's own
    let other = token_as(&server, "gateway", &exchange(access)).await.json();
    let answer = token_as(&server, "gateway", &exchange(other["access_token"].as_str().unwrap())).await;
    answer.assert_json_error(400, "invalid_grant", "not presented to it");
    // one that was revoked by itself: its grant goes on
    let next = server.token(&refresh(tokens["refresh_token"].as_str().unwrap())).await.json();
    let revoked = next["access_token"].as_str().unwrap();
    let form = Form::of(&[("client_id", "pub1"), ("token", revoked)]);
    assert_eq!(server.post("/oauth2/revoke", &form).await.status, StatusCode::OK);
    token_as(&server, "gateway", &exchange(revoked)).await.assert_json_error(400, "invalid_grant", "revoked");
    assert_eq!(token_as(&server, "gateway", &exchange(access)).await.status, StatusCode::OK);
    server.clock.advance_seconds(900);
    token_as(&server, "gateway", &exchange(access)).await.assert_json_error(400, "invalid_grant", "expired");
}

/// R2, T18
#[tokio::test]
async fn what_has_nothing_in_common_with_the_target_is_not_exchanged() {
    let server = setup().start().await;
    let code = server.code(&crate::harness::az().with("scope", "mcp:write")).await;
    let tokens = server.token(&crate::harness::redeem(&code)).await.json();
    let access = tokens["access_token"].as_str().unwrap();
    let answer = token_as(&server, "gateway", &exchange(access)).await;
    answer.assert_json_error(400, "invalid_scope", "nothing in common");
}

/// R2
#[tokio::test]
async fn an_exchange_gives_neither_more_nor_for_longer() {
    let server = setup().start().await;
    let access = server.tokens().await["access_token"].as_str().unwrap().to_owned();
    for (scope, case) in
        [("other:read", "of the target alone"), ("mcp:read mcp:write", "wider"), ("openid", "own")]
    {
        let answer = token_as(&server, "gateway", &exchange(&access).with("scope", scope)).await;
        answer.assert_json_error(400, "invalid_scope", case);
    }
    for (case, form) in [
        ("unknown", exchange(&access).with("resource", "https://evil.test")),
        ("none", exchange(&access).without("resource")),
        ("two", exchange(&access).and("resource", R1)),
    ] {
        token_as(&server, "gateway", &form).await.assert_json_error(400, "invalid_target", case);
    }
    let answer = token_as(&server, "narrow", &exchange(&access)).await;
    answer.assert_json_error(400, "invalid_target", "a resource that others may exchange for");
    server.clock.advance_seconds(600);
    let answer = token_as(&server, "gateway", &exchange(&access)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let tokens = answer.json();
    assert_eq!((&tokens["expires_in"], &tokens["issued_token_type"]), (&json!(300), &json!(ACCESS)));
    assert!(tokens.get("refresh_token").is_none());
    let (old, new) = (claims(&access), claims(tokens["access_token"].as_str().unwrap()));
    assert_eq!((&new["sub"], &new["exp"], &new["scope"]), (&old["sub"], &old["exp"], &json!("mcp:read")));
    assert_eq!((&new["aud"], &new["client_id"]), (&json!(R2), &json!("gateway")));
    assert_eq!(new["act"], json!({"sub": "client:gateway"}));
    let about = json!({"user_id": old["sub"], "client_id": "gateway"});
    let token = tokens["access_token"].as_str().unwrap();
    crate::audit::assert_granted(&server, "token_exchange", &about, token).await;
}

/// R3
#[tokio::test]
async fn who_acts_is_said_and_the_chain_ends() {
    let server = setup().start().await;
    let tokens = server.tokens().await;
    let mut access = tokens["access_token"].as_str().unwrap().to_owned();
    let public = exchange(&access).with("client_id", "pub1");
    server.token(&public).await.assert_json_error(400, "unauthorized_client", "public");
    let answer = token_as(&server, "job", &exchange(&access)).await;
    answer.assert_json_error(400, "unauthorized_client", "not allowed");
    for depth in 0..4 {
        let (client, target) = if depth == 0 { ("gateway", R2) } else { ("second", R1) };
        let answer = token_as(&server, client, &exchange(&access).with("resource", target)).await;
        assert_eq!(answer.status, StatusCode::OK, "{depth}: {}", answer.body);
        answer.json()["access_token"].as_str().unwrap().clone_into(&mut access);
    }
    let act = claims(&access)["act"].clone();
    assert_eq!(
        (&act["sub"], &act["act"]["act"]["act"]["sub"]),
        (&json!("client:second"), &json!("client:gateway"))
    );
    let answer = token_as(&server, "second", &exchange(&access).with("resource", R1)).await;
    answer.assert_json_error(400, "invalid_request", "too deep");

    // all of it ends with the grant that it came from
    let form = Form::of(&[("client_id", "pub1"), ("token", tokens["refresh_token"].as_str().unwrap())]);
    server.post("/oauth2/revoke", &form).await;
    server.token(&refresh(tokens["refresh_token"].as_str().unwrap())).await.assert_json_error(
        400,
        "invalid_grant",
        "revoked",
    );
    let answer = token_as(&server, "second", &exchange(&access).with("resource", R1)).await;
    answer.assert_json_error(400, "invalid_grant", "derived");
}

/// R4
#[tokio::test]
async fn a_bound_token_is_exchanged_only_with_a_proof() {
    let server = setup().start().await;
    let access = dpop::bound(&server).await["access_token"].as_str().unwrap().to_owned();
    let answer = token_as(&server, "gateway", &exchange(&access)).await;
    answer.assert_json_error(400, "invalid_dpop_proof", "no proof");
    let basic = format!("Basic {}", STANDARD.encode(format!("gateway:{CONF1_SECRET}")));
    let proof = dpop::proof(&server);
    let headers = [("authorization", basic.as_str()), ("dpop", proof.as_str())];
    let answer = server.post_with("/oauth2/token", &headers, &exchange(&access)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
}
