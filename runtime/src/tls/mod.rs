//! TLS towards clients: which certificate they see, and which they are asked for. Files that are renewed are taken over
//! while connections stand.

mod certificate;
mod reload;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;

use crate::files;

pub use certificate::{FileFault, certified_key};

/// What the listeners show to clients, and which clients they ask for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The first one is for names that no certificate is for.
    pub certificates: Vec<CertificateFiles>,
    /// Authorities of clients that authenticate by a certificate.
    pub client_ca_file: Option<PathBuf>,
    /// Whether a client without a certificate is turned away.
    pub client_certificate_required: bool,
}

/// A certificate and its key, where they are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and those between it and the authority, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// The TLS of all listeners, as the files last said that could be used.
#[derive(Clone, Debug)]
pub struct Tls {
    files: Arc<TlsConfig>,
    in_force: Arc<ArcSwap<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// In words: what is wrong with which file. They were in order when the configuration was read.
    pub fn new(files: Arc<TlsConfig>) -> anyhow::Result<Self> {
        let config = server_config(&files).map_err(anyhow::Error::msg)?;
        Ok(Self { files, in_force: Arc::new(ArcSwap::from_pointee(config)) })
    }

    /// What the next handshake is made with; one that has begun keeps what it began with.
    pub fn in_force(&self) -> Arc<ServerConfig> {
        self.in_force.load_full()
    }
}

/// The certificate authorities of a PEM file.
///
/// # Errors
///
/// In words that go on after "but".
pub fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let named = |fault: String| format!("`{}` {fault}", file.display());
    let pem = files::read(file).map_err(|reason| named(format!("cannot be read: {reason}")))?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|reason| named(format!("holds something else: {reason}")))?;
        store
            .add(certificate)
            .map_err(|reason| named(format!("holds a certificate that is not valid: {reason}")))?;
    }
    if store.is_empty() {
        return Err(named("holds none".to_owned()));
    }
    Ok(store)
}

/// Reads every file anew.
fn server_config(files: &TlsConfig) -> Result<ServerConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|reason| format!("TLS cannot be set up: {reason}"))?;
    let builder = match &files.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(file)?), provider);
            let verifier =
                if files.client_certificate_required { verifier } else { verifier.allow_unauthenticated() };
            let verifier =
                verifier.build().map_err(|reason| format!("clients cannot be verified: {reason}"))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(certificate::BySni::read(files)?));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // a client that comes back is known by what it brings, not by what is kept for it here
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()
        .map_err(|reason| format!("session tickets cannot be set up: {reason}"))?;
    Ok(config)
}
