//! [`IntrospectionVerifier`]: ask, judge, remember for a while.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use tokio::sync::Semaphore;
use url::Url;

use super::ClientAuthentication;
use super::answer::{Expected, judge};
use crate::ConfigError;
use crate::clock::Clock;
use crate::random::{Random, SystemRandom};
use crate::request::UnverifiedToken;
use crate::resource::ResourceUri;
use crate::verifier::cache::{Partition, Place, Remembered, VerifiedTokens};
use crate::verifier::counted::TokenCounts;
use crate::verifier::fingerprint::Fingerprint;
use crate::verifier::form::{Form, LONGEST_TOKEN};
use crate::verifier::keys::is_https_or_local;
use crate::verifier::single_flight::SingleFlight;
use crate::verifier::{BoxFuture, Exchange, InvalidToken, TokenVerifier, VerifiedToken, VerifyError};

/// How many requests to an authorization server may be under way at once; more wait for their turn.
const REQUESTS_AT_ONCE: usize = 32;

/// How many may wait. Made-up tokens must not pile up requests without end: beyond, the answer is 503 at once.
const REQUESTS_WAITING: usize = 1024;

/// How long a positive answer is believed, unless configured otherwise, in seconds.
const CACHE_SECONDS: u64 = 30;

/// Verifies access tokens of one issuer for one resource by introspection (RFC 7662).
///
/// Refused as invalid:
/// - a token that the server calls inactive, or that is past its `exp` or before its `nbf` by our own clock
/// - a token of another issuer: a JWT that names one is not even sent, since it is not this server's to see
/// - `aud` without the resource, or no `aud` at all, see
///   [`endpoint_is_for_this_resource`](IntrospectionVerifierBuilder::endpoint_is_for_this_resource)
/// - a refresh token, an ID token
/// - no `sub`, see [`client_as_subject`](IntrospectionVerifierBuilder::client_as_subject)
///
/// Every other answer is [`VerifyError::Unavailable`]: no answer in time, a status other than 200, a body that is no
/// JSON object, a key that is given twice, an `active` that is neither `true` nor `false`.
///
/// Requests that come at once with the same token cause one question, and at most 32 questions are under way. Positive
/// answers are cached, negative ones are not. All claims of the answer are kept, `cnf` among them, for the stations that
/// enforce them. Signed answers (RFC 9701) are not understood.
pub struct IntrospectionVerifier {
    expected: Expected,
    endpoint: Url,
    authentication: ClientAuthentication,
    exchange: Arc<dyn Exchange>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    cache_seconds: u64,
    verified: Partition,
    counts: TokenCounts,
    flights: SingleFlight<Fingerprint, Result<Arc<VerifiedToken>, VerifyError>>,
    at_once: Semaphore,
    waiting: Semaphore,
}

impl IntrospectionVerifier {
    /// For tokens of `issuer` whose audience is `resource`; `endpoint` is the issuer's introspection endpoint.
    pub fn builder(
        resource: ResourceUri,
        issuer: impl Into<Box<str>>,
        endpoint: Url,
        authentication: ClientAuthentication,
        exchange: Arc<dyn Exchange>,
        clock: Arc<dyn Clock>,
    ) -> IntrospectionVerifierBuilder {
        IntrospectionVerifierBuilder(Self {
            expected: Expected {
                issuer: issuer.into(),
                resource,
                leeway_seconds: 30,
                endpoint_is_for_this_resource: false,
                client_as_subject: false,
            },
            endpoint,
            authentication,
            exchange,
            clock,
            random: Arc::new(SystemRandom),
            cache_seconds: CACHE_SECONDS,
            verified: VerifiedTokens::default().partition(),
            counts: TokenCounts::new(),
            flights: SingleFlight::new(),
            at_once: Semaphore::new(REQUESTS_AT_ONCE),
            waiting: Semaphore::new(REQUESTS_WAITING),
        })
    }

