//! `[[routes]]`

use std::path::{Path, PathBuf};

use http::{HeaderName, Uri};
use mcp_auth::document::KeyPath;
use mcp_auth::policy::{Policy, PolicyHandle};
use mcp_auth::resource::ResourceUri;
use mcp_auth_runtime::config::Report;

use super::reach::{self, Reach};
use super::{
    ConcurrencyConfig, CredentialsConfig, EraConfig, HealthConfig, PublicUrl, RouteRatesConfig, credentials,
    group, http_url, rates, raw,
};
use crate::upstream::{IDENTITY_HEADERS, MOST_ADDRESSES};

/// One MCP server behind the gateway.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RouteConfig {
    pub(crate) path: String,
    pub(crate) resource: ResourceUri,
    pub(crate) resource_name: Option<String>,
    /// Its addresses: at least one, each once.
    pub(crate) upstreams: Vec<Uri>,
    /// How its addresses are reached.
    pub(crate) reach: Reach,
    /// Whether clients see that the upstream refuses the gateway itself.
    pub(crate) pass_refusals: bool,
    /// The path by which [`Config::policies`](super::Config) has it.
    pub(crate) policy_path: PathBuf,
    pub(crate) forward_claims: Vec<(HeaderName, String)>,
    /// What the gateway presents to the upstream.
    pub(crate) credentials: CredentialsConfig,
    pub(crate) upstream_era: EraConfig,
    pub(crate) health: HealthConfig,
    pub(crate) concurrency: ConcurrencyConfig,
    pub(crate) rates: RouteRatesConfig,
}

/// A policy file and the handle that it keeps up to date.
#[derive(Clone, Debug)]
pub(crate) struct PolicyFile {
    pub(crate) path: PathBuf,
    pub(crate) handle: PolicyHandle,
    /// What the policy in force was read from.
    pub(crate) text: String,
}

/// What the gateway itself answers at.
const RESERVED: [&str; 2] = ["/livez", "/readyz"];

pub(super) fn all(
    raw: &[raw::RouteTable],
    public_url: Option<&PublicUrl>,
    report: &mut Report,
) -> (Vec<RouteConfig>, Vec<PolicyFile>) {
    let routes = KeyPath::from("routes");
    if raw.is_empty() {
        report.unexpected(&routes, "at least one route");
    }
    let mut policies = Vec::new();
    let mut paths: Vec<&str> = Vec::new();
    let mut all: Vec<RouteConfig> = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let at = routes.index(index);
        let route = one(raw, &at, public_url, &mut policies, report);
        if let Some(path) = raw.path.as_deref() {
            if paths.contains(&path) {
                report.fault(&at.key("path"), format!("expected each path once, but found `{path}` again"));
            }
            paths.push(path);
        }
        let Some(route) = route else { continue };
        // a token for one of them would be one for the other
        if all.iter().any(|other| other.resource == route.resource && other.path != route.path) {
            let message = format!("expected each resource once, but found `{}` again", route.resource);
            report.fault(&at.key(if raw.resource.is_some() { "resource" } else { "path" }), message);
        }
        all.push(route);
    }
    (all, policies)
}

fn one(
    raw: &raw::RouteTable,
    at: &KeyPath,
    public_url: Option<&PublicUrl>,
    policies: &mut Vec<PolicyFile>,
    report: &mut Report,
) -> Option<RouteConfig> {
    // everything is read before anything is given up: all faults at once
    let path = path(raw.path.as_deref(), &at.key("path"), report);
    let upstreams = upstreams(raw.upstream.as_ref(), &at.key("upstream"), report);
    let policy = policy(raw.policy.as_deref(), &at.key("policy"), policies, report);
    let health = group::health(&raw.health, &at.key("health"), report);
    let concurrency = group::concurrency(&raw.concurrency, &at.key("concurrency"), report);
    let forward_claims = forward_claims(raw, &at.key("forward_claims"), report);
    let reach = reach::understand(raw, at, report);
    let rates = rates::of_route(&raw.rates, &at.key("rates"), report);
    let resource = resource(raw, path, &at.key("resource"), public_url, report);
    let credentials = credentials::understand(
        raw.credentials.as_ref(),
        &at.key("credentials"),
        resource.as_ref(),
        raw.upstream.as_ref().and_then(raw::UpstreamValue::one),
        report,
    );
    Some(RouteConfig {
        path: path?.to_owned(),
        resource: resource?,
        resource_name: raw.resource_name.clone(),
        upstreams: upstreams?,
        reach: reach?,
        pass_refusals: raw.upstream_refusals == raw::Refusals::Pass,
        policy_path: policy?,
        forward_claims: forward_claims?,
        credentials: credentials?,
        upstream_era: group::era(raw.upstream_era),
        health: health?,
        concurrency,
        rates,
    })
}

/// A path is matched byte for byte, so that whatever two parties could read in two ways is refused here.
fn path<'a>(value: Option<&'a str>, at: &KeyPath, report: &mut Report) -> Option<&'a str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~');
    let wanted = match value {
        Some(path) if !path.starts_with('/') => "a path that begins with a slash, such as `/mcp`",
        Some(path) if path.len() > 1 && path.ends_with('/') => "a path without a slash at the end",
        Some(path) if !path.bytes().all(plain) => "a path of letters, digits, `/`, `-`, `.`, `_` and `~`",
        Some(path) if path.contains("//") || path.split('/').any(|part| matches!(part, "." | "..")) => {
            "a path without empty, `.` and `..` segments"
        }
        Some(path) if RESERVED.contains(&path) || path.starts_with("/.well-known") => {
            "a path other than the gateway's own: `/livez`, `/readyz`, `/.well-known/…`"
        }
        Some(path) => return Some(path),
        None => "a path, such as `/mcp`",
    };
    report.unexpected(at, wanted);
    None
}

fn upstreams(value: Option<&raw::UpstreamValue>, at: &KeyPath, report: &mut Report) -> Option<Vec<Uri>> {
    let texts = match value {
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

fn resource(
    raw: &raw::RouteTable,
    path: Option<&str>,
    at: &KeyPath,
    public_url: Option<&PublicUrl>,
    report: &mut Report,
) -> Option<ResourceUri> {
    let text = match &raw.resource {
        Some(resource) => resource.clone(),
        None => format!("{}{}", public_url?.origin, path?),
    };
    match text.parse() {
        Ok(resource) => Some(resource),
        Err(reason) => {
            report.fault(at, format!("{reason}"));
            None
        }
    }
}

fn policy(
    value: Option<&str>,
    at: &KeyPath,
    policies: &mut Vec<PolicyFile>,
    report: &mut Report,
) -> Option<PathBuf> {
    let Some(value) = value else {
        report.unexpected(at, "the path of a policy file");
        return None;
    };
    let path = report.resolve(value);
    if let Some(known) = policies.iter().find(|known| same_file(&known.path, &path)) {
        return Some(known.path.clone());
    }
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(reason) => {
            let message =
                format!("expected a policy file, but `{}` cannot be read: {reason}", path.display());
            report.fault(at, message);
            return None;
        }
    };
    match Policy::parse(&text) {
        Ok(policy) => {
            let handle = PolicyHandle::new(policy);
            policies.push(PolicyFile { path: path.clone(), handle, text });
            Some(path)
        }
        Err(faults) => {
            report.include(&path, faults);
            None
        }
    }
}

/// Whether two paths, both of which can be read, name one file now.
fn same_file(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
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
