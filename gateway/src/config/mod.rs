//! The configuration, understood: every value valid, every file that it names read.
//!
//! | from | wins over |
//! |---|---|
//! | `MCP_AUTH_GATEWAY__SERVER__PUBLIC_URL=…` | the file |
//! | the TOML file | defaults |
//!
//! Whatever is wrong is reported at once, policy files included, each fault with its file, line and key.

mod client;
mod credentials;
mod doubts;
mod fixed;
mod group;
mod introspection;
mod issuer;
mod kind;
mod limits;
mod loops;
mod observe;
mod openai;
mod overlaps;
mod place;
mod policy;
mod rates;
mod raw;
mod reach;
mod read;
mod route;
mod route_path;
mod schema;
mod secret;
mod state;
mod status_list;
mod stdio;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use mcp_auth::document::{Fault, KeyPath};
use mcp_auth_runtime::config::{Report, load};
use mcp_auth_runtime::tls::TlsConfig;
use serde_json::Value;
use url::Url;

pub use mcp_auth_runtime::config::ConfigError;

#[cfg(test)]
pub(crate) use credentials::TokenTarget;
pub(crate) use credentials::{
    AssertionConfig, ClientCredentialsConfig, CredentialsConfig, HeaderConfig, TokenEndpointConfig,
    TokenExchangeConfig,
};
pub(crate) use group::{Check, ConcurrencyConfig, EraConfig, HealthConfig};
pub(crate) use introspection::IntrospectionConfig;
pub(crate) use issuer::{IssuerConfig, KeysFrom};
pub(crate) use kind::RouteKind;
pub(crate) use limits::LimitsConfig;
pub(crate) use observe::{AdminConfig, AuditConfig, AuditFile, TracesConfig};
pub(crate) use overlaps::Guarded;
pub(crate) use place::Place;
pub(crate) use policy::PolicyFile;
pub(crate) use rates::{AddressQuota, AddressRatesConfig, RouteRatesConfig};
pub(crate) use reach::Authorities;
pub(crate) use read::{Content, content};
pub(crate) use route::{Origins, RouteConfig};
pub(crate) use route_path::RoutePath;
pub use schema::json_schema;
pub(crate) use secret::one_line;
pub(crate) use state::{DpopConfig, RedisConfig, SessionSecrets, StateConfig};
pub(crate) use status_list::StatusListConfig;
pub(crate) use stdio::StdioConfig;

pub(crate) use raw::LogRequests;

use raw::Raw;

use crate::server::TrustedProxies;

/// Environment variables that begin with this and two underscores take the place of keys.
const ENV_PREFIX: &str = "MCP_AUTH_GATEWAY";

/// A valid configuration.
#[derive(Debug)]
pub struct Config {
    /// Where it was read from.
    pub(crate) path: PathBuf,
    /// All files that it was read from.
    pub(crate) read: Vec<(PathBuf, Content)>,
    /// What loads and is perhaps not meant, policies aside.
    doubts: Vec<Fault>,
    /// What only a new process takes over, by key.
    fixed: BTreeMap<String, Value>,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) public_url: PublicUrl,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) shutdown_delay: Duration,
    pub(crate) shutdown_grace: Duration,
    /// After how much of the grace streams without an end of their own, and idle connections, are ended.
    pub(crate) shutdown_streams: Duration,
    /// Threads that serve connections: at least one.
    pub(crate) workers: usize,
    pub(crate) trusted_proxies: TrustedProxies,
    /// Whether `Via` is written.
    pub(crate) via: bool,
    pub(crate) tls: Option<Arc<TlsConfig>>,
    pub(crate) limits: LimitsConfig,
    pub(crate) rates: AddressRatesConfig,
    pub(crate) state: StateConfig,
    pub(crate) log_json: bool,
    pub(crate) log_requests: LogRequests,
    pub(crate) admin: AdminConfig,
    pub(crate) audit: AuditConfig,
    /// `None` where nothing is traced.
    pub(crate) traces: Option<TracesConfig>,
    pub(crate) verified_tokens_bytes: u64,
    /// Where the public keys of the gateway's own assertions are.
    pub(crate) jwks_path: String,
    pub(crate) issuers: Vec<IssuerConfig>,
    pub(crate) routes: Vec<RouteConfig>,
    /// What OpenAI finds at a host, by host.
    pub(crate) apps_challenges: Vec<(String, String)>,
    /// Each policy file once, whatever number of routes it is for.
    pub(crate) policies: Vec<PolicyFile>,
}

