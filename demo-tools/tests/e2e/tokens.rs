//! Tokens that must not work. An invalid one is refused everywhere, also where none is needed.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::mcp::{Answer, call_modern, modern};
use crate::harness::oauth::{OauthClient, jwt_part};
use crate::harness::{Demo, eventually, free_port, http};

/// One tool of each rule: public, optional, oauth2 with a scope, oauth2 without.
const TOOLS: [&str; 4] = ["auth_show", "notes_teaser", "notes_list", "echo"];

/// Refused as an invalid token, whatever the tool: 401, the challenge with its error, and a body that a
/// model can read.
async fn assert_invalid(demo: &Demo, token: &str, what: &str) {
    for tool in TOOLS {
        let answer = call_modern(&http(), &demo.ready.mcp_url, Some(token), tool, json!({"text": "x"})).await;
        assert_invalid_answer(&answer, &format!("{what} at `{tool}`"));
    }
    let list = modern(&http(), &demo.ready.mcp_url, "tools/list", json!({})).bearer_auth(token);
    let answer = Answer::read(list.send().await.unwrap()).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what} at `tools/list`: {answer:?}");
    assert_eq!(answer.json()["error"], json!("invalid_token"), "{what}: {answer:?}");
}

fn assert_invalid_answer(answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {answer:?}");
    assert_eq!(answer.challenged("error").as_deref(), Some("invalid_token"), "{what}");
    assert!(answer.challenged("error_description").is_some(), "{what}");
    assert!(answer.challenged("resource_metadata").is_some(), "{what}");
    assert!(answer.challenged("scope").is_some(), "{what}");
    let body = answer.json();
    assert_eq!(body["id"], json!(7), "{what}: {body}");
    assert_eq!(body["result"]["isError"], json!(true), "{what}: {body}");
    let challenge = body["result"]["_meta"]["mcp/www_authenticate"][0].as_str().unwrap();
    assert!(challenge.contains(r#"error="invalid_token""#), "{what}: {challenge}");
}

async fn works(demo: &Demo, token: &str) {
    let answer = call_modern(&http(), &demo.ready.mcp_url, Some(token), "notes_list", json!({})).await;
    assert_eq!(answer.status, StatusCode::OK, "the token that the others are made from works: {answer:?}");
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let demo = Demo::start(&[]);
    let client = OauthClient::register(&demo).await;
    let token = client.access_token(&demo, "alex", "notes:read").await;
    works(&demo, &token).await;

    let (header, claims) = (jwt_part(&token, 0), jwt_part(&token, 1));
    assert_eq!(header["typ"], json!("at+jwt"));
    let jwks: Value = http().get(client.endpoint("jwks_uri")).send().await.unwrap().json().await.unwrap();
    let key = jwks["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["kid"] == header["kid"])
        .expect("the signing key");

    let mut forged = vec![
        ("no token at all".to_owned(), String::new()),
        ("not a JWT".to_owned(), "x".to_owned()),
        ("the signature taken off".to_owned(), format!("{}.", token.rsplit_once('.').unwrap().0)),
        ("one character of the signature changed".to_owned(), tampered_signature(&token)),
        (
            "more scopes, the old signature".to_owned(),
            with_claims(&token, |claims| claims["scope"] = json!("notes:read notes:write")),
        ),
        (
            "another subject, the old signature".to_owned(),
            with_claims(&token, |claims| claims["sub"] = json!("somebody else")),
        ),
        (
            "a longer life, the old signature".to_owned(),
            with_claims(&token, |claims| claims["exp"] = json!(4_102_444_800_u64)),
        ),
    ];
    for algorithm in ["none", "None", "NONE", "nOnE"] {
        let mut header = header.clone();
        header["alg"] = json!(algorithm);
        let body = format!("{}.{}", encoded(&header), encoded(&claims));
        forged.push((format!("alg {algorithm} without a signature"), format!("{body}.")));
        forged.push((
            format!("alg {algorithm} with the old signature"),
            format!("{body}.{}", token.rsplit_once('.').unwrap().1),
        ));
    }
    for (form, secret) in public_key_forms(key) {
        let mut header = signing_header(Algorithm::HS256, &header);
        let signed = encode(&header, &claims, &EncodingKey::from_secret(&secret)).unwrap();
        forged.push((format!("HS256 with the public key as {form}"), signed));
        header.kid = None;
        let signed = encode(&header, &claims, &EncodingKey::from_secret(&secret)).unwrap();
        forged.push((format!("HS256 with the public key as {form}, no `kid`"), signed));
    }
    let stranger = rcgen::KeyPair::generate().unwrap();
    let stranger = EncodingKey::from_ec_pem(stranger.serialize_pem().as_bytes()).unwrap();
    let mut own_header = signing_header(Algorithm::ES256, &header);
    forged.push(("signed by a stranger".to_owned(), encode(&own_header, &claims, &stranger).unwrap()));
    own_header.kid = None;
    forged.push((
        "signed by a stranger, no `kid`".to_owned(),
        encode(&own_header, &claims, &stranger).unwrap(),
    ));
    own_header.kid = Some("of a stranger".into());
    forged.push((
        "signed by a stranger, unknown `kid`".to_owned(),
        encode(&own_header, &claims, &stranger).unwrap(),
    ));

    for (what, token) in &forged {
        if !token.is_empty() {
            assert_invalid(&demo, token, what).await;
        }
    }
    works(&demo, &token).await;
}

/// `none` and friends cannot be written with a JWT library, which is as it should be.
fn encoded(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn with_claims(token: &str, change: impl FnOnce(&mut Value)) -> String {
    let parts: Vec<_> = token.split('.').collect();
    let mut claims = jwt_part(token, 1);
    change(&mut claims);
    format!("{}.{}.{}", parts[0], encoded(&claims), parts[2])
}

/// Changes a character in the middle, whose bits all count.
fn tampered_signature(token: &str) -> String {
    let (body, signature) = token.rsplit_once('.').unwrap();
    let mut signature = signature.to_owned().into_bytes();
    let middle = signature.len() / 2;
    signature[middle] = if signature[middle] == b'A' { b'B' } else { b'A' };
    format!("{body}.{}", String::from_utf8(signature).unwrap())
}

fn signing_header(algorithm: Algorithm, original: &Value) -> Header {
    let mut header = Header::new(algorithm);
    header.typ = Some("at+jwt".into());
    header.kid = original["kid"].as_str().map(str::to_owned);
    header
}

/// The public key in the encodings that a confused verifier might use as a secret.
fn public_key_forms(jwk: &Value) -> Vec<(&'static str, Vec<u8>)> {
    let field = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    // SubjectPublicKeyInfo: fixed prefixes (RFC 5480, RFC 8410), then the key itself
    let (prefix, point) = match jwk["kty"].as_str().unwrap() {
        "EC" => {
            assert_eq!(jwk["crv"], json!("P-256"));
            ("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE", [field("x"), field("y")].concat())
        }
        "OKP" => ("MCowBQYDK2VwAyEA", field("x")),
        other => panic!("no forms for `{other}` keys here yet: {jwk}"),
    };
    let der = [STANDARD.decode(prefix).unwrap(), point.clone()].concat();
    let lines: Vec<_> = STANDARD
        .encode(&der)
        .into_bytes()
        .chunks(64)
        .map(|line| String::from_utf8(line.to_vec()).unwrap())
        .collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"));
    vec![
        ("PEM", pem.clone().into_bytes()),
        ("PEM without the last line end", pem.trim_end().as_bytes().to_vec()),
        ("DER", der),
        ("a bare point", point),
        ("a JWK", jwk.to_string().into_bytes()),
        ("its x coordinate in base64url", jwk["x"].as_str().unwrap().as_bytes().to_vec()),
    ]
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let demo = Demo::start(&["--access-token-ttl", "1"]);
    let token = OauthClient::register(&demo).await.access_token(&demo, "alex", "notes:read").await;
    let refused = eventually("the token to expire", async || {
        let answer = call_modern(&http(), &demo.ready.mcp_url, Some(&token), "notes_list", json!({})).await;
        (answer.status != StatusCode::OK).then_some(answer)
    })
    .await;
    assert_invalid_answer(&refused, "expired");
    assert_invalid(&demo, &token, "expired").await;
}

/// The same signing key, another name: only the `aud` or the `iss` of the token is wrong.
#[tokio::test]
async fn a_token_for_another_resource_or_from_another_issuer_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let keep = ["--data-dir", directory.path().to_str().unwrap()];
    let ports: Vec<_> = (0..4).map(|_| free_port().to_string()).collect();
    let on = |gateway: &str, issuer: &str| {
        Demo::start_on(&["--gateway-port", gateway, "--as-port", issuer, "--tools-port", "0"], &keep)
    };
    let (gateway, issuer) = (ports[0].as_str(), ports[1].as_str());

    let demo = on(gateway, issuer);
    let token = OauthClient::register(&demo).await.access_token(&demo, "alex", "notes:read").await;
    works(&demo, &token).await;
    let key = signing_key(&demo).await;
    demo.stop();

    let elsewhere = on(&ports[2], issuer);
    assert_eq!(signing_key(&elsewhere).await, key, "the data directory keeps the key");
    assert_invalid(&elsewhere, &token, "wrong audience").await;
    elsewhere.stop();

    let renamed = on(gateway, &ports[3]);
    assert_eq!(signing_key(&renamed).await, key, "the data directory keeps the key");
    assert_invalid(&renamed, &token, "wrong issuer").await;
    renamed.stop();

    let back = on(gateway, issuer);
    works(&back, &token).await;
}

async fn signing_key(demo: &Demo) -> Value {
    let client = OauthClient::register(demo).await;
    http().get(client.endpoint("jwks_uri")).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn odd_ways_to_present_a_token_are_refused() {
    let demo = Demo::start(&[]);
    let url = &demo.ready.mcp_url;
    let token = OauthClient::register(&demo).await.access_token(&demo, "alex", "notes:read").await;
    works(&demo, &token).await;
    let http = http();
    let request =
        |tool: &str| modern(&http, url, "tools/call", json!({"name": tool, "arguments": {"text": "x"}}));

    for tool in TOOLS {
        for (scheme, value) in [
            ("Basic", "Basic YWxleDpwYXNzd29yZA==".to_owned()),
            ("DPoP", format!("DPoP {token}")),
            ("no scheme", token.clone()),
            ("nothing", String::new()),
            ("Bearer and nothing", "Bearer".to_owned()),
            ("two tokens in one header", format!("Bearer {token}, Bearer {token}")),
        ] {
            let answer =
                Answer::read(request(tool).header("authorization", value).send().await.unwrap()).await;
            assert!(
                [StatusCode::UNAUTHORIZED, StatusCode::BAD_REQUEST].contains(&answer.status),
                "{scheme} at `{tool}`: {answer:?}"
            );
            let error = answer.challenged("error");
            let expected =
                if answer.status == StatusCode::UNAUTHORIZED { "invalid_token" } else { "invalid_request" };
            assert_eq!(error.as_deref(), Some(expected), "{scheme} at `{tool}`");
        }
        for (first, second) in [(&token, &token), (&token, &"x".to_owned()), (&"x".to_owned(), &token)] {
            let twice = request(tool).bearer_auth(first).bearer_auth(second).send().await.unwrap();
            assert_invalid_request(&Answer::read(twice).await, &format!("two headers at `{tool}`"));
        }
        for (with, what) in [(None, "alone"), (Some(&token), "beside a header")] {
            for query in [
                format!("access_token={token}"),
                format!("a=b&access_token={token}"),
                "access_token=".to_owned(),
            ] {
                let mut request = modern(
                    &http,
                    &format!("{url}?{query}"),
                    "tools/call",
                    json!({"name": tool, "arguments": {"text": "x"}}),
                );
                if let Some(token) = with {
                    request = request.bearer_auth(token);
                }
                let answer = Answer::read(request.send().await.unwrap()).await;
                assert_invalid_request(&answer, &format!("in the query, {what}, at `{tool}`"));
            }
        }
    }
    // RFC 9110 §11.1: the scheme is case-insensitive
    for scheme in ["bearer", "BEARER"] {
        let answer = Answer::read(
            request("notes_list").header("authorization", format!("{scheme} {token}")).send().await.unwrap(),
        )
        .await;
        assert_eq!(answer.status, StatusCode::OK, "{scheme}: {answer:?}");
    }
}

fn assert_invalid_request(answer: &Answer, what: &str) {
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{what}: {answer:?}");
    assert_eq!(answer.challenged("error").as_deref(), Some("invalid_request"), "{what}");
}

#[tokio::test]
async fn a_token_without_the_scope_is_told_which_one() {
    let demo = Demo::start(&[]);
    let url = &demo.ready.mcp_url;
    let client = OauthClient::register(&demo).await;
    let http = http();
    let token = client.access_token(&demo, "alex", "profile:read").await;
    for (tool, needed) in
        [("notes_list", "notes:read profile:read"), ("notes_add", "notes:write profile:read")]
    {
        let answer = call_modern(&http, url, Some(&token), tool, json!({"text": "x"})).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{answer:?}");
        assert_eq!(answer.challenged("error").as_deref(), Some("insufficient_scope"));
        assert_eq!(answer.challenged("scope").as_deref(), Some(needed));
        let body = answer.json();
        assert_eq!(body["result"]["isError"], json!(true), "{body}");
        assert_eq!(body["result"]["resultType"], json!("complete"), "{body}");
        let challenge = body["result"]["_meta"]["mcp/www_authenticate"][0].as_str().unwrap();
        assert!(challenge.contains(r#"error="insufficient_scope""#), "{challenge}");
    }
    // nothing was stored by the refused call, and where a scope is optional its absence means anonymous
    let teaser = call_modern(&http, url, Some(&token), "notes_teaser", json!({})).await;
    assert!(teaser.structured()["teaser"].is_string(), "{teaser:?}");
    let writer = client.access_token(&demo, "alex", "notes:write").await;
    let list = call_modern(&http, url, Some(&writer), "notes_list", json!({})).await;
    assert_eq!(list.structured(), json!({"notes": []}), "`notes:write` implies `notes:read`: {list:?}");
}

/// What is revoked at the authorization server is refused at the gateway within five seconds, though it has not expired;
/// and nothing else is.
#[tokio::test]
async fn a_revoked_token_is_refused_within_five_seconds() {
    let demo = Demo::start(&[]);
    let client = OauthClient::register(&demo).await;
    let (mine, others) =
        (client.tokens(&demo, "alex", "notes:read").await, client.tokens(&demo, "blake", "notes:read").await);
    let access = |tokens: &Value| tokens["access_token"].as_str().unwrap().to_owned();
    works(&demo, &access(&mine)).await;
    works(&demo, &access(&others)).await;
    let form = [("client_id", client.id.as_str()), ("token", mine["refresh_token"].as_str().unwrap())];
    let revoked = http().post(client.endpoint("revocation_endpoint")).form(&form).send().await.unwrap();
    assert_eq!(revoked.status(), StatusCode::OK);
    let since = std::time::Instant::now();
    loop {
        let answer =
            call_modern(&http(), &demo.ready.mcp_url, Some(&access(&mine)), "notes_list", json!({})).await;
        if answer.status == StatusCode::UNAUTHORIZED {
            assert_invalid_answer(&answer, "revoked");
            break;
        }
        assert!(since.elapsed() < std::time::Duration::from_secs(5), "{answer:?}");
        tokio::task::yield_now().await;
    }
    works(&demo, &access(&others)).await;
}
