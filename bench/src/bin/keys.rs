//! What the proxies need in common: a key, a token, and a policy of 50 tools.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use clap::Parser;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

#[derive(Parser)]
struct Arguments {
    /// Where the files go.
    folder: PathBuf,
    #[arg(long)]
    issuer: String,
    /// The resources that the token is for.
    #[arg(long, required = true)]
    audience: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let Arguments { folder, issuer, audience } = Arguments::parse();
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let pair = rcgen::KeyPair::generate()?;
    let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes())?;
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
    jwk.common.key_id = Some("bench".to_owned());
    jwk.common.key_algorithm = Some(jsonwebtoken::jwk::KeyAlgorithm::ES256);
    fs::write(folder.join("keys.json"), json!({ "keys": [jwk] }).to_string())?;
    fs::write(folder.join("key.pem"), pair.public_key_pem())?;

    let now = UNIX_EPOCH.elapsed()?.as_secs();
    let claims = json!({
        "iss": issuer, "sub": "alex", "aud": audience, "client_id": "https://client.test/oauth/metadata.json",
        "scope": "scope:0 scope:1 scope:2 scope:3 scope:4", "iat": now, "nbf": now, "exp": now + 86_400,
        "jti": "f2a6c1d0-6d0c-4c6b-9a5c-0f7b8f1d2e3a",
    });
    let header = Header {
        typ: Some("at+jwt".to_owned()),
        kid: Some("bench".to_owned()),
        ..Header::new(Algorithm::ES256)
    };
    fs::write(folder.join("token"), encode(&header, &claims, &key)?)?;

    let mut policy = "version = 1\n".to_owned();
    for tool in 0..50 {
        write!(policy, "[tools.tool_{tool:02}]\nauth = \"oauth2\"\nscopes = [\"scope:{}\"]\n", tool % 5)?;
    }
    fs::write(folder.join("policy.toml"), policy)?;
    Ok(())
}
