//! The recipes of `docs/identity-providers.md`, loaded as an operator would, against tokens as the providers document them.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcp_auth::clock::ManualClock;
use mcp_auth::request::UnverifiedToken;
use mcp_auth::verifier::keys::FixedKeys;
use mcp_auth::verifier::{InvalidToken, VerifiedToken, VerifyError};
use serde_json::{Value, json};

use super::*;
use crate::config::Config;

const NOW: u64 = 1_800_000_000;

const RECIPES: [(&str, &str); 10] = [
    ("mcp-auth-server", "This repository's server"),
    ("auth0", "Auth0"),
    ("entra-v1", "Microsoft Entra ID, v1.0 tokens"),
    ("entra-v2", "Microsoft Entra ID, v2.0 tokens"),
    ("okta", "Okta"),
    ("keycloak", "Keycloak"),
    ("cognito", "Amazon Cognito"),
    ("clerk", "Clerk"),
    ("descope", "Descope"),
    ("workos", "WorkOS AuthKit"),
];

struct Keys {
    rsa: EncodingKey,
    ec: EncodingKey,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let pem = |kind| rcgen::KeyPair::generate_for(kind).unwrap().serialize_pem();
    Keys {
        rsa: EncodingKey::from_rsa_pem(pem(&rcgen::PKCS_RSA_SHA256).as_bytes()).unwrap(),
        ec: EncodingKey::from_ec_pem(pem(&rcgen::PKCS_ECDSA_P256_SHA256).as_bytes()).unwrap(),
    }
});

impl Keys {
    fn of(&self, algorithm: Algorithm) -> &EncodingKey {
        if algorithm == Algorithm::RS256 { &self.rsa } else { &self.ec }
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn fixture(provider: &str) -> Value {
    let file = repository().join(format!("middleware/tests/fixtures/issuers/{provider}/token.json"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The table under a heading of the document, byte for byte.
fn recipe(heading: &str) -> String {
    let document = std::fs::read_to_string(repository().join("docs/identity-providers.md")).unwrap();
    let (_, section) = document.split_once(&format!("\n## {heading}\n```toml\n")).expect(heading);
    section.split_once("```").unwrap().0.to_owned()
}

/// The verifier of a gateway with this recipe, but for the keys, which are the test's.
fn verifier(recipe: &str, kid: &str, algorithm: Algorithm) -> JwtVerifier {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("policy.toml"), "version = 1\n").unwrap();
    let config = format!(
        "[server]\npublic_url = \"https://mcp.example.com\"\n{recipe}\
         [[routes]]\npath = \"/mcp\"\nupstream = \"http://127.0.0.1:5000/mcp\"\npolicy = \"policy.toml\"\n"
    );
    let file = dir.path().join("gateway.toml");
    std::fs::write(&file, config).unwrap();
    let config = Config::load(&file).unwrap_or_else(|error| panic!("{error}\n{recipe}"));
    let mut jwk =
        serde_json::to_value(Jwk::from_encoding_key(KEYS.of(algorithm), algorithm).unwrap()).unwrap();
    jwk["kid"] = kid.into();
    let keys = FixedKeys::from_jwks(&json!({ "keys": [jwk] }).to_string()).unwrap();
    JwtVerifier::builder(config.routes[0].place.resource.clone(), Arc::new(ManualClock::at(NOW)))
        .issuer(accepted(&config.issuers[0], Arc::new(keys)))
        .build()
        .unwrap()
}

async fn verify(
    verifier: &JwtVerifier,
    header: &Value,
    claims: &Value,
) -> Result<Arc<VerifiedToken>, VerifyError> {
    let header: Header = serde_json::from_value(header.clone()).unwrap();
    let token = jsonwebtoken::encode(&header, claims, KEYS.of(header.alg)).unwrap();
    TokenVerifier::verify(verifier, &UnverifiedToken::new(token)).await
}

/// `claims` with some of them changed.
fn with(claims: &Value, changes: &Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[tokio::test]
async fn every_recipe_accepts_the_access_tokens_of_its_provider_and_nothing_else_of_it() {
    for (provider, heading) in RECIPES {
        let fixture = fixture(provider);
        let (header, claims) = (&fixture["header"], &fixture["claims"]);
        let algorithm = serde_json::from_value(header["alg"].clone()).unwrap();
        let verifier = verifier(&recipe(heading), header["kid"].as_str().unwrap(), algorithm);

        let token = verify(&verifier, header, claims).await.unwrap_or_else(|why| panic!("{provider}: {why}"));
        let expected = &fixture["expected"];
        assert_eq!(token.issuer(), claims["iss"], "{provider}");
        assert_eq!(token.subject(), expected["subject"], "{provider}");
        assert_eq!(token.client_id(), expected["client_id"].as_str(), "{provider}");
        assert_eq!(token.scopes().to_string(), expected["scopes"].as_str().unwrap(), "{provider}");

        let id_token = &fixture["id_token"];
        let refused = verify(&verifier, &id_token["header"], &id_token["claims"]).await;
        assert!(matches!(refused, Err(VerifyError::Invalid(_))), "the ID token of {provider}: {refused:?}");

        let elsewhere = with(claims, &fixture["other_tenant"]);
        let refused = verify(&verifier, header, &elsewhere).await;
        assert_eq!(refused, Err(VerifyError::Invalid(InvalidToken::UnknownIssuer)), "{provider}");

        let for_others = with(claims, &fixture["other_audience"]);
        let refused = verify(&verifier, header, &for_others).await;
        assert_eq!(refused, Err(VerifyError::Invalid(InvalidToken::WrongAudience)), "{provider}");

        for source in fixture["source"].as_array().unwrap() {
            assert!(source.as_str().unwrap().starts_with("https://"), "{provider}");
        }
    }
}

/// A tenant of Entra is in the issuer, and has to be in `tid` as well.
#[tokio::test]
async fn the_tenant_of_entra_is_required_twice() {
    for (provider, heading) in &RECIPES[2..4] {
        let fixture = fixture(provider);
        let verifier = verifier(&recipe(heading), "entra-key", Algorithm::RS256);
        let tid = json!({"tid": fixture["other_tenant"]["tid"]});
        let refused = verify(&verifier, &fixture["header"], &with(&fixture["claims"], &tid)).await;
        assert!(matches!(refused, Err(VerifyError::Invalid(InvalidToken::Untrusted(_)))), "{refused:?}");
    }
}

#[test]
fn every_section_with_a_table_is_a_recipe_with_a_test() {
    let document = std::fs::read_to_string(repository().join("docs/identity-providers.md")).unwrap();
    let sections: Vec<&str> = document
        .split("\n## ")
        .skip(1)
        .filter(|section| section.contains("```toml"))
        .map(|section| section.lines().next().unwrap())
        .collect();
    assert_eq!(sections, RECIPES.map(|(_, heading)| heading));
}
