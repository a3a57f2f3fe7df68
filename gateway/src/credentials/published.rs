//! [`PublishedKeys`]: the gateway's own JSON Web Key Set, by which upstreams verify its assertions.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use jsonwebtoken::jwk::{Jwk, JwkSet};

use super::assertion::Assertions;
use super::{Credentials, Kind};

/// The public keys of all routes with assertions, each once.
#[derive(Clone, Debug)]
pub(crate) struct PublishedKeys(Vec<Arc<Assertions>>);

impl PublishedKeys {
    /// Those of some credentials; `None` where none of them signs anything.
    pub(crate) fn of<'a>(credentials: impl IntoIterator<Item = &'a Credentials>) -> Option<Self> {
        let signing = credentials.into_iter().filter_map(|credentials| match &credentials.0 {
            Kind::Assertion(assertions) => Some(Arc::clone(assertions)),
            _ => None,
        });
        Some(signing.collect::<Vec<_>>()).filter(|all| !all.is_empty()).map(Self)
    }

    /// The answer to a request for the keys (RFC 7517 §5).
    pub(crate) fn respond(&self, method: &Method) -> Response<Bytes> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let mut keys: Vec<Jwk> = Vec::new();
        for key in self.0.iter().flat_map(|assertions| assertions.published()) {
            if !keys.iter().any(|known| known.common.key_id == key.common.key_id) {
                keys.push(key);
            }
        }
        // whoever keeps them so long still knows each key before it signs
        let seconds = self.0.iter().map(|assertions| assertions.publish_ahead_seconds()).min().unwrap_or(0);
        let body = serde_json::to_vec(&JwkSet { keys }).unwrap_or_default();
        let mut response = Response::new(Bytes::from(body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Ok(value) = HeaderValue::try_from(format!("public, max-age={seconds}")) {
            headers.insert(CACHE_CONTROL, value);
        }
        response
    }
}
