//! `private_key_jwt`: clients that prove by a signature who they are.

use std::sync::{LazyLock, atomic::Ordering};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    harness::{Answer, Form, START, Server, Setup, VERIFIER, az},
    signer::{Signer, with},
    web::{Addresses, Reply, Web, ok},
};

static ES256: LazyLock<Signer> = LazyLock::new(|| Signer::es256("ec"));
static EDDSA: LazyLock<Signer> = LazyLock::new(|| Signer::eddsa("ed"));
static RS256: LazyLock<Signer> = LazyLock::new(|| Signer::rs256("rsa"));
static EVIL: LazyLock<Signer> = LazyLock::new(|| Signer::es256("ec"));

const CALLBACK: &str = "https://keys.test/cb";
const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A client with keys in a file.
fn with_keys(keys: &[&Signer], more: &str) -> Setup {
    let set: Vec<_> = keys.iter().map(|signer| signer.jwk.clone()).collect();
    let client = format!(
        "[[clients.registered]]\nid = \"pkj1\"\nredirect_uris = [\"{CALLBACK}\"]\njwks_file = \"keys.json\"\n{more}\n"
    );
    Setup { more: client, files: vec![("keys.json", json!({ "keys": set }).to_string())], ..Setup::default() }
}

/// A client whose keys are at a URL.
async fn with_keys_at(web: &Web, addresses: &std::sync::Arc<Addresses>) -> Server {
    let (host, url) = (crate::web::HOST, web.url("/jwks.json"));
    let more = format!(
        "[[clients.registered]]\nid = \"pkj1\"\nredirect_uris = [\"{CALLBACK}\"]\njwks_uri = \"{url}\"\n"
    );
    let clients = format!("insecure_document_hosts = [\"{host}:{}\"]\nextra_ca_file = \"ca.pem\"", web.port);
    let files = vec![("ca.pem", web.ca.clone())];
    Setup { more, clients, files, resolver: Some(std::sync::Arc::clone(addresses) as _), ..Setup::default() }
        .start()
        .await
}

/// Claims that are right, with another `jti` each time.
fn claims(server: &Server, changes: &Value) -> Value {
    use std::sync::atomic::AtomicU64;
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let jti = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
    let now = START;
    with(
        json!({"iss": "pkj1", "sub": "pkj1", "aud": server.issuer, "exp": now + 60, "iat": now, "jti": jti}),
        changes,
    )
}

fn asserted(form: Form, assertion: &str) -> Form {
    form.with("client_assertion_type", TYPE).with("client_assertion", assertion)
}

/// Something that fails with `invalid_grant` once the client has proved itself.
fn probe() -> Form {
    Form::of(&[("grant_type", "refresh_token"), ("refresh_token", "none")])
}

async fn present(server: &Server, assertion: &str) -> Answer {
    server.token(&asserted(probe(), assertion)).await
}

async fn assert_proven(server: &Server, assertion: &str, case: &str) {
    present(server, assertion).await.assert_json_error(400, "invalid_grant", case);
}

async fn assert_refused(server: &Server, assertion: &str, case: &str) {
    let answer = present(server, assertion).await;
    answer.assert_json_error(401, "invalid_client", case);
    assert_eq!(answer.header("www-authenticate"), None, "{case}");
}

/// F1
#[tokio::test]
async fn each_algorithm_gets_tokens() {
    let server = with_keys(&[&ES256, &RS256, &EDDSA], "").start().await;
    for signer in [&*ES256, &*RS256, &*EDDSA] {
        for audience in [server.issuer.clone(), format!("{}/oauth2/token", server.issuer)] {
            let code = server.code(&az().with("client_id", "pkj1").with("redirect_uri", CALLBACK)).await;
            let form = Form::of(&[
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("code_verifier", VERIFIER),
            ]);
            let sign = || signer.sign(&json!({}), &claims(&server, &json!({ "aud": audience })));
            let answer = server.token(&asserted(form, &sign())).await;
            assert_eq!(answer.status, StatusCode::OK, "{:?}: {}", signer.algorithm, answer.body);
            let refresh_token = answer.json()["refresh_token"].as_str().unwrap().to_owned();
            let refresh = Form::of(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", &refresh_token),
                ("client_id", "pkj1"),
            ]);
            let answer = server.token(&asserted(refresh, &sign())).await;
            assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        }
    }
}

