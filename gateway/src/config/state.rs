//! `[state]`

use std::fmt;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp_auth::document::KeyPath;
use mcp_auth::verifier::Algorithm;
use mcp_auth_runtime::config::Report;
use mcp_auth_runtime::files;
use redis::IntoConnectionInfo as _;
use zeroize::Zeroizing;

use super::issuer;
use super::raw::{DpopTable, StateTable};
use super::secret::Secret;

/// What is remembered, and by what it is sealed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct StateConfig {
    /// `None` for memory.
    pub(crate) redis: Option<RedisConfig>,
    /// `None` for one that ends with the process.
    pub(crate) session_secrets: Option<SessionSecrets>,
    pub(crate) dpop: Option<DpopConfig>,
}

/// The store that replicas share.
#[derive(Clone, PartialEq)]
pub(crate) struct RedisConfig {
    url: Secret,
    /// In PEM; `None` for those of Mozilla.
    pub(crate) authorities: Option<Vec<u8>>,
    pub(crate) key_prefix: String,
    /// For one answer.
    pub(crate) timeout: Duration,
}

/// What session ids are sealed with: the first one seals, every one opens.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SessionSecrets(Vec<Zeroizing<[u8; 32]>>);

/// How DPoP proofs are checked where DPoP is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DpopConfig {
    pub(crate) required: bool,
    /// How often there is a new nonce; `None` for proofs without.
    pub(crate) nonces: Option<Duration>,
    pub(crate) window: Duration,
    pub(crate) algorithms: Vec<Algorithm>,
}

impl RedisConfig {
    /// The URL, with its password.
    pub(crate) fn url(&self) -> &str {
        self.url.expose()
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("key_prefix", &self.key_prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl SessionSecrets {
    /// The secrets, the one to seal with first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.0.iter().map(|secret| &**secret)
    }
}

impl fmt::Debug for SessionSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionSecrets({})", self.0.len())
    }
}

pub(super) fn understand(raw: &StateTable, at: &KeyPath, report: &mut Report) -> StateConfig {
    let given = redis_url(raw, at, report);
    if raw.timeout_milliseconds == 0 {
        report.unexpected(&at.key("timeout_milliseconds"), "at least 1 millisecond");
    }
    // a brace would choose the slot of a cluster, white space would end a line of the protocol's textual form
    if raw.key_prefix.is_empty()
        || !raw.key_prefix.bytes().all(|byte| byte.is_ascii_graphic() && !b"{}".contains(&byte))
    {
        report.unexpected(&at.key("key_prefix"), "visible ASCII without braces, such as `mcp-auth:`");
    }
    let authorities =
        raw.redis_ca_file.as_deref().and_then(|file| authorities(file, &at.key("redis_ca_file"), report));
    let named = raw.session_secrets_file.is_some() || raw.session_secrets_env.is_some();
    let session_secrets = session_secrets(raw, at, report);
    if given.is_some() && !named {
        // replicas that do not know each other's sessions and nonces send clients in circles
        report.fault(
            &at.key("session_secrets_file"),
            "expected `session_secrets_file` or `session_secrets_env` beside Redis, so that replicas know each other's sessions, but found neither",
        );
    }
    let redis = given.flatten().map(|url| RedisConfig {
        url,
        authorities,
        key_prefix: raw.key_prefix.clone(),
        timeout: Duration::from_millis(raw.timeout_milliseconds.into()),
    });
    let dpop = raw.dpop.as_ref().map(|dpop| dpop_options(dpop, &at.key("dpop"), report));
    StateConfig { redis, session_secrets, dpop }
}

/// `None` where none is given, `Some(None)` where one is that cannot be used.
#[expect(clippy::option_option, reason = "the outer one is whether one is given")]
fn redis_url(raw: &StateTable, at: &KeyPath, report: &mut Report) -> Option<Option<Secret>> {
    let keys = [
        ("redis_url", &raw.redis_url),
        ("redis_url_env", &raw.redis_url_env),
        ("redis_url_file", &raw.redis_url_file),
    ];
    let mut given = keys.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?)));
    let (key, value) = given.next()?;
    if let Some((second, _)) = given.next() {
        report.fault(
            &at.key(second),
            "expected one of `redis_url`, `redis_url_env` and `redis_url_file`, but found several",
        );
        return Some(None);
    }
    let at = at.key(key);
    let text = match key {
        "redis_url" => Ok(Secret::from(value.to_owned())),
        "redis_url_env" => from_environment(value),
        _ => from_file(&report.resolve(value)),
    };
    // never with the value: it may hold a password
    let url = text.and_then(|text| {
        let url = redis::parse_redis_url(text.expose()).filter(|url| {
            url.fragment().is_none() && text.expose().into_connection_info().is_ok()
        });
        match url {
            None => Err("expected a URL such as `redis://127.0.0.1:6379/0` or `rediss://redis.example:6379`, but found something else".to_owned()),
            Some(url) if key == "redis_url" && url.password().is_some() => {
                Err("expected a URL without a password, but found one with; give it by `redis_url_env` or `redis_url_file`".to_owned())
            }
            Some(_) => Ok(text),
        }
    });
    if let Err(message) = &url {
        report.fault(&at, message.as_str());
    }
    Some(url.ok())
}

