//! Whose tokens are believed, and how: what the routes share of an issuer, and the verifier of each route.

use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response};
use mcp_auth::clock::Clock;
use mcp_auth::resource::ResourceUri;
use mcp_auth::verifier::introspection::IntrospectionVerifier;
use mcp_auth::verifier::keys::{FetchError, HttpFetch, HttpFetchBuilder, KeySource, RemoteKeys};
use mcp_auth::verifier::status_list::{StatusLists, StatusVerifier};
use mcp_auth::verifier::{
    BoxFuture, Exchange, Issuer, JwtOrOpaqueVerifier, JwtVerifier, TokenVerifier, VerifiedTokens,
};

use crate::config::{IntrospectionConfig, IssuerConfig, KeysFrom, StatusListConfig};
use crate::server_metadata::{Keeping, ServerMetadata};
use crate::snapshot::Kept;

/// The longest answer with a status list: one of 8 MiB that cannot be compressed, in base64url, and its signature.
const LONGEST_STATUS_LIST: usize = 12 * 1024 * 1024;

/// What an issuer has that outlives a configuration: what was fetched from it, and what it is fetched by.
#[derive(Debug)]
pub(crate) struct IssuerParts {
    keys: Arc<dyn KeySource>,
    lists: Arc<StatusLists>,
    /// For introspection, where there is any.
    exchange: Option<Arc<dyn Exchange>>,
}

impl IssuerParts {
    fn new(config: &IssuerConfig, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        let keys = keys(config, clock)?;
        let lists = status_lists(config, &config.status_list, Arc::clone(&keys), clock)?;
        let exchange = match &config.introspection {
            Some(introspection) => {
                Some(Arc::new(client(config, introspection.is_on_this_machine())?) as Arc<dyn Exchange>)
            }
            None => None,
        };
        Ok(Self { keys, lists: Arc::new(lists), exchange })
    }
}

/// The issuers of a configuration. Their keys and status lists are fetched once, whatever the number of routes.
pub(crate) struct Issuers<'a> {
    jwt: Vec<Issuer>,
    opaque: Option<Opaque<'a>>,
    lists: Vec<Arc<StatusLists>>,
    verified: VerifiedTokens,
    clock: Arc<dyn Clock>,
}

/// The issuer that is asked about its tokens.
struct Opaque<'a> {
    issuer: &'a IssuerConfig,
    introspection: &'a IntrospectionConfig,
    exchange: Arc<dyn Exchange>,
}

impl<'a> Issuers<'a> {
    /// # Errors
    ///
    /// If TLS cannot be set up. Values were checked before.
    pub(crate) fn of(
        configs: &'a [IssuerConfig],
        kept: &mut Kept<IssuerConfig, IssuerParts>,
        verified: &VerifiedTokens,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let (jwt, lists) = (Vec::new(), Vec::new());
        let (verified, clock) = (verified.clone(), Arc::clone(clock));
        let mut issuers = Self { jwt, opaque: None, lists, verified, clock };
        for config in configs {
            let parts = kept.get_or_try_build(config, || IssuerParts::new(config, &issuers.clock))?;
            issuers.lists.push(Arc::clone(&parts.lists));
            if let (Some(introspection), Some(exchange)) = (&config.introspection, &parts.exchange) {
                issuers.opaque =
                    Some(Opaque { issuer: config, introspection, exchange: Arc::clone(exchange) });
            }
            if !config.introspection.as_ref().is_some_and(|introspection| introspection.jwts) {
                issuers.jwt.push(accepted(config, Arc::clone(&parts.keys)));
            }
        }
        Ok(issuers)
    }

    /// The verifier of one route.
    pub(crate) fn verifier(&self, resource: &ResourceUri) -> anyhow::Result<Arc<dyn TokenVerifier>> {
        let opaque = self.opaque.as_ref();
        let opaque =
            opaque.map(|opaque| opaque.verifier(resource, &self.verified, &self.clock)).transpose()?;
        let inner: Arc<dyn TokenVerifier> = match opaque {
            Some(opaque) if self.jwt.is_empty() => Arc::new(opaque),
            Some(opaque) => Arc::new(JwtOrOpaqueVerifier::new(self.jwt_verifier(resource)?, opaque)),
            None => Arc::new(self.jwt_verifier(resource)?),
        };
        Ok(Arc::new(StatusVerifier::new(inner, self.lists.iter().cloned())))
    }

    fn jwt_verifier(&self, resource: &ResourceUri) -> anyhow::Result<JwtVerifier> {
        let mut verifier =
            JwtVerifier::builder(resource.clone(), Arc::clone(&self.clock)).verified_tokens(&self.verified);
        for issuer in &self.jwt {
            verifier = verifier.issuer(issuer.clone());
        }
        Ok(verifier.build()?)
    }
}