/// F1, M5: an assertion is for any endpoint of clients, and may name it.
#[tokio::test]
async fn other_endpoints_take_assertions_as_well() {
    let server = with_keys(&[&ES256], "").start().await;
    for (path, audience, status) in [
        ("/oauth2/revoke", server.issuer.clone(), 200),
        ("/oauth2/revoke", format!("{}/oauth2/token", server.issuer), 200),
        ("/oauth2/revoke", format!("{}/oauth2/revoke", server.issuer), 200),
        ("/oauth2/token", format!("{}/oauth2/revoke", server.issuer), 401),
    ] {
        let assertion = ES256.sign(&json!({}), &claims(&server, &json!({ "aud": audience })));
        let form = asserted(probe().with("token", "none"), &assertion);
        let answer = server.post(path, &form).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {audience}: {}", answer.body);
    }
}

/// F2, F3
#[tokio::test]
async fn what_is_no_signature_proves_nothing() {
    let server = with_keys(&[&ES256, &RS256], "").start().await;
    let good = claims(&server, &json!({}));
    for alg in ["none", "None", "nOnE"] {
        let forged = ES256.sign(&json!({ "alg": alg }), &good);
        let unsigned = format!("{}.", forged.rsplit_once('.').unwrap().0);
        for assertion in [forged, unsigned] {
            assert_refused(&server, &assertion, alg).await;
        }
    }
    for signer in [&*ES256, &*RS256] {
        let der = {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            let text: String = signer.pem.lines().filter(|line| !line.starts_with("--")).collect();
            STANDARD.decode(text).unwrap()
        };
        for secret in [signer.pem.as_bytes(), &der, signer.jwk.to_string().as_bytes()] {
            let mut header = Header::new(Algorithm::HS256);
            header.kid = signer.jwk["kid"].as_str().map(str::to_owned);
            let forged = jsonwebtoken::encode(&header, &good, &EncodingKey::from_secret(secret)).unwrap();
            assert_refused(&server, &forged, "HS256").await;
        }
    }
    assert_proven(&server, &ES256.sign(&json!({}), &good), "after all that").await;
}

/// F4
#[tokio::test]
async fn the_algorithm_is_the_keys_and_the_clients() {
    let server = with_keys(&[&ES256, &RS256], "token_endpoint_auth_signing_alg = \"ES256\"").start().await;
    let rs256 = RS256.sign(&json!({}), &claims(&server, &json!({})));
    assert_refused(&server, &rs256, "the client registered ES256").await;
    assert_proven(&server, &ES256.sign(&json!({}), &claims(&server, &json!({}))), "ES256").await;

    let server = with_keys(&[&RS256], "").start().await;
    let header = RS256.header(&json!({"alg": "PS256"})).to_string();
    let ps256 = RS256.sign_text(Algorithm::PS256, &header, &claims(&server, &json!({})).to_string());
    assert_refused(&server, &ps256, "PS256 with an RS256 key").await;
    let named_otherwise = RS256.sign_text(
        Algorithm::PS256,
        &RS256.header(&json!({})).to_string(),
        &claims(&server, &json!({})).to_string(),
    );
    assert_refused(&server, &named_otherwise, "PS256 that says RS256").await;
    assert_proven(&server, &RS256.sign(&json!({}), &claims(&server, &json!({}))), "RS256").await;
}

