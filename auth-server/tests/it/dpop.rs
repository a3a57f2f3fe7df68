//! Tokens that are bound to a key of the client (RFC 9449).

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    harness::{Answer, CONF1_SECRET, Form, START, Server, Setup, az, claims, redeem, refresh},
    signer::{Signer, with},
};

pub(crate) static KEY: LazyLock<Signer> = LazyLock::new(|| Signer::es256("k"));
static OTHER: LazyLock<Signer> = LazyLock::new(|| Signer::es256("k"));

/// A proof of a request, with another `jti` each time.
fn proof_by(signer: &Signer, server: &Server, header: &Value, changes: &Value) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut jwk = signer.jwk.clone();
    jwk.as_object_mut()
        .unwrap()
        .retain(|name, _| ["kty", "crv", "x", "y", "n", "e"].contains(&name.as_str()));
    let claims = json!({
        "jti": NEXT.fetch_add(1, Ordering::Relaxed).to_string(),
        "htm": "POST",
        "htu": format!("{}/oauth2/token", server.issuer),
        "iat": START,
    });
    signer.sign(&with(json!({"typ": "dpop+jwt", "jwk": jwk}), header), &with(claims, changes))
}

pub(crate) fn proof(server: &Server) -> String {
    proof_by(&KEY, server, &json!({}), &json!({}))
}

/// A proof of another time.
pub(crate) fn proof_at(server: &Server, at: i64) -> String {
    proof_by(&KEY, server, &json!({}), &json!({"iat": at}))
}

pub(crate) async fn token(server: &Server, form: &Form, proof: &str) -> Answer {
    server.post_with("/oauth2/token", &[("dpop", proof)], form).await
}

pub(crate) async fn bound(server: &Server) -> Value {
    let code = server.code(&az()).await;
    let answer = token(server, &redeem(&code), &proof(server)).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    answer.json()
}

/// N1
#[tokio::test]
async fn a_good_proof_binds_the_tokens() {
    let server = Server::start().await;
    let tokens = bound(&server).await;
    assert_eq!(tokens["token_type"], "DPoP");
    let jkt = claims(tokens["access_token"].as_str().unwrap())["cnf"]["jkt"].clone();
    assert_eq!(jkt.as_str().unwrap().len(), 43);
    let plain = server.tokens().await;
    assert_eq!(plain["token_type"], "Bearer");
    assert!(claims(plain["access_token"].as_str().unwrap()).get("cnf").is_none());
}

/// N2, N3, N4, N5
#[tokio::test]
async fn proofs_that_are_not_for_this_request_are_refused() {
    let server = Server::start().await;
    let code = server.code(&az()).await;
    let url = format!("{}/oauth2/token", server.issuer);
    let (none, hs) = (json!({"alg": "none"}), json!({"alg": "HS256"}));
    let mut private = KEY.jwk.clone();
    private["d"] = json!("AAAA");
    for (case, header, changes) in [
        ("another method", json!({}), json!({"htm": "GET"})),
        ("a method in lower case", json!({}), json!({"htm": "post"})),
        ("another URL", json!({}), json!({"htu": format!("{}/oauth2/par", server.issuer)})),
        ("another host", json!({}), json!({"htu": "https://evil.test/oauth2/token"})),
        ("no string", json!({}), json!({"htu": 7})),
        ("relative", json!({}), json!({"htu": "/oauth2/token"})),
        ("six minutes ago", json!({}), json!({"iat": START - 360})),
        ("in six minutes", json!({}), json!({"iat": START + 360})),
        ("no time", json!({}), json!({"iat": null})),
        ("another type", json!({"typ": "JWT"}), json!({})),
        ("unsigned", none, json!({})),
        ("symmetric", hs, json!({})),
        ("a private key", json!({"jwk": private}), json!({})),
        ("no key", json!({"jwk": null}), json!({})),
        ("an extension", json!({"crit": ["x"]}), json!({})),
    ] {
        let proof = proof_by(&KEY, &server, &header, &changes);
        let answer = token(&server, &redeem(&code), &proof).await;
        answer.assert_json_error(400, "invalid_dpop_proof", case);
    }
    for garbage in ["", "x", "a.b.c", &"a".repeat(9000)] {
        token(&server, &redeem(&code), garbage).await.assert_json_error(400, "invalid_dpop_proof", garbage);
    }
    let (one, two) = (proof(&server), proof(&server));
    let headers = [("dpop", one.as_str()), ("dpop", two.as_str())];
    let answer = server.post_with("/oauth2/token", &headers, &redeem(&code)).await;
    answer.assert_json_error(400, "invalid_dpop_proof", "two headers");

    // the code is still good: nothing of this has touched it; query and fragment of the URL are ignored
    let good = proof_by(&KEY, &server, &json!({}), &json!({"htu": format!("{url}?x=1#f")}));
    assert_eq!(token(&server, &redeem(&code), &good).await.status, StatusCode::OK);
    let code = server.code(&az()).await;
    token(&server, &redeem(&code), &good).await.assert_json_error(400, "invalid_dpop_proof", "used before");
}

