//! `[server]`: where requests come from, and what protects them on the way.

use std::{net::SocketAddr, sync::Arc};

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::{
    config::Report,
    tls::{self, CertificateFiles, TlsConfig},
};

use super::{Issuer, address_blocks, raw};
use crate::peer::AddressBlock;

/// Where the server listens, and for whom.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) tls: Option<Arc<TlsConfig>>,
    behind_proxy: bool,
    pub(crate) trusted_proxies: Vec<AddressBlock>,
}

/// Passwords and tokens would cross a network in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected `server.tls`, or `server.behind_proxy = true` where a proxy with TLS is in front, because `{0}` is not loopback"
)]
pub(crate) struct PlainInTheOpen(SocketAddr);

impl Listening {
    pub(super) fn understand(
        raw: &raw::Server,
        issuer: Option<&Issuer>,
        server: &KeyPath,
        report: &mut Report,
    ) -> Self {
        let tls = raw.tls.as_ref().and_then(|raw| certificate(raw, &server.key("tls"), report));
        if raw.tls.is_some() && issuer.is_some_and(|issuer| !issuer.is_https()) {
            report.fault(
                &server.key("issuer"),
                "expected an https issuer, because `server.tls` leaves nothing that speaks http",
            );
        }
        let listening = Self {
            addresses: Vec::new(),
            tls,
            behind_proxy: raw.behind_proxy,
            trusted_proxies: address_blocks(&raw.trusted_proxies, &server.key("trusted_proxies"), report),
        };
        let addresses = addresses(&raw.listen, &server.key("listen"), report);
        for (index, address) in &addresses {
            // what is wrong with the files of `tls` was said
            if raw.tls.is_none()
                && let Err(fault) = listening.admits(*address)
            {
                report.fault(&server.key("listen").index(*index), fault.to_string());
            }
        }
        Self { addresses: addresses.into_iter().map(|(_, address)| address).collect(), ..listening }
    }

    /// Whether what comes to an address is protected on its way: by TLS of our own, by a proxy, or by never leaving the
    /// machine.
    pub(crate) fn admits(&self, address: SocketAddr) -> Result<(), PlainInTheOpen> {
        if self.tls.is_some() || self.behind_proxy || address.ip().to_canonical().is_loopback() {
            Ok(())
        } else {
            Err(PlainInTheOpen(address))
        }
    }
}

fn addresses(texts: &[String], path: &KeyPath, report: &mut Report) -> Vec<(usize, SocketAddr)> {
    if texts.is_empty() {
        report.unexpected(path, "at least one address");
    }
    let mut parsed = Vec::new();
    for (index, address) in texts.iter().enumerate() {
        match address.parse() {
            Ok(address) => parsed.push((index, address)),
            Err(_) => {
                report.unexpected(&path.index(index), "an IP address with a port, such as `127.0.0.1:4000`");
            }
        }
    }
    parsed
}

fn certificate(raw: &raw::Tls, at: &KeyPath, report: &mut Report) -> Option<Arc<TlsConfig>> {
    for (name, file) in [("certificate", &raw.certificate), ("key", &raw.key)] {
        if file.is_empty() {
            report.fault(&at.key(name), "expected the path of a PEM file");
        }
    }
    if raw.certificate.is_empty() || raw.key.is_empty() {
        return None;
    }
    let files =
        CertificateFiles { certificate: report.resolve(&raw.certificate), key: report.resolve(&raw.key) };
    if let Err(fault) = tls::certified_key(&files) {
        fault.report(&at.key("certificate"), &at.key("key"), at, report);
        return None;
    }
    Some(Arc::new(TlsConfig {
        certificates: vec![files],
        client_ca_file: None,
        client_certificate_required: false,
    }))
}
