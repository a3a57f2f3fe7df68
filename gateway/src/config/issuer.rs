//! `[[issuers]]`

use mcp_auth::document::KeyPath;
use mcp_auth::verifier::Algorithm;
use mcp_auth::verifier::keys::FixedKeys;
use mcp_auth_runtime::config::Report;
use url::Url;

use super::introspection::{self, IntrospectionConfig};
use super::raw;
use super::status_list::{self, StatusListConfig};
use super::{http_url, is_https_or_local, is_local};

/// An authorization server whose tokens are accepted.
#[derive(Debug)]
pub(crate) struct IssuerConfig {
    pub(crate) issuer: String,
    pub(crate) keys: KeysFrom,
    pub(crate) algorithms: Vec<Algorithm>,
    pub(crate) leeway_seconds: u64,
    pub(crate) token_types: Vec<String>,
    pub(crate) private_hosts: Vec<String>,
    pub(crate) introspection: Option<IntrospectionConfig>,
    pub(crate) status_list: StatusListConfig,
    /// Whether it is named by a URL of this machine.
    pub(crate) on_this_machine: bool,
}

/// Where its keys come from.
#[derive(Debug)]
pub(crate) enum KeysFrom {
    /// Where the metadata of the issuer at this URL says.
    Metadata(Url),
    /// This URL.
    Uri(Url),
    /// A file, read already; shared by the verifiers of all routes.
    File(std::sync::Arc<FixedKeys>),
}

impl KeysFrom {
    pub(crate) fn are_on_this_machine(&self) -> bool {
        match self {
            Self::Metadata(url) | Self::Uri(url) => is_local(url),
            Self::File(_) => false,
        }
    }
}

/// More would make `exp` mean little.
const MAX_LEEWAY_SECONDS: u16 = 300;

pub(super) fn all(raw: &[raw::IssuerTable], report: &mut Report) -> Vec<IssuerConfig> {
    let issuers = KeyPath::from("issuers");
    if raw.is_empty() {
        report.unexpected(&issuers, "at least one issuer, since every policy needs a token for something");
    }
    let mut all: Vec<IssuerConfig> = Vec::new();
    for (index, raw) in raw.iter().enumerate() {
        let path = issuers.index(index);
        let Some(issuer) = one(raw, &path, report) else {
            continue;
        };
        if all.iter().any(|other| other.issuer == issuer.issuer) {
            let message = format!("expected each issuer once, but found `{}` again", issuer.issuer);
            report.fault(&path.key("issuer"), message);
            continue;
        }
        // an opaque token does not say who issued it, and must not be shown to who did not
        if issuer.introspection.is_some() && all.iter().any(|other| other.introspection.is_some()) {
            let message = "expected one issuer with `introspection` at most, but found another";
            report.fault(&path.key("introspection"), message);
        }
        all.push(issuer);
    }
    all
}

fn one(raw: &raw::IssuerTable, path: &KeyPath, report: &mut Report) -> Option<IssuerConfig> {
    let algorithms = algorithms(&raw.algorithms, &path.key("algorithms"), report);
    if raw.leeway_seconds > MAX_LEEWAY_SECONDS {
        report.unexpected(&path.key("leeway_seconds"), format!("at most {MAX_LEEWAY_SECONDS} seconds"));
    }
    if raw.token_types.is_empty() {
        report.unexpected(&path.key("token_types"), "at least one type, such as `at+jwt`");
    }
    let keys = keys(raw, path, report);
    let introspection = raw
        .introspection
        .as_ref()
        .map(|table| introspection::understand(table, &path.key("introspection"), report));
    let lists = raw.status_list.clone().unwrap_or_default();
    let status_list = status_list::understand(&lists, &path.key("status_list"), report);
    let url = raw.issuer.as_deref().and_then(issuer_url);
    if url.is_none() {
        report.unexpected(
            &path.key("issuer"),
            "an https URL (or an http one of this machine) without query and fragment, as in the tokens' `iss`",
        );
    }
    let url = url?;
    Some(IssuerConfig {
        on_this_machine: is_local(&url),
        keys: keys?.unwrap_or(KeysFrom::Metadata(url)),
        introspection: match introspection {
            Some(introspection) => Some(introspection?),
            None => None,
        },
        status_list,
        issuer: raw.issuer.clone()?,
        algorithms,
        leeway_seconds: raw.leeway_seconds.into(),
        token_types: raw.token_types.clone(),
        private_hosts: hosts(&raw.private_hosts, &path.key("private_hosts"), report),
    })
}

/// RFC 8414 §2: https, without query and fragment.
fn issuer_url(text: &str) -> Option<Url> {
    http_url(text).filter(|url| is_https_or_local(url) && url.query().is_none() && url.fragment().is_none())
}

fn hosts(names: &[String], path: &KeyPath, report: &mut Report) -> Vec<String> {
    for (index, name) in names.iter().enumerate() {
        // compared with the host as a URL has it, so that it must be written so
        if !url::Host::parse(name).is_ok_and(|host| host.to_string() == *name) {
            report.unexpected(
                &path.index(index),
                "a host as in a URL, without a port, such as `login.corp.example`",
            );
        }
    }
    names.to_vec()
}

fn algorithms(names: &[String], path: &KeyPath, report: &mut Report) -> Vec<Algorithm> {
    let allowed = Algorithm::ALL.map(|algorithm| format!("`{algorithm}`")).join(", ");
    if names.is_empty() {
        report.unexpected(path, format!("at least one of {allowed}"));
    }
    let mut algorithms = Vec::new();
    for (index, name) in names.iter().enumerate() {
        match name.parse() {
            Ok(algorithm) => algorithms.push(algorithm),
            Err(_) => report.unexpected(&path.index(index), format!("one of {allowed}")),
        }
    }
    algorithms
}

/// Where the configuration says that the keys are; `Some(None)` where it leaves that to the metadata.
#[expect(clippy::option_option, reason = "the outer one is whether there was no fault")]
fn keys(raw: &raw::IssuerTable, path: &KeyPath, report: &mut Report) -> Option<Option<KeysFrom>> {
    match (&raw.jwks_uri, &raw.jwks_file) {
        (None, None) => Some(None),
        (Some(_), Some(_)) => {
            report.fault(&path.key("jwks_file"), "expected `jwks_uri` or `jwks_file`, but found both");
            None
        }
        (Some(uri), None) => {
            let uri = http_url(uri).filter(is_https_or_local);
            if uri.is_none() {
                report.unexpected(&path.key("jwks_uri"), "an https URL, or an http one of this machine");
            }
            uri.map(|uri| Some(KeysFrom::Uri(uri)))
        }
        (None, Some(file)) => {
            let file = report.resolve(file);
            let read = std::fs::read_to_string(&file)
                .map_err(|reason| {
                    format!("expected a JSON Web Key Set, but the file cannot be read: {reason}")
                })
                .and_then(|json| FixedKeys::from_jwks(&json).map_err(|reason| reason.to_string()));
            match read {
                Ok(keys) => Some(Some(KeysFrom::File(std::sync::Arc::new(keys)))),
                Err(reason) => {
                    let message = format!("`{}`: {reason}", file.display());
                    report.fault(&path.key("jwks_file"), message);
                    None
                }
            }
        }
    }
}