/// N6
#[tokio::test]
async fn where_nonces_are_wanted_the_client_is_told_which() {
    let server = Setup { more: "[dpop]\nnonces = true\n".to_owned(), ..Setup::default() }.start().await;
    let code = server.code(&az()).await;
    let answer = token(&server, &redeem(&code), &proof(&server)).await;
    answer.assert_json_error(400, "use_dpop_nonce", "no nonce");
    let nonce = answer.header("dpop-nonce").unwrap().to_owned();
    let exposed = server
        .post_with(
            "/oauth2/token",
            &[("origin", "https://x.test"), ("dpop", &proof(&server))],
            &redeem(&code),
        )
        .await;
    assert!(exposed.header("access-control-expose-headers").unwrap().contains("dpop-nonce"));
    let with_nonce =
        |nonce: &str| proof_by(&KEY, &server, &json!({}), &json!({"nonce": nonce, "iat": START}));
    let answer = token(&server, &redeem(&code), &with_nonce("made-up")).await;
    answer.assert_json_error(400, "use_dpop_nonce", "made up");
    assert_eq!(token(&server, &redeem(&code), &with_nonce(&nonce)).await.status, StatusCode::OK);
    server.clock.advance_seconds(900);
    let late = proof_by(&KEY, &server, &json!({}), &json!({"nonce": nonce, "iat": START + 900}));
    let answer = token(&server, &redeem("x"), &late).await;
    answer.assert_json_error(400, "use_dpop_nonce", "an old one");

    let pushed = |claims: Value| {
        let changes =
            with(json!({"htu": format!("{}/oauth2/par", server.issuer), "iat": START + 900}), &claims);
        proof_by(&KEY, &server, &json!({}), &changes)
    };
    let push = async |proof: &str| server.post_with("/oauth2/par", &[("dpop", proof)], &az()).await;
    let answer = push(&pushed(json!({}))).await;
    answer.assert_json_error(400, "use_dpop_nonce", "a pushed request without nonce");
    let nonce = answer.header("dpop-nonce").expect("a nonce for the pushed request").to_owned();
    assert_eq!(push(&pushed(json!({"nonce": nonce}))).await.status, StatusCode::CREATED);
}

/// N8
#[tokio::test]
async fn a_code_may_be_bound_before_it_is_given() {
    let server = Server::start().await;
    let thumbprint = claims(bound(&server).await["access_token"].as_str().unwrap())["cnf"]["jkt"].clone();
    let thumbprint = thumbprint.as_str().unwrap();
    for bad in ["x", "=", &"A".repeat(44)] {
        let answer = server.browser().authorize(&az().with("dpop_jkt", bad)).await;
        answer.assert_error_redirect(&server, "invalid_request", bad);
    }
    let code = server.code(&az().with("dpop_jkt", thumbprint)).await;
    server.token(&redeem(&code)).await.assert_json_error(400, "invalid_dpop_proof", "no proof");
    let other = proof_by(&OTHER, &server, &json!({}), &json!({}));
    token(&server, &redeem(&code), &other).await.assert_json_error(400, "invalid_grant", "another key");
    assert_eq!(token(&server, &redeem(&code), &proof(&server)).await.status, StatusCode::OK);
}

/// N9
#[tokio::test]
async fn a_client_that_bound_itself_gets_nothing_without_proof() {
    let more = "[[clients.registered]]\nid = \"bound\"\nredirect_uris = [\"https://bound.test/cb\"]\n\
                dpop_bound_access_tokens = true\n";
    let server = Setup { more: more.to_owned(), ..Setup::default() }.start().await;
    let az = az().with("client_id", "bound").with("redirect_uri", "https://bound.test/cb");
    let code = server.code(&az).await;
    let form = redeem(&code).with("client_id", "bound").with("redirect_uri", "https://bound.test/cb");
    server.token(&form).await.assert_json_error(400, "invalid_dpop_proof", "no proof");
    assert_eq!(token(&server, &form, &proof(&server)).await.status, StatusCode::OK);
}

/// N10
#[tokio::test]
async fn refresh_tokens_of_public_clients_are_bound_to_the_key() {
    let server = Server::start().await;
    let tokens = bound(&server).await;
    let form = refresh(tokens["refresh_token"].as_str().unwrap());
    server.token(&form).await.assert_json_error(400, "invalid_dpop_proof", "no proof");
    let other = proof_by(&OTHER, &server, &json!({}), &json!({}));
    token(&server, &form, &other).await.assert_json_error(400, "invalid_grant", "another key");
    let next = token(&server, &form, &proof(&server)).await;
    assert_eq!(next.status, StatusCode::OK, "{}", next.body);
    assert_eq!(next.json()["token_type"], "DPoP");
}

