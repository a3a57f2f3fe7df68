//! Asking an authorization server something: a trait, so that tests need no network.

use std::fmt;

use bytes::Bytes;
use http::{Request, Response};

use super::BoxFuture;
use super::keys::FetchError;

/// Sends one small request and reads the whole answer, whatever its status.
///
/// [`Fetch`](super::keys::Fetch) is enough to get a document. This is for what needs a body or headers: introspection
/// (RFC 7662 §2.1) and token status lists. `keys::HttpFetch` is both.
///
/// An implementation must bound the time and the size of the answer, and must not follow redirects: the request may
/// carry credentials and tokens, which are for the server that the operator named and for no other.
pub trait Exchange: fmt::Debug + Send + Sync + 'static {
    /// The answer to `request`, whose URI is absolute.
    ///
    /// # Errors
    /// There is no whole answer. The message must not quote the request: it holds secrets.
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, FetchError>>;
}
