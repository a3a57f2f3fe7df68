//! Token status lists: access tokens that end before they expire (draft-ietf-oauth-status-list).
//!
//! An access token may name a place in a list that its issuer publishes and signs. [`StatusLists`] fetches the lists of
//! one issuer and keeps them for seconds; [`StatusVerifier`] stands around another verifier and looks each token up,
//! for every request, so that a token that another cache knows well is refused as soon as the list says so.
//!
//! ```
//! # use std::sync::Arc;
//! use mcp_auth::clock::{Clock, SystemClock};
//! use mcp_auth::verifier::keys::{FixedKeys, KeySource};
//! use mcp_auth::verifier::status_list::{StatusLists, StatusVerifier};
//! use mcp_auth::verifier::{Exchange, Issuer, JwtVerifier};
//!
//! # fn example(exchange: Arc<dyn Exchange>) -> Result<(), Box<dyn std::error::Error>> {
//! let clock: Arc<dyn Clock> = Arc::new(SystemClock);
//! let keys: Arc<dyn KeySource> = Arc::new(FixedKeys::from_jwks(r#"{"keys":[]}"#)?);
//! let jwt = JwtVerifier::builder("https://tools.example/mcp".parse()?, clock.clone())
//!     .issuer(Issuer::new("https://login.example", keys.clone()))
//!     .build()?;
//! // `exchange` is a `keys::HttpFetch`, or a client of your own.
//! let lists = StatusLists::builder("https://login.example", keys, exchange, clock)
//!     .hosts(["status.login.example"])
//!     .required()
//!     .build()?;
//! let verifier = StatusVerifier::new(Arc::new(jwt), [Arc::new(lists)]);
//! # let _ = verifier;
//! # Ok(()) }
//! ```

mod list;
mod lists;
mod reference;
mod signed;
mod verifier;

pub use list::{StatusList, StatusListError};
pub use lists::{StatusLists, StatusListsBuilder};
pub use verifier::StatusVerifier;

#[cfg(test)]
mod tests;
