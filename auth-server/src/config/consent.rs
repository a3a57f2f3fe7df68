//! `[consent]`.

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;
use url::Url;

use super::{ConfiguredResource, raw};
use crate::model::{
    consent_rules::{ConsentRule, RuleClients},
    scope::is_scope_token,
};

pub(super) fn rules(
    raw: Vec<raw::AutoConsent>,
    resources: &[ConfiguredResource],
    report: &mut Report,
) -> Vec<ConsentRule> {
    let path = KeyPath::root().key("consent").key("auto");
    raw.into_iter()
        .enumerate()
        .filter_map(|(index, entry)| rule(entry, resources, &path.index(index), report))
        .collect()
}

fn rule(
    entry: raw::AutoConsent,
    resources: &[ConfiguredResource],
    path: &KeyPath,
    report: &mut Report,
) -> Option<ConsentRule> {
    let clients = clients(&entry, path, report);
    if entry.resources.is_empty() {
        report.fault(path, "expected `resources` with at least one URL");
    }
    for (index, url) in entry.resources.iter().enumerate() {
        if !resources.iter().any(|configured| configured.resource.url() == url) {
            report.unexpected(&path.key("resources").index(index), "the `url` of one of the `[[resources]]`");
        }
    }
    if entry.scopes.is_empty() {
        report.fault(path, "expected `scopes` with at least one scope");
    }
    for (index, scope) in entry.scopes.iter().enumerate() {
        if !is_scope_token(scope) {
            report.unexpected(&path.key("scopes").index(index), "a scope");
        }
    }
    Some(ConsentRule {
        clients: clients?,
        resources: entry.resources,
        scopes: entry.scopes.into_iter().collect(),
    })
}

/// A rule is for clients that somebody vouches for: the administrator, or the host that a document was fetched from and
/// that the rule names.
fn clients(entry: &raw::AutoConsent, path: &KeyPath, report: &mut Report) -> Option<RuleClients> {
    match (entry.client_id.as_str(), entry.document_host.as_str(), entry.provenance.as_str()) {
        ("", "", "administrator") => Some(RuleClients::Administrators),
        ("", "", "") => {
            report.fault(
                path,
                "expected one of `client_id`, `document_host` and `provenance`, but found none of them",
            );
            None
        }
        ("", "", _) => {
            report.unexpected(
                &path.key("provenance"),
                "`administrator`; of clients that describe themselves, only those that `client_id` or \
                 `document_host` names can do without a page",
            );
            None
        }
        (id, "", "") => {
            let legal = id.len() <= 2048 && id.bytes().all(|byte| matches!(byte, 0x21..=0x7E));
            if !legal {
                report.unexpected(&path.key("client_id"), "a client id in printable ASCII without spaces");
            }
            legal.then(|| RuleClients::Client(id.to_owned()))
        }
        ("", host, "") => {
            let legal = is_host(host);
            if !legal {
                report.unexpected(
                    &path.key("document_host"),
                    "a host in lower case, such as `claude.ai`, with a port where it is not 443",
                );
            }
            legal.then(|| RuleClients::DocumentHost(host.to_owned()))
        }
        _ => {
            report.fault(
                path,
                "expected one of `client_id`, `document_host` and `provenance`, but found several",
            );
            None
        }
    }
}

/// Written as the host of a document is shown, so that the two can be equal. A parser of URLs takes `*` for a letter like
/// any other, and whoever writes it means something that there is not.
fn is_host(text: &str) -> bool {
    !text.contains('*')
        && Url::parse(&format!("https://{text}/")).is_ok_and(|url| {
            let host = url.host_str().unwrap_or_default();
            let shown = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            shown == text && url.path() == "/" && url.username().is_empty()
        })
}
