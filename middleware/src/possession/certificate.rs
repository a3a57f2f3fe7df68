//! Tokens that are bound to the certificate of a TLS connection (RFC 8705 §3).

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The certificate that the client of this connection has authenticated with, in the extensions of a request.
///
/// A token with `cnf.x5t#S256` counts on connections of this certificate alone.
///
/// Deployment: only the server that terminates TLS may insert it, from the connection itself. One that is made of a
/// header is whatever the sender of the header likes it to be; where a proxy terminates TLS, and only that proxy can
/// reach the server, take off every such header that the proxy did not set before you trust it.
///
/// ```
/// use mcp_auth::possession::PeerCertificate;
///
/// # let chain: Vec<Vec<u8>> = vec![b"der".to_vec()];
/// // The first one of the chain is the client's own: `peer_certificates()` of rustls.
/// let mut request = http::Request::new(());
/// if let Some(end_entity) = chain.first() {
///     request.extensions_mut().insert(PeerCertificate::from_der(end_entity));
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    thumbprint: Box<str>,
}

impl PeerCertificate {
    /// The client's end-entity certificate in DER.
    pub fn from_der(der: impl AsRef<[u8]>) -> Self {
        Self { thumbprint: URL_SAFE_NO_PAD.encode(digest(&SHA256, der.as_ref())).into() }
    }

    /// The SHA-256 of the DER, in base64url without padding: what `x5t#S256` has (RFC 8705 §3.1).
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerCertificate({})", self.thumbprint)
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// RFC 8705, Appendix A: the certificate of figure 7 and its thumbprint of figure 6.
    #[test]
    fn the_example_of_the_rfc() {
        let pem = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx\
            ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG\
            SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ\
            /Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID\
            SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV\
            bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";
        let certificate = PeerCertificate::from_der(STANDARD.decode(pem).unwrap());
        assert_eq!(certificate.thumbprint(), "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0");
    }
}
