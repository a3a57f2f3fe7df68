//! Getting a document from an issuer: a trait, so that tests need no network, and the default over reqwest.

use std::fmt;

use bytes::Bytes;
use url::Url;

use super::BoxFuture;

/// Gets small JSON documents: an issuer's metadata, its key set.
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

/// [`Fetch`] over HTTP: at most 1 MiB, 3 seconds to connect and 5 in all, no redirects.
#[cfg(feature = "jwks")]
#[derive(Debug, Clone)]
pub struct HttpFetch(reqwest::Client);

#[cfg(feature = "jwks")]
impl HttpFetch {
    const MOST_BYTES: usize = 1024 * 1024;

    /// A client with the trust roots of the operating system.
    ///
    /// # Errors
    /// The TLS backend cannot be set up.
    pub fn new() -> Result<Self, FetchError> {
        reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(std::time::Duration::from_secs(3))
            .timeout(std::time::Duration::from_secs(5))
            .build()
            .map(Self)
            .map_err(|error| FetchError::new(with_causes(&error)))
    }
}

#[cfg(feature = "jwks")]
impl Fetch for HttpFetch {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(async move {
            let failed = |error: reqwest::Error| FetchError::new(with_causes(&error));
            let mut response = self.0.get(url.clone()).send().await.map_err(failed)?;
            if response.status() != reqwest::StatusCode::OK {
                return Err(FetchError::new(format!(
                    "expected 200 from {url}, but found {}",
                    response.status()
                )));
            }
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(failed)? {
                if body.len().saturating_add(chunk.len()) > Self::MOST_BYTES {
                    return Err(FetchError::new(format!(
                        "expected at most {} bytes from {url}, but found more",
                        Self::MOST_BYTES
                    )));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body.into())
        })
    }
}

/// reqwest says *that* a request failed; why stands in the chain of causes.
#[cfg(feature = "jwks")]
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
