//! `[dpop]` and `[[assertion_issuers]]`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use mcp_auth::{
    document::KeyPath,
    possession::{DpopNonces, DpopOptions},
};
use mcp_auth_runtime::{config::Report, files};

use super::raw;
use crate::{
    assertions::{Accounts, AssertionIssuer},
    model::{client::KeysAt, jwks::PublicKeys},
    outbound::url::{FetchUrl, InsecureHost},
    outside::{Rng as _, SystemRng},
};

/// Seconds that an assertion may live, where nothing is said (draft-ietf-oauth-identity-assertion-authz-grant §4.3).
const MAX_LIFETIME: i64 = 300;

pub(super) fn dpop(raw: &raw::Dpop, report: &mut Report) -> DpopOptions {
    let path = KeyPath::root().key("dpop");
    let options = DpopOptions::new();
    if !raw.nonces {
        if !raw.nonce_key_file.is_empty() {
            report.fault(&path.key("nonce_key_file"), "expected `nonces = true` beside `nonce_key_file`");
        }
        return options;
    }
    let mut key = zeroize::Zeroizing::new([0; 32]);
    if raw.nonce_key_file.is_empty() {
        if let Err(error) = SystemRng.fill(&mut *key) {
            report.fault(&path.key("nonces"), error.to_string());
        }
        return options.nonces(DpopNonces::from_key(&key));
    }
    let file = report.resolve(&raw.nonce_key_file);
    let bytes = files::read_to_string(&file)
        .map(zeroize::Zeroizing::new)
        .ok()
        .and_then(|text| STANDARD.decode(text.trim()).ok())
        .map(zeroize::Zeroizing::new);
    match bytes {
        Some(bytes) if bytes.len() == key.len() => key.copy_from_slice(&bytes),
        _ => report.fault(
            &path.key("nonce_key_file"),
            format!("expected 32 bytes in base64 in `{}`", file.display()),
        ),
    }
    options.nonces(DpopNonces::from_key(&key))
}

pub(super) fn assertion_issuers(
    raw: Vec<raw::AssertionIssuer>,
    insecure_hosts: &[InsecureHost],
    report: &mut Report,
) -> Vec<AssertionIssuer> {
    let path = KeyPath::root().key("assertion_issuers");
    let mut issuers: Vec<AssertionIssuer> = Vec::new();
    for (index, entry) in raw.into_iter().enumerate() {
        let path = path.index(index);
        let known = issuers.iter().any(|other| other.issuer == entry.issuer);
        if entry.issuer.is_empty() || known {
            report.unexpected(&path.key("issuer"), "the `iss` of the assertions, each issuer once");
        }
        let max_lifetime = entry.max_lifetime_seconds.unwrap_or(MAX_LIFETIME);
        if !(1..=3600).contains(&max_lifetime) {
            report.unexpected(&path.key("max_lifetime_seconds"), "a number of seconds from 1 to 3600");
        }
        if entry.create_users && entry.email_domains.is_empty() {
            report.fault(&path.key("create_users"), "expected `email_domains` beside `create_users`");
        }
        let Some(keys) = keys(&entry, insecure_hosts, &path, report) else { continue };
        issuers.push(AssertionIssuer {
            issuer: entry.issuer,
            keys,
            max_lifetime,
            may_be_used_again: entry.reuse,
            accounts: Accounts { email_domains: entry.email_domains, create: entry.create_users },
        });
    }
    issuers
}

fn keys(
    entry: &raw::AssertionIssuer,
    insecure_hosts: &[InsecureHost],
    path: &KeyPath,
    report: &mut Report,
) -> Option<KeysAt> {
    match (entry.jwks_uri.as_str(), entry.jwks_file.as_str()) {
        ("", "") => {
            report.fault(path, "expected `jwks_uri` or `jwks_file`");
            None
        }
        (url, "") => match FetchUrl::normalised(url, insecure_hosts) {
            Ok(url) => Some(KeysAt::Url(url.url().to_string())),
            Err(reason) => {
                report.unexpected(&path.key("jwks_uri"), format!("a public https URL ({reason})"));
                None
            }
        },
        ("", file) => {
            let file = report.resolve(file);
            let read = files::read(&file)
                .map_err(|reason| reason.to_string())
                .and_then(|bytes| PublicKeys::parse(&bytes).map_err(|reason| reason.to_string()));
            match read {
                Ok(keys) => Some(KeysAt::Hand(keys)),
                Err(reason) => {
                    report.fault(&path.key("jwks_file"), format!("`{}`: {reason}", file.display()));
                    None
                }
            }
        }
        _ => {
            report.fault(path, "expected one of `jwks_uri` and `jwks_file`, but found both");
            None
        }
    }
}