fn session_secrets(raw: &StateTable, at: &KeyPath, report: &mut Report) -> Option<SessionSecrets> {
    let (at, text) = match (&raw.session_secrets_file, &raw.session_secrets_env) {
        (None, None) => return None,
        (Some(_), Some(_)) => {
            let message = "expected `session_secrets_env` or `session_secrets_file`, but found both";
            report.fault(&at.key("session_secrets_file"), message);
            return None;
        }
        (Some(file), None) => (at.key("session_secrets_file"), from_file(&report.resolve(file))),
        (None, Some(variable)) => (at.key("session_secrets_env"), from_environment(variable)),
    };
    let secrets = text.and_then(|text| {
        let secrets = text.expose().split_whitespace().map(|line| {
            // decoded into what is wiped, whatever becomes of it
            let bytes = Zeroizing::new(STANDARD.decode(line).unwrap_or_default());
            <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new)
        });
        match secrets.collect::<Result<Vec<_>, _>>() {
            Ok(secrets) if !secrets.is_empty() => Ok(SessionSecrets(secrets)),
            Ok(_) => Err("expected at least one secret, but found none".to_owned()),
            Err(_) => Err("expected secrets of 32 bytes each in base64 (`openssl rand -base64 32`), one a line, but found something else".to_owned()),
        }
    });
    if let Err(message) = &secrets {
        report.fault(&at, message.as_str());
    }
    secrets.ok()
}

fn from_environment(variable: &str) -> Result<Secret, String> {
    #[expect(clippy::disallowed_methods, reason = "this is part of the configuration loader")]
    let value = std::env::var(variable);
    // the reason of a failure quotes the value
    value
        .map(Secret::from)
        .map_err(|_| format!("expected the environment variable `{variable}` to be set, to text"))
}

fn from_file(file: &Path) -> Result<Secret, String> {
    files::read_to_string(file)
        .map(|text| Secret::from(text.trim_end_matches(['\n', '\r']).to_owned()))
        .map_err(|reason| format!("expected a secret, but `{}` cannot be read: {reason}", file.display()))
}

fn authorities(file: &str, at: &KeyPath, report: &mut Report) -> Option<Vec<u8>> {
    let file = report.resolve(file);
    let read = files::read(&file).map_err(|reason| format!("cannot be read: {reason}"));
    let found = read.and_then(|pem| {
        use rustls::pki_types::pem::PemObject as _;
        let mut certificates = rustls::pki_types::CertificateDer::pem_slice_iter(&pem);
        match certificates.next() {
            Some(Ok(_)) if certificates.all(|certificate| certificate.is_ok()) => Ok(pem.clone()),
            Some(_) => Err("holds something else".to_owned()),
            None => Err("holds none".to_owned()),
        }
    });
    if let Err(reason) = &found {
        report
            .fault(at, format!("expected certificates in PEM form in `{}`, but it {reason}", file.display()));
    }
    found.ok()
}

fn dpop_options(raw: &DpopTable, at: &KeyPath, report: &mut Report) -> DpopConfig {
    if raw.nonce_seconds == 0 {
        report.unexpected(&at.key("nonce_seconds"), "at least 1 second");
    }
    if !(1..=3600).contains(&raw.window_seconds) {
        report.unexpected(&at.key("window_seconds"), "from 1 to 3600 seconds");
    }
    let seconds = |value: u16| Duration::from_secs(value.into());
    DpopConfig {
        required: raw.required,
        nonces: raw.nonces.then(|| seconds(raw.nonce_seconds)),
        window: seconds(raw.window_seconds),
        algorithms: issuer::algorithms(&raw.algorithms, &at.key("algorithms"), report),
    }
}
