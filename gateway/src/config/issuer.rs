//! `[[issuers]]`

use std::sync::Arc;

use mcp_auth::document::KeyPath;
use mcp_auth::verifier::keys::FixedKeys;
use mcp_auth::verifier::{Algorithm, SUBJECT_CLAIMS};
use mcp_auth_runtime::config::Report;
use mcp_auth_runtime::files;
use serde_json::Value;
use url::Url;

use super::introspection::{self, IntrospectionConfig};
use super::raw;
use super::status_list::{self, StatusListConfig};
use super::{http_url, is_https_or_local, is_local};

/// An authorization server whose tokens are accepted.
#[derive(Clone, Debug, PartialEq)]
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
    pub(crate) audiences: Option<Vec<String>>,
    pub(crate) audience_claim: String,
    /// With this value, or with any.
    pub(crate) required_claims: Vec<(String, Option<Value>)>,
    pub(crate) scope_claims: Vec<String>,
    pub(crate) subject_claims: Vec<String>,
    pub(crate) client_claims: Vec<String>,
    pub(crate) keys_fresh_seconds: u64,
    pub(crate) keys_stale_seconds: u64,
    pub(crate) keys_cool_down_seconds: u64,
}

/// Where its keys come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum KeysFrom {
    /// Where the metadata of the issuer at this URL says.
    Metadata(Url),
    /// This URL.
    Uri(Url),
    /// A file, read already.
    File(KeyFile),
}

/// The keys of a file, compared by what it holds.
#[derive(Clone, Debug)]
pub(crate) struct KeyFile {
    text: String,
    /// Shared by the verifiers of all routes.
    pub(crate) keys: Arc<FixedKeys>,
}

impl PartialEq for KeyFile {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
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
    claims(raw, path, report);
    beside_introspection(raw, path, report);
    if raw.keys_stale_seconds < raw.keys_fresh_seconds {
        report.unexpected(
            &path.key("keys_stale_seconds"),
            format!("at least `keys_fresh_seconds`, {}", raw.keys_fresh_seconds),
        );
    }
    if raw.keys_cool_down_seconds == 0 {
        report.unexpected(&path.key("keys_cool_down_seconds"), "at least 1 second");
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
        audiences: raw.audiences.clone(),
        audience_claim: raw.audience_claim.clone(),
        required_claims: required_claims(raw),
        scope_claims: raw.scope_claims.clone(),
        subject_claims: raw.subject_claims.clone(),
        client_claims: raw.client_claims.clone(),
        keys_fresh_seconds: raw.keys_fresh_seconds.into(),
        keys_stale_seconds: raw.keys_stale_seconds.into(),
        keys_cool_down_seconds: raw.keys_cool_down_seconds.into(),
        private_hosts: hosts(&raw.private_hosts, &path.key("private_hosts"), report),
    })
}

/// The rules that [`mcp_auth::verifier::Issuer`] has for itself, each with its place in the file.
fn claims(raw: &raw::IssuerTable, path: &KeyPath, report: &mut Report) {
    if let Some(audiences) = &raw.audiences {
        let path = path.key("audiences");
        if audiences.is_empty() {
            report.unexpected(&path, "at least one audience, or no such key for the route's resource");
        }
        for index in
            audiences.iter().enumerate().filter(|(_, name)| name.trim().is_empty()).map(|(index, _)| index)
        {
            report.unexpected(&path.index(index), "an audience");
        }
    }
    if raw.audience_claim.is_empty() {
        report.unexpected(&path.key("audience_claim"), "the name of a claim");
    }
    let lists = [
        ("present_claims", &raw.present_claims, true),
        ("scope_claims", &raw.scope_claims, false),
        ("subject_claims", &raw.subject_claims, false),
        ("client_claims", &raw.client_claims, true),
    ];
    for (key, names, may_be_empty) in lists {
        let path = path.key(key);
        if names.is_empty() && !may_be_empty {
            report.unexpected(&path, "at least one claim");
        }
        for (index, name) in names.iter().enumerate() {
            if name.is_empty() {
                report.unexpected(&path.index(index), "the name of a claim");
            } else if key == "subject_claims" && !SUBJECT_CLAIMS.contains(&name.as_str()) {
                // two users with one subject would be one user
                report.unexpected(
                    &path.index(index),
                    "`sub`, `oid` or `uid`, which tell the users of an issuer apart",
                );
            }
        }
    }
    if raw.required_claims.contains_key("") {
        report.unexpected(&path.key("required_claims"), "names of claims");
    }
}

/// Answers of an introspection endpoint have the names of RFC 7662 §2.2: keys about claims would hold for JWTs alone, and a
/// subject out of `uid` could be another user's `sub`.
fn beside_introspection(raw: &raw::IssuerTable, path: &KeyPath, report: &mut Report) {
    let Some(introspection) = &raw.introspection else {
        return;
    };
    let default = raw::IssuerTable::default();
    if introspection.jwts && raw.token_types != default.token_types {
        // whoever is asked about a JWT may look at none of its header
        let wanted = "no such key beside `introspection.jwts`, where nobody looks at the type of a JWT";
        report.unexpected(&path.key("token_types"), wanted);
    }
    for (key, is_default) in [
        ("audiences", raw.audiences.is_none()),
        ("audience_claim", raw.audience_claim == default.audience_claim),
        ("required_claims", raw.required_claims.is_empty()),
        ("present_claims", raw.present_claims.is_empty()),
        ("scope_claims", raw.scope_claims == default.scope_claims),
        ("subject_claims", raw.subject_claims == default.subject_claims),
        ("client_claims", raw.client_claims == default.client_claims),
    ] {
        if !is_default {
            report
                .unexpected(&path.key(key), "no such key beside `introspection`, to which it does not apply");
        }
    }
}

fn required_claims(raw: &raw::IssuerTable) -> Vec<(String, Option<Value>)> {
    let with_value = raw.required_claims.iter().map(|(name, value)| {
        let value = match value {
            raw::RequiredValue::Text(text) => text.as_str().into(),
            raw::RequiredValue::Integer(number) => (*number).into(),
            raw::RequiredValue::Boolean(value) => (*value).into(),
        };
        (name.clone(), Some(value))
    });
    with_value.chain(raw.present_claims.iter().map(|name| (name.clone(), None))).collect()
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

pub(super) fn algorithms(names: &[String], path: &KeyPath, report: &mut Report) -> Vec<Algorithm> {
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
            let read = files::read_to_string(&file)
                .map_err(|reason| {
                    format!("expected a JSON Web Key Set, but the file cannot be read: {reason}")
                })
                .and_then(|text| {
                    let keys = FixedKeys::from_jwks(&text).map_err(|reason| reason.to_string())?;
                    if keys.is_empty() {
                        return Err("expected a key that can verify signatures, but found none".to_owned());
                    }
                    Ok(KeyFile { text, keys: Arc::new(keys) })
                });
            match read {
                Ok(keys) => Some(Some(KeysFrom::File(keys))),
                Err(reason) => {
                    let message = format!("`{}`: {reason}", file.display());
                    report.fault(&path.key("jwks_file"), message);
                    None
                }
            }
        }
    }
}