/// F5
#[tokio::test]
async fn an_assertion_brings_no_key_of_its_own() {
    let web = Web::start().await;
    web.publish(&EVIL.jwks().to_string(), "");
    let addresses = Addresses::loopback();
    let setup = with_keys(&[&ES256], "");
    let server = Setup { resolver: Some(std::sync::Arc::clone(&addresses) as _), ..setup }.start().await;
    for header in [
        json!({"jwk": EVIL.jwk}),
        json!({"jku": web.url("/jwks.json")}),
        json!({"jku": "https://evil.test/jwks.json"}),
        json!({"x5u": web.url("/cert.pem")}),
        json!({"x5c": ["MIIBszCCAVmgAwIBAgIUYXk"]}),
    ] {
        for kid in [json!("ec"), json!(null), json!("unknown")] {
            let header = with(header.clone(), &json!({ "kid": kid }));
            assert_refused(&server, &EVIL.sign(&header, &claims(&server, &json!({}))), &header.to_string())
                .await;
        }
    }
    assert_eq!(web.connections.load(Ordering::SeqCst), 0);
    assert_eq!(addresses.asked.load(Ordering::SeqCst), 0);
}

/// F6
#[tokio::test]
async fn a_kid_is_a_name_and_nothing_else() {
    let server = with_keys(&[&ES256, &EVIL], "").start().await;
    // two keys with one name: not even the right one
    assert_refused(&server, &ES256.sign(&json!({}), &claims(&server, &json!({}))), "one kid, two keys").await;
    let second = Signer::es256("second");
    let server = with_keys(&[&ES256, &second], "").start().await;
    let long = "k".repeat(64 * 1024);
    for kid in [
        json!("../../../dev/null"),
        json!("' OR 1=1--"),
        json!(long),
        json!("unknown"),
        json!(""),
        json!(7),
        json!(null),
    ] {
        let assertion = ES256.sign(&json!({ "kid": kid }), &claims(&server, &json!({})));
        assert_refused(&server, &assertion, &kid.to_string().chars().take(20).collect::<String>()).await;
    }
    assert_proven(&server, &ES256.sign(&json!({}), &claims(&server, &json!({}))), "its own").await;
    let server = with_keys(&[&ES256], "").start().await;
    let unnamed = ES256.sign(&json!({"kid": null}), &claims(&server, &json!({})));
    assert_proven(&server, &unnamed, "the only key needs no name").await;
}

/// F7
#[tokio::test]
async fn only_the_compact_form_without_extensions_is_read() {
    let server = with_keys(&[&ES256], "").start().await;
    let good = || ES256.sign(&json!({}), &claims(&server, &json!({})));
    let one = good();
    let (message, signature) = one.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let mut cases = vec![
        json!({"payload": payload, "protected": header, "signature": signature}).to_string(),
        json!({"payload": payload, "signatures": [{"protected": header, "signature": signature}]})
            .to_string(),
        format!("{one}.{signature}"),
        format!("{header}.{payload}.{payload}.{payload}.{signature}"),
        format!(" {one}"),
        format!("{one} "),
        format!("{header}.{payload}\n.{signature}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{one}="),
        message.to_owned(),
        "e30.e30.".to_owned(),
        "x".to_owned(),
    ];
    for changes in [
        json!({"crit": ["x"], "x": 1}),
        json!({"crit": []}),
        json!({"b64": false}),
        json!({"b64": false, "crit": ["b64"]}),
        json!({"enc": "A128GCM", "alg": "ES256"}),
        json!({"typ": "at+jwt"}),
        json!({"typ": "dpop+jwt"}),
    ] {
        cases.push(ES256.sign(&changes, &claims(&server, &json!({}))));
    }
    // a bit that no canonical encoding of 64 bytes has
    let last = one.chars().last().unwrap();
    let other = match last {
        'A' => 'B',
        'Q' => 'R',
        'g' => 'h',
        _ => 'x',
    };
    cases.push(format!("{}{other}", &one[..one.len() - 1]));
    for case in cases {
        assert_refused(&server, &case, &case).await;
    }
    assert_proven(&server, &good(), "plain").await;
}

