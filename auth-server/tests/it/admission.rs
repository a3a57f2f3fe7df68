//! Who may register a client: holders of an initial access token (RFC 7591 §3), and those whom the administrator approves.
//!
//! A test that runs a command leaves threads to the server: the command may have to wait for what the server is writing.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::future::join_all;
use mcp_auth_server::outside::{Clock as _, SystemClock};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Form, Server, Setup, az, redeem, refresh},
    signer::with,
};

const CALLBACK: &str = "https://a.test/cb";

fn metadata() -> Value {
    json!({
        "client_name": "Self Made",
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_method": "none",
    })
}

fn az_of(id: &str) -> Form {
    az().with("client_id", id).with("redirect_uri", CALLBACK)
}

/// A server whose clock begins as that of the machine, which commands go by.
async fn start(clients: &str) -> Server {
    let start_at = SystemClock.now().unix_seconds();
    Setup { clients: clients.to_owned(), start_at, ..Setup::default() }.start().await
}

async fn register(server: &Server, authorization: Option<&str>, body: &Value) -> Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(authorization.map(|value| ("authorization", value)));
    server.request(Method::POST, "/oauth2/register", &headers, body.to_string().into()).await
}

#[track_caller]
fn assert_refused(answer: &Answer, tried: bool, case: &str) {
    answer.assert_json_error(401, "invalid_token", case);
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Bearer "), "{case}: {challenge}");
    assert_eq!(challenge.contains("invalid_token"), tried, "{case}: {challenge}");
}

/// `Bearer` with a token that the administrator made.
fn bearer(server: &Server, more: &[&str]) -> String {
    let made = server.json(&[&["client", "token", "--note", "for the workshop"], more].concat());
    format!("Bearer {}", made["token"].as_str().unwrap())
}

/// J14
#[tokio::test(flavor = "multi_thread")]
async fn without_an_initial_access_token_nobody_registers() {
    let server = start("require_initial_access_token = true").await;
    let good = bearer(&server, &["--uses", "2"]);
    let token = good.strip_prefix("Bearer ").unwrap();
    let access = server.tokens().await["access_token"].as_str().unwrap().to_owned();
    let told = register(&server, Some(&good), &metadata()).await;
    assert_eq!(told.status, StatusCode::CREATED, "{}", told.body);
    let managing = told.json()["registration_access_token"].as_str().unwrap().to_owned();
    // whatever else is wrong with the request
    let bodies = [metadata(), json!({}), json!(null), json!({"redirect_uris": ["http://evil.test/cb"]})];
    for body in &bodies {
        assert_refused(&register(&server, None, body).await, false, "none");
        for (case, authorization) in [
            ("wrong", "Bearer AAAA".to_owned()),
            ("empty", "Bearer ".to_owned()),
            ("altered", format!("{good}x")),
            ("an access token", format!("Bearer {access}")),
            ("what manages another registration", format!("Bearer {managing}")),
            ("another scheme", format!("DPoP {token}")),
            ("Basic", format!("Basic {}", STANDARD.encode(format!("{token}:")))),
            ("no scheme", token.to_owned()),
        ] {
            assert_refused(&register(&server, Some(&authorization), body).await, true, case);
        }
    }
    let form = server.request(Method::POST, "/oauth2/register", &[], Vec::new()).await;
    assert_refused(&form, false, "not even JSON");
    let twice = [("authorization", good.as_str()), ("authorization", good.as_str())];
    let answer =
        server.request(Method::POST, "/oauth2/register", &twice, metadata().to_string().into()).await;
    assert_refused(&answer, true, "two headers");
    // the use that was left is left
    assert_eq!(register(&server, Some(&good), &metadata()).await.status, StatusCode::CREATED);
}

/// J14
#[tokio::test(flavor = "multi_thread")]
async fn an_initial_access_token_expires_and_is_used_up() {
    let server = start("require_initial_access_token = true").await;
    let good = bearer(&server, &["--uses", "2", "--days", "1"]);
    // a busy machine may have taken some time for the command
    server.clock.advance_seconds(86_400 + 600);
    assert_refused(&register(&server, Some(&good), &metadata()).await, true, "expired");
    server.clock.advance_seconds(-1200);
    for body in [json!({}), json!(null), json!({"redirect_uris": ["http://evil.test/cb"]})] {
        let answer = register(&server, Some(&good), &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "and it takes no use: {body}");
    }
    for _ in 0..2 {
        assert_eq!(register(&server, Some(&good), &metadata()).await.status, StatusCode::CREATED);
    }
    assert_refused(&register(&server, Some(&good), &metadata()).await, true, "used up");
    let events = server.events("client.registered");
    assert_eq!(events.len(), 2);
    assert!(events.iter().all(|event| event["detail"]["admitted"] == "for the workshop"), "{events:?}");
    let token = good.strip_prefix("Bearer ").unwrap();
    let stored = server.database_bytes().await;
    assert!(!stored.windows(token.len()).any(|window| window == token.as_bytes()), "stored in clear");
}

/// J14: of registrations at once, no more than it has uses.
#[tokio::test(flavor = "multi_thread")]
async fn an_initial_access_token_is_used_no_oftener_among_all_servers() {
    let one = start("require_initial_access_token = true").await;
    let two = one.replica().await;
    let good = bearer(&one, &["--uses", "3"]);
    let body = metadata();
    let servers = [&one, &two].into_iter().cycle().take(12);
    let answers = join_all(servers.map(|server| register(server, Some(&good), &body))).await;
    let (made, refused): (Vec<_>, Vec<_>) =
        answers.into_iter().partition(|answer| answer.status == StatusCode::CREATED);
    assert_eq!(made.len(), 3);
    for answer in refused {
        assert_refused(&answer, true, "used up");
    }
    assert_eq!(one.events("client.registered").len(), 3);
}