    async fn verify(&self, token: &str) -> Result<Arc<VerifiedToken>, VerifyError> {
        self.look_at(token).await.inspect_err(|why| self.counts.refused(why))
    }

    async fn look_at(&self, token: &str) -> Result<Arc<VerifiedToken>, VerifyError> {
        if token.len() > LONGEST_TOKEN {
            return Err(VerifyError::Invalid(InvalidToken::Untrusted("the token is too long")));
        }
        match Form::of(token) {
            Form::JwtOf(issuer) if issuer != *self.expected.issuer => {
                return Err(VerifyError::Invalid(InvalidToken::UnknownIssuer));
            }
            Form::Unclear => {
                return Err(VerifyError::Invalid(InvalidToken::Untrusted(
                    "a JWT whose claims cannot be read",
                )));
            }
            Form::JwtOf(_) | Form::Opaque => {}
        }
        let (place, remembered) = self.verified.find(token, self.clock.unix_seconds());
        if let Some(remembered) = remembered {
            self.counts.remembered();
            return Ok(Arc::clone(&remembered.token));
        }
        let verified = match place.fingerprint() {
            Some(fingerprint) => self.flights.run(fingerprint, || self.verify_anew(token)).await?,
            None => self.verify_anew(token).await?,
        };
        self.counts.verified();
        Ok(verified)
    }

    async fn verify_anew(&self, token: &str) -> Result<Arc<VerifiedToken>, VerifyError> {
        // The answer may be as old as the question.
        let asked_at = self.clock.unix_seconds();
        // Whoever was at it before may have brought what is wanted here.
        let (place, remembered) = self.verified.find(token, asked_at);
        if let Some(remembered) = remembered {
            return Ok(Arc::clone(&remembered.token));
        }
        let answer = self.ask(token).await;
        let verified = answer
            .map_err(VerifyError::Unavailable)
            .and_then(|body| judge(&body, &self.expected, self.clock.unix_seconds()))
            .map(Arc::new);
        if let Err(VerifyError::Invalid(_)) = &verified {
            // what was remembered is over, and must not be in force again where the clock is set back
            self.verified.forget(place);
        }
        match &verified {
            Ok(verified) => self.remember(place, verified, asked_at),
            Err(VerifyError::Unavailable(error)) => {
                tracing::warn!(introspection.endpoint = %self.endpoint, error, "a token could not be introspected");
            }
            Err(VerifyError::Invalid(InvalidToken::WrongAudience)) => {
                tracing::info!(
                    token.issuer = &*self.expected.issuer,
                    wanted = self.expected.resource.as_str(),
                    "a token is for another resource, or the introspection endpoint does not say for which"
                );
            }
            Err(VerifyError::Invalid(_)) => {}
        }
        verified
    }

    fn remember(&self, place: Place, verified: &Arc<VerifiedToken>, asked_at: u64) {
        let until = asked_at.saturating_add(self.cache_seconds).min(verified.expires_at());
        if until > asked_at {
            self.verified.remember(place, Remembered::new(Arc::clone(verified), asked_at, until, None));
        }
    }

    /// The body of a proper answer.
    async fn ask(&self, token: &str) -> Result<Bytes, String> {
        let _place = self.waiting.try_acquire().map_err(|_| "too many tokens wait to be introspected")?;
        let _turn = self.at_once.acquire().await.map_err(|error| error.to_string())?;
        let request = self.request(token)?;
        let response = self.exchange.send(request).await.map_err(|error| error.to_string())?;
        if response.status() == StatusCode::UNAUTHORIZED {
            // RFC 7662 §2.3
            return Err("the endpoint does not accept this client: are its id and its secret or key right? (status 401)".to_owned());
        }
        if response.status() != StatusCode::OK {
            return Err(format!("expected status 200, but found {}", response.status().as_u16()));
        }
        if !is_json(response.headers().get(header::CONTENT_TYPE)) {
            return Err("expected an answer of type `application/json`, but found another".to_owned());
        }
        Ok(response.into_body())
    }

