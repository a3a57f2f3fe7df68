//! What upstreams get from the gateway instead of the caller's token.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::harness::{Gateway, POLICY, body, until};
use crate::logs;
use crate::upstream::{Got, Upstream, respond};

/// A token endpoint whose answer can be changed.
pub struct Server {
    pub upstream: Upstream,
    answer: Arc<Mutex<(u16, Value)>>,
}

impl Server {
    pub async fn new() -> Self {
        let answer = Arc::new(Mutex::new((500, json!({}))));
        let told = Arc::clone(&answer);
        let upstream = Upstream::start(move |_| {
            let (status, body) = told.lock().unwrap().clone();
            async move { respond(status, &[("content-type", "application/json")], body.to_string()) }
        })
        .await;
        Self { upstream, answer }
    }

    pub fn gives(&self, token: &str) {
        let kind = "urn:ietf:params:oauth:token-type:access_token";
        let answer = json!({
            "access_token": token, "token_type": "Bearer", "expires_in": 3600, "issued_token_type": kind,
        });
        *self.answer.lock().unwrap() = (200, answer);
    }

    pub fn fails(&self, status: u16, code: &str) {
        *self.answer.lock().unwrap() =
            (status, json!({ "error": code, "error_description": "s3cret reason" }));
    }

    /// The keys of a client that it knows.
    pub fn client(&self) -> String {
        // the secret is `mcp-auth-gateway`
        format!(
            "token_endpoint = \"http://{}/token\", client_id = \"gw\", client_secret_env = \"CARGO_PKG_NAME\"",
            self.upstream.addr
        )
    }
}

async fn gateway(upstream: &Upstream, credentials: &str) -> Gateway {
    let route = format!("credentials = {{ {credentials} }}");
    Gateway::with(&upstream.url(), POLICY, "", &route).await
}

/// Whether any part of what the upstream got holds the text.
fn holds(got: &Got, text: &str) -> bool {
    got.headers.values().any(|value| String::from_utf8_lossy(value.as_bytes()).contains(text))
        || String::from_utf8_lossy(&got.body).contains(text)
        || got.uri.to_string().contains(text)
}

#[tokio::test]
async fn the_callers_own_token_reaches_the_upstream_in_one_kind_only() {
    let server = Server::new().await;
    server.gives("for-the-upstream");
    let client = server.client();
    for credentials in [
        "kind = \"none\"".to_owned(),
        "kind = \"header\", name = \"X-Api-Key\", secret_env = \"CARGO_PKG_NAME\"".to_owned(),
        format!("kind = \"client_credentials\", {client}"),
        format!("kind = \"token_exchange\", {client}, audience = \"up\""),
        "kind = \"assertion\"".to_owned(),
    ] {
        let upstream = Upstream::plain().await;
        let gateway = gateway(&upstream, &credentials).await;
        let token = gateway.token("alex", "read");
        assert_eq!(gateway.call("closed").bearer_auth(&token).send().await.unwrap().status(), 200);
        let got = upstream.got_one();
        assert!(!holds(&got, &token), "{credentials}");
        assert_eq!(got.header("x-auth-subject"), Some("alex"), "{credentials}");
        assert!(logs::with(&token).is_empty(), "{credentials}");
    }
    assert!(logs::with("for-the-upstream").is_empty());
}

