//! What stands in front of each upstream, from the outside in: router, [`McpAuthLayer`] or [`HttpAuthLayer`], forward.

use std::sync::Arc;

use anyhow::Context as _;
use mcp_auth::clock::Clock;
use mcp_auth::random::SystemRandom;
use mcp_auth::verifier::{TokenVerifier, VerifiedTokens};
use mcp_auth::{HttpAuthLayer, HttpRule, McpAuthLayer};
use tower_layer::Layer as _;

use crate::config::{Config, Origins, RouteConfig, RouteKind};
use crate::credentials::{self, Credentials, PublishedKeys};
use crate::hop::Hop;
use crate::limits::{AddressRates, Gate, RateLimits};
use crate::observe::{Asked, RouteObserver};
use crate::router::{Entry, Guard, Route, Surroundings, Table};
use crate::snapshot::Components;
use crate::state::Remembered;
use crate::tokens::{self, Issuers};
use crate::upstream::{Bridge, BridgeConfig, Forward, Group, GroupConfig, Upstream};

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
    config.log_doubts();
    let bytes = config.verified_tokens_bytes;
    let verified =
        components.verified_tokens.get_or_build(&bytes, || VerifiedTokens::with_capacity_bytes(bytes));
    for issuer in config.issuers.iter().filter(|issuer| config.routes.len() > 1 && issuer.audiences.is_some())
    {
        tracing::warn!(token.issuer = issuer.issuer, "with `audiences`, a token is good at every route");
    }
    let remembered = components.state.of(&config.state, clock)?;
    let rates =
        components.address_rates.get_or_build(&config.rates, || AddressRates::new(&config.rates, clock));
    let mut entries = Vec::with_capacity(config.routes.len());
    let mut presenting: Vec<Arc<Credentials>> = Vec::new();
    for route in &config.routes {
        let resource = &route.place.resource;
        let issuers = Issuers::of(&route.issuers, &mut components.issuers, &verified, clock)?;
        let believed = (resource.clone(), route.issuers.clone(), bytes);
        let tokens = components.verifiers.get_or_try_build(&believed, || {
            let tokens = issuers.verifier(resource)?;
            anyhow::Ok(match config.traces {
                Some(_) => Arc::new(Asked(tokens)) as Arc<dyn TokenVerifier>,
                None => tokens,
            })
        })?;
        let presented = (route.credentials.clone(), config.public_url.origin.clone());
        let credentials = components
            .credentials
            .get_or_try_build(&presented, || {
                let (clock, random) = (Arc::clone(clock), Arc::new(SystemRandom));
                let surroundings = credentials::Surroundings { clock, random };
                Credentials::new(&route.credentials, &config.public_url.origin, &surroundings)
            })
            .with_context(|| format!("cannot set up the credentials of {}", route.name))?;
        let upstream = upstream(route, components)?;
        let counted = (resource.clone(), route.rates.clone(), config.state.redis.clone());
        let limits = components.rate_limits.get_or_try_build(&counted, || {
            let limits = RateLimits::new(&route.rates, resource, remembered.shared_rates(), clock);
            limits.map(|limits| limits.map(Arc::new))
        })?;
        let forward = Forward::new(route, Credentials::clone(&credentials), upstream.clone(), config.via)
            .with_limits(Option::clone(&limits));
        let server_metadata = match route.issuers.first().filter(|_| route.copies_server_metadata) {
            Some(issuer) => {
                let build = || tokens::server_metadata(issuer, clock);
                Some(components.server_metadata.get_or_try_build(issuer, build)?)
            }
            None => None,
        };
        presenting.push(Arc::clone(&credentials));
        let behind = Behind {
            route,
            verifier: &tokens,
            credentials: &credentials,
            upstream: &upstream,
            forward,
            remembered: &remembered,
            clock,
            loopback,
        };
        let guard = match &route.kind {
            RouteKind::Mcp { .. } => mcp(behind, config)?,
            RouteKind::Public => http(behind, HttpRule::public(), config)?,
            RouteKind::OAuth2 { scopes } => http(behind, HttpRule::oauth2(scopes)?, config)?,
        };
        let guarded = Route {
            observer: RouteObserver::of(&route.name),
            guard,
            gate: Gate::new(Arc::clone(&rates), Arc::clone(&tokens)),
            hop: Hop::of(route),
            max_body_bytes: route.max_body_bytes,
        };
        entries.push(Entry { config: route, route: guarded, server_metadata });
    }
    let surroundings = Surroundings {
        public_url: &config.public_url,
        allowed_hosts: &config.allowed_hosts,
        loopback,
        apps_challenges: &config.apps_challenges,
        keys: PublishedKeys::of(presenting.iter().map(|credentials| &**credentials))
            .map(|keys| (config.jwks_path.as_str(), keys)),
    };
    Ok(Table::new(entries, &surroundings))
}

