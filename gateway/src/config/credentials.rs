//! `credentials` of a route.

use http::{HeaderName, HeaderValue};
use mcp_auth::document::KeyPath;
use mcp_auth::resource::{ResourceUri, WELL_KNOWN_PREFIX};
use mcp_auth::verifier::introspection::ClientAuthentication;
use mcp_auth_runtime::config::Report;
use mcp_auth_runtime::files;
use url::{Host, Url};

use super::client::ClientKeys;
use super::raw::CredentialsTable;
use super::secret::{SecretFile, SecretSource};
use super::{http_url, is_https_or_local, is_local};
use crate::credentials::{AssertionAlgorithm, SigningKey, header_value};
use crate::upstream::breaks_hygiene;

/// RFC 8693 §3.
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// What the gateway presents to an upstream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CredentialsConfig {
    None,
    Header(HeaderConfig),
    Client(ClientCredentialsConfig),
    Exchange(TokenExchangeConfig),
    Assertion(AssertionConfig),
    /// The resource that both the route and the upstream are.
    InsecureCallerToken(ResourceUri),
}

#[derive(Clone, Debug)]
pub(crate) struct HeaderConfig {
    pub(crate) name: HeaderName,
    pub(crate) prefix: String,
    /// Marked as sensitive, so that it is not printed.
    pub(crate) value: HeaderValue,
    pub(crate) file: Option<SecretFile>,
}

