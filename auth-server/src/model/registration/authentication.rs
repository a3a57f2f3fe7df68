//! How a client that describes itself is going to prove who it is.

use super::{Failure, Refused, Rules, metadata_fault};
use crate::{
    model::{
        client::{Authentication, KeysAt},
        jwks::{self, PublicKeys, Unusable},
        secret::Secret,
    },
    outbound::url::FetchUrl,
    outside::Rng,
    wire::registration::ClientMetadata,
};

/// The method for a client that registers itself: the first that it names and that there is here. With the secret, where
/// that is a new one.
pub(super) fn of_registration(
    metadata: &ClientMetadata,
    rules: &Rules,
    before: Option<&Authentication>,
    rng: &dyn Rng,
) -> Result<(Authentication, Option<Secret>), Failure> {
    let keys = keys(metadata, rules)?;
    let with_secret = |basic, post| {
        if let Some(Authentication::Secret { digest, .. }) = before {
            return Ok((Authentication::Secret { digest: digest.clone(), basic, post }, None));
        }
        let secret = Secret::generate(rng)?;
        Ok((Authentication::Secret { digest: secret.digest(), basic, post }, Some(secret)))
    };
    let mut methods = methods(metadata).peekable();
    if methods.peek().is_none() {
        // RFC 7591 §2: client_secret_basic where nothing is said; then either way of sending the secret will do
        return with_secret(true, true);
    }
    for method in methods {
        match (method, &keys) {
            ("none", _) => return Ok((Authentication::None, None)),
            ("client_secret_basic", _) => return with_secret(true, false),
            ("client_secret_post", _) => return with_secret(false, true),
            ("private_key_jwt", Some(_)) => return Ok((private_key_jwt(metadata, keys, false)?, None)),
            _ => {}
        }
    }
    Err(no_method(metadata).into())
}

/// The method for a client with a document. There is no answer that could tell it which one was chosen, so that each
/// that it names and that there is here will do.
pub(super) fn of_document(metadata: &ClientMetadata, rules: &Rules) -> Result<Authentication, Refused> {
    // draft-ietf-oauth-client-id-metadata-document §4.1: what is public cannot hold a secret
    if metadata
        .token_endpoint_auth_method
        .as_deref()
        .is_some_and(|method| method.starts_with("client_secret_"))
    {
        return Err(metadata_fault("a metadata document cannot use a client secret"));
    }
    let keys = keys(metadata, rules)?;
    // a document that says nothing describes a public client
    let none = methods(metadata).next().is_none() || methods(metadata).any(|method| method == "none");
    if keys.is_some() && methods(metadata).any(|method| method == "private_key_jwt") {
        return private_key_jwt(metadata, keys, none);
    }
    if none { Ok(Authentication::None) } else { Err(no_method(metadata)) }
}

/// The methods that the client names. The singular member is the one that it prefers; the plural one is of OpenID
/// Connect RP Metadata Choices.
fn methods(metadata: &ClientMetadata) -> impl Iterator<Item = &str> {
    let preferred = metadata.token_endpoint_auth_method.iter();
    preferred.chain(metadata.token_endpoint_auth_methods_supported.iter().flatten()).map(String::as_str)
}

fn private_key_jwt(
    metadata: &ClientMetadata,
    keys: Option<KeysAt>,
    or_none: bool,
) -> Result<Authentication, Refused> {
    let keys = keys.ok_or_else(|| no_method(metadata))?;
    let algorithm = match metadata.token_endpoint_auth_signing_alg.as_deref() {
        None => None,
        Some(name) => Some(jwks::algorithm(name).ok_or_else(|| {
            metadata_fault("token_endpoint_auth_signing_alg must be ES256, RS256, PS256 or EdDSA")
        })?),
    };
    Ok(Authentication::PrivateKeyJwt { keys, algorithm, or_none })
}

fn no_method(metadata: &ClientMetadata) -> Refused {
    metadata_fault(if methods(metadata).any(|method| method == "private_key_jwt") {
        "private_key_jwt needs jwks or jwks_uri"
    } else {
        "token_endpoint_auth_method is not supported"
    })
}

/// The client's keys, which must be in order whether it is going to use them or not.
fn keys(metadata: &ClientMetadata, rules: &Rules) -> Result<Option<KeysAt>, Refused> {
    match (&metadata.jwks, &metadata.jwks_uri) {
        (Some(_), Some(_)) => Err(metadata_fault("give either jwks or jwks_uri")),
        (None, None) => Ok(None),
        (Some(set), None) => match PublicKeys::read(set) {
            Ok(keys) => Ok(Some(KeysAt::Hand(keys))),
            Err(Unusable::NoneUsable) if !methods(metadata).any(|method| method == "private_key_jwt") => {
                Ok(None)
            }
            Err(Unusable::NoneUsable) => Err(metadata_fault(
                "jwks has no signature key that is strong enough and of a kind in use here",
            )),
            Err(Unusable::NotASet | Unusable::NotPublic) => {
                Err(metadata_fault("jwks must be a set of public keys"))
            }
        },
        (None, Some(url)) => {
            let hosts = rules.fetched_keys.as_deref();
            // where nothing is fetched, the place must be a public one still
            match FetchUrl::normalised(url, hosts.unwrap_or_default()) {
                Err(_) => {
                    Err(metadata_fault("jwks_uri must be an https URL with a public host, on port 443"))
                }
                Ok(_) if hosts.is_none() => Ok(None),
                Ok(url) => Ok(Some(KeysAt::Url(url.url().to_string()))),
            }
        }
    }
}
