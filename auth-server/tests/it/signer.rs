//! Keys of clients, and what they sign.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use serde_json::{Value, json};

/// A private key, with the public one as a client publishes it.
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    encoding: EncodingKey,
    pub(crate) jwk: Value,
    /// The public key in PEM.
    pub(crate) pem: String,
}

impl Signer {
    pub(crate) fn es256(kid: &str) -> Self {
        Self::new(&rcgen::PKCS_ECDSA_P256_SHA256, Algorithm::ES256, kid)
    }

    pub(crate) fn eddsa(kid: &str) -> Self {
        Self::new(&rcgen::PKCS_ED25519, Algorithm::EdDSA, kid)
    }

    pub(crate) fn rs256(kid: &str) -> Self {
        Self::new(&rcgen::PKCS_RSA_SHA256, Algorithm::RS256, kid)
    }

    fn new(made_by: &'static rcgen::SignatureAlgorithm, algorithm: Algorithm, kid: &str) -> Self {
        let pair = rcgen::KeyPair::generate_for(made_by).unwrap();
        let private = pair.serialize_pem();
        let encoding = match algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(private.as_bytes()),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(private.as_bytes()),
            _ => EncodingKey::from_rsa_pem(private.as_bytes()),
        }
        .unwrap();
        let mut jwk = if algorithm == Algorithm::EdDSA {
            json!({"kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key_raw())})
        } else {
            serde_json::to_value(Jwk::from_encoding_key(&encoding, algorithm).unwrap()).unwrap()
        };
        jwk["kid"] = json!(kid);
        jwk["alg"] = json!(algorithm);
        Self { algorithm, encoding, jwk, pem: pair.public_key_pem() }
    }

    /// The set that has this key alone.
    pub(crate) fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk] })
    }

    /// The header that goes with this key, with `changes`; null takes a member away.
    pub(crate) fn header(&self, changes: &Value) -> Value {
        with(json!({"alg": self.algorithm, "kid": self.jwk["kid"]}), changes)
    }

    /// Signs whatever the texts are, with the algorithm given.
    pub(crate) fn sign_text(&self, algorithm: Algorithm, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.encoding, algorithm).unwrap();
        format!("{message}.{signature}")
    }

    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(self.algorithm, &self.header(header).to_string(), &claims.to_string())
    }
}

/// The members of `changes` instead of those of `object`; null takes one away.
pub(crate) fn with(mut object: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(name);
        } else {
            object[name] = value.clone();
        }
    }
    object
}