impl PartialEq for HeaderConfig {
    fn eq(&self, other: &Self) -> bool {
        // what is in a file is followed
        let same_secret = self.file.is_some() || self.value == other.value;
        (&self.name, &self.prefix, &self.file) == (&other.name, &other.prefix, &other.file) && same_secret
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TokenEndpointConfig {
    pub(crate) endpoint: Url,
    /// The client, with its secret or key; neither is printed.
    pub(crate) authentication: ClientAuthentication,
    pub(crate) private_hosts: Vec<String>,
}

impl TokenEndpointConfig {
    pub(crate) fn is_on_this_machine(&self) -> bool {
        is_local(&self.endpoint)
    }
}

/// What a token is to be good for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TokenTarget {
    pub(crate) scopes: Vec<String>,
    pub(crate) resource: Option<String>,
    pub(crate) audience: Option<String>,
}

impl TokenTarget {
    /// As the fields of a form.
    pub(crate) fn form(&self) -> impl Iterator<Item = (&'static str, String)> {
        let scope = (!self.scopes.is_empty()).then(|| self.scopes.join(" "));
        let fields =
            [("scope", scope), ("resource", self.resource.clone()), ("audience", self.audience.clone())];
        fields.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    fn is_empty(&self) -> bool {
        self.scopes.is_empty() && self.resource.is_none() && self.audience.is_none()
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClientCredentialsConfig {
    pub(crate) endpoint: TokenEndpointConfig,
    pub(crate) target: TokenTarget,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TokenExchangeConfig {
    pub(crate) endpoint: TokenEndpointConfig,
    pub(crate) target: TokenTarget,
    pub(crate) subject_token_type: String,
    pub(crate) requested_token_type: String,
    /// Whether requests that are served as nobody are forwarded, without credentials.
    pub(crate) serves_anonymous: bool,
    pub(crate) cache_bytes: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AssertionConfig {
    pub(crate) audience: Box<str>,
    /// With keys in it; `None` for a key that is made.
    pub(crate) key_file: Option<SecretFile>,
    pub(crate) algorithm: AssertionAlgorithm,
    pub(crate) lifetime_seconds: u64,
    pub(crate) publish_ahead_seconds: u64,
}

/// The kinds, each with the keys that are its own.
const KINDS: [(&str, &[&str]); 6] = [
    ("none", &[]),
    ("header", &["name", "prefix", "secret_env", "secret_file"]),
    ("client_credentials", CLIENT_KEYS),
    ("token_exchange", EXCHANGE_KEYS),
    ("assertion", &["audience", "key_file", "algorithm", "lifetime_seconds", "publish_ahead_seconds"]),
    ("insecure_pass_caller_token", &["upstream_resource"]),
];

const CLIENT_KEYS: &[&str] = &[
    "token_endpoint",
    "client_id",
    "auth",
    "client_secret_env",
    "client_secret_file",
    "private_key_file",
    "private_key_id",
    "assertion_audience",
    "private_hosts",
    "scopes",
    "resource",
    "audience",
];

const EXCHANGE_KEYS: &[&str] = &[
    "token_endpoint",
    "client_id",
    "auth",
    "client_secret_env",
    "client_secret_file",
    "private_key_file",
    "private_key_id",
    "assertion_audience",
    "private_hosts",
    "scopes",
    "resource",
    "audience",
    "subject_token_type",
    "requested_token_type",
    "anonymous",
    "cache_bytes",
];

/// `resource` is the route's, and `upstream` its one URL, where it has one.
pub(super) fn understand(
    raw: Option<&CredentialsTable>,
    path: &KeyPath,
    resource: Option<&ResourceUri>,
    upstream: Option<&str>,
    report: &mut Report,
) -> Option<CredentialsConfig> {
    let Some(raw) = raw else { return Some(CredentialsConfig::None) };
    let kind = raw.kind.as_deref().and_then(|kind| KINDS.iter().find(|(name, _)| *name == kind));
    let Some((kind, own)) = kind else {
        let wanted = "one of `none`, `header`, `client_credentials`, `token_exchange`, `assertion`, `insecure_pass_caller_token`";
        report.unexpected(&path.key("kind"), wanted);
        return None;
    };
    // a key of another kind is a sign that this one was not meant
    for key in raw.keys().filter(|key| !own.contains(key)) {
        report.fault(&path.key(key), format!("expected no `{key}` with `kind = \"{kind}\"`, but found one"));
    }
    match *kind {
        "header" => header(raw, path, report).map(CredentialsConfig::Header),
        "client_credentials" => client_credentials(raw, path, report).map(CredentialsConfig::Client),
        "token_exchange" => token_exchange(raw, path, report).map(CredentialsConfig::Exchange),
        "assertion" => assertion(raw, path, upstream, report).map(CredentialsConfig::Assertion),
        "insecure_pass_caller_token" => {
            caller_token(raw, path, resource, report).map(CredentialsConfig::InsecureCallerToken)
        }
        _ => Some(CredentialsConfig::None),
    }
}

impl CredentialsTable {
    /// The keys that are there, but for `kind`.
    fn keys(&self) -> impl Iterator<Item = &'static str> {
        [
            ("name", self.name.is_some()),
            ("prefix", self.prefix.is_some()),
            ("secret_env", self.secret_env.is_some()),
            ("secret_file", self.secret_file.is_some()),
            ("token_endpoint", self.token_endpoint.is_some()),
            ("client_id", self.client_id.is_some()),
            ("auth", self.auth.is_some()),
            ("client_secret_env", self.client_secret_env.is_some()),
            ("client_secret_file", self.client_secret_file.is_some()),
            ("private_key_file", self.private_key_file.is_some()),
            ("private_key_id", self.private_key_id.is_some()),
            ("assertion_audience", self.assertion_audience.is_some()),
            ("private_hosts", self.private_hosts.is_some()),
            ("scopes", self.scopes.is_some()),
            ("resource", self.resource.is_some()),
            ("audience", self.audience.is_some()),
            ("subject_token_type", self.subject_token_type.is_some()),
            ("requested_token_type", self.requested_token_type.is_some()),
            ("anonymous", self.anonymous.is_some()),
            ("cache_bytes", self.cache_bytes.is_some()),
            ("key_file", self.key_file.is_some()),
            ("algorithm", self.algorithm.is_some()),
            ("lifetime_seconds", self.lifetime_seconds.is_some()),
            ("publish_ahead_seconds", self.publish_ahead_seconds.is_some()),
            ("upstream_resource", self.upstream_resource.is_some()),
        ]
        .into_iter()
        .filter_map(|(key, is_there)| is_there.then_some(key))
    }
}

fn header(raw: &CredentialsTable, path: &KeyPath, report: &mut Report) -> Option<HeaderConfig> {
    let name = raw.name.as_deref().and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok());
    let name = name.filter(|name| !breaks_hygiene(name));
    if name.is_none() {
        let wanted = "the name of a header for credentials, such as `Authorization` or `X-Api-Key`, and none that frames, routes or describes the request";
        report.unexpected(&path.key("name"), wanted);
    }
    let from = SecretSource {
        environment: ("secret_env", raw.secret_env.as_deref()),
        file: ("secret_file", raw.secret_file.as_deref()),
    };
    let (secret, file) = from.read(path, report)?;
    let prefix = raw.prefix.clone().unwrap_or_default();
    let value = header_value(&prefix, secret.expose());
    let at = if file.is_some() { "secret_file" } else { "secret_env" };
    let value = value.map_err(|message| report.fault(&path.key(at), message)).ok();
    Some(HeaderConfig { name: name?, prefix, value: value?, file })
}

fn token_endpoint(
    raw: &CredentialsTable,
    path: &KeyPath,
    report: &mut Report,
) -> Option<TokenEndpointConfig> {
    let endpoint = raw.token_endpoint.as_deref().and_then(http_url);
    let endpoint = endpoint.filter(|url| is_https_or_local(url) && url.fragment().is_none());
    if endpoint.is_none() {
        report.unexpected(&path.key("token_endpoint"), "an https URL, or an http one of this machine");
    }
    let private_hosts = raw.private_hosts.clone().unwrap_or_default();
    for (index, host) in private_hosts.iter().enumerate() {
        if Host::parse(host).is_err() {
            report.unexpected(
                &path.key("private_hosts").index(index),
                "a host as in a URL, without a port, such as `login.corp.example`",
            );
        }
    }
    let client = ClientKeys {
        client_id: raw.client_id.as_deref(),
        auth: raw.auth.as_deref().unwrap_or("basic"),
        client_secret_env: raw.client_secret_env.as_deref(),
        client_secret_file: raw.client_secret_file.as_deref(),
        private_key_file: raw.private_key_file.as_deref(),
        private_key_id: raw.private_key_id.as_deref(),
        assertion_audience: raw.assertion_audience.as_deref(),
    };
    let authentication = client.understand(path, report);
    Some(TokenEndpointConfig { endpoint: endpoint?, authentication: authentication?, private_hosts })
}

fn target(raw: &CredentialsTable, path: &KeyPath, report: &mut Report) -> Option<TokenTarget> {
    let mut sound = true;
    let scopes = raw.scopes.clone().unwrap_or_default();
    for (index, scope) in scopes.iter().enumerate() {
        // RFC 6749 §3.3
        let plain = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if scope.is_empty() || !scope.bytes().all(plain) {
            report.unexpected(&path.key("scopes").index(index), "a scope, such as `notes:read`");
            sound = false;
        }
    }
    // RFC 8707 §2
    let is_uri = |text: &str| Url::parse(text).is_ok_and(|url| url.fragment().is_none());
    if raw.resource.as_deref().is_some_and(|resource| !is_uri(resource)) {
        report.unexpected(&path.key("resource"), "an absolute URI without fragment");
        sound = false;
    }
    if raw.audience.as_deref() == Some("") {
        report.unexpected(&path.key("audience"), "the name of a service");
        sound = false;
    }
    let target = TokenTarget { scopes, resource: raw.resource.clone(), audience: raw.audience.clone() };
    sound.then_some(target)
}

fn client_credentials(
    raw: &CredentialsTable,
    path: &KeyPath,
    report: &mut Report,
) -> Option<ClientCredentialsConfig> {
    let endpoint = token_endpoint(raw, path, report);
    let target = target(raw, path, report);
    Some(ClientCredentialsConfig { endpoint: endpoint?, target: target? })
}

fn token_exchange(
    raw: &CredentialsTable,
    path: &KeyPath,
    report: &mut Report,
) -> Option<TokenExchangeConfig> {
    let endpoint = token_endpoint(raw, path, report);
    let target = target(raw, path, report);
    if target.as_ref().is_some_and(TokenTarget::is_empty) {
        // the token would be good for whatever the server thinks of
        let message = "expected `audience`, `resource` or `scopes`, but found none of them";
        report.fault(&path.key("audience"), message);
    }
    let serves_anonymous = match raw.anonymous.as_deref() {
        None | Some("refuse") => Some(false),
        Some("none") => Some(true),
        Some(_) => {
            report.unexpected(&path.key("anonymous"), "one of `refuse`, `none`");
            None
        }
    };
    let mut kind = |key: &str, value: Option<&str>| {
        let kind = value.unwrap_or(ACCESS_TOKEN);
        let sound = kind.starts_with("urn:") && !kind.contains(char::is_whitespace);
        if !sound {
            report
                .unexpected(&path.key(key), format!("the URN of a type of token, such as `{ACCESS_TOKEN}`"));
        }
        sound.then(|| kind.to_owned())
    };
    let subject_token_type = kind("subject_token_type", raw.subject_token_type.as_deref());
    let requested_token_type = kind("requested_token_type", raw.requested_token_type.as_deref());
    Some(TokenExchangeConfig {
        endpoint: endpoint?,
        target: target?,
        subject_token_type: subject_token_type?,
        requested_token_type: requested_token_type?,
        serves_anonymous: serves_anonymous?,
        cache_bytes: raw.cache_bytes.unwrap_or(4 * 1024 * 1024),
    })
}

fn assertion(
    raw: &CredentialsTable,
    path: &KeyPath,
    upstream: Option<&str>,
    report: &mut Report,
) -> Option<AssertionConfig> {
    let audience = raw.audience.as_deref().or(upstream).filter(|audience| !audience.is_empty());
    if audience.is_none() {
        report.unexpected(&path.key("audience"), "what the upstream is called, as it expects it in `aud`");
    }
    let algorithm = match raw.algorithm.as_deref() {
        None | Some("ES256") => Some(AssertionAlgorithm::Es256),
        Some("EdDSA") => Some(AssertionAlgorithm::EdDsa),
        Some(_) => {
            report.unexpected(&path.key("algorithm"), "one of `ES256`, `EdDSA`");
            None
        }
    };
    if raw.algorithm.is_some() && raw.key_file.is_some() {
        let message = "expected no `algorithm` with `key_file`, whose keys have their own, but found one";
        report.fault(&path.key("algorithm"), message);
    }
    let lifetime_seconds = raw.lifetime_seconds.unwrap_or(30);
    if !(1..=60).contains(&lifetime_seconds) {
        report.unexpected(&path.key("lifetime_seconds"), "1 to 60 seconds");
    }
    let publish_ahead_seconds = raw.publish_ahead_seconds.unwrap_or(300);
    if !(1..=86_400).contains(&publish_ahead_seconds) {
        report.unexpected(&path.key("publish_ahead_seconds"), "1 to 86400 seconds");
    }
    let key_file = match &raw.key_file {
        None => Some(None),
        Some(file) => key_file(file, &path.key("key_file"), report).map(Some),
    };
    Some(AssertionConfig {
        audience: audience?.into(),
        key_file: key_file?,
        algorithm: algorithm?,
        lifetime_seconds: lifetime_seconds.into(),
        publish_ahead_seconds: publish_ahead_seconds.into(),
    })
}

/// The path of the published keys, matched byte for byte as those of routes are.
pub(super) fn check_jwks_path<'a>(
    value: &str,
    mut taken: impl Iterator<Item = &'a str>,
    path: &KeyPath,
    report: &mut Report,
) {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~');
    let segments = value.strip_prefix('/').map(|rest| rest.split('/'));
    let sound = segments.is_some_and(|mut all| all.all(|part| !matches!(part, "" | "." | "..")))
        && value.bytes().all(plain)
        && !value.starts_with(WELL_KNOWN_PREFIX);
    if !sound || taken.any(|route| route == value) {
        report.unexpected(path, "a path that nothing else is at, such as `/.well-known/jwks.json`");
    }
}

fn key_file(file: &str, path: &KeyPath, report: &mut Report) -> Option<SecretFile> {
    let file = report.resolve(file);
    let read = files::read_to_string(&file)
        .map_err(|reason| format!("expected private keys, but the file cannot be read: {reason}"))
        .and_then(|text| SigningKey::all_from_pem(&text).map(|_| text));
    match read {
        Ok(text) => Some(SecretFile { path: file, text: text.into() }),
        Err(reason) => {
            report.fault(path, format!("`{}`: {reason}", file.display()));
            None
        }
    }
}

/// A token that is passed on can be used by the upstream wherever it is good. That is no more than the upstream has anyway
/// only where the token was issued for the upstream itself.
fn caller_token(
    raw: &CredentialsTable,
    path: &KeyPath,
    resource: Option<&ResourceUri>,
    report: &mut Report,
) -> Option<ResourceUri> {
    let path = path.key("upstream_resource");
    let Some(upstream) = raw.upstream_resource.as_deref() else {
        report
            .unexpected(&path, "the resource that the upstream takes tokens for, which must be the route's");
        return None;
    };
    // the route's own fault is noted elsewhere
    let resource = resource?;
    if upstream != resource.as_str() {
        report.fault(
            &path,
            format!("expected the route's own resource, `{resource}`, since a token for one server must not reach another, but found `{upstream}`"),
        );
        return None;
    }
    Some(resource.clone())
}