/// A confidential client authenticates instead (RFC 9449 §5): it may change its key.
#[tokio::test]
async fn a_confidential_client_may_change_its_key() {
    let server = Server::start().await;
    let az = az().with("client_id", "conf1").with("redirect_uri", "https://conf.test/cb");
    let code = server.code(&az).await;
    let basic = format!("Basic {}", {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        STANDARD.encode(format!("conf1:{CONF1_SECRET}"))
    });
    let send = async |form: Form, proof: String| {
        let headers = [("authorization", basic.as_str()), ("dpop", proof.as_str())];
        server.post_with("/oauth2/token", &headers, &form.without("client_id")).await
    };
    let tokens = send(redeem(&code).with("redirect_uri", "https://conf.test/cb"), proof(&server)).await;
    assert_eq!(tokens.status, StatusCode::OK, "{}", tokens.body);
    let refresh_token = tokens.json()["refresh_token"].as_str().unwrap().to_owned();
    let other = proof_by(&OTHER, &server, &json!({}), &json!({}));
    let next = send(refresh(&refresh_token), other).await;
    assert_eq!(next.status, StatusCode::OK, "{}", next.body);
    let jkt = |answer: &Answer| claims(answer.json()["access_token"].as_str().unwrap())["cnf"]["jkt"].clone();
    assert_ne!(jkt(&tokens), jkt(&next));
}

/// N7, at the userinfo endpoint
#[tokio::test]
async fn a_bound_token_is_no_bearer_token() {
    let server = Server::start().await;
    let code = server.code(&az().with("scope", "mcp:read openid")).await;
    let tokens = token(&server, &redeem(&code), &proof(&server)).await.json();
    let access = tokens["access_token"].as_str().unwrap();
    let url = format!("{}/oauth2/userinfo", server.issuer);
    let ath = {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, access.as_bytes()))
    };
    let good = json!({"htm": "GET", "htu": url, "ath": ath});
    let ask = async |scheme: &str, proof: Option<String>| {
        let authorization = format!("{scheme} {access}");
        let mut headers = vec![("authorization", authorization.as_str())];
        if let Some(proof) = &proof {
            headers.push(("dpop", proof));
        }
        server.request(Method::GET, "/oauth2/userinfo", &headers, Vec::new()).await.status
    };
    assert_eq!(ask("Bearer", None).await, StatusCode::UNAUTHORIZED);
    assert_eq!(ask("DPoP", None).await, StatusCode::UNAUTHORIZED);
    for (case, signer, changes) in [
        ("no ath", &*KEY, json!({"ath": null})),
        ("another token's", &*KEY, json!({"ath": "A".repeat(43)})),
        ("another key", &*OTHER, json!({})),
        ("another method", &*KEY, json!({"htm": "POST"})),
    ] {
        let proof = proof_by(signer, &server, &json!({}), &with(good.clone(), &changes));
        assert_eq!(ask("DPoP", Some(proof)).await, StatusCode::UNAUTHORIZED, "{case}");
    }
    let proof = proof_by(&KEY, &server, &json!({}), &good);
    assert_eq!(ask("DPoP", Some(proof.clone())).await, StatusCode::OK);
    assert_eq!(ask("DPoP", Some(proof)).await, StatusCode::UNAUTHORIZED, "used before");
}

/// N8, O1: the proof of a pushed request says the same as `dpop_jkt` (RFC 9449 §10.1).
#[tokio::test]
async fn a_pushed_request_is_bound_by_its_proof() {
    let server = Server::start().await;
    let thumbprint = claims(bound(&server).await["access_token"].as_str().unwrap())["cnf"]["jkt"].clone();
    let thumbprint = thumbprint.as_str().unwrap();
    let at_par = |signer: &Signer| {
        let htu = format!("{}/oauth2/par", server.issuer);
        proof_by(signer, &server, &json!({}), &json!({ "htu": htu }))
    };
    let push =
        async |form: &Form, proof: &str| server.post_with("/oauth2/par", &[("dpop", proof)], form).await;
    push(&az(), &proof(&server)).await.assert_json_error(400, "invalid_dpop_proof", "of another endpoint");
    let named = az().with("dpop_jkt", thumbprint);
    push(&named, &at_par(&OTHER)).await.assert_json_error(400, "invalid_dpop_proof", "two keys");
    for form in [az(), named] {
        let pushed = push(&form, &at_par(&KEY)).await;
        assert_eq!(pushed.status, StatusCode::CREATED, "{}", pushed.body);
        let pushed = pushed.json();
        let uri = pushed["request_uri"].as_str().unwrap();
        let code = server.code(&Form::of(&[("client_id", "pub1"), ("request_uri", uri)])).await;
        server.token(&redeem(&code)).await.assert_json_error(400, "invalid_dpop_proof", "no proof");
        let other = proof_by(&OTHER, &server, &json!({}), &json!({}));
        token(&server, &redeem(&code), &other).await.assert_json_error(400, "invalid_grant", "another key");
        assert_eq!(token(&server, &redeem(&code), &proof(&server)).await.status, StatusCode::OK);
    }
}
