//! Two servers on one database: what may happen once happens once, whichever of them is asked.

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    dpop,
    harness::{Answer, Form, R1, START, Server, Setup, VERIFIER, az, redeem, refresh},
    signer::Signer,
};

/// Sends the same request `count` times at once, to one server and the other in turn.
async fn at_once(servers: [&Server; 2], count: usize, form: &Form) -> Vec<Answer> {
    join_all(servers.into_iter().cycle().take(count).map(|server| server.token(form))).await
}

fn accepted(answers: &[Answer]) -> usize {
    answers.iter().filter(|answer| answer.status == StatusCode::OK).count()
}

/// D3
#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_redeemed_once_among_all_servers() {
    let one = Server::start().await;
    let other = one.replica().await;
    let code = one.code(&az()).await;
    let answers = at_once([&one, &other], 50, &redeem(&code)).await;
    assert_eq!(accepted(&answers), 1);
    for answer in answers.iter().filter(|answer| answer.status != StatusCode::OK) {
        answer.assert_json_error(400, "invalid_grant", "used");
    }
    // and those who came with it again have ended what it bought
    let winner = answers.iter().find(|answer| answer.status == StatusCode::OK).unwrap().json();
    let end = other.token(&refresh(winner["refresh_token"].as_str().unwrap())).await;
    end.assert_json_error(400, "invalid_grant", "ended");
}

/// F10
#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_is_good_once_among_all_servers() {
    let key = Signer::es256("k");
    let more = "[[clients.registered]]\nid = \"pkj1\"\nredirect_uris = [\"https://keys.test/cb\"]\n\
                jwks_file = \"keys.json\"\n";
    let files = vec![("keys.json", key.jwks().to_string())];
    let one = Setup { more: more.to_owned(), files, ..Setup::default() }.start().await;
    let other = one.replica().await;
    let assertion = key.sign(
        &json!({}),
        &json!({"iss": "pkj1", "sub": "pkj1", "aud": one.issuer, "exp": START + 60, "iat": START, "jti": "1"}),
    );
    // a code that is none: whoever is let in is told so, whoever is not is told that
    let form = Form::of(&[
        ("grant_type", "authorization_code"),
        ("code", "x"),
        ("code_verifier", VERIFIER),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &assertion),
    ]);
    let answers = at_once([&one, &other], 20, &form).await;
    let let_in = answers.iter().filter(|answer| answer.json()["error"] == "invalid_grant").count();
    let refused = answers.iter().filter(|answer| answer.json()["error"] == "invalid_client").count();
    assert_eq!((let_in, refused), (1, 19));
}

/// N2, among servers
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_good_once_among_all_servers() {
    let one = Server::start().await;
    let other = one.replica().await;
    let (code, proof) = (one.code(&az()).await, dpop::proof(&one));
    let servers = [&one, &other].into_iter().cycle().take(20);
    let form = redeem(&code).with("code_verifier", &"A".repeat(43));
    let answers = join_all(servers.map(|server| dpop::token(server, &form, &proof))).await;
    let taken = answers.iter().filter(|answer| answer.json()["error"] == "invalid_grant").count();
    let used = answers.iter().filter(|answer| answer.json()["error"] == "invalid_dpop_proof").count();
    assert_eq!((taken, used), (1, 19));
}

/// G4
#[tokio::test(flavor = "multi_thread")]
async fn refreshing_at_once_on_all_servers_leaves_one_branch() {
    let one = Server::start().await;
    let other = one.replica().await;
    let first = one.tokens().await["refresh_token"].as_str().unwrap().to_owned();
    let answers = at_once([&one, &other], 8, &refresh(&first)).await;
    assert_eq!(accepted(&answers), 8);
    let successors: std::collections::HashSet<_> =
        answers.iter().map(|answer| answer.json()["refresh_token"].as_str().unwrap().to_owned()).collect();
    assert_eq!(successors.len(), 1, "one live branch");
    let next = other.token(&refresh(successors.iter().next().unwrap())).await;
    assert_eq!(next.status, StatusCode::OK, "{}", next.body);
}

/// What is pushed to one server is authorized at another, and a session of one is a session of both.
#[tokio::test]
async fn a_flow_goes_on_at_another_server() {
    let one = Server::start().await;
    let other = one.replica().await;
    let pushed = one.post("/oauth2/par", &az()).await.json();
    let uri = pushed["request_uri"].as_str().unwrap().to_owned();
    let mut browser = one.browser();
    let page = browser.consent_page(&Form::of(&[("client_id", "pub1"), ("request_uri", &uri)])).await;
    browser.server = &other;
    let callback = browser.decide(&page, "allow").await.callback();
    let tokens = other.token(&redeem(&callback["code"])).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.body);
    let introspected = one.token(&refresh(tokens.json()["refresh_token"].as_str().unwrap())).await;
    assert_eq!(introspected.status, StatusCode::OK, "{}", introspected.body);
    assert_eq!(az().0.iter().find(|(name, _)| name == "resource").unwrap().1, R1);
}
