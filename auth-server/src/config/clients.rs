//! `[clients]`: which clients there may be.

use std::{collections::BTreeMap, sync::Arc};

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::{config::Report, files};

use super::{ConfiguredResource, address_blocks, raw, registered_clients};
use crate::{
    cimd::hosts::{HostPattern, HostPolicy},
    model::{
        client::Client,
        redirect::RedirectUri,
        redirect_list::{AllowedRedirectUris, NativeRedirectUri},
        registration::Rules,
    },
    outbound::url::InsecureHost,
    registration_limits::{Egress, RegistrationRates},
    storage::Room,
};

/// Which clients there may be.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) dynamic_registration: bool,
    pub(crate) registration: Registration,
    pub(crate) rules: Arc<Rules>,
    pub(crate) metadata_documents: bool,
    pub(crate) document_hosts: HostPolicy,
    pub(crate) insecure_document_hosts: Vec<InsecureHost>,
    /// PEM, if any.
    pub(crate) extra_ca: Option<Vec<u8>>,
    pub(crate) registered: BTreeMap<String, Client>,
}

/// How clients may register themselves.
#[derive(Debug)]
pub(crate) struct Registration {
    /// Whether a client may look at its registration, change it and end it (RFC 7592).
    pub(crate) is_managed: bool,
    /// Whether only the holder of an initial access token may register.
    pub(crate) needs_token: bool,
    /// Whether an administrator has to approve of each.
    pub(crate) needs_approval: bool,
    pub(crate) room: Room,
    pub(crate) rates: RegistrationRates,
}

pub(super) fn understand(
    raw: raw::Clients,
    resources: &[ConfiguredResource],
    report: &mut Report,
) -> Clients {
    let path = KeyPath::root().key("clients");
    let allowed_redirect_uris =
        redirect_uris(&raw.allowed_redirect_uris, &path.key("allowed_redirect_uris"), report);
    let mut insecure_document_hosts = Vec::new();
    for (index, host) in raw.insecure_document_hosts.iter().enumerate() {
        match InsecureHost::parse(host) {
            Some(host) => insecure_document_hosts.push(host),
            None => report.unexpected(
                &path.key("insecure_document_hosts").index(index),
                "a host with a port, such as `localhost:9443`",
            ),
        }
    }
    let extra_ca = (!raw.extra_ca_file.is_empty())
        .then(|| {
            let file = report.resolve(&raw.extra_ca_file);
            files::read(&file)
                .map_err(|reason| {
                    report.fault(
                        &path.key("extra_ca_file"),
                        format!("`{}` cannot be read: {reason}", file.display()),
                    );
                })
                .ok()
        })
        .flatten();
    let registration = registration(&raw, &path, report);
    let registered = registered_clients::understand(
        raw.registered,
        &insecure_document_hosts,
        resources,
        &path.key("registered"),
        report,
    );
    // nothing is ever fetched where nothing was asked for that needs it
    let fetches = raw.metadata_documents || registered.values().any(Client::has_keys_elsewhere);
    let native = native_redirect_uris(
        &raw.allowed_native_redirect_uris,
        &path.key("allowed_native_redirect_uris"),
        report,
    );
    let rules = Rules {
        redirect_uris: AllowedRedirectUris::new(allowed_redirect_uris, native),
        fetched_keys: fetches.then(|| insecure_document_hosts.clone()),
    };
    Clients {
        dynamic_registration: raw.dynamic_registration,
        registration,
        rules: Arc::new(rules),
        metadata_documents: raw.metadata_documents,
        document_hosts: document_hosts(&raw.document_hosts, &path.key("document_hosts"), report),
        insecure_document_hosts,
        extra_ca,
        registered,
    }
}

fn registration(raw: &raw::Clients, path: &KeyPath, report: &mut Report) -> Registration {
    for (key, value) in [("max_unused", raw.max_unused), ("max_registered", raw.max_registered)] {
        if value == 0 {
            report.unexpected(&path.key(key), "at least 1");
        }
    }
    Registration {
        is_managed: raw.registration_management,
        needs_token: raw.require_initial_access_token,
        needs_approval: raw.require_approval,
        room: Room { unused: i64::from(raw.max_unused), total: i64::from(raw.max_registered) },
        rates: RegistrationRates {
            per_address: raw.registrations_per_minute,
            in_all: raw.registrations_per_minute_in_all,
            egresses: egresses(&raw.trusted_egress, &path.key("trusted_egress"), report),
        },
    }
}

fn egresses(raw: &[raw::TrustedEgress], path: &KeyPath, report: &mut Report) -> Vec<Egress> {
    let mut understood = Vec::new();
    for (index, entry) in raw.iter().enumerate() {
        let path = path.index(index);
        let addresses = address_blocks(&entry.addresses, &path.key("addresses"), report);
        if entry.addresses.is_empty() {
            report.fault(&path.key("addresses"), "expected at least one address or block");
        }
        if entry.registrations_per_minute == 0 {
            report.unexpected(&path.key("registrations_per_minute"), "at least 1");
        }
        understood.push(Egress { addresses, per_minute: entry.registrations_per_minute });
    }
    understood
}

pub(super) fn redirect_uris(texts: &[String], path: &KeyPath, report: &mut Report) -> Vec<RedirectUri> {
    let mut uris = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match RedirectUri::parse(text) {
            Ok(uri) => uris.push(uri),
            Err(reason) => {
                report.fault(
                    &path.index(index),
                    format!("expected a redirect URI, but found `{text}`: {reason}"),
                );
            }
        }
    }
    uris
}

fn document_hosts(raw: &raw::DocumentHosts, path: &KeyPath, report: &mut Report) -> HostPolicy {
    let mut read = |texts: &[String], path: KeyPath| {
        let mut patterns = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            match HostPattern::parse(text) {
                Some(pattern) => patterns.push(pattern),
                None => report.unexpected(
                    &path.index(index),
                    "a host in lower case and punycode such as `app.example.com`, or `*.example.com` for all below it",
                ),
            }
        }
        patterns
    };
    HostPolicy::new(read(&raw.allow, path.key("allow")), read(&raw.deny, path.key("deny")))
}

fn native_redirect_uris(texts: &[String], path: &KeyPath, report: &mut Report) -> Vec<NativeRedirectUri> {
    let mut uris = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match NativeRedirectUri::parse(text) {
            Some(uri) => uris.push(uri),
            None => report.unexpected(
                &path.index(index),
                "a URI of another scheme than https and http, with at most one `*` in place of a whole path segment",
            ),
        }
    }
    uris
}
