//! TLS towards upstreams: always verified, always with the server's name.

use std::sync::Arc;

use hyper_rustls::ConfigBuilderExt as _;
use rustls::client::ResolvesClientCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::config::Authorities;

/// What a client of TLS is set up with.
///
/// # Errors
///
/// If TLS, or the system's certificate authorities, cannot be set up.
pub(super) fn client_config(
    authorities: Option<&Authorities>,
    certificate: Option<Arc<CertifiedKey>>,
    http2: bool,
) -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match authorities {
        Some(authorities) => builder.with_root_certificates(Arc::clone(&authorities.0)),
        None => builder.try_with_platform_verifier()?,
    };
    let mut config = match certificate {
        Some(certificate) => {
            let resolver: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(certificate));
            builder.with_client_cert_resolver(resolver)
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols =
        if http2 { vec![b"h2".to_vec(), b"http/1.1".to_vec()] } else { vec![b"http/1.1".to_vec()] };
    Ok(Arc::new(config))
}
