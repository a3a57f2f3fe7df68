//! What may be used once.

use super::{Key, digest_of};

/// One use of something that may be used once: a DPoP proof, say (RFC 9449 §11.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    /// What is used, in [`Space::Replay`](super::Space::Replay).
    pub key: Key,
    /// On whose account it is remembered, so that nobody fills the store for all.
    pub account: Account,
    /// When it was made, in seconds since 1970, as whoever made it says.
    pub made_at: u64,
    /// When it is good no more, whatever the clock, in seconds since 1970.
    pub expires_at: u64,
}

/// Who fills a store: the SHA-256 of their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Account([u8; 32]);

impl Account {
    /// The account for these parts, whose lengths count.
    pub fn new(parts: &[&str]) -> Self {
        Self(digest_of(parts))
    }

    /// The digest, for a store that is shared.
    pub fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}