/// F8, F9
#[tokio::test]
async fn the_claims_must_be_the_clients_for_us_and_now() {
    let server = with_keys(&[&ES256], "").start().await;
    let (issuer, now) = (server.issuer.clone(), START);
    for changes in [
        json!({"iss": "other"}),
        json!({"sub": "pub1"}),
        json!({"iss": "other", "sub": "other"}),
        json!({"iss": "pub1", "sub": "pub1"}),
        json!({"aud": "https://other.test"}),
        json!({"aud": [issuer, "https://evil"]}),
        json!({"aud": format!("{}/", server.issuer)}),
        json!({"aud": null}),
        json!({"exp": null}),
        json!({"exp": now - 60}),
        json!({"exp": now + 11 * 60}),
        json!({"nbf": now + 60}),
        json!({"iat": now + 60}),
        json!({"exp": (now + 60).to_string()}),
        json!({"jti": ""}),
    ] {
        let assertion = ES256.sign(&json!({}), &claims(&server, &changes));
        assert_refused(&server, &assertion, &changes.to_string()).await;
    }
    let text = claims(&server, &json!({})).to_string().replace(&(now + 60).to_string(), "1e400");
    let header = ES256.header(&json!({})).to_string();
    assert_refused(&server, &ES256.sign_text(Algorithm::ES256, &header, &text), "1e400").await;
    // the form may name the client too, and then it must be the same
    let form = |id: &str| {
        let assertion = ES256.sign(&json!({}), &claims(&server, &json!({})));
        asserted(probe().with("client_id", id), &assertion)
    };
    server.token(&form("pub1")).await.assert_json_error(401, "invalid_client", "another client_id");
    server.token(&form("pkj1")).await.assert_json_error(400, "invalid_grant", "its own client_id");
}

/// F10, on one server.
#[tokio::test]
async fn an_assertion_is_good_once() {
    let server = with_keys(&[&ES256], "").start().await;
    let changes = json!({"jti": "once"});
    let assertion = ES256.sign(&json!({}), &claims(&server, &changes));
    assert_proven(&server, &assertion, "first").await;
    assert_refused(&server, &assertion, "second").await;
    let again = ES256.sign(&json!({}), &claims(&server, &changes));
    assert_refused(&server, &again, "the same jti on another assertion").await;
    let unnamed = ES256.sign(&json!({}), &claims(&server, &json!({"jti": null})));
    assert_proven(&server, &unnamed, "without a jti").await;
    assert_refused(&server, &unnamed, "without a jti, again").await;

    let assertion = ES256.sign(&json!({}), &claims(&server, &json!({})));
    let url = format!("{}/oauth2/token", server.at);
    let body = asserted(probe(), &assertion).encoded();
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let request = server
            .http
            .post(&url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.clone());
        attempts.spawn(async move { request.send().await.unwrap().status() });
    }
    let statuses = attempts.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::BAD_REQUEST).count(), 1);
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::UNAUTHORIZED).count(), 19);
}

/// F10: a refusal does not use it up.
#[tokio::test]
async fn a_refused_assertion_is_not_used() {
    let server = with_keys(&[&ES256], "").start().await;
    let good = ES256.sign(&json!({}), &claims(&server, &json!({"jti": "kept"})));
    let forged = EVIL.sign(&json!({}), &claims(&server, &json!({"jti": "kept"})));
    assert_refused(&server, &forged, "somebody else's").await;
    assert_proven(&server, &good, "the client's own").await;
}