#[tokio::test]
async fn a_static_header_is_the_gateways_whatever_clients_send() {
    let upstream = Upstream::plain().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, "k3y-one\n").unwrap();
    let credentials = format!(
        "kind = \"header\", name = \"X-Api-Key\", prefix = \"Key \", secret_file = \"{}\"",
        file.display()
    );
    let gateway = gateway(&upstream, &credentials).await;
    let call = || {
        ["X-Api-Key", "x_api_key", "X-Api_Key", "x.api.key"]
            .into_iter()
            .fold(gateway.call("open"), |call, name| call.header(name, "forged"))
            .send()
    };
    assert_eq!(call().await.unwrap().status(), 200);
    let got = upstream.got_one();
    assert_eq!(got.header("x-api-key"), Some("Key k3y-one"));
    assert!(!holds(&got, "forged"), "{got:?}");

    // an empty file is one that is being written
    std::fs::write(&file, "").unwrap();
    std::fs::write(&file, "k3y-two").unwrap();
    let told =
        || logs::with(&file.display().to_string()).iter().any(|line| line["message"] == "credentials loaded");
    until("the edit counts", told).await;
    assert_eq!(call().await.unwrap().status(), 200);
    assert_eq!(upstream.got().pop().unwrap().header("x-api-key"), Some("Key k3y-two"));
    // what no header can carry changes nothing
    std::fs::write(&file, "k3y\tthree").unwrap();
    let refused = || logs::with(&file.display().to_string()).iter().any(|line| line["level"] == "ERROR");
    until("the edit is refused", refused).await;
    assert_eq!(call().await.unwrap().status(), 200);
    assert_eq!(upstream.got().pop().unwrap().header("x-api-key"), Some("Key k3y-two"));
    assert!(logs::with("k3y").is_empty());
}

#[tokio::test]
async fn a_token_of_the_gateways_own_serves_everyone_and_is_replaced_when_it_is_refused() {
    let server = Server::new().await;
    let upstream = Upstream::start(|got: Got| async move {
        let status = if got.header("authorization") == Some("Bearer good") { 200 } else { 401 };
        respond(status, &[("content-type", "application/json")], r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)
    })
    .await;
    let credentials = format!("kind = \"client_credentials\", {}, scopes = [\"up\"]", server.client());
    let gateway = gateway(&upstream, &credentials).await;

    server.fails(503, "temporarily_unavailable");
    let unavailable = gateway.call("open").send().await.unwrap();
    assert_eq!(unavailable.status(), 503);
    assert_eq!(unavailable.headers()["retry-after"], "1");
    assert!(!unavailable.headers().contains_key("www-authenticate"));
    let answer = body(unavailable).await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(1), &json!(503)));
    assert!(!answer.to_string().contains("s3cret") && !answer.to_string().contains("127.0.0.1"));
    assert!(upstream.got().is_empty(), "without credentials nothing is forwarded");

    server.gives("stale");
    // the pause after one failure is a second
    let gateway_ref = &gateway;
    let refused = loop {
        let response = gateway_ref.call("open").send().await.unwrap();
        if response.status() != 503 {
            break response;
        }
    };
    assert_eq!(refused.status(), 502, "an upstream's 401 is not the client's");
    assert!(!refused.headers().contains_key("www-authenticate"));
    server.gives("good");
    assert_eq!(gateway.call("open").send().await.unwrap().status(), 200);
    let token = gateway.token("alex", "read");
    assert_eq!(gateway.call("closed").bearer_auth(token).send().await.unwrap().status(), 200);
    assert_eq!(server.upstream.got().len(), 3);
    let asked = server.upstream.got().pop().unwrap();
    assert_eq!(asked.body, b"grant_type=client_credentials&scope=up");
    // `gw:mcp-auth-gateway`
    assert_eq!(asked.header("authorization"), Some("Basic Z3c6bWNwLWF1dGgtZ2F0ZXdheQ=="));
    assert!(logs::with("s3cret").is_empty());
}

#[tokio::test]
async fn a_callers_token_is_exchanged_and_nobody_has_none() {
    let server = Server::new().await;
    let upstream = Upstream::plain().await;
    let exchange = format!("kind = \"token_exchange\", {}, audience = \"up\"", server.client());
    let strict = gateway(&upstream, &exchange).await;
    let token = strict.token("alex", "read");

    let refused = strict.call("open").send().await.unwrap();
    assert_eq!(refused.status(), 200);
    assert_eq!(body(refused).await["result"]["isError"], true);

    server.fails(400, "invalid_grant");
    let refused = strict.call("closed").bearer_auth(&token).send().await.unwrap();
    assert_eq!(refused.status(), 502);
    assert!(!refused.headers().contains_key("www-authenticate"), "no sign-in of the client's would help");
    assert!(upstream.got().is_empty());

    server.gives("exchanged");
    let other = strict.token("blake", "read");
    for _ in 0..2 {
        assert_eq!(strict.call("closed").bearer_auth(&other).send().await.unwrap().status(), 200);
    }
    assert_eq!(upstream.got().pop().unwrap().header("authorization"), Some("Bearer exchanged"));
    assert_eq!(server.upstream.got().len(), 2, "the exchanged token is kept");
    let form = String::from_utf8(server.upstream.got().pop().unwrap().body).unwrap();
    assert!(form.contains(&format!("subject_token={other}")) && form.contains("audience=up"), "{form}");

    let lenient = gateway(&upstream, &format!("{exchange}, anonymous = \"none\"")).await;
    assert_eq!(lenient.call("open").send().await.unwrap().status(), 200);
    // withheld with the rest of the identity
    let scopeless = lenient.token("alex", "other");
    assert_eq!(lenient.call("teaser").bearer_auth(scopeless).send().await.unwrap().status(), 200);
    for got in upstream.got().iter().rev().take(2) {
        assert_eq!(got.header("authorization"), None);
    }
}