impl Opaque<'_> {
    fn verifier(
        &self,
        resource: &ResourceUri,
        remembered: &VerifiedTokens,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<IntrospectionVerifier> {
        let config = self.introspection;
        let mut verifier = IntrospectionVerifier::builder(
            resource.clone(),
            self.issuer.issuer.as_str(),
            config.endpoint.clone(),
            config.authentication.clone(),
            Arc::clone(&self.exchange),
            Arc::clone(clock),
        )
        .verified_tokens(remembered)
        .cache_seconds(config.cache_seconds)
        .leeway_seconds(self.issuer.leeway_seconds);
        if config.endpoint_is_for_this_resource {
            verifier = verifier.endpoint_is_for_this_resource();
        }
        if config.client_as_subject {
            verifier = verifier.client_as_subject();
        }
        Ok(verifier.build()?)
    }
}

fn keys(config: &IssuerConfig, clock: &Arc<dyn Clock>) -> anyhow::Result<Arc<dyn KeySource>> {
    // a client of its own for each issuer; none where keys are at hand, since it needs the system's trust roots
    let fetch = || client(config, config.keys.are_on_this_machine()).map(Arc::new);
    let remote = match &config.keys {
        KeysFrom::Metadata(_) => RemoteKeys::discovered(&config.issuer, fetch()?, Arc::clone(clock))?,
        KeysFrom::Uri(uri) => RemoteKeys::at(uri.clone(), fetch()?, Arc::clone(clock)),
        KeysFrom::File(file) => return Ok(Arc::clone(&file.keys) as Arc<dyn KeySource>),
    };
    Ok(Arc::new(
        remote
            .fresh_seconds(config.keys_fresh_seconds)
            .stale_seconds(config.keys_stale_seconds)
            .cool_down_seconds(config.keys_cool_down_seconds),
    ))
}

fn accepted(config: &IssuerConfig, keys: Arc<dyn KeySource>) -> Issuer {
    let mut issuer = Issuer::new(config.issuer.as_str(), keys)
        .algorithms(config.algorithms.iter().copied())
        .leeway_seconds(config.leeway_seconds)
        .token_types(config.token_types.iter().map(String::as_str))
        .audience_claim(config.audience_claim.as_str())
        .scope_claims(config.scope_claims.iter().map(String::as_str))
        .subject_claims(config.subject_claims.iter().map(String::as_str))
        .client_claims(config.client_claims.iter().map(String::as_str));
    if let Some(audiences) = &config.audiences {
        issuer = issuer.audiences(audiences.iter().map(String::as_str));
    }
    for (name, value) in &config.required_claims {
        issuer = match value {
            Some(value) => issuer.require_claim(name.as_str(), value.clone()),
            None => issuer.require_presence(name.as_str()),
        };
    }
    issuer
}

fn status_lists(
    issuer: &IssuerConfig,
    config: &StatusListConfig,
    keys: Arc<dyn KeySource>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<StatusLists> {
    let exchange = WhenNeeded { settings: settings(issuer, issuer.on_this_machine), client: OnceLock::new() };
    let mut lists = StatusLists::builder(issuer.issuer.as_str(), keys, Arc::new(exchange), Arc::clone(clock))
        .algorithms(issuer.algorithms.iter().copied())
        .hosts(config.hosts.iter().map(String::as_str))
        .poll_seconds(config.poll_seconds)
        .stale_seconds(config.stale_seconds)
        .leeway_seconds(issuer.leeway_seconds);
    if config.required {
        lists = lists.required();
    }
    if config.allow_stale {
        lists = lists.allow_stale();
    }
    Ok(lists.build()?)
}

/// The copy of an issuer's own metadata.
pub(crate) fn server_metadata(
    config: &IssuerConfig,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<ServerMetadata> {
    let fetch = Arc::new(client(config, config.on_this_machine)?);
    let keeping = Keeping {
        fresh: config.keys_fresh_seconds,
        stale: config.keys_stale_seconds,
        cool_down: config.keys_cool_down_seconds,
    };
    ServerMetadata::new(&config.issuer, fetch, Arc::clone(clock), keeping)
}

/// A client for what an issuer serves.
fn client(config: &IssuerConfig, on_this_machine: bool) -> anyhow::Result<HttpFetch> {
    let client = settings(config, on_this_machine).build();
    client.with_context(|| format!("cannot set up a client for `{}`", config.issuer))
}

/// What is named by a URL of this machine is there too; any other is kept from it.
fn settings(config: &IssuerConfig, on_this_machine: bool) -> HttpFetchBuilder {
    let client = HttpFetch::builder().allow_loopback(on_this_machine);
    config.private_hosts.iter().fold(client, |client, host| client.allow_private_host(host))
}

/// A client for status lists, set up when a token names one: it needs the system's trust roots, and an issuer without
/// lists must not.
#[derive(Debug)]
struct WhenNeeded {
    settings: HttpFetchBuilder,
    client: OnceLock<Result<HttpFetch, FetchError>>,
}

impl Exchange for WhenNeeded {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, FetchError>> {
        let client = self.client.get_or_init(|| self.settings.clone().max_bytes(LONGEST_STATUS_LIST).build());
        match client {
            Ok(client) => client.send(request),
            Err(error) => Box::pin(std::future::ready(Err(error.clone()))),
        }
    }
}

#[cfg(test)]
mod tests;
