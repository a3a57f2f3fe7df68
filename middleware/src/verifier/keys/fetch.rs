//! Getting a document from an issuer: a trait, so that tests need no network.

use std::fmt;

use bytes::Bytes;
use url::Url;

use super::BoxFuture;

/// Gets small JSON documents: an issuer's metadata, its key set.
///
/// An implementation must bound the time and the size of an answer: who waits for keys waits for it.
pub trait Fetch: fmt::Debug + Send + Sync + 'static {
    /// The body of a 200 answer.
    ///
    /// # Errors
    /// Everything else. Redirects are not followed: whoever can place one could otherwise point at keys of their own.
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>>;
}

/// Why a document could not be had; for the operator's log, never for a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FetchError(String);

impl FetchError {
    /// An error with these words.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
