//! Where verification keys come from: [`FixedKeys`], or [`RemoteKeys`] that follow an issuer's key set.

mod fetch;
mod fixed;
#[cfg(feature = "jwks")]
mod http;
mod remote;
mod set;

pub use fetch::{Fetch, FetchError};
pub use fixed::FixedKeys;
#[cfg(feature = "jwks")]
pub use http::{HttpFetch, HttpFetchBuilder};
pub use remote::RemoteKeys;
pub(super) use remote::is_https_or_local;
pub use set::VerificationKey;

use std::fmt;
use std::sync::Arc;

use super::{BoxFuture, VerifyError};

/// Finds the key for a token.
pub trait KeySource: fmt::Debug + Send + Sync + 'static {
    /// The key with the token's `kid` that may be used with `algorithm`; without a `kid`, the only one that may.
    ///
    /// # Errors
    /// [`VerifyError::Unavailable`] where the keys cannot be had; `None` is that there is no such key.
    fn key<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: jsonwebtoken::Algorithm,
    ) -> BoxFuture<'a, Result<Option<Arc<VerificationKey>>, VerifyError>>;
}