/// F12
#[tokio::test]
async fn exchanged_keys_are_fetched_once() {
    let web = Web::start().await;
    let server = with_keys_at(&web, &Addresses::loopback()).await;
    web.publish(&ES256.jwks().to_string(), "");
    let sign = |signer: &Signer, kid: &str| {
        signer.sign(&json!({ "kid": kid }), &claims(&server, &json!({"exp": START + 600})))
    };
    for _ in 0..3 {
        assert_proven(&server, &sign(&ES256, "ec"), "the first key").await;
    }
    assert_eq!(web.fetches(), 1);

    server.clock.advance_seconds(20);
    let next = Signer::es256("next");
    web.publish(&next.jwks().to_string(), "");
    assert_proven(&server, &sign(&next, "next"), "the next key").await;
    assert_eq!(web.fetches(), 2, "one fetch for a kid that is not there");
    assert_refused(&server, &sign(&ES256, "ec"), "the key that is gone").await;
    for n in 0..100 {
        assert_refused(&server, &sign(&EVIL, &format!("random-{n}")), "made up").await;
    }
    assert_eq!(web.fetches(), 2, "made-up kids are no requests");
    assert_proven(&server, &sign(&next, "next"), "meanwhile").await;

    // the set is used as long as its server says, and beyond that while the server is down, for a day
    server.clock.advance_seconds(301);
    web.reply(Reply::Bytes(b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_vec()));
    let later = |seconds: i64| {
        let now = START + seconds;
        next.sign(&json!({}), &claims(&server, &json!({"exp": now + 60, "iat": now})))
    };
    assert_proven(&server, &later(321), "while the server is down").await;
    assert_eq!(web.fetches(), 3);
    server.clock.advance_seconds(86_400);
    assert_refused(&server, &later(321 + 86_400), "a day later").await;
}

/// F12: otherwise a stranger who hangs up again and again would keep a client from ever getting in.
#[tokio::test]
async fn whoever_hangs_up_takes_no_fetch_with_it() {
    let web = Web::start().await;
    let server = with_keys_at(&web, &Addresses::loopback()).await;
    let told = std::sync::Arc::new(tokio::sync::Notify::new());
    let jwks = ok("application/json", "", &ES256.jwks().to_string());
    web.reply(Reply::Told(std::sync::Arc::clone(&told), jwks));
    let assertion = EVIL.sign(&json!({}), &claims(&server, &json!({})));
    let request = server
        .http
        .post(format!("{}/oauth2/token", server.at))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(asserted(probe(), &assertion).encoded());
    let stranger = tokio::spawn(request.send());
    while web.fetches() == 0 {
        tokio::task::yield_now().await;
    }
    stranger.abort();
    assert!(stranger.await.unwrap_err().is_cancelled());
    // the server answers this one after it saw the other one go
    assert_eq!(server.get("/oauth2/jwks").await.status, StatusCode::OK);
    told.notify_one();
    assert_proven(&server, &ES256.sign(&json!({}), &claims(&server, &json!({}))), "the client").await;
    assert_eq!(web.fetches(), 1);
}

