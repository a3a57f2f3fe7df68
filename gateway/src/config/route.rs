//! `[[routes]]`

use http::{HeaderName, Uri};
use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;

use super::place::{self, Place};
use super::policy::PolicyFile;
use super::reach::{self, Reach};
use super::{
    ConcurrencyConfig, CredentialsConfig, EraConfig, Guarded, HealthConfig, IssuerConfig, PublicUrl,
    RouteKind, RoutePath, RouteRatesConfig, StdioConfig, credentials, group, http_url, kind, rates, raw,
    route_path, stdio,
};
use crate::upstream::{IDENTITY_HEADERS, MOST_ADDRESSES};

/// One MCP server behind the gateway, or plain HTTP beside it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RouteConfig {
    /// For logs and metrics: its path, with its host in front where that is not the server's own.
    pub(crate) name: String,
    pub(crate) path: RoutePath,
    pub(crate) place: Place,
    pub(crate) kind: RouteKind,
    /// Whose tokens are accepted; the first is where clients sign in.
    pub(crate) issuers: Vec<IssuerConfig>,
    pub(crate) origins: Origins,
    pub(crate) max_body_bytes: usize,
    /// Whether the first issuer's metadata is served beside the resource's own.
    pub(crate) copies_server_metadata: bool,
    pub(crate) resource_name: Option<String>,
    /// Its addresses: at least one, each once.
    pub(crate) upstreams: Vec<Uri>,
    /// The server that is run instead, where the upstream is a command.
    pub(crate) stdio: Option<StdioConfig>,
    /// How its addresses are reached.
    pub(crate) reach: Reach,
    /// Whether clients see that the upstream refuses the gateway itself.
    pub(crate) pass_refusals: bool,
    pub(crate) forward_claims: Vec<(HeaderName, String)>,
    /// What the gateway presents to the upstream.
    pub(crate) credentials: CredentialsConfig,
    pub(crate) upstream_era: EraConfig,
    pub(crate) health: HealthConfig,
    pub(crate) concurrency: ConcurrencyConfig,
    pub(crate) rates: RouteRatesConfig,
    /// What of the upstream, below the route's own path there, is for other routes alone to serve.
    pub(crate) withheld: Vec<Guarded>,
}

/// Which pages may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origins {
    /// Those of these origins, as a browser writes them.
    Listed(Vec<String>),
    Any,
}

/// What all routes are read by.
pub(super) struct Context<'a> {
    pub(super) public_url: Option<&'a PublicUrl>,
    pub(super) issuers: &'a [IssuerConfig],
    pub(super) allowed_origins: &'a [String],
    pub(super) max_body_bytes: usize,
}

pub(super) fn all(
    raw: &[raw::RouteTable],
    context: &Context<'_>,
    report: &mut Report,
) -> (Vec<RouteConfig>, Vec<PolicyFile>) {
    let routes = KeyPath::from("routes");
    if raw.is_empty() {
        report.unexpected(&routes, "at least one route");
    }
    let mut policies = Vec::new();
    let mut taken: Vec<(String, RoutePath)> = Vec::new();
    let mut all: Vec<RouteConfig> = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let at = routes.index(index);
        let is_http = raw.kind == raw::Kind::Http;
        let path = route_path::understand(raw.path.as_deref(), is_http, &at.key("path"), report);
        let place = place::understand(raw, path.as_ref(), context.public_url, &at, report);
        // where the host is at fault, the path is compared with those of all hosts
        let hosts = place.as_ref().map_or_else(|| vec![String::new()], |place| place.hosts.clone());
        if let Some(path) = &path {
            let mut again = false;
            for host in hosts {
                let place = (host, path.clone());
                again |= taken.contains(&place);
                taken.push(place);
            }
            if again {
                report.fault(&at.key("path"), format!("expected each path once, but found `{path}` again"));
            }
        }
        let Some(route) = one(raw, &at, (path, place), context, &mut policies, report) else { continue };
        let resource = &route.place.resource;
        let elsewhere = |other: &&RouteConfig| {
            other.place.resource == *resource
                && (&other.path, &other.place.hosts) != (&route.path, &route.place.hosts)
        };
        // a token for one of them would be one for the other
        let wanted = is_http && raw.resource.is_some();
        if let Some(other) = all.iter().find(elsewhere).filter(|_| !wanted) {
            let message = format!("expected each resource once, but found `{}` again", other.place.resource);
            report.fault(&at.key(if raw.resource.is_some() { "resource" } else { "path" }), message);
        }
        all.push(route);
    }
    (all, policies)
}

