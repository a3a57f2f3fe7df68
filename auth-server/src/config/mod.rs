//! The configuration: `raw` is what is written, this is what it means. Every fault is reported at once.

mod clients;
mod consent;
mod grants;
mod issuer;
mod keys;
mod limits;
mod listening;
mod metrics;
mod raw;
mod registered_clients;
mod resources;

use std::{
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::Arc,
};

use mcp_auth::{document::KeyPath, possession::DpopOptions};
use mcp_auth_runtime::config::{self, ConfigError, Report};
use secrecy::SecretString;

pub(crate) use self::{
    clients::Clients,
    issuer::Issuer,
    keys::Keys,
    limits::{Fetches, Limits, RatesPerMinute},
    listening::Listening,
    metrics::MetricsListener,
};
use crate::{
    assertions::AssertionIssuer,
    keys::Settings,
    model::{
        consent_rules::ConsentRule,
        resource::{Lifetimes, Resource},
    },
    peer::AddressBlock,
    status::LIST_LIFETIME_SECONDS,
};

/// Environment variables that begin with this override keys of the file: `MCP_AUTH_SERVER__SERVER__ISSUER`.
pub const ENVIRONMENT_PREFIX: &str = "MCP_AUTH_SERVER";

/// Lifetimes that make sense, in seconds.
const ACCESS_SECONDS: RangeInclusive<i64> = 1..=86_400;
const REFRESH_SECONDS: RangeInclusive<i64> = 60..=366 * 86_400;

/// A configuration that was read and understood.
#[derive(Debug)]
pub struct Config {
    pub(crate) listening: Listening,
    log_json: bool,
    pub(crate) metrics: Option<MetricsListener>,
    pub(crate) limits: Limits,
    pub(crate) issuer: Issuer,
    pub(crate) database: DatabaseUrl,
    pub(crate) migrate: bool,
    pub(crate) resources: Vec<ConfiguredResource>,
    pub(crate) clients: Clients,
    pub(crate) tokens: Tokens,
    pub(crate) keys: Keys,
    /// Seconds.
    pub(crate) session_lifetime: i64,
    pub(crate) consent_rules: Vec<ConsentRule>,
    pub(crate) dpop: DpopOptions,
    pub(crate) assertion_issuers: Vec<AssertionIssuer>,
}

/// Where the database is.
#[derive(Clone, Debug)]
pub(crate) enum DatabaseUrl {
    Sqlite(PathBuf),
    /// With a password in it, perhaps.
    Postgres(SecretString),
}

/// A resource, and the policy file to watch for its scopes.
#[derive(Debug)]
pub(crate) struct ConfiguredResource {
    pub(crate) resource: Arc<Resource>,
    pub(crate) policy: Option<PolicyFile>,
}

/// A policy file, and the text that was read from it.
#[derive(Debug)]
pub(crate) struct PolicyFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Lifetimes, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokens {
    /// Where a resource has none of its own.
    pub(crate) lifetimes: Lifetimes,
    pub(crate) code: i64,
    pub(crate) refresh_retry_window: i64,
    /// Whether access tokens name a status list.
    pub(crate) status_lists: bool,
    pub(crate) status_list_ttl: i64,
}

