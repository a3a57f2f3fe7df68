//! Keys that are given once.

use std::sync::Arc;

use jsonwebtoken::Algorithm;

use super::set::KeySet;
use super::{BoxFuture, KeySource, VerificationKey, VerifyError};
use crate::ConfigError;

/// Keys out of a document that the operator gives.
#[derive(Debug)]
pub struct FixedKeys(KeySet);

impl FixedKeys {
    /// Reads a JSON Web Key Set (RFC 7517 §5). Keys of a kind that is not supported, symmetric ones above all, are left out.
    ///
    /// # Errors
    /// The text is no JSON object with an array of `keys`.
    pub fn from_jwks(json: &str) -> Result<Self, ConfigError> {
        KeySet::from_jwks(json).map(Self)
    }

    /// Whether there is no key that could verify anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl KeySource for FixedKeys {
    fn key<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> BoxFuture<'a, Result<Option<Arc<VerificationKey>>, VerifyError>> {
        Box::pin(std::future::ready(Ok(self.0.find(kid, algorithm))))
    }
}
