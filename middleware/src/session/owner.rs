//! [`Principal`]: who a session or a task belongs to, as a digest.

use crate::possession::Caller;
use crate::state::{Key, Space};

/// The SHA-256 of an issuer and a subject: enough to compare, and of a fixed size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Principal([u8; 32]);

impl Principal {
    pub(crate) const LENGTH: usize = 32;

    pub(crate) fn new(issuer: &str, subject: &str) -> Self {
        Self(*Key::new(Space::Session, &[issuer, subject]).digest())
    }

    pub(crate) fn of(caller: &Caller) -> Self {
        caller.token().principal()
    }

    pub(crate) const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}