#[tokio::test]
async fn the_callers_own_token_is_passed_on_where_that_is_asked_for_by_name() {
    let upstream = Upstream::plain().await;
    let route = "resource = \"https://tools.example/mcp\"\n\
                 credentials = { kind = \"insecure_pass_caller_token\", upstream_resource = \"https://tools.example/mcp\" }";
    let issuer = format!(
        "issuer = \"{}\"\naudiences = [\"https://tools.example/mcp\", \"other\"]",
        crate::harness::ISSUER
    );
    let gateway = Gateway::with_issuer(&upstream.url(), POLICY, "", route, &issuer).await;
    let token = |aud: Value| gateway.token_with("alex", "read", &json!({ "aud": aud }));
    let good = token(json!(["https://tools.example/mcp", "x"]));
    assert_eq!(gateway.call("closed").bearer_auth(&good).send().await.unwrap().status(), 200);
    assert_eq!(upstream.got_one().header("authorization"), Some(format!("Bearer {good}").as_str()));

    assert_eq!(gateway.call("open").send().await.unwrap().status(), 200);
    let scopeless = gateway.token_with("alex", "x", &json!({ "aud": "https://tools.example/mcp" }));
    assert_eq!(gateway.call("teaser").bearer_auth(&scopeless).send().await.unwrap().status(), 200);
    for got in &upstream.got()[1..] {
        assert_eq!(got.header("authorization"), None);
    }
    // good here by the issuer's configuration, and not the upstream's to see
    let elsewhere = token(json!("other"));
    let refused = gateway.call("closed").bearer_auth(&elsewhere).send().await.unwrap();
    assert_eq!(refused.status(), 502);
    assert_eq!(upstream.got().len(), 3);
    assert!(logs::with(&good).is_empty());
}

/// An upstream that believes the gateway's assertions and nothing else.
struct Verifier {
    keys: JwkSet,
}

impl Verifier {
    async fn new(gateway: &Gateway) -> Self {
        let response = gateway.client.get(gateway.url("/.well-known/jwks.json")).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let text = response.text().await.unwrap();
        assert!(!text.contains("\"d\""), "a private key is published");
        Self { keys: serde_json::from_str(&text).unwrap() }
    }

    fn claims(&self, got: &Got, issuer: &str, audience: &str) -> Value {
        let assertion = got.header("x-auth-assertion").unwrap();
        let header = jsonwebtoken::decode_header(assertion).unwrap();
        assert_eq!(header.typ.as_deref(), Some("mcp-auth-assertion+jwt"));
        let key =
            self.keys.find(header.kid.as_deref().unwrap()).expect("the key is published before it signs");
        let mut validation = Validation::new(header.alg);
        assert!(matches!(header.alg, Algorithm::ES256 | Algorithm::EdDSA));
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[audience]);
        validation.leeway = 0;
        let key = DecodingKey::from_jwk(key).unwrap();
        let claims = jsonwebtoken::decode::<Value>(assertion, &key, &validation).unwrap().claims;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &got.body);
        assert_eq!(claims["body_sha256"], URL_SAFE_NO_PAD.encode(digest));
        let lifetime = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert!((1..=60).contains(&lifetime));
        claims
    }
}

