//! Client authentication: the one place that every endpoint for clients uses.

use http::HeaderMap;

use super::paths;
use crate::{
    app::App,
    directory,
    model::{
        assertion::{Assertion, Expected},
        client::{Authentication, Client, KeysAt},
        jws::Unfit,
        secret::Secret,
    },
    wire::{
        client_auth::{Presented, Proof},
        error::ApiError,
        params::Params,
    },
};

/// The client that a request to `endpoint` proves to come from.
///
/// The method is the one registered: a confidential client cannot be used as a public one, nor the reverse. The answer
/// is the same for a client that is unknown and for one that could not prove itself.
pub(super) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    params: &Params,
    endpoint: &str,
) -> Result<Client, ApiError> {
    let Presented { client_id, proof } = Presented::read(headers, params)?;
    if let Proof::Assertion(assertion) = &proof {
        return by_assertion(app, client_id.as_deref(), assertion, endpoint).await;
    }
    let refused = ApiError::invalid_client(matches!(proof, Proof::Basic(_)));
    let id = client_id.ok_or(refused)?;
    let client = directory::for_token(app, &id).await?.ok_or(refused)?;
    let proven = match (&client.authentication, &proof) {
        (Authentication::None | Authentication::PrivateKeyJwt { or_none: true, .. }, Proof::None) => true,
        (Authentication::Secret { digest, basic: true, .. }, Proof::Basic(secret))
        | (Authentication::Secret { digest, post: true, .. }, Proof::Post(secret)) => {
            digest.matches(&secret.digest())
        }
        _ => false,
    };
    if proven { Ok(client) } else { Err(refused) }
}

/// RFC 7523 §3.
async fn by_assertion(
    app: &App,
    client_id: Option<&str>,
    text: &Secret,
    endpoint: &str,
) -> Result<Client, ApiError> {
    let refused = |client_id: &str, reason: &str| {
        tracing::info!(client.id = client_id, reason, "client assertion refused");
        ApiError::invalid_client(false)
    };
    let assertion = Assertion::read(text.expose())
        .map_err(|Unfit(reason)| refused(client_id.unwrap_or_default(), reason))?;
    let claimed = assertion.claimed_client_id();
    // RFC 7521 §4.2: where it is given, it must be the same client
    if client_id.is_some_and(|given| given != claimed) {
        return Err(refused(claimed, "client_id is another one"));
    }
    let client =
        directory::for_token(app, claimed).await?.ok_or_else(|| refused(claimed, "unknown client"))?;
    let Authentication::PrivateKeyJwt { keys, algorithm, .. } = &client.authentication else {
        return Err(refused(claimed, "the client has no keys"));
    };
    let (kid, signed_with) = (assertion.kid(), assertion.algorithm());
    let key = match keys {
        KeysAt::Hand(keys) => keys.find(kid, signed_with, *algorithm).cloned(),
        KeysAt::Url(url) => match &app.client_keys {
            Some(client_keys) => client_keys.find(url, kid, signed_with, *algorithm).await,
            None => None,
        },
    };
    let key = key.ok_or_else(|| refused(claimed, "no key of the client fits"))?;
    // RFC 9126 §2 has clients that name the endpoint which they call, and many name the token endpoint everywhere
    let (token_endpoint, endpoint) = (app.issuer.endpoint(paths::TOKEN), app.issuer.endpoint(endpoint));
    let now = app.now();
    let expected = Expected {
        client_id: &client.id,
        audiences: &[app.issuer.as_str(), &token_endpoint, &endpoint],
        now,
    };
    let once = assertion.verify(&key, &expected).map_err(|Unfit(reason)| refused(claimed, reason))?;
    if !app.storage.use_once(&once.digest, once.until, now).await? {
        return Err(refused(claimed, "the assertion was used before"));
    }
    Ok(client)
}
