//! What the gateway presents to an upstream, so that each hop has credentials of its own.
//!
//! The caller's token was issued for the route, and ends here: the layer takes it away. What goes on instead is the
//! route's to say ([`Kind`]).

mod assertion;
mod bearer;
mod client_credentials;
mod error;
mod follow;
mod header;
mod pause;
mod published;
mod token_endpoint;
mod token_exchange;

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use mcp_auth::clock::Clock;
use mcp_auth::random::Random;
use mcp_auth::resource::ResourceUri;
use mcp_auth::verifier::Exchange;
use mcp_auth::verifier::keys::HttpFetch;
use mcp_auth::{CallerToken, Judged};

use crate::config::{CredentialsConfig, TokenEndpointConfig};

pub(crate) use assertion::{AssertionAlgorithm, SigningKey};
pub(crate) use error::CredentialError;
pub(crate) use header::value as header_value;
pub(crate) use published::PublishedKeys;

use assertion::Assertions;
use bearer::Generation;
use client_credentials::ClientCredentials;
use header::StaticHeader;
use token_endpoint::TokenEndpoint;
use token_exchange::{Digest, TokenExchange};

/// The credentials of one route. A clone is a pointer, and shares what is cached.
#[derive(Clone, Debug)]
pub(crate) struct Credentials(Kind);

#[derive(Clone, Debug)]
enum Kind {
    /// Nothing.
    None,
    /// The same secret for every request.
    Header(Arc<StaticHeader>),
    /// A token that the gateway has for itself (RFC 6749 §4.4).
    Client(Arc<ClientCredentials>),
    /// A token for the upstream in exchange for the caller's (RFC 8693).
    Exchange(Arc<TokenExchange>),
    /// A statement about this very request, signed by the gateway.
    Assertion(Arc<Assertions>),
    /// The caller's own token, for an upstream that is the very resource which the token was issued for.
    InsecureCallerToken(Arc<ResourceUri>),
}

/// What time and chance are to credentials.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
}

/// What was presented with a request, so that it can be said that the upstream refused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Presented(Cached);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cached {
    Nothing,
    Client(Generation),
    Exchanged(Digest, Generation),
}

impl Credentials {
    /// Credentials by their configuration. `gateway` is who signs assertions: the public URL.
    ///
    /// Files that change while the gateway runs are followed by a task, until the credentials are dropped: call it in the
    /// runtime that lives longest.
    ///
    /// # Errors
    ///
    /// If TLS cannot be set up, or no key can be made. Values were checked before.
    pub(crate) fn new(
        config: &CredentialsConfig,
        gateway: &str,
        surroundings: &Surroundings,
    ) -> anyhow::Result<Self> {
        let endpoint = |config: &TokenEndpointConfig| -> anyhow::Result<TokenEndpoint> {
            Ok(TokenEndpoint::new(config, exchange(config)?, surroundings))
        };
        Ok(Self(match config {
            CredentialsConfig::None => Kind::None,
            CredentialsConfig::Header(config) => Kind::Header(StaticHeader::new(config)),
            CredentialsConfig::Client(config) => {
                Kind::Client(Arc::new(ClientCredentials::new(config, endpoint(&config.endpoint)?)))
            }
            CredentialsConfig::Exchange(config) => {
                Kind::Exchange(Arc::new(TokenExchange::new(config, endpoint(&config.endpoint)?)))
            }
            CredentialsConfig::Assertion(config) => {
                Kind::Assertion(Assertions::new(config, gateway, surroundings)?)
            }
            CredentialsConfig::InsecureCallerToken(resource) => {
                Kind::InsecureCallerToken(Arc::new(resource.clone()))
            }
        }))
    }

    /// Nothing.
    #[cfg(test)]
    pub(crate) fn none() -> Self {
        Self(Kind::None)
    }

    /// Puts the credentials for one request into its headers, from which all that clients may not say was removed.
    ///
    /// `body` is what is forwarded, byte for byte; a request that was not judged as MCP, whose body is not at hand, has
    /// none. A request that is served as nobody, or with a token that may not be used elsewhere, has no `caller`.
    ///
    /// # Errors
    ///
    /// There are no credentials for this request: it must not be forwarded.
    pub(crate) async fn apply(
        &self,
        headers: &mut HeaderMap,
        judged: &Judged,
        body: Option<&Bytes>,
        caller: Option<&CallerToken>,
    ) -> Result<Presented, CredentialError> {
        let principal = judged.permit().and_then(mcp_auth::Permit::principal);
        let cached = match &self.0 {
            Kind::None => Cached::Nothing,
            Kind::Header(header) => {
                header.apply(headers);
                Cached::Nothing
            }
            Kind::Client(client) => {
                let token = client.token().await?;
                headers.insert(AUTHORIZATION, token.authorization());
                Cached::Client(token.generation())
            }
            Kind::Exchange(exchange) => match (principal, caller) {
                (None, _) if exchange.serves_anonymous() => Cached::Nothing,
                (None, _) => return Err(CredentialError::Anonymous),
                (Some(_), None) => return Err(CredentialError::Bound),
                (Some(user), Some(caller)) => {
                    let (digest, token) = exchange.token(caller, user.expires_at()).await?;
                    headers.insert(AUTHORIZATION, token.authorization());
                    Cached::Exchanged(digest, token.generation())
                }
            },
            Kind::Assertion(assertions) => {
                let (name, value) = assertions.sign(judged, body)?;
                headers.insert(name, value);
                Cached::Nothing
            }
            Kind::InsecureCallerToken(resource) => {
                match (principal, caller) {
                    (None, _) => {}
                    (Some(_), None) => return Err(CredentialError::Bound),
                    (Some(user), Some(caller)) => {
                        bearer::is_for(user, resource)?;
                        headers.insert(AUTHORIZATION, bearer::authorization(caller.expose())?);
                    }
                }
                Cached::Nothing
            }
        };
        Ok(Presented(cached))
    }

    /// Says that the upstream answered 401: a token that was cached is asked for anew with the next request. One that was
    /// asked for because of that is not given up at once again.
    pub(crate) fn refused(&self, presented: Presented) {
        match (&self.0, presented.0) {
            (Kind::Client(client), Cached::Client(generation)) => client.refused(generation),
            (Kind::Exchange(exchange), Cached::Exchanged(digest, generation)) => {
                exchange.refused(digest, generation);
            }
            _ => {}
        }
    }

    /// Whether the layer has to hand on the caller's token.
    pub(crate) fn need_caller_token(&self) -> bool {
        matches!(self.0, Kind::Exchange(_) | Kind::InsecureCallerToken(_))
    }
}

/// A client for one token endpoint, that is kept from any other address.
fn exchange(config: &TokenEndpointConfig) -> anyhow::Result<Arc<dyn Exchange>> {
    let client = HttpFetch::builder()
        .allow_loopback(config.is_on_this_machine())
        .max_bytes(token_endpoint::LONGEST_ANSWER);
    let client = config.private_hosts.iter().fold(client, |client, host| client.allow_private_host(host));
    let client =
        client.build().with_context(|| format!("cannot set up a client for `{}`", config.endpoint))?;
    Ok(Arc::new(client))
}

#[cfg(test)]
mod tests;