#[tokio::test]
async fn an_assertion_says_who_asks_for_what_and_is_good_for_one_upstream() {
    for algorithm in ["ES256", "EdDSA"] {
        let upstream = Upstream::plain().await;
        let credentials = format!("kind = \"assertion\", audience = \"notes\", algorithm = \"{algorithm}\"");
        let gateway = gateway(&upstream, &credentials).await;
        let verifier = Verifier::new(&gateway).await;
        let token = gateway.token("alex", "read write");
        let call = gateway.call("closed").bearer_auth(token).header("x-auth-assertion", "forged");
        assert_eq!(call.send().await.unwrap().status(), 200);
        let got = upstream.got_one();
        assert_eq!(got.headers.get_all("x-auth-assertion").iter().count(), 1);
        let claims = verifier.claims(&got, &gateway.public_url, "notes");
        let who = json!({ "format": "iss_sub", "iss": crate::harness::ISSUER, "sub": "alex" });
        assert_eq!((&claims["sub"], &claims["sub_id"]), (&json!("alex"), &who));
        assert_eq!((&claims["client_id"], &claims["scope"]), (&json!("the-client"), &json!("read write")));
        assert_eq!((&claims["method"], &claims["tool"]), (&json!("tools/call"), &json!("closed")));
        assert_eq!(claims["object"], Value::Null);

        // nobody
        assert_eq!(gateway.call("open").send().await.unwrap().status(), 200);
        let anonymous = verifier.claims(&upstream.got()[1], &gateway.public_url, "notes");
        for claim in ["sub", "sub_id", "client_id", "scope"] {
            assert_eq!(anonymous.get(claim), None, "{claim}");
        }
        assert_ne!(anonymous["jti"], claims["jti"]);
        // a stream has no message and no body
        let stream =
            gateway.client.get(gateway.url("/mcp")).header("accept", "text/event-stream").send().await;
        assert_eq!(stream.unwrap().status(), 200);
        let stream = verifier.claims(&upstream.got()[2], &gateway.public_url, "notes");
        assert_eq!((stream.get("method"), stream.get("tool")), (None, None));
        let posted = gateway.client.post(gateway.url("/.well-known/jwks.json")).send().await.unwrap();
        assert_eq!(posted.status(), 405);
    }
}

#[tokio::test]
async fn keys_of_assertions_are_rotated_without_a_request_that_cannot_be_verified() {
    let upstream = Upstream::plain().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.pem");
    let pem = || KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(&file, pem()).unwrap();
    let credentials = format!(
        "kind = \"assertion\", audience = \"notes\", key_file = \"{}\", publish_ahead_seconds = 2",
        file.display()
    );
    let gateway = gateway(&upstream, &credentials).await;
    let kid = |got: &Got| jsonwebtoken::decode_header(got.header("x-auth-assertion").unwrap()).unwrap().kid;
    assert_eq!(gateway.call("open").send().await.unwrap().status(), 200);
    let old = kid(&upstream.got()[0]);

    // all at once, as a tool that knows nothing of rotation does it
    std::fs::write(&file, pem()).unwrap();
    let started = std::time::Instant::now();
    loop {
        // as often as the keys may be kept
        let verifier = Verifier::new(&gateway).await;
        assert_eq!(gateway.call("open").send().await.unwrap().status(), 200);
        let got = upstream.got().pop().unwrap();
        verifier.claims(&got, &gateway.public_url, "notes");
        if kid(&got) != old {
            break;
        }
        assert!(started.elapsed() < crate::harness::DEADLINE, "the new key never signs");
    }
    assert_eq!(Verifier::new(&gateway).await.keys.keys.len(), 2, "the old one is published still");

    std::fs::write(&file, "no key").unwrap();
    let refused = || logs::with(&file.display().to_string()).iter().any(|line| line["level"] == "ERROR");
    until("the edit is refused", refused).await;
    assert_eq!(gateway.call("open").send().await.unwrap().status(), 200);
    let verifier = Verifier::new(&gateway).await;
    verifier.claims(&upstream.got().pop().unwrap(), &gateway.public_url, "notes");
}

#[tokio::test]
async fn without_assertions_no_keys_are_published() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let response = gateway.client.get(gateway.url("/.well-known/jwks.json")).send().await.unwrap();
    assert_eq!(response.status(), 404);
}