impl Config {
    /// Reads the file, the environment, and every file that they name.
    ///
    /// # Errors
    ///
    /// All that is wrong, one fault a line, with file, line, key, what was expected and what was found.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let loaded = load::<Raw>(file, ENV_PREFIX)?;
        Self::understand(&loaded.value, loaded.report)
    }

    /// The addresses to listen on.
    pub fn listen(&self) -> &[SocketAddr] {
        &self.listen
    }

    /// Whether logs are to be JSON.
    pub fn log_json(&self) -> bool {
        self.log_json
    }

    /// The policy file of a route; plain HTTP has none.
    pub(crate) fn policy(&self, route: &RouteConfig) -> Option<&PolicyFile> {
        let RouteKind::Mcp { policy, .. } = &route.kind else { return None };
        self.policies.iter().find(|file| file.path == *policy)
    }

    /// The keys whose value differs from the one in force, and that only a new process takes over.
    pub(crate) fn needs_restart<'a>(&'a self, in_force: &'a Self) -> impl Iterator<Item = &'a str> {
        fixed::differing(&self.fixed, &in_force.fixed)
    }

    /// Remembers what stays as it was, so that the next edit is compared with that.
    pub(crate) fn keep_what_needs_a_restart(&mut self, in_force: &Self) {
        self.fixed.clone_from(&in_force.fixed);
    }

    /// One line for people: what is served.
    pub fn summary(&self) -> String {
        let routes: Vec<_> = self
            .routes
            .iter()
            .map(|route| {
                let by = match &route.kind {
                    RouteKind::Mcp { policy, .. } => policy.display().to_string(),
                    RouteKind::Public => "public".to_owned(),
                    RouteKind::OAuth2 { scopes } if scopes.is_empty() => "oauth2".to_owned(),
                    RouteKind::OAuth2 { scopes } => format!("oauth2: {}", scopes.join(" ")),
                };
                let shown = match &route.path {
                    RoutePath::Exact(_) => route.place.resource.to_string(),
                    RoutePath::Below(_) => format!("{}{}", route.place.public_url.origin, route.path),
                };
                let command = route.stdio.as_ref().map(|stdio| stdio.program.clone());
                let upstreams: Vec<_> =
                    route.upstreams.iter().map(ToString::to_string).chain(command).collect();
                format!("{shown} -> {} ({by})", upstreams.join(", "))
            })
            .collect();
        routes.join("\n")
    }

    /// What loads and is perhaps not meant, one line each, with file, line and key.
    pub fn warnings(&self) -> Vec<String> {
        let of = |file: &PolicyFile| {
            let (policy, path) = (file.handle.load(), file.path.display().to_string());
            policy.warnings().iter().map(|warning| warning.render(&path)).collect::<Vec<_>>()
        };
        let path = self.path.display().to_string();
        let own = self.doubts.iter().map(|doubt| doubt.render(&path));
        own.chain(self.policies.iter().flat_map(of)).collect()
    }

    /// One event for each thing that loads and is perhaps not meant, but for those of policies, which say theirs when they
    /// are followed.
    pub(crate) fn log_doubts(&self) {
        let file = self.path.display().to_string();
        for doubt in &self.doubts {
            let (line, column) = (doubt.line(), doubt.column());
            tracing::warn!(file, line, column, key = doubt.key(), "{}", doubt.render(&file));
        }
    }

    fn understand(raw: &Raw, mut report: Report) -> Result<Self, ConfigError> {
        let server = KeyPath::from("server");
        let listen = addresses(&raw.server.listen, &server.key("listen"), &mut report);
        let public_url = public_url(raw.server.public_url.as_deref(), &server.key("public_url"), &mut report);
        origins(&raw.server.allowed_origins, &server.key("allowed_origins"), &mut report);
        hosts(&raw.server.allowed_hosts, &server.key("allowed_hosts"), &mut report);
        let proxies = networks(&raw.server.trusted_proxies, &server.key("trusted_proxies"), &mut report);
        let tls =
            raw.server.tls.as_ref().and_then(|tls| tls::understand(tls, &server.key("tls"), &mut report));
        let limits = limits::understand(&raw.server.limits, &server.key("limits"), &mut report);
        let rates = rates::of_addresses(&raw.server.rates, &server.key("rates"), &mut report);
        let state = state::understand(&raw.state, &KeyPath::from("state"), &mut report);
        let admin = observe::admin(&raw.admin, &mut report);
        let audit = observe::audit(&raw.audit, &raw.telemetry.service_name, &mut report);
        let traces = observe::traces(&raw.traces, &raw.telemetry.service_name, &mut report);
        let issuers = issuer::all(&raw.issuers, &mut report);
        let context = route::Context {
            public_url: public_url.as_ref(),
            issuers: &issuers,
            allowed_origins: &raw.server.allowed_origins,
            max_body_bytes: limits.max_body_bytes,
        };
        let (mut routes, policies) = route::all(&raw.routes, &context, &mut report);
        let apps_challenges = openai::understand(&raw.openai, public_url.as_ref(), &routes, &mut report);
        let taken = raw.routes.iter().filter_map(|route| route.path.as_deref());
        credentials::check_jwks_path(&raw.server.jwks_path, taken, &server.key("jwks_path"), &mut report);
        loops::refuse(raw, public_url.as_ref(), &listen, &mut report);
        // routes that are at fault are not among them, and the others would not be in their places
        if routes.len() == raw.routes.len() {
            overlaps::withhold(&mut routes, &mut report);
        }
        if report.is_clean() {
            doubts::note(raw, &issuers, &routes, &mut report);
        }
        let doubts = report.take_warnings();
        let (path, read) = (report.file().to_owned(), read::all(&report));
        let config = public_url.map(|public_url| Self {
            path,
            read,
            doubts,
            fixed: fixed::of(raw),
            listen,
            public_url,
            allowed_hosts: raw.server.allowed_hosts.clone(),
            shutdown_delay: Duration::from_secs(raw.server.shutdown_delay_seconds.into()),
            shutdown_grace: Duration::from_secs(raw.server.shutdown_grace_seconds.into()),
            shutdown_streams: Duration::from_secs(raw.server.shutdown_streams_seconds.into()),
            workers: workers(raw.server.workers),
            trusted_proxies: TrustedProxies::new(proxies),
            via: raw.server.via,
            tls,
            limits,
            rates,
            state,
            log_json: raw.server.log_json,
            log_requests: raw.server.log_requests,
            admin,
            audit,
            traces,
            verified_tokens_bytes: raw.server.verified_tokens_bytes,
            jwks_path: raw.server.jwks_path.clone(),
            issuers,
            routes,
            apps_challenges,
            policies,
        });
        match config {
            Some(config) => report.finish(config),
            // without a public URL a fault was noted
            None => match report.finish(()) {
                Err(error) => Err(error),
                Ok(()) => Err(ConfigError::default()),
            },
        }
    }
}

