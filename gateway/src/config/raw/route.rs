//! `[[routes]]`.

use std::collections::BTreeMap;
use std::fmt;

use mcp_auth::document::KeyPath;
use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::RouteRatesTable;
use super::group::{ConcurrencyTable, HealthTable};
use super::{CommandTable, CredentialsTable};

/// `[[routes]]`: one MCP server behind the gateway, or plain HTTP beside it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("required" = ["path", "upstream"]))]
pub(crate) struct RouteTable {
    /// The path at the gateway, exact: `/mcp`. With `kind = "http"` also a path and all below it: `/assets/**`. Required.
    pub(crate) path: Option<String>,
    /// The host at which clients find it, as their `Host` says it: `tools.example`, with the port unless it is the scheme's
    /// own. Default: that of `public_url`.
    pub(crate) host: Option<String>,
    /// Where clients reach this route: scheme, host and port, no path. Default: the server's `public_url`.
    pub(crate) public_url: Option<String>,
    /// `mcp`, judged message by message; or `http`, judged by `auth` and `scopes` alone. Default: `mcp`.
    pub(crate) kind: Kind,
    /// Who may, for `kind = "http"`: `public`, or `oauth2` for those with a token. Required there.
    pub(crate) auth: Option<Auth>,
    /// Scopes that the token needs, all of them, for `auth = "oauth2"`. No scope implies another here. Default: none.
    pub(crate) scopes: Vec<String>,
    /// Those of `[[issuers]]` whose tokens are accepted, by `issuer`; the first is where clients sign in. Default: all.
    pub(crate) issuers: Option<Vec<String>>,
    /// In which form tool calls are challenged, instead of the policy's `challenge`: `http`, `tool-result` or `auto`.
    /// Default: the policy's.
    pub(crate) challenge: Option<Challenge>,
    /// Bytes that a request's body may have. Default: `server.limits.max_body_bytes`.
    pub(crate) max_body_bytes: Option<u32>,
    /// Browser origins that may call, exact, instead of the server's. `["*"]` is any, for `auth = "public"`. Default: the
    /// server's `allowed_origins`.
    pub(crate) allowed_origins: Option<Vec<String>>,
    /// What old clients get that look for the authorization server's metadata here: `none`, a 404; or `copy`, the first
    /// issuer's own document. Default: `none`.
    pub(crate) authorization_server_metadata: ServerMetadata,
    /// The MCP server: an absolute http or https URL, or a list of them: addresses that serve the same; or
    /// a table: a command to run. Required.
    pub(crate) upstream: Option<UpstreamValue>,
    /// The policy file, relative to the configuration; watched. Required for `kind = "mcp"`.
    pub(crate) policy: Option<String>,
    /// The resource identifier, which tokens must name as their audience. Default: `public_url` + `path`.
    pub(crate) resource: Option<String>,
    /// The resource's name for people, in its metadata. Default: none.
    pub(crate) resource_name: Option<String>,
    /// Claims to pass on, by header: `{ "X-Auth-Email" = "email" }`. Default: none.
    pub(crate) forward_claims: BTreeMap<String, String>,
    /// Certificate authorities (PEM) to trust for this upstream instead of the system's, relative to the
    /// configuration. Default: the system's.
    pub(crate) upstream_ca_file: Option<String>,
    /// The revisions of MCP that the server speaks: `legacy` (up to 2025-11-25), `modern` (from 2026-07-28), `dual`, or
    /// `auto`: it is asked. Default: `dual`.
    pub(crate) upstream_era: Era,
    /// The gateway's own certificate (PEM, with its chain), for an upstream that asks for one, relative to the
    /// configuration. Default: none.
    pub(crate) upstream_client_certificate_file: Option<String>,
    /// The private key (PEM) of that certificate. Default: none.
    pub(crate) upstream_client_key_file: Option<String>,
    /// Whether HTTP/2 is spoken: to an https upstream where it agrees (ALPN), to an http one without asking (prior
    /// knowledge). Default: false, which is HTTP/1.1.
    pub(crate) upstream_http2: bool,
    /// What becomes of the upstream's own 401 and 403: `hide` makes them 502, `pass` passes them on, without a challenge.
    /// Default: `hide`.
    pub(crate) upstream_refusals: Refusals,
    /// Seconds to connect to the upstream, TLS included. Default: 5.
    pub(crate) connect_timeout_seconds: u16,
    /// Seconds until the head of the upstream's answer; a stream may then last as long as it likes. Default: 300.
    pub(crate) response_timeout_seconds: u16,
    /// What the gateway presents to the upstream. Default: nothing.
    pub(crate) credentials: Option<CredentialsTable>,
    /// How it is found out which of the upstream's addresses can be used. Default: by what becomes of requests.
    pub(crate) health: HealthTable,
    /// How many requests the upstream gets at a time, and how many wait. Default: the defaults of the table.
    pub(crate) concurrency: ConcurrencyTable,
    /// Seconds between two pieces of an answer that is no event stream. Default: 60.
    pub(crate) idle_timeout_seconds: u16,
    /// Seconds from the head to the end of an answer that is no event stream. Default: 600.
    pub(crate) total_timeout_seconds: u16,
    /// Seconds between two pieces of an event stream; 0 for no limit. Default: 0.
    pub(crate) stream_idle_timeout_seconds: u16,
    /// How often callers may come. Default: as often as they like.
    pub(crate) rates: RouteRatesTable,
}

