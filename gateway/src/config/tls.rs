//! `[server.tls]`

use std::sync::Arc;

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;
use mcp_auth_runtime::tls::{self, CertificateFiles, TlsConfig};

use super::raw::{ClientCertificates, TlsTable};

pub(super) fn understand(raw: &TlsTable, at: &KeyPath, report: &mut Report) -> Option<Arc<TlsConfig>> {
    let certificates = certificates(raw, &at.key("certificates"), report);
    let client_ca_file = raw.client_ca_file.as_ref().map(|file| report.resolve(file));
    if let Some(Err(fault)) = client_ca_file.as_deref().map(tls::authorities) {
        report.fault(
            &at.key("client_ca_file"),
            format!("expected certificate authorities in PEM, but {fault}"),
        );
    }
    let client_certificate_required = raw.client_certificates == ClientCertificates::Required;
    if client_certificate_required && client_ca_file.is_none() {
        report.fault(
            &at.key("client_certificates"),
            "expected `client_ca_file` as well, to tell whose certificates are required",
        );
    }
    Some(Arc::new(TlsConfig { certificates: certificates?, client_ca_file, client_certificate_required }))
}

fn certificates(raw: &TlsTable, at: &KeyPath, report: &mut Report) -> Option<Vec<CertificateFiles>> {
    if raw.certificates.is_empty() {
        report.unexpected(at, "at least one certificate: `{ certificate_file = \"…\", key_file = \"…\" }`");
        return None;
    }
    let mut all = Vec::new();
    for (index, raw) in raw.certificates.iter().enumerate() {
        let at = at.index(index);
        for (key, value) in [("certificate_file", &raw.certificate_file), ("key_file", &raw.key_file)] {
            if value.is_none() {
                report.unexpected(&at.key(key), "the path of a PEM file");
            }
        }
        let (Some(certificate), Some(key)) = (&raw.certificate_file, &raw.key_file) else { continue };
        let files = CertificateFiles { certificate: report.resolve(certificate), key: report.resolve(key) };
        match tls::certified_key(&files) {
            Ok(_) => all.push(files),
            Err(fault) => fault.report(&at.key("certificate_file"), &at.key("key_file"), &at, report),
        }
    }
    Some(all)
}
