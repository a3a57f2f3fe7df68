//! How the addresses of a route are reached: the keys of `[[routes]]` about connections.

use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;
use mcp_auth_runtime::files;
use mcp_auth_runtime::tls::{self, CertificateFiles};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::raw;
use crate::upstream::{ClientCertificate, EndpointConfig, Limits};

/// What all addresses of one route have in common.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reach {
    /// Certificate authorities of the upstream; `None` for the system's.
    pub(crate) authorities: Option<Authorities>,
    /// The gateway's own certificate, for an upstream that asks for one.
    pub(crate) client_certificate: Option<ClientCertificate>,
    pub(crate) http2: bool,
    pub(crate) limits: Limits,
}

/// Certificate authorities, compared by what they are.
#[derive(Clone, Debug)]
pub(crate) struct Authorities(pub(crate) Arc<rustls::RootCertStore>);

impl PartialEq for Authorities {
    fn eq(&self, other: &Self) -> bool {
        self.0.roots == other.0.roots
    }
}

impl Reach {
    /// How the server at `uri` is reached, whose path is the only one.
    pub(crate) fn endpoint(&self, uri: Uri) -> EndpointConfig {
        EndpointConfig {
            uri,
            appends_path: false,
            authorities: self.authorities.clone(),
            client_certificate: self.client_certificate.clone(),
            http2: self.http2,
            limits: self.limits.clone(),
        }
    }
}

pub(super) fn understand(raw: &raw::RouteTable, at: &KeyPath, report: &mut Report) -> Option<Reach> {
    let authorities = match raw.upstream_ca_file.as_deref() {
        None => Some(None),
        Some(file) => authorities(file, &at.key("upstream_ca_file"), report).map(Some),
    };
    let client_certificate = client_certificate(raw, at, report);
    for (key, seconds) in [
        ("connect_timeout_seconds", raw.connect_timeout_seconds),
        ("response_timeout_seconds", raw.response_timeout_seconds),
        ("idle_timeout_seconds", raw.idle_timeout_seconds),
        ("total_timeout_seconds", raw.total_timeout_seconds),
    ] {
        if seconds == 0 {
            report.unexpected(&at.key(key), "at least 1 second");
        }
    }
    let seconds = |seconds: u16| Duration::from_secs(seconds.into());
    Some(Reach {
        authorities: authorities?,
        client_certificate: client_certificate?,
        http2: raw.upstream_http2,
        limits: Limits {
            connect: seconds(raw.connect_timeout_seconds),
            response: seconds(raw.response_timeout_seconds),
            idle: seconds(raw.idle_timeout_seconds),
            total: seconds(raw.total_timeout_seconds),
            stream_idle: match raw.stream_idle_timeout_seconds {
                0 => None,
                some => Some(seconds(some)),
            },
        },
    })
}

/// `None` for a fault, `Some(None)` for no certificate.
#[expect(clippy::option_option, reason = "neither is the other")]
fn client_certificate(
    raw: &raw::RouteTable,
    at: &KeyPath,
    report: &mut Report,
) -> Option<Option<ClientCertificate>> {
    let (at_certificate, at_key) =
        (at.key("upstream_client_certificate_file"), at.key("upstream_client_key_file"));
    let (certificate, key) = match (&raw.upstream_client_certificate_file, &raw.upstream_client_key_file) {
        (None, None) => return Some(None),
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => {
            report.unexpected(&at_key, "the path of a PEM file, beside `upstream_client_certificate_file`");
            return None;
        }
        (None, Some(_)) => {
            report.unexpected(&at_certificate, "the path of a PEM file, beside `upstream_client_key_file`");
            return None;
        }
    };
    let files = CertificateFiles { certificate: report.resolve(certificate), key: report.resolve(key) };
    match tls::certified_key(&files) {
        Ok(key) => return Some(Some(ClientCertificate(Arc::new(key)))),
        Err(fault) => fault.report(&at_certificate, &at_key, &at_certificate, report),
    }
    None
}

fn authorities(file: &str, at: &KeyPath, report: &mut Report) -> Option<Authorities> {
    let path = report.resolve(file);
    let read = || -> Result<rustls::RootCertStore, String> {
        let pem = files::read(&path).map_err(|reason| format!("cannot be read: {reason}"))?;
        let mut store = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|reason| format!("holds something else: {reason}"))?;
            store
                .add(certificate)
                .map_err(|reason| format!("holds a certificate that is not valid: {reason}"))?;
        }
        if store.is_empty() { Err("holds none".to_owned()) } else { Ok(store) }
    };
    match read() {
        Ok(store) => Some(Authorities(Arc::new(store))),
        Err(reason) => {
            report.fault(
                at,
                format!("expected certificates in PEM form in `{}`, but it {reason}", path.display()),
            );
            None
        }
    }
}