/// Where an upstream is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum UpstreamValue {
    /// An absolute http or https URL: `http://127.0.0.1:5000/mcp`.
    One(String),
    /// URLs of several addresses that serve the same, 1 to 64.
    Several(#[schemars(length(min = 1, max = 64))] Vec<String>),
    /// A server that speaks over standard input and output.
    Command(CommandTable),
}

/// By hand, because serde's own `untagged` forgets in which key of a table the fault is.
impl<'de> Deserialize<'de> for UpstreamValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = UpstreamValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL, a list of URLs, or a table with a `command`")
            }

            fn visit_str<E>(self, url: &str) -> Result<UpstreamValue, E> {
                Ok(UpstreamValue::One(url.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, urls: A) -> Result<UpstreamValue, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(urls)).map(UpstreamValue::Several)
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<UpstreamValue, A::Error> {
                CommandTable::deserialize(MapAccessDeserializer::new(table)).map(UpstreamValue::Command)
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl UpstreamValue {
    /// Its URLs, each with its place; none of a command.
    pub(crate) fn urls(&self, at: &KeyPath) -> Vec<(KeyPath, &str)> {
        match self {
            Self::Command(_) => Vec::new(),
            Self::One(url) => vec![(at.clone(), url)],
            Self::Several(urls) => {
                urls.iter().enumerate().map(|(index, url)| (at.index(index), url.as_str())).collect()
            }
        }
    }

    /// The one URL, where there is one.
    pub(crate) fn one(&self) -> Option<&str> {
        match self {
            Self::Command(_) => None,
            Self::One(url) => Some(url),
            Self::Several(urls) => <&[String; 1]>::try_from(&**urls).ok().map(|[url]| url.as_str()),
        }
    }
}

/// What becomes of an upstream's 401 and 403.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Refusals {
    Hide,
    Pass,
}

/// Which protocol eras an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Era {
    Legacy,
    Modern,
    Dual,
    Auto,
}

/// What a route is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Mcp,
    Http,
}

/// Who may use plain HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Auth {
    Public,
    OAuth2,
}

/// How a single tool call is challenged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Challenge {
    Http,
    ToolResult,
    Auto,
}

/// What is published of the authorization server beside the resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ServerMetadata {
    None,
    Copy,
}

impl Default for RouteTable {
    fn default() -> Self {
        Self {
            path: None,
            host: None,
            public_url: None,
            kind: Kind::Mcp,
            auth: None,
            scopes: Vec::new(),
            issuers: None,
            challenge: None,
            max_body_bytes: None,
            allowed_origins: None,
            authorization_server_metadata: ServerMetadata::None,
            upstream: None,
            policy: None,
            resource: None,
            resource_name: None,
            forward_claims: BTreeMap::new(),
            upstream_ca_file: None,
            upstream_era: Era::Dual,
            upstream_client_certificate_file: None,
            upstream_client_key_file: None,
            upstream_http2: false,
            upstream_refusals: Refusals::Hide,
            connect_timeout_seconds: 5,
            response_timeout_seconds: 300,
            credentials: None,
            health: HealthTable::default(),
            concurrency: ConcurrencyTable::default(),
            idle_timeout_seconds: 60,
            total_timeout_seconds: 600,
            stream_idle_timeout_seconds: 0,
            rates: RouteRatesTable::default(),
        }
    }
}