/// F12, K20
#[tokio::test]
async fn many_at_once_fetch_keys_once() {
    let web = Web::start().await;
    let server = with_keys_at(&web, &Addresses::loopback()).await;
    web.publish(&ES256.jwks().to_string(), "");
    let url = format!("{}/oauth2/token", server.at);
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let assertion = ES256.sign(&json!({}), &claims(&server, &json!({})));
        let request = server
            .http
            .post(&url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(asserted(probe(), &assertion).encoded());
        attempts.spawn(async move { request.send().await.unwrap().status() });
    }
    for status in attempts.join_all().await {
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
    assert_eq!(web.fetches(), 1);
}

/// F13, F11
#[tokio::test]
async fn keys_are_fetched_behind_the_same_guards_as_documents() {
    let web = Web::start().await;
    let addresses = Addresses::loopback();
    let server = with_keys_at(&web, &addresses).await;
    let good = ES256.jwks().to_string();
    let redirect = |line: &str| {
        let target = web.url("/elsewhere.json");
        format!("HTTP/1.1 {line}\r\nlocation: {target}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{good}", good.len())
            .into_bytes()
    };
    let padded = |size: usize| with(ES256.jwks(), &json!({"x": "x".repeat(size)})).to_string();
    let weak = with(RS256.jwk.clone(), &json!({"n": "x".repeat(171)}));
    let mut now = START;
    for (case, reply) in [
        ("302", redirect("302 Found")),
        ("307", redirect("307 Temporary Redirect")),
        ("404", redirect("404 Not Found")),
        ("html", ok("text/html", "", &good)),
        ("10 MB", ok("application/json", "", &padded(10_000_000))),
        ("33 KiB", ok("application/json", "", &padded(33 * 1024))),
        ("gzip", ok("application/json", "content-encoding: gzip\r\n", &good)),
        ("no set", ok("application/json", "", &json!([ES256.jwk]).to_string())),
        (
            "a private key",
            ok("application/json", "", &json!({"keys": [ES256.jwk, {"kty": "EC", "d": "x"}]}).to_string()),
        ),
        ("a weak key", ok("application/json", "", &json!({ "keys": [weak] }).to_string())),
    ] {
        web.reply(Reply::Bytes(reply));
        server.clock.advance_seconds(60);
        now += 60;
        let fetches = web.fetches();
        let times = json!({"iat": now, "exp": now + 60});
        assert_refused(&server, &ES256.sign(&json!({}), &claims(&server, &times)), case).await;
        assert_eq!(web.fetches(), fetches + 1, "{case}: one request, no redirect followed");
    }
    // a name that leads elsewhere than the exception for tests allows
    server.clock.advance_seconds(60);
    now += 60;
    addresses.set(&["10.0.0.1"]);
    let times = json!({"iat": now, "exp": now + 60});
    let (assertion, connections) =
        (ES256.sign(&json!({}), &claims(&server, &times)), web.connections.load(Ordering::SeqCst));
    assert_refused(&server, &assertion, "a private address").await;
    assert_eq!(web.connections.load(Ordering::SeqCst), connections);
    server.clock.advance_seconds(60);
    now += 60;
    addresses.set(&["127.0.0.1"]);
    web.reply(Reply::Bytes(ok("application/jwk-set+json", "", &good)));
    let times = json!({"iat": now, "exp": now + 60});
    assert_proven(&server, &ES256.sign(&json!({}), &claims(&server, &times)), "failures are not kept").await;
}

/// E7, E8, E10
#[tokio::test]
async fn an_assertion_is_the_one_mechanism_of_its_client() {
    let server = with_keys(&[&ES256], "").start().await;
    let assertion = || ES256.sign(&json!({}), &claims(&server, &json!({})));
    let form = probe().with("client_id", "pkj1");
    server.token(&form).await.assert_json_error(401, "invalid_client", "nothing");
    let secret = form.clone().with("client_secret", "x");
    server.token(&secret).await.assert_json_error(401, "invalid_client", "a secret");
    let both = asserted(secret, &assertion());
    server.token(&both).await.assert_json_error(400, "invalid_request", "a secret and an assertion");
    let basic = [("authorization", "Basic cGtqMTp4")];
    server.post_with("/oauth2/token", &basic, &asserted(form.clone(), &assertion())).await.assert_json_error(
        400,
        "invalid_request",
        "a header and an assertion",
    );
    let half = form.clone().with("client_assertion", &assertion());
    server.token(&half).await.assert_json_error(400, "invalid_request", "no type");
    let half = form.clone().with("client_assertion_type", TYPE);
    server.token(&half).await.assert_json_error(400, "invalid_request", "no assertion");
    let saml = asserted(form.clone(), &assertion())
        .with("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer");
    server.token(&saml).await.assert_json_error(401, "invalid_client", "another type");
    let twice = asserted(form, &assertion()).and("client_assertion", &assertion());
    server.token(&twice).await.assert_json_error(400, "invalid_request", "two assertions");
    // clients without keys do not get in this way
    for id in ["pub1", "conf1", "nobody"] {
        let changes = json!({"iss": id, "sub": id});
        assert_refused(&server, &ES256.sign(&json!({}), &claims(&server, &changes)), id).await;
    }
}