/// J14: where no token is needed, one that comes is not looked at.
#[tokio::test]
async fn where_anybody_may_register_no_token_is_asked_for() {
    let server = Server::start().await;
    for authorization in ["Bearer AAAA", "Basic AAAA", "x"] {
        let answer = register(&server, Some(authorization), &metadata()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{authorization}");
    }
}

/// J15
#[tokio::test(flavor = "multi_thread")]
async fn a_client_waits_until_the_administrator_approves_of_it() {
    let server = start("require_approval = true").await;
    let id = server.registered(CALLBACK).await;
    let other = server.registered(CALLBACK).await;
    let waits = |answer: &Answer, case: &str| {
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{case}: {}", answer.body);
        assert!(answer.header("content-type").unwrap().starts_with("text/html"), "{case}");
        assert!(
            answer.header("location").is_none() && !answer.body.contains("<a "),
            "{case}: {}",
            answer.body
        );
        assert!(answer.body.contains("This app waits for the administrator"), "{case}: {}", answer.body);
        assert!(answer.body.contains(&id) && !answer.body.contains("Self Made"), "{case}: {}", answer.body);
    };
    let mut signed_in = server.browser().signed_in().await;
    for (case, az) in [
        ("right", az_of(&id)),
        ("without a page", az_of(&id).with("prompt", "none")),
        ("another redirect URI", az_of(&id).with("redirect_uri", "https://evil.test/cb")),
        ("no PKCE", az_of(&id).without("code_challenge")),
    ] {
        waits(&server.browser().authorize(&az).await, case);
        waits(&signed_in.authorize(&az).await, case);
    }
    let pushed = server.post("/oauth2/par", &az_of(&id)).await;
    pushed.assert_json_error(401, "invalid_client", "pushed");
    let form = redeem("AAAA").with("client_id", &id);
    server.token(&form).await.assert_json_error(401, "invalid_client", "token");
    // it has the time that an administrator takes
    server.clock.advance_seconds(30 * 86_400);
    let listed = server.json(&["client", "list", "--waiting"]);
    let ids: Vec<_> =
        listed.as_array().unwrap().iter().map(|client| client["id"].as_str().unwrap()).collect();
    assert!(ids.len() == 2 && ids.contains(&id.as_str()) && ids.contains(&other.as_str()), "{listed}");
    server.clock.advance_seconds(-30 * 86_400);
    let said = server.command(&["client", "approve", &id]);
    assert!(said.contains("`Self Made`") && said.contains(CALLBACK), "{said}");
    assert_eq!(server.events("client.approved")[0]["client_id"], *id);
    let listed = server.command(&["client", "list", "--waiting"]);
    assert!(!listed.contains(&id) && listed.contains(&other) && !listed.contains("pub1"), "{listed}");
    // nobody else was approved
    let answer = server.browser().authorize(&az_of(&other)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    server.code(&az_of(&id)).await;
    server.code(&az()).await;
}

/// J15: what was approved is what the administrator saw.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_changes_waits_again() {
    let server = start("require_approval = true").await;
    let told = server.register(&metadata().to_string()).await.json();
    let id = told["client_id"].as_str().unwrap().to_owned();
    let path = format!("/oauth2/register/{id}");
    let mut token = told["registration_access_token"].as_str().unwrap().to_owned();
    let mut put = async |more: Value| {
        let body = with(with(metadata(), &json!({"client_id": id})), &more);
        let bearer = format!("Bearer {token}");
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        let answer = server.request(Method::PUT, &path, &headers, body.to_string().into()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.json()["registration_access_token"].as_str().unwrap().clone_into(&mut token);
    };
    // nobody approves of themselves
    put(json!({"client_name": "Other"})).await;
    assert_eq!(server.browser().authorize(&az_of(&id)).await.status, StatusCode::FORBIDDEN);
    put(json!({})).await;
    server.command(&["client", "approve", &id]);
    let code = server.code(&az_of(&id)).await;
    let form = redeem(&code).with("client_id", &id).with("redirect_uri", CALLBACK);
    let tokens = server.token(&form).await.json();
    let again = refresh(tokens["refresh_token"].as_str().unwrap()).with("client_id", &id);
    put(json!({})).await;
    assert!(server.browser().page(&az_of(&id)).await.is_login_page(), "it said the same");
    let mut browser = server.browser();
    let page = browser.consent_page(&az_of(&id).with("prompt", "consent")).await;
    put(json!({"redirect_uris": [CALLBACK, "https://evil.test/cb"]})).await;
    browser.decide(&page, "allow").await.assert_page400("a sign-in that had begun");
    assert_eq!(server.browser().authorize(&az_of(&id)).await.status, StatusCode::FORBIDDEN);
    server.token(&again).await.assert_json_error(401, "invalid_client", "its refresh token");
    server.command(&["client", "approve", &id]);
    assert_eq!(server.token(&again).await.status, StatusCode::OK);
}

/// J15: who waits, waits, whatever the configuration says by now.
#[tokio::test]
async fn turning_approval_off_approves_of_nobody() {
    let server = start("require_approval = true").await;
    let id = server.registered(CALLBACK).await;
    let file = server.dir.path().join("auth-server.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("require_approval = true", "")).unwrap();
    let server = server.restart().await;
    assert_eq!(server.browser().authorize(&az_of(&id)).await.status, StatusCode::FORBIDDEN);
    let new = server.registered(CALLBACK).await;
    assert!(server.browser().page(&az_of(&new)).await.is_login_page());
}