impl Config {
    /// Reads a file and the environment.
    ///
    /// # Errors
    /// Every fault of the file, of the environment and of the policy files that it names, one a line.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let loaded = config::load::<raw::Raw>(file, ENVIRONMENT_PREFIX)?;
        let mut report = loaded.report;
        let config = Self::understand(loaded.value, &mut report);
        match config {
            Some(config) => report.finish(config),
            None => Err(match report.finish(()) {
                Err(error) => error,
                Ok(()) => ConfigError::default(),
            }),
        }
    }

    /// The addresses to listen on.
    pub fn listen(&self) -> &[SocketAddr] {
        &self.listening.addresses
    }

    /// Whether logs are JSON, one object a line.
    pub fn log_json(&self) -> bool {
        self.log_json
    }

    /// The issuer identifier.
    pub fn issuer(&self) -> &str {
        self.issuer.as_str()
    }

    /// What the signing keys are to be like.
    pub(crate) fn key_settings(&self) -> Settings {
        let each = self.resources.iter().map(|configured| configured.resource.lifetimes().access);
        let longest = each.max().unwrap_or(self.tokens.lifetimes.access);
        Settings {
            schedule: self.keys.schedule.clone(),
            sealing: self.keys.sealing.clone(),
            longest_lifetime: longest.max(LIST_LIFETIME_SECONDS),
        }
    }

    fn understand(raw: raw::Raw, report: &mut Report) -> Option<Self> {
        let server = KeyPath::root().key("server");
        let issuer = Issuer::parse(&raw.server.issuer);
        if issuer.is_none() {
            report.unexpected(
                &server.key("issuer"),
                "an absolute https URL (http on loopback) without query and trailing slash",
            );
        }
        let listening = Listening::understand(&raw.server, issuer.as_ref(), &server, report);
        let metrics = MetricsListener::understand(&raw.metrics, &listening.addresses, report);
        let limits = Limits::understand(&raw.limits, report);
        let database = database(&raw.database.url, report);
        let tokens = tokens(&raw.tokens, report);
        let resources = resources::understand(raw.resources, tokens.lifetimes, report);
        let consent_rules = consent::rules(raw.consent.auto, &resources, report);
        let clients = clients::understand(raw.clients, &resources, report);
        let keys = keys::understand(&raw.keys, report);
        let session_lifetime = seconds(
            raw.sessions.lifetime_seconds,
            60..=90 * 86_400,
            &KeyPath::root().key("sessions").key("lifetime_seconds"),
            report,
        );
        let dpop = grants::dpop(&raw.dpop, report);
        let assertion_issuers =
            grants::assertion_issuers(raw.assertion_issuers, &clients.insecure_document_hosts, report);
        Some(Self {
            listening,
            log_json: raw.server.log_json,
            metrics,
            limits,
            issuer: issuer?,
            database: database?,
            migrate: raw.database.migrate,
            resources,
            clients,
            tokens,
            keys,
            session_lifetime,
            consent_rules,
            dpop,
            assertion_issuers,
        })
    }
}

fn database(url: &str, report: &mut Report) -> Option<DatabaseUrl> {
    if let Some(file) = url.strip_prefix("sqlite://")
        && !file.is_empty()
        && !file.contains('?')
    {
        return Some(DatabaseUrl::Sqlite(report.resolve(file)));
    }
    if ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme))
        && url.parse::<sqlx::postgres::PgConnectOptions>().is_ok()
    {
        return Some(DatabaseUrl::Postgres(SecretString::from(url)));
    }
    // it may hold a password, which is not repeated
    report.fault(
        &KeyPath::root().key("database").key("url"),
        "expected `sqlite://` with the path of a file, or `postgres://USER:PASSWORD@HOST/DATABASE`",
    );
    None
}

/// Addresses, or blocks of them.
fn address_blocks(texts: &[String], path: &KeyPath, report: &mut Report) -> Vec<AddressBlock> {
    let mut parsed = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match AddressBlock::parse(text) {
            Some(block) => parsed.push(block),
            None => report.unexpected(&path.index(index), "an IP address or a block such as `10.0.0.0/8`"),
        }
    }
    parsed
}

fn tokens(raw: &raw::Tokens, report: &mut Report) -> Tokens {
    let path = KeyPath::root().key("tokens");
    Tokens {
        lifetimes: Lifetimes {
            access: seconds(
                raw.access_token_ttl_seconds,
                ACCESS_SECONDS,
                &path.key("access_token_ttl_seconds"),
                report,
            ),
            refresh_idle: seconds(
                raw.refresh_token_idle_seconds,
                REFRESH_SECONDS,
                &path.key("refresh_token_idle_seconds"),
                report,
            ),
            refresh_max: seconds(
                raw.refresh_token_max_seconds,
                REFRESH_SECONDS,
                &path.key("refresh_token_max_seconds"),
                report,
            ),
        },
        code: seconds(raw.code_ttl_seconds, 1..=600, &path.key("code_ttl_seconds"), report),
        refresh_retry_window: seconds(
            raw.refresh_retry_window_seconds,
            0..=300,
            &path.key("refresh_retry_window_seconds"),
            report,
        ),
        status_lists: raw.status_lists,
        status_list_ttl: seconds(
            raw.status_list_ttl_seconds,
            1..=3600,
            &path.key("status_list_ttl_seconds"),
            report,
        ),
    }
}

fn seconds(value: i64, range: RangeInclusive<i64>, path: &KeyPath, report: &mut Report) -> i64 {
    if !range.contains(&value) {
        report.unexpected(path, format!("a number of seconds from {} to {}", range.start(), range.end()));
    }
    value
}
