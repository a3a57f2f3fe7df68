//! What stands in front of each upstream, from the outside in: router, [`McpAuthLayer`], forward.

use std::sync::Arc;

use anyhow::Context as _;
use mcp_auth::McpAuthLayer;
use mcp_auth::clock::Clock;
use mcp_auth::verifier::VerifiedTokens;
use tower_layer::Layer as _;

use crate::config::{Config, RouteConfig};
use crate::credentials::{Credentials, PublishedKeys, Surroundings};
use crate::limits::{AddressRates, Gate, RateLimits};
use crate::observe::RouteObserver;
use crate::router::{Route, Table};
use crate::snapshot::Components;
use crate::state::Remembered;
use crate::tokens::Issuers;
use crate::upstream::{Forward, Group, GroupConfig};

/// Assembles the routes of a configuration of components, those that are kept and new ones; `loopback` says whether only
/// this machine can reach the listeners.
///
/// # Errors
///
/// If TLS cannot be set up. Values were checked before.
pub(crate) fn table(
    config: &Config,
    components: &mut Components,
    clock: &Arc<dyn Clock>,
    loopback: bool,
) -> anyhow::Result<Table> {
    let bytes = config.verified_tokens_bytes;
    let verified =
        components.verified_tokens.get_or_build(&bytes, || VerifiedTokens::with_capacity_bytes(bytes));
    let issuers = Issuers::of(&config.issuers, &mut components.issuers, &verified, clock)?;
    for issuer in config.issuers.iter().filter(|issuer| config.routes.len() > 1 && issuer.audiences.is_some())
    {
        tracing::warn!(token.issuer = issuer.issuer, "with `audiences`, a token is good at every route");
    }
    let remembered = components.state.of(&config.state, clock)?;
    let rates =
        components.address_rates.get_or_build(&config.rates, || AddressRates::new(&config.rates, clock));
    let routes = config
        .routes
        .iter()
        .map(|route| {
            guarded(
                route,
                config,
                components,
                &issuers,
                &Limits { remembered: &remembered, rates: &rates, clock },
                loopback,
            )
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let keys = PublishedKeys::of(routes.iter().map(|(_, credentials)| &**credentials));
    let keys = keys.map(|keys| (config.jwks_path.clone(), keys));
    Ok(Table::new(routes.into_iter().map(|(route, _)| route).collect(), keys))
}

/// What counts, and by what.
struct Limits<'a> {
    remembered: &'a Remembered,
    rates: &'a Arc<AddressRates>,
    clock: &'a Arc<dyn Clock>,
}

fn guarded(
    route: &RouteConfig,
    config: &Config,
    components: &mut Components,
    issuers: &Issuers<'_>,
    limits: &Limits<'_>,
    loopback: bool,
) -> anyhow::Result<(Route, Arc<Credentials>)> {
    let believed = (route.resource.clone(), config.issuers.clone(), config.verified_tokens_bytes);
    let verifier = components.verifiers.get_or_try_build(&believed, || issuers.verifier(&route.resource))?;
    let policy = config.policy(route).context("a route without its policy")?;
    let grouped = GroupConfig::of(route);
    let group = components
        .groups
        .get_or_try_build(&grouped, || Group::new(&grouped))
        .with_context(|| format!("cannot set up TLS towards the upstream of {}", route.path))?;
    let mut layer =
        McpAuthLayer::builder(route.resource.clone(), policy.handle.clone(), Arc::clone(&verifier))
            .allowed_host(config.public_url.authority.as_str())
            .allow_loopback(loopback)
            .upstream_era(group.era().clone())
            .max_body_bytes(config.limits.max_body_bytes)
            .certificate_bound_tokens(config.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some()));
    for issuer in &config.issuers {
        layer = layer.authorization_server(issuer.issuer.as_str());
    }
    for host in &config.allowed_hosts {
        layer = layer.allowed_host(host.as_str());
    }
    for origin in &config.allowed_origins {
        layer = layer.allowed_origin(origin.as_str());
    }
    if let Some(name) = &route.resource_name {
        layer = layer.resource_name(name.as_str());
    }
    let presented = (route.credentials.clone(), config.public_url.origin.clone());
    let credentials = components
        .credentials
        .get_or_try_build(&presented, || {
            Credentials::new(&route.credentials, &config.public_url.origin, &Surroundings::default())
        })
        .with_context(|| format!("cannot set up the credentials of {}", route.path))?;
    layer = layer.hand_on_caller_token(credentials.need_caller_token());
    let counted = (route.resource.clone(), route.rates.clone(), config.state.redis.clone());
    let rate_limits = components.rate_limits.get_or_try_build(&counted, || {
        let shared = limits.remembered.shared_rates();
        RateLimits::new(&route.rates, &route.resource, shared, limits.clock)
            .map(|limits| limits.map(Arc::new))
    })?;
    let own = (route.clone(), config.public_url.clone(), config.via);
    let forward = components.forwards.get_or_build(&own, || {
        Forward::new(route, &config.public_url, Credentials::clone(&credentials), group, config.via)
    });
    let route = Route {
        observer: RouteObserver::new(&route.path),
        path: route.path.clone(),
        resource_path: route.resource.path().to_owned(),
        gate: Gate::new(Arc::clone(limits.rates), Arc::clone(&verifier)),
        service: limits
            .remembered
            .put_into(layer)
            .build()?
            .layer(forward.with_limits(Option::clone(&rate_limits))),
    };
    Ok((route, credentials))
}
