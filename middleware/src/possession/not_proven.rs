//! [`NotProven`]: why a token does not count for the request that it came with.

use std::fmt;

/// Why a request does not prove that its token is its own to use. The words are for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotProven {
    /// A token that is bound to a key, in the scheme `Bearer` (RFC 9449 §7.2).
    BoundKeyAsBearer,
    /// A token that is bound to no key, in the scheme `DPoP`.
    NoKeyInDpop,
    /// A token that is bound to no key, where the resource takes no other.
    KeyRequired,
    /// A token that is bound in a way that nobody knows how to prove: see [`Confirmation`](super::Confirmation).
    Unprovable,
    /// A proof by another key than the one that the token is bound to.
    OtherKey,
    /// A token that is bound to a certificate, on a connection that has shown none.
    NoCertificate,
    /// A token that is bound to another certificate than that of the connection.
    OtherCertificate,
    /// More than one `DPoP` header (RFC 9449 §4.3, check 1).
    SeveralProofs,
    /// No `DPoP` header, or one that fails a check of RFC 9449 §4.3; which one.
    InvalidProof(&'static str),
    /// A proof without a nonce of ours, or with one that is too old (RFC 9449 §9).
    NonceNeeded,
}

impl NotProven {
    /// The error code (RFC 6750 §3.1, RFC 9449 §12.2).
    pub fn error(self) -> &'static str {
        match self {
            Self::BoundKeyAsBearer
            | Self::NoKeyInDpop
            | Self::KeyRequired
            | Self::Unprovable
            | Self::OtherKey
            | Self::NoCertificate
            | Self::OtherCertificate => "invalid_token",
            Self::SeveralProofs | Self::InvalidProof(_) => "invalid_dpop_proof",
            Self::NonceNeeded => "use_dpop_nonce",
        }
    }
}

impl fmt::Display for NotProven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BoundKeyAsBearer => {
                "The access token is bound to a key: use the scheme DPoP, with a proof of the key"
            }
            Self::NoKeyInDpop => "The access token is not bound to a key: use the scheme Bearer",
            Self::KeyRequired => "The access token must be bound to a key by DPoP",
            Self::Unprovable => "The access token is bound in a way that cannot be proved here",
            Self::OtherKey => "The access token is bound to another key than that of the DPoP proof",
            Self::NoCertificate => {
                "The access token is bound to a client certificate, and the connection has none"
            }
            Self::OtherCertificate => {
                "The access token is bound to another client certificate than that of the connection"
            }
            Self::SeveralProofs => "The request carries two DPoP headers",
            Self::InvalidProof(why) => why,
            Self::NonceNeeded => "The DPoP proof needs the nonce of the DPoP-Nonce header",
        })
    }
}
