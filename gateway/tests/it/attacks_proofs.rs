//! Row 44: tokens that are bound to a key, at a real gateway.

use std::time::UNIX_EPOCH;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::harness::{Gateway, POLICY};
use crate::upstream::Upstream;

pub struct Client {
    key: EncodingKey,
    jwk: Jwk,
}

impl Client {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let key = EncodingKey::from_ec_pem(key.serialize_pem().as_bytes()).unwrap();
        let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
        Self { key, jwk }
    }

    pub fn thumbprint(&self) -> String {
        self.jwk.thumbprint(ThumbprintHash::SHA256).unwrap()
    }

    fn token(&self, gateway: &Gateway) -> String {
        gateway.token_with("alex", "read", &json!({ "cnf": { "jkt": self.thumbprint() } }))
    }

    /// A proof for a call with this token; `more` are other claims.
    pub fn proof(&self, gateway: &Gateway, token: &str, jti: &str, more: &Value) -> String {
        let jwk = serde_json::to_value(&self.jwk).unwrap();
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": jwk["x"], "y": jwk["y"] });
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
        let mut claims = json!({ "jti": jti, "htm": "POST", "htu": format!("{}/mcp", gateway.public_url),
            "iat": UNIX_EPOCH.elapsed().unwrap().as_secs(),
            "ath": URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes())) });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, Algorithm::ES256).unwrap();
        format!("{message}.{signature}")
    }
}

/// A call with these headers: its status, its challenge and the nonce that comes with it.
pub async fn call(gateway: &Gateway, authorization: &str, proofs: &[&str]) -> (u16, String, Option<String>) {
    let mut request = gateway.call("closed").header("authorization", authorization);
    for proof in proofs {
        request = request.header("dpop", *proof);
    }
    let response = request.send().await.unwrap();
    let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    (response.status().as_u16(), header("www-authenticate").unwrap_or_default(), header("dpop-nonce"))
}

#[tokio::test]
async fn row_44_a_bound_token_counts_with_its_own_fresh_proof_alone() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::with(&upstream.url(), POLICY, "", "[state]\ndpop = {}").await;
    let (alex, thief) = (Client::new(), Client::new());
    let token = alex.token(&gateway);
    let now = UNIX_EPOCH.elapsed().unwrap().as_secs();
    let dpop = format!("DPoP {token}");
    let sound = alex.proof(&gateway, &token, "1", &json!({}));
    let another = alex.proof(&gateway, &token, "2", &json!({}));
    let stolen = thief.proof(&gateway, &token, "3", &json!({}));
    let mut refused: Vec<(&str, &str, Vec<String>)> = vec![
        ("no proof", &dpop, vec![]),
        ("two proofs", &dpop, vec![sound, another]),
        ("another key", &dpop, vec![stolen]),
        ("no proof at all", &dpop, vec!["nonsense".to_owned()]),
    ];
    let path = format!("{}/other", gateway.public_url);
    for (index, (what, claims)) in [
        ("htm", json!({ "htm": "GET" })),
        ("htm in another case", json!({ "htm": "post" })),
        ("htu of another path", json!({ "htu": path })),
        ("htu of another host", json!({ "htu": "https://evil.example/mcp" })),
        ("htu of the upstream", json!({ "htu": upstream.url() })),
        ("ath of another token", json!({ "ath": URL_SAFE_NO_PAD.encode(digest(&SHA256, b"other")) })),
        ("no ath", json!({ "ath": null })),
        ("old", json!({ "iat": now - 3600 })),
        ("of the future", json!({ "iat": now + 3600 })),
        ("no jti", json!({ "jti": null })),
    ]
    .into_iter()
    .enumerate()
    {
        refused.push((what, &dpop, vec![alex.proof(&gateway, &token, &format!("r{index}"), &claims)]));
    }
    let bearer = format!("Bearer {token}");
    refused.push(("as a bearer token", &bearer, vec![]));
    refused.push((
        "as a bearer token, with a proof",
        &bearer,
        vec![alex.proof(&gateway, &token, "b", &json!({}))],
    ));
    let swapped = format!("DPoP {}", thief.token(&gateway));
    refused.push((
        "with the token of another key",
        &swapped,
        vec![alex.proof(&gateway, &token, "s", &json!({}))],
    ));
    for (what, authorization, proofs) in &refused {
        let proofs: Vec<&str> = proofs.iter().map(String::as_str).collect();
        let (status, challenge, _) = call(&gateway, authorization, &proofs).await;
        assert!(matches!(status, 400 | 401), "{what}: {status}");
        assert!(status == 400 || challenge.contains("DPoP"), "{what}: {challenge}");
    }
    assert!(upstream.got().is_empty());
    let proof = alex.proof(&gateway, &token, "once", &json!({}));
    assert_eq!(call(&gateway, &dpop, &[&proof]).await.0, 200);
    let (status, challenge, _) = call(&gateway, &dpop, &[&proof]).await;
    assert_eq!(status, 401);
    assert!(challenge.contains("invalid_dpop_proof"), "{challenge}");
    let got = upstream.got_one();
    assert_eq!((got.header("authorization"), got.header("dpop")), (None, None));
}

#[tokio::test]
async fn row_44_nonces_are_asked_for_and_bearer_tokens_refused_where_that_is_configured() {
    let upstream = Upstream::plain().await;
    let dpop = "[state]\ndpop = { required = true, nonces = true }";
    let gateway = Gateway::with(&upstream.url(), POLICY, "", dpop).await;
    let alex = Client::new();
    let token = alex.token(&gateway);
    let authorization = format!("DPoP {token}");
    let free = format!("Bearer {}", gateway.token("alex", "read"));
    assert_eq!(call(&gateway, &free, &[]).await.0, 401);
    for nonce in [json!({}), json!({ "nonce": "invented" })] {
        let proof = alex.proof(&gateway, &token, &nonce.to_string(), &nonce);
        let (status, challenge, given) = call(&gateway, &authorization, &[&proof]).await;
        assert_eq!(status, 401);
        assert!(challenge.contains("use_dpop_nonce") && given.is_some(), "{challenge}");
        assert!(upstream.got().is_empty());
        if nonce == json!({}) {
            continue;
        }
        let retry = alex.proof(&gateway, &token, "retry", &json!({ "nonce": given.unwrap() }));
        assert_eq!(call(&gateway, &authorization, &[&retry]).await.0, 200);
        assert_eq!(call(&gateway, &authorization, &[&retry]).await.0, 401, "once");
    }
    assert_eq!(upstream.got().len(), 1);
}
