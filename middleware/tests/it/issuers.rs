//! Access tokens in the shapes of the providers, against issuers that are built for them.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm as Jose, EncodingKey, Header};
use mcp_auth::clock::ManualClock;
use mcp_auth::request::UnverifiedToken;
use mcp_auth::verifier::keys::FixedKeys;
use mcp_auth::verifier::{
    Algorithm, InvalidToken, Issuer, JwtVerifier, TokenVerifier, VerifiedToken, VerifyError,
};
use serde_json::{Value, json};

use crate::harness::NOW;

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

fn key(algorithm: Jose) -> &'static EncodingKey {
    if algorithm == Jose::RS256 { &KEYS.rsa } else { &KEYS.ec }
}

/// What each provider's tokens need, and nothing that they do not.
fn configure(provider: &str, issuer: Issuer) -> Issuer {
    let rsa = || issuer.clone().algorithms([Algorithm::RS256]);
    let entra = |audience: &str| {
        rsa()
            .token_types(["JWT"])
            .audiences([audience])
            .require_claim("tid", "11111111-2222-3333-4444-555555555555")
            .require_presence("scp")
            .scope_claims(["scp"])
            .subject_claims(["oid"])
    };
    match provider {
        "auth0" => rsa().scope_claims(["permissions"]),
        "entra-v1" => entra("api://aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
        "entra-v2" => entra("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
        "okta" => rsa().token_types([""]).scope_claims(["scp"]).subject_claims(["uid"]),
        "keycloak" => rsa().token_types(["JWT"]).require_claim("typ", "Bearer"),
        "cognito" => rsa()
            .token_types([""])
            .audience_claim("client_id")
            .audiences(["1example23456789"])
            .require_claim("token_use", "access"),
        "clerk" => rsa().audience_claim("client_id").audiences(["client_2VTWUzvGC5UhdJCNx6xG1D98edc"]),
        "descope" => rsa().token_types(["JWT"]),
        "workos" => rsa().token_types([""]),
        "mcp-auth-server" => issuer,
        other => panic!("no settings for {other}"),
    }
}

async fn verify(
    verifier: &JwtVerifier,
    header: &Value,
    claims: &Value,
) -> Result<Arc<VerifiedToken>, VerifyError> {
    let header: Header = serde_json::from_value(header.clone()).unwrap();
    let token = jsonwebtoken::encode(&header, claims, key(header.alg)).unwrap();
    verifier.verify(&UnverifiedToken::new(token)).await
}

fn with(claims: &Value, changes: &Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[tokio::test]
async fn the_access_tokens_of_every_provider_are_understood_and_its_other_tokens_refused() {
    let mut providers = 0;
    for folder in std::fs::read_dir(Path::new("tests/fixtures/issuers")).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        let text = std::fs::read_to_string(folder.path().join("token.json")).unwrap();
        let fixture: Value = serde_json::from_str(&text).unwrap();
        let (header, claims) = (&fixture["header"], &fixture["claims"]);

        let algorithm = serde_json::from_value(header["alg"].clone()).unwrap();
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(key(algorithm), algorithm).unwrap()).unwrap();
        jwk["kid"] = header["kid"].clone();
        let keys = Arc::new(FixedKeys::from_jwks(&json!({ "keys": [jwk] }).to_string()).unwrap());
        let issuer = configure(&name, Issuer::new(claims["iss"].as_str().unwrap(), keys));
        let resource = "https://mcp.example.com/mcp".parse().unwrap();
        let verifier =
            JwtVerifier::builder(resource, Arc::new(ManualClock::at(NOW))).issuer(issuer).build().unwrap();

        let token = verify(&verifier, header, claims).await.unwrap_or_else(|why| panic!("{name}: {why}"));
        let expected = &fixture["expected"];
        assert_eq!(token.subject(), expected["subject"], "{name}");
        assert_eq!(token.client_id(), expected["client_id"].as_str(), "{name}");
        assert_eq!(token.scopes().to_string(), expected["scopes"].as_str().unwrap(), "{name}");
        let id_token = &fixture["id_token"];
        let refused = verify(&verifier, &id_token["header"], &id_token["claims"]).await;
        assert!(matches!(refused, Err(VerifyError::Invalid(_))), "the ID token of {name}: {refused:?}");
        for (changes, why) in [
            (&fixture["other_tenant"], InvalidToken::UnknownIssuer),
            (&fixture["other_audience"], InvalidToken::WrongAudience),
            (&json!({"exp": NOW - 30}), InvalidToken::Expired),
        ] {
            let refused = verify(&verifier, header, &with(claims, changes)).await;
            assert_eq!(refused, Err(VerifyError::Invalid(why)), "{name} with {changes}");
        }
        providers += 1;
    }
    assert_eq!(providers, 10);
}