/// Where clients reach the gateway: scheme and authority, nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicUrl {
    /// `https://gateway.example`, without a slash at the end.
    pub(crate) origin: String,
    /// `https`.
    pub(crate) scheme: String,
    /// `gateway.example`, with the port unless it is the scheme's own.
    pub(crate) authority: String,
}

fn public_url(value: Option<&str>, path: &KeyPath, report: &mut Report) -> Option<PublicUrl> {
    let wanted = "an absolute http or https URL without a path, such as `http://localhost:3000`";
    let parsed = value.and_then(|text| {
        let url = http_url(text)?;
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let origin = url.origin().ascii_serialization();
        let (scheme, authority) = origin.split_once("://")?;
        bare.then(|| PublicUrl {
            scheme: scheme.to_owned(),
            authority: authority.to_owned(),
            origin: origin.clone(),
        })
    });
    if parsed.is_none() {
        report.unexpected(path, wanted);
    }
    parsed
}

/// The URL, if it is an absolute http or https one without user information.
fn http_url(text: &str) -> Option<Url> {
    // what the parser would quietly repair
    if text
        .contains(|character: char| character == '\\' || character.is_whitespace() || character.is_control())
    {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let sound = matches!(url.scheme(), "http" | "https")
        && url.host_str().is_some_and(|host| !host.is_empty())
        && url.username().is_empty()
        && url.password().is_none();
    sound.then_some(url)
}

/// Whether the URL may be trusted with keys: https, or http that does not leave this machine.
fn is_https_or_local(url: &Url) -> bool {
    url.scheme() == "https" || is_local(url)
}

/// Whether the URL leads to this machine by its very words.
fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn addresses(values: &[String], path: &KeyPath, report: &mut Report) -> Vec<SocketAddr> {
    if values.is_empty() {
        report.unexpected(path, "at least one address, such as `127.0.0.1:3000`");
    }
    socket_addresses(values, path, report)
}

fn socket_addresses(values: &[String], path: &KeyPath, report: &mut Report) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for (index, value) in values.iter().enumerate() {
        match value.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => {
                report.unexpected(&path.index(index), "an IP address and a port, such as `127.0.0.1:3000`");
            }
        }
    }
    addresses
}

/// Networks; an address alone is the network of itself.
fn networks(values: &[String], path: &KeyPath, report: &mut Report) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let alone = || value.parse::<IpAddr>().ok().map(IpNet::from);
        match value.parse().ok().or_else(alone) {
            Some(network) => networks.push(network),
            None => report.unexpected(
                &path.index(index),
                "a network or an address, such as `10.0.0.0/8` or `10.0.0.1`",
            ),
        }
    }
    networks
}

fn workers(configured: u16) -> usize {
    match NonZero::new(usize::from(configured)) {
        Some(workers) => workers.get(),
        // where the system does not tell, one is right for every machine
        None => std::thread::available_parallelism().map_or(1, NonZero::get),
    }
}

fn origins(values: &[String], path: &KeyPath, report: &mut Report) {
    for (index, value) in values.iter().enumerate() {
        // compared byte for byte with what a browser sends, so that it must be written as a browser writes it
        let exact = http_url(value).is_some_and(|url| url.origin().ascii_serialization() == *value);
        if !exact {
            report.unexpected(
                &path.index(index),
                "an origin as a browser writes it, such as `https://app.example` (no path, no slash, no default port)",
            );
        }
    }
}

fn hosts(values: &[String], path: &KeyPath, report: &mut Report) {
    for (index, value) in values.iter().enumerate() {
        let sound =
            value.parse::<http::uri::Authority>().is_ok_and(|authority| !authority.as_str().contains('@'));
        if !sound {
            report.unexpected(
                &path.index(index),
                "a host and, where there is one, a port, such as `gateway.internal:3000`",
            );
        }
    }
}
