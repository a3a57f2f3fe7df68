//! Client authentication: the one place that every endpoint for clients uses.

use http::HeaderMap;

use super::paths;
use crate::{
    app::App,
    directory::{self, Missing},
    model::{
        assertion::{Assertion, Expected},
        client::{Authentication, Client, KeysAt},
        jwks::PublicKey,
        jws::Unfit,
        secret::Secret,
        text,
    },
    refusals,
    wire::{
        client_auth::{Presented, Proof},
        error::ApiError,
        params::Params,
    },
};

/// Enough of a made-up client id for a log.
const MAX_LOGGED_CHARS: usize = 200;

/// The client that a request to `endpoint` proves to come from, for endpoints where it must have been before.
pub(super) async fn authenticate(
    app: &App,
    headers: &HeaderMap,
    params: &Params,
    endpoint: &str,
) -> Result<Client, ApiError> {
    Door { app, endpoint, begins: false }.admit(headers, params).await
}

/// As [`authenticate`], for endpoints where a client begins: its metadata document may be new here.
pub(super) async fn authenticate_newcomer(
    app: &App,
    headers: &HeaderMap,
    params: &Params,
    endpoint: &str,
) -> Result<Client, ApiError> {
    Door { app, endpoint, begins: true }.admit(headers, params).await
}

/// An endpoint for clients.
struct Door<'a> {
    app: &'a App,
    endpoint: &'a str,
    begins: bool,
}

impl Door<'_> {
    /// The method is the one registered: a confidential client cannot be used as a public one, nor the reverse. The
    /// answer is the same for a client that is unknown and for one that could not prove itself.
    async fn admit(&self, headers: &HeaderMap, params: &Params) -> Result<Client, ApiError> {
        let Presented { client_id, proof } = Presented::read(headers, params)?;
        client_id.as_deref().inspect(|id| refusals::named(id));
        if let Proof::Assertion(assertion) = &proof {
            return self.by_assertion(client_id.as_deref(), assertion).await;
        }
        let refused = ApiError::invalid_client(matches!(proof, Proof::Basic(_)));
        let id = client_id.ok_or(refused)?;
        let client =
            self.find(&id).await?.ok_or(refused.because("no such client, or it waits for approval"))?;
        let proven = match (&client.authentication, &proof) {
            (authentication, Proof::None) if authentication.is_public() => true,
            (Authentication::Secret { digest, basic: true, .. }, Proof::Basic(secret))
            | (Authentication::Secret { digest, post: true, .. }, Proof::Post(secret)) => {
                digest.matches(&secret.digest())
            }
            _ => {
                return Err(refused.because("the client is registered to authenticate in another way"));
            }
        };
        if proven { Ok(client) } else { Err(refused.because("the client authenticated with another secret")) }
    }

    async fn find(&self, id: &str) -> Result<Option<Client>, ApiError> {
        if !self.begins {
            return Ok(directory::for_token(self.app, id).await?);
        }
        match directory::for_authorization(self.app, id).await {
            Ok(client) => Ok(Some(client)),
            Err(Missing::Unknown | Missing::Waiting) => Ok(None),
            Err(Missing::Busy(exceeded)) => Err(ApiError::too_many_requests(exceeded.retry_after_seconds)),
            Err(Missing::Storage(error)) => Err(error.into()),
        }
    }

    /// RFC 7523 §3.
    async fn by_assertion(&self, client_id: Option<&str>, presented: &Secret) -> Result<Client, ApiError> {
        let refused = |client_id: &str, reason: &str| {
            let client_id = text::for_developers(client_id, MAX_LOGGED_CHARS);
            tracing::info!(client.id = client_id, reason, "client assertion refused");
            ApiError::invalid_client(false)
        };
        let assertion = Assertion::read(presented.expose())
            .map_err(|Unfit(reason)| refused(client_id.unwrap_or_default(), reason))?;
        let claimed = assertion.claimed_client_id();
        // RFC 7521 §4.2: where it is given, it must be the same client
        if client_id.is_some_and(|given| given != claimed) {
            return Err(refused(claimed, "client_id is another one"));
        }
        let client = self.find(claimed).await?.ok_or_else(|| refused(claimed, "unknown client"))?;
        let key = self.key(&client, &assertion).await;
        let key = key.ok_or_else(|| refused(claimed, "no key of the client fits"))?;
        let (issuer, now) = (&self.app.issuer, self.app.now());
        // RFC 9126 §2 has clients that name the endpoint which they call, and many name the token endpoint everywhere
        let (token_endpoint, endpoint) = (issuer.endpoint(paths::TOKEN), issuer.endpoint(self.endpoint));
        let audiences = &[issuer.as_str(), &token_endpoint, &endpoint];
        let expected = Expected { client_id: &client.id, audiences, now };
        let once = assertion.verify(&key, &expected).map_err(|Unfit(reason)| refused(claimed, reason))?;
        if !self.app.storage.use_once(&once.digest, once.until, now).await? {
            return Err(refused(claimed, "the assertion was used before"));
        }
        Ok(client)
    }

    /// The key of the client's that an assertion says it was signed with.
    async fn key(&self, client: &Client, assertion: &Assertion<'_>) -> Option<PublicKey> {
        let Authentication::PrivateKeyJwt { keys, algorithm, .. } = &client.authentication else {
            return None;
        };
        let (kid, signed_with) = (assertion.kid(), assertion.algorithm());
        match keys {
            KeysAt::Hand(keys) => keys.find(kid, signed_with, *algorithm).cloned(),
            KeysAt::Url(url) => self.app.client_keys.as_ref()?.find(url, kid, signed_with, *algorithm).await,
        }
    }
}
