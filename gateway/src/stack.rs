//! What stands in front of each upstream, from the outside in: router, [`McpAuthLayer`], forward.

use std::sync::Arc;

use anyhow::Context as _;
use mcp_auth::McpAuthLayer;
use mcp_auth::clock::{Clock, SystemClock};
use tower_layer::Layer as _;

use crate::config::{Config, RouteConfig};
use crate::router::{Route, Router};
use crate::tokens::Issuers;
use crate::upstream::Forward;

/// Assembles the router of a configuration; `loopback` says whether only this machine can reach the listeners.
///
/// # Errors
///
/// If TLS cannot be set up. Values were checked before.
pub(crate) fn router(config: &Config, loopback: bool) -> anyhow::Result<Router> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let issuers = Issuers::of(&config.issuers, config.verified_tokens_bytes, &clock)?;
    for issuer in config.issuers.iter().filter(|issuer| config.routes.len() > 1 && issuer.audiences.is_some())
    {
        tracing::warn!(token.issuer = issuer.issuer, "with `audiences`, a token is good at every route");
    }
    let routes = config
        .routes
        .iter()
        .map(|route| guarded(route, config, &issuers, loopback))
        .collect::<anyhow::Result<Vec<Route>>>()?;
    Ok(Router::new(routes))
}

fn guarded(
    route: &RouteConfig,
    config: &Config,
    issuers: &Issuers<'_>,
    loopback: bool,
) -> anyhow::Result<Route> {
    let mut layer = McpAuthLayer::builder(
        route.resource.clone(),
        route.policy.clone(),
        issuers.verifier(&route.resource)?,
    )
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
