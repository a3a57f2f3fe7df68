//! What stands in front of each upstream, from the outside in: router, [`McpAuthLayer`], forward.

use std::sync::Arc;

use anyhow::Context as _;
use mcp_auth::McpAuthLayer;
use mcp_auth::clock::{Clock, SystemClock};
use mcp_auth::verifier::keys::{Fetch, HttpFetch, KeySource, RemoteKeys};
use mcp_auth::verifier::{Issuer, JwtVerifier};
use tower_layer::Layer as _;

use crate::config::{Config, IssuerConfig, KeysFrom, RouteConfig};
use crate::router::{Route, Router};
use crate::upstream::Forward;

/// Assembles the router of a configuration; `loopback` says whether only this machine can reach the listeners.
///
/// # Errors
///
/// If TLS cannot be set up. Values were checked before.
pub(crate) fn router(config: &Config, loopback: bool) -> anyhow::Result<Router> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    // the routes share each issuer's keys, so that a set is fetched once
    let issuers = config
        .issuers
        .iter()
        .map(|issuer| accepted(issuer, &clock))
        .collect::<anyhow::Result<Vec<Issuer>>>()?;
    let routes = config
        .routes
        .iter()
        .map(|route| guarded(route, config, &issuers, &clock, loopback))
        .collect::<anyhow::Result<Vec<Route>>>()?;
    Ok(Router::new(routes))
}

fn accepted(config: &IssuerConfig, clock: &Arc<dyn Clock>) -> anyhow::Result<Issuer> {
    let keys: Arc<dyn KeySource> = match &config.keys {
        KeysFrom::Metadata(_) => {
            Arc::new(RemoteKeys::discovered(&config.issuer, fetch(config)?, Arc::clone(clock))?)
        }
        KeysFrom::Uri(uri) => Arc::new(RemoteKeys::at(uri.clone(), fetch(config)?, Arc::clone(clock))),
        KeysFrom::File(keys) => Arc::clone(keys) as Arc<dyn KeySource>,
    };
    Ok(Issuer::new(config.issuer.as_str(), keys)
        .algorithms(config.algorithms.iter().copied())
        .leeway_seconds(config.leeway_seconds)
        .token_types(config.token_types.iter().map(String::as_str)))
}

/// A client of its own for each issuer; none where keys are at hand, since it needs the system's trust roots.
fn fetch(config: &IssuerConfig) -> anyhow::Result<Arc<dyn Fetch>> {
    // an issuer that is named by a URL of this machine has its keys there too; any other is kept from it
    let mut fetch = HttpFetch::builder().allow_loopback(config.keys.are_on_this_machine());
    for host in &config.private_hosts {
        fetch = fetch.allow_private_host(host);
    }
    Ok(Arc::new(fetch.build().context("cannot set up the client for an issuer's keys")?))
}

fn guarded(
    route: &RouteConfig,
    config: &Config,
    issuers: &[Issuer],
    clock: &Arc<dyn Clock>,
    loopback: bool,
) -> anyhow::Result<Route> {
    let mut verifier = JwtVerifier::builder(route.resource.clone(), Arc::clone(clock));
    for issuer in issuers {
        verifier = verifier.issuer(issuer.clone());
    }
    let mut layer =
        McpAuthLayer::builder(route.resource.clone(), route.policy.clone(), Arc::new(verifier.build()?))
            .allowed_host(config.public_url.authority.as_str())
            .allow_loopback(loopback)
            .upstream_era(route.upstream_era);
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
    let forward = Forward::new(route, &config.public_url)
        .with_context(|| format!("cannot set up TLS towards {}", route.upstream))?;
    Ok(Route {
        path: route.path.clone(),
        resource_path: route.resource.path().to_owned(),
        service: layer.build()?.layer(forward),
    })
}
