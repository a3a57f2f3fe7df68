//! Proof Key for Code Exchange.

use reqwest::StatusCode;

use crate::harness::{CHALLENGE, Form, Server, VERIFIER, az, redeem};

/// C1, C2, C3, C4, C5, C11
#[tokio::test]
async fn only_s256_challenges_start_a_flow() {
    let server = Server::start().await;
    let c = |challenge: &str| az().with("code_challenge", challenge);
    let m = |method: &str| az().with("code_challenge_method", method);
    let confidential = az().with("client_id", "conf1").with("redirect_uri", "https://conf.test/cb");
    for (case, az) in [
        ("no challenge", az().without("code_challenge").without("code_challenge_method")),
        (
            "no challenge, confidential",
            confidential.without("code_challenge").without("code_challenge_method"),
        ),
        ("method only", az().without("code_challenge")),
        ("plain", m("plain")),
        ("no method", az().without("code_challenge_method")),
        ("s256", m("s256")),
        ("S512", m("S512")),
        ("S256 and a space", m("S256 ")),
        ("42 characters", c(&CHALLENGE[1..])),
        ("129 characters", c(&"A".repeat(129))),
        ("=", c(&format!("{}=", &CHALLENGE[1..]))),
        ("+", c(&format!("{}+", &CHALLENGE[1..]))),
        ("/", c(&format!("{}/", &CHALLENGE[1..]))),
        ("twice", az().and("code_challenge", CHALLENGE)),
    ] {
        server.browser().authorize(&az).await.assert_error_redirect(&server, "invalid_request", case);
    }
}

/// C6, C7, C8, C9
#[tokio::test]
async fn only_the_verifier_redeems_the_code_and_a_few_mistakes_are_forgiven() {
    let server = Server::start().await;
    let code = server.code(&az()).await;
    let missing = server.token(&redeem(&code).without("code_verifier")).await;
    missing.assert_json_error(400, "invalid_request", "missing");
    let wrong = VERIFIER.replace('d', "e");
    for (case, verifier) in [("wrong", wrong.as_str()), ("the challenge", CHALLENGE)] {
        let answer = server.token(&redeem(&code).with("code_verifier", verifier)).await;
        answer.assert_json_error(400, "invalid_grant", case);
    }
    assert_eq!(server.token(&redeem(&code)).await.status, StatusCode::OK);
    server.token(&redeem(&code)).await.assert_json_error(400, "invalid_grant", "again");
}

/// C9
#[tokio::test]
async fn verifiers_of_illegal_form_are_refused() {
    let server = Server::start().await;
    for verifier in [
        format!("{VERIFIER}\n"),
        format!("{VERIFIER} "),
        format!("{VERIFIER}="),
        VERIFIER[1..].to_owned(),
        "a".repeat(129),
    ] {
        let code = server.code(&az()).await;
        let answer = server.token(&redeem(&code).with("code_verifier", &verifier)).await;
        answer.assert_json_error(400, "invalid_grant", &verifier);
        assert_eq!(server.token(&redeem(&code)).await.status, StatusCode::OK, "{verifier:?}");
    }
}

/// C7
#[tokio::test]
async fn guessing_verifiers_kills_the_code() {
    let server = Server::start().await;
    let code = server.code(&az()).await;
    for n in 0..5 {
        let guess = format!("{}{n}", &VERIFIER[1..]);
        let answer = server.token(&redeem(&code).with("code_verifier", &guess)).await;
        answer.assert_json_error(400, "invalid_grant", "guess");
    }
    server.token(&redeem(&code)).await.assert_json_error(400, "invalid_grant", "dead");
}

/// C10
#[tokio::test]
async fn an_injected_code_does_not_fit_the_victims_verifier() {
    let server = Server::start().await;
    let attackers = server.code(&az()).await;
    // RFC 7636 appendix B's verifier is the attacker's; the victim has its own
    let victim = Form::of(&[
        ("grant_type", "authorization_code"),
        ("client_id", "pub1"),
        ("code", &attackers),
        ("code_verifier", &"v".repeat(43)),
    ]);
    server.token(&victim).await.assert_json_error(400, "invalid_grant", "injected");
}