    fn request(&self, token: &str) -> Result<Request<Bytes>, String> {
        self.authentication
            .form_request(
                &self.endpoint,
                &[("token", token), ("token_type_hint", "access_token")],
                &self.expected.issuer,
                self.clock.unix_seconds(),
                &*self.random,
            )
            .map_err(|error| error.to_string())
    }
}

fn is_json(content_type: Option<&HeaderValue>) -> bool {
    let essence = content_type.and_then(|value| value.to_str().ok()).and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// Builds an [`IntrospectionVerifier`].
#[derive(Debug)]
#[must_use]
pub struct IntrospectionVerifierBuilder(IntrospectionVerifier);

impl IntrospectionVerifierBuilder {
    /// For how many seconds a positive answer is believed, at most; a token that is revoked is good for so long. It is
    /// never believed beyond `exp`. Default: 30; 0 asks for every request.
    pub fn cache_seconds(mut self, seconds: u64) -> Self {
        self.0.cache_seconds = seconds;
        self
    }

    /// By how many seconds the server's clock and ours may differ, when `exp` and `nbf` are checked. Default: 30.
    pub fn leeway_seconds(mut self, seconds: u64) -> Self {
        self.0.expected.leeway_seconds = seconds;
        self
    }

    /// Accepts tokens whose answer has no `aud`. Default: refused.
    ///
    /// Deployment: only where the endpoint, or the client that asks, is for this resource alone. Anywhere else a token
    /// that a user gave to another server of the same issuer would open this one (RFC 8707 §1).
    pub fn endpoint_is_for_this_resource(mut self) -> Self {
        self.0.expected.endpoint_is_for_this_resource = true;
        self
    }

    /// Takes the client for the subject of a token that has none, as a client credentials grant gives it (RFC 6749
    /// §4.4). Default: refused.
    ///
    /// Deployment: only where no client can get an identifier that is a user's `sub` (RFC 9068 §5).
    pub fn client_as_subject(mut self) -> Self {
        self.0.expected.client_as_subject = true;
        self
    }

    /// Where to remember positive answers. Default: a [`VerifiedTokens`] of its own.
    ///
    /// Deployment: the verifiers of one process may share one.
    pub fn verified_tokens(mut self, tokens: &VerifiedTokens) -> Self {
        self.0.verified = tokens.partition();
        self
    }

    /// Where the `jti` of client assertions comes from. Default: [`SystemRandom`].
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.0.random = random;
        self
    }

    /// The verifier.
    ///
    /// # Errors
    /// The endpoint is no `https` URL, nor an `http` one of this machine; the client has no identifier or no secret.
    pub fn build(self) -> Result<IntrospectionVerifier, ConfigError> {
        let endpoint = &self.0.endpoint;
        let plain =
            endpoint.username().is_empty() && endpoint.password().is_none() && endpoint.fragment().is_none();
        if !is_https_or_local(endpoint) || !plain {
            // Without the URL: it may hold a password.
            return Err(ConfigError::new(
                "expected an https URL without user and fragment, or an http one of this machine, as introspection \
                 endpoint, but found another",
            ));
        }
        self.0.authentication.check()?;
        Ok(self.0)
    }
}

impl TokenVerifier for IntrospectionVerifier {
    fn verify<'a>(
        &'a self,
        token: &'a UnverifiedToken,
    ) -> BoxFuture<'a, Result<Arc<VerifiedToken>, VerifyError>> {
        Box::pin(self.verify(token.expose()))
    }

    fn remembers(&self, token: &UnverifiedToken) -> bool {
        self.verified.find(token.expose(), self.clock.unix_seconds()).1.is_some()
    }
}

impl fmt::Debug for IntrospectionVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntrospectionVerifier")
            .field("issuer", &self.expected.issuer)
            .field("resource", &self.expected.resource)
            .field("endpoint", &self.endpoint.as_str())
            .field("authentication", &self.authentication)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