/// The addresses of a route, or the server that is run for it.
fn upstream(route: &RouteConfig, components: &mut Components) -> anyhow::Result<Upstream> {
    let Some(stdio) = &route.stdio else {
        let grouped = GroupConfig::of(route);
        let group = components
            .groups
            .get_or_try_build(&grouped, || Group::new(&grouped))
            .with_context(|| format!("cannot set up TLS towards the upstream of {}", route.name))?;
        return Ok(Upstream::Http(group));
    };
    let bridged = BridgeConfig {
        route: route.name.clone(),
        server: stdio.clone(),
        era: route.upstream_era,
        response_timeout: route.reach.limits.response,
    };
    Ok(Upstream::Stdio(components.bridges.get_or_build(&bridged, || Bridge::new(&bridged))))
}

/// What the guard of a route is made of.
struct Behind<'a> {
    route: &'a RouteConfig,
    verifier: &'a Arc<dyn TokenVerifier>,
    credentials: &'a Credentials,
    upstream: &'a Upstream,
    forward: Forward,
    remembered: &'a Remembered,
    clock: &'a Arc<dyn Clock>,
    loopback: bool,
}

fn mcp(behind: Behind<'_>, config: &Config) -> anyhow::Result<Guard> {
    let Behind { route, verifier, credentials, upstream, forward, remembered, clock, loopback } = behind;
    let policy = config.policy(route).context("a route without its policy")?;
    let resource = route.place.resource.clone();
    let mut layer = McpAuthLayer::builder(resource, policy.handle.clone(), Arc::clone(verifier))
        .clock(Arc::clone(clock))
        .allow_loopback(loopback)
        .max_body_bytes(route.max_body_bytes)
        .upstream_era(upstream.era().clone())
        .record_arguments(config.audit.is_on())
        .record_trace_context(config.traces.is_some())
        .certificate_bound_tokens(offers_certificates(config))
        .hand_on_caller_token(credentials.need_caller_token());
    for issuer in &route.issuers {
        layer = layer.authorization_server(issuer.issuer.as_str());
    }
    for host in hosts(route, config) {
        layer = layer.allowed_host(host);
    }
    if let Origins::Listed(origins) = &route.origins {
        for origin in origins {
            layer = layer.allowed_origin(origin.as_str());
        }
    }
    if let RouteKind::Mcp { challenge: Some(form), .. } = &route.kind {
        layer = layer.challenge_form(*form);
    }
    if let Some(name) = &route.resource_name {
        layer = layer.resource_name(name.as_str());
    }
    Ok(Guard::Mcp(remembered.put_into(layer).build()?.layer(forward)))
}

fn http(behind: Behind<'_>, rule: HttpRule, config: &Config) -> anyhow::Result<Guard> {
    let Behind { route, verifier, credentials, forward, remembered, clock, loopback, .. } = behind;
    let resource = route.place.resource.clone();
    let mut layer = HttpAuthLayer::builder(resource, rule, Arc::clone(verifier))
        .clock(Arc::clone(clock))
        .allow_loopback(loopback)
        .certificate_bound_tokens(offers_certificates(config))
        .hand_on_caller_token(credentials.need_caller_token());
    for issuer in &route.issuers {
        layer = layer.authorization_server(issuer.issuer.as_str());
    }
    for host in hosts(route, config) {
        layer = layer.allowed_host(host);
    }
    match &route.origins {
        Origins::Listed(origins) => {
            for origin in origins {
                layer = layer.allowed_origin(origin.as_str());
            }
        }
        Origins::Any => layer = layer.allow_any_origin(true),
    }
    if let Some(name) = &route.resource_name {
        layer = layer.resource_name(name.as_str());
    }
    Ok(Guard::Http(remembered.put_into_http(layer).build()?.layer(forward)))
}

/// What a request may call the host of a route: the router has found it by one of these names, and the layer in front of an
/// upstream looks again for itself.
fn hosts(route: &RouteConfig, config: &Config) -> Vec<String> {
    let default_port = if route.place.public_url.scheme == "https" { 443 } else { 80 };
    let own = &config.public_url.authority;
    let more = config.allowed_hosts.iter().filter(|_| route.place.hosts.contains(own));
    let mut hosts: Vec<String> = route.place.hosts.iter().chain(more).cloned().collect();
    hosts.extend(route.place.hosts.iter().map(|host| format!("{host}:{default_port}")));
    hosts
}

fn offers_certificates(config: &Config) -> bool {
    config.tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some())
}