fn one(
    raw: &raw::RouteTable,
    at: &KeyPath,
    (path, place): (Option<RoutePath>, Option<Place>),
    context: &Context<'_>,
    policies: &mut Vec<PolicyFile>,
    report: &mut Report,
) -> Option<RouteConfig> {
    // everything is read before anything is given up: all faults at once
    let upstreams = upstreams(raw.upstream.as_ref(), &at.key("upstream"), report);
    let stdio = stdio::of_route(raw, at, report);
    let health = group::health(&raw.health, &at.key("health"), report);
    let concurrency = group::concurrency(&raw.concurrency, &at.key("concurrency"), report);
    let kind = kind::understand(raw, at, policies, report);
    let issuers = issuers(raw.issuers.as_deref(), context.issuers, &at.key("issuers"), report);
    let origins = match &raw.allowed_origins {
        Some(own) => allowed_origins(own, kind.as_ref(), &at.key("allowed_origins"), report),
        None => Origins::Listed(context.allowed_origins.to_vec()),
    };
    if raw.max_body_bytes == Some(0) {
        report.unexpected(&at.key("max_body_bytes"), "at least 1 byte");
    }
    let forward_claims = forward_claims(raw, &at.key("forward_claims"), report);
    let reach = reach::understand(raw, at, report);
    let rates = rates::of_route(&raw.rates, &at.key("rates"), report);
    let credentials = credentials::understand(
        raw.credentials.as_ref(),
        &at.key("credentials"),
        place.as_ref().map(|place| &place.resource),
        raw.upstream.as_ref().and_then(raw::UpstreamValue::one),
        report,
    );
    let (path, place) = (path?, place?);
    let host =
        place.hosts.first().filter(|host| context.public_url.is_none_or(|url| **host != url.authority));
    Some(RouteConfig {
        name: format!("{}{path}", host.map_or("", String::as_str)),
        path,
        place,
        kind: kind?,
        issuers,
        origins,
        max_body_bytes: raw
            .max_body_bytes
            .map_or(context.max_body_bytes, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        copies_server_metadata: raw.authorization_server_metadata == raw::ServerMetadata::Copy,
        resource_name: raw.resource_name.clone(),
        upstreams: upstreams?,
        stdio,
        reach: reach?,
        pass_refusals: raw.upstream_refusals == raw::Refusals::Pass,
        forward_claims: forward_claims?,
        credentials: credentials?,
        upstream_era: group::era(raw.upstream_era),
        health: health?,
        concurrency,
        rates,
        withheld: Vec::new(),
    })
}

/// Which of the issuers are believed, in the order that the route has them in.
fn issuers(
    names: Option<&[String]>,
    all: &[IssuerConfig],
    at: &KeyPath,
    report: &mut Report,
) -> Vec<IssuerConfig> {
    let Some(names) = names else {
        return all.to_vec();
    };
    if names.is_empty() {
        report.unexpected(at, "at least one issuer, or no such key for all of them");
    }
    let mut chosen: Vec<IssuerConfig> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match all.iter().find(|issuer| issuer.issuer == *name) {
            Some(issuer) if chosen.contains(issuer) => {
                report
                    .fault(&at.index(index), format!("expected each issuer once, but found `{name}` again"));
            }
            Some(issuer) => chosen.push(issuer.clone()),
            None => report.unexpected(&at.index(index), "the `issuer` of one of `[[issuers]]`"),
        }
    }
    chosen
}

fn allowed_origins(
    values: &[String],
    kind: Option<&RouteKind>,
    at: &KeyPath,
    report: &mut Report,
) -> Origins {
    if values == ["*"] {
        // a page that nobody knows could send what a user has signed in for
        if kind.is_some_and(|kind| *kind != RouteKind::Public) {
            report.fault(at, "expected listed origins where a token counts, but found any origin");
        }
        return Origins::Any;
    }
    super::origins(values, at, report);
    Origins::Listed(values.to_vec())
}

fn upstreams(value: Option<&raw::UpstreamValue>, at: &KeyPath, report: &mut Report) -> Option<Vec<Uri>> {
    let texts = match value {
        Some(raw::UpstreamValue::Command(_)) => return Some(Vec::new()),
        None => return upstream(None, at, report).map(|one| vec![one]),
        Some(raw::UpstreamValue::One(text)) => return upstream(Some(text), at, report).map(|one| vec![one]),
        Some(raw::UpstreamValue::Several(texts)) => texts,
    };
    if texts.is_empty() || texts.len() > MOST_ADDRESSES {
        report.unexpected(at, format!("1 to {MOST_ADDRESSES} URLs"));
        return None;
    }
    let mut all = Vec::new();
    let mut sound = true;
    for (index, text) in texts.iter().enumerate() {
        let at = at.index(index);
        match upstream(Some(text), &at, report) {
            // its sessions could not be told from the other's, nor its share
            Some(one) if all.contains(&one) => {
                report.fault(&at, format!("expected each address once, but found `{one}` again"));
                sound = false;
            }
            Some(one) => all.push(one),
            None => sound = false,
        }
    }
    sound.then_some(all)
}

fn upstream(value: Option<&str>, at: &KeyPath, report: &mut Report) -> Option<Uri> {
    let parsed = value.and_then(|text| {
        let url = http_url(text).filter(|url| url.fragment().is_none() && url.query().is_none())?;
        // a port of 0 parses and can never be connected to
        (url.port() != Some(0)).then(|| url.as_str().parse::<Uri>().ok())?
    });
    if parsed.is_none() {
        report.unexpected(
            at,
            "an absolute http or https URL without query and fragment, such as `http://127.0.0.1:5000/mcp`",
        );
    }
    parsed
}

/// Only under `X-Auth-`, because only those headers are taken away from what clients send.
fn forward_claims(
    raw: &raw::RouteTable,
    at: &KeyPath,
    report: &mut Report,
) -> Option<Vec<(HeaderName, String)>> {
    let mut claims: Vec<(HeaderName, String)> = Vec::new();
    let mut sound = true;
    for (header, claim) in &raw.forward_claims {
        let name = HeaderName::from_bytes(header.as_bytes())
            .ok()
            .filter(|name| name.as_str().starts_with("x-auth-") && name.as_str().len() > "x-auth-".len());
        let message = match name {
            None => format!("expected a header name that begins with `X-Auth-`, but found `{header}`"),
            Some(name) if IDENTITY_HEADERS.contains(&name) => {
                format!("expected a header other than the gateway's own, but found `{header}`")
            }
            Some(name) if claims.iter().any(|(known, _)| *known == name) => {
                format!("expected each header once, but found `{header}` again")
            }
            Some(_) if claim.is_empty() => {
                "expected the name of a claim, but found an empty string".to_owned()
            }
            Some(name) => {
                claims.push((name, claim.clone()));
                continue;
            }
        };
        report.fault(&at.key(header), message);
        sound = false;
    }
    sound.then_some(claims)
}
