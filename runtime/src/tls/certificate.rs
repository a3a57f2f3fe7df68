//! The server's own certificates.

use std::path::Path;
use std::sync::Arc;

use mcp_auth::document::KeyPath;
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{CertificateFiles, TlsConfig};
use crate::config::Report;
use crate::files;

/// What is wrong with a certificate and its key, in words that go on after "but".
#[derive(Debug)]
pub enum FileFault {
    /// With the certificate.
    Certificate(String),
    /// With its key.
    Key(String),
    /// Each may be well; together they are not.
    Mismatch(String),
}

impl FileFault {
    /// Says it of the keys of a configuration that name the two files; `at` is what holds both.
    pub fn report(self, certificate: &KeyPath, key: &KeyPath, at: &KeyPath, report: &mut Report) {
        match self {
            Self::Certificate(fault) => {
                report.fault(certificate, format!("expected a certificate in PEM, but {fault}"));
            }
            Self::Key(fault) => report.fault(key, format!("expected a private key in PEM, but {fault}")),
            Self::Mismatch(fault) => report.fault(at, fault),
        }
    }
}

/// The certificate chain and the key, which belong together.
///
/// # Errors
///
/// What is wrong with which of the two.
pub fn certified_key(files: &CertificateFiles) -> Result<CertifiedKey, FileFault> {
    let named = |file: &Path, fault: String| format!("`{}` {fault}", file.display());
    let chain = || -> Result<Vec<CertificateDer<'static>>, String> {
        let pem = files::read(&files.certificate).map_err(|reason| format!("cannot be read: {reason}"))?;
        let chain = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|reason| format!("holds something else: {reason}"))?;
        let own = chain.first().ok_or("holds none")?;
        ParsedCertificate::try_from(own)
            .map_err(|reason| format!("holds a certificate that is not valid: {reason}"))?;
        Ok(chain)
    };
    let chain = chain().map_err(|fault| FileFault::Certificate(named(&files.certificate, fault)))?;
    let pem = zeroize::Zeroizing::new(
        files::read(&files.key)
            .map_err(|reason| FileFault::Key(named(&files.key, format!("cannot be read: {reason}"))))?,
    );
    // the parser's own words could show a piece of the key
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| FileFault::Key(named(&files.key, "holds none that can be read".to_owned())))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(key).map_err(|_| {
        FileFault::Key(named(&files.key, "holds one of a kind that cannot be used".to_owned()))
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // where the key does not tell, the handshake will
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
        Err(_) => Err(FileFault::Mismatch(format!(
            "expected a certificate and its key, but `{}` is not the key of `{}`",
            files.key.display(),
            files.certificate.display(),
        ))),
    }
}

/// Chooses by the name that the client asks for.
#[derive(Debug)]
pub(super) struct BySni(Vec<Arc<CertifiedKey>>);

impl BySni {
    /// # Errors
    ///
    /// In words.
    pub(super) fn read(files: &TlsConfig) -> Result<Self, String> {
        let read = |files| match certified_key(files) {
            Ok(key) => Ok(Arc::new(key)),
            Err(FileFault::Certificate(fault)) => Err(format!("expected a certificate in PEM, but {fault}")),
            Err(FileFault::Key(fault)) => Err(format!("expected a private key in PEM, but {fault}")),
            Err(FileFault::Mismatch(fault)) => Err(fault),
        };
        files.certificates.iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| ServerName::try_from(name).ok()).and_then(|name| {
            self.0.iter().find(|known| {
                known.cert.first().is_some_and(|own| {
                    ParsedCertificate::try_from(own).is_ok_and(|own| verify_server_name(&own, &name).is_ok())
                })
            })
        });
        named.or_else(|| self.0.first()).cloned()
    }
}
