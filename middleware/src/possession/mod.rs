//! PROVE: from a [`VerifiedToken`](crate::verifier::VerifiedToken) to a [`Caller`], who may use it.
//!
//! A bearer token is whoever's has it. One with a `cnf` claim (RFC 7800 §3) is bound to a key: it counts only together
//! with a proof of that key. A verifier of whatever make says what a token says, and this station alone says who calls;
//! [`Policy::decide`](crate::policy::Policy::decide) asks for a [`Caller`]. So a bound token never passes as a bearer
//! token.
//!
//! Two kinds of proof are known:
//! - `cnf.jkt`: a DPoP proof in a header, made for this request, this token and this moment, and used once (RFC 9449)
//! - `cnf.x5t#S256`: the certificate of the TLS connection, which the server hands on as [`PeerCertificate`] (RFC 8705)
//!
//! ```
//! use std::sync::Arc;
//! use mcp_auth::Caller;
//! use mcp_auth::policy::ScopeSet;
//! use mcp_auth::verifier::VerifiedToken;
//!
//! let token = |claims| {
//!     let scopes = ScopeSet::from_space_separated("notes:read");
//!     Arc::new(VerifiedToken::assert_verified("https://login.example", "alex", None, scopes, u64::MAX, claims))
//! };
//! assert!(Caller::bearer(token(serde_json::Map::new())).is_ok());
//!
//! let mut bound = serde_json::Map::new();
//! bound.insert("cnf".to_owned(), serde_json::json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}));
//! assert!(Caller::bearer(token(bound)).is_err());
//! ```

mod caller;
mod caller_token;
mod certificate;
mod confirmation;
mod key_proof;
mod nonce;
mod not_proven;
mod options;
mod proof;
pub(crate) mod prove;
mod target;

pub use caller::{BoundToken, Caller};
pub use caller_token::CallerToken;
pub use certificate::PeerCertificate;
pub use confirmation::Confirmation;
pub use key_proof::KeyProof;
pub use nonce::DpopNonces;
pub use not_proven::NotProven;
pub use options::DpopOptions;
