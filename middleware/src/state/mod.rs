//! What has to be remembered from one request to the next: used proofs, owners of sessions, makers of tasks.
//!
//! Everything else that the layer decides, it decides from the request alone. A single instance keeps this in memory;
//! several that share their callers share an implementation of [`State`] as well.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), mcp_auth::state::StateError> {
//! use std::sync::Arc;
//! use mcp_auth::clock::ManualClock;
//! use mcp_auth::state::{Key, MemoryState, Space, State};
//!
//! let state = MemoryState::new(Arc::new(ManualClock::at(1_000)));
//! let proof = Key::new(Space::Replay, &["https://tools.example/mcp", "the jti of a proof"]);
//! assert!(state.insert(proof, "".into(), 1_060).await?, "it is new");
//! assert!(!state.insert(proof, "".into(), 1_060).await?, "it was used before");
//! # Ok(()) }
//! ```

mod memory;

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;

pub use memory::MemoryState;

use crate::verifier::BoxFuture;

/// A small store with atomic verbs. Keys are digests: nothing that comes out of it identifies anyone.
///
/// An implementation may forget a value of [`Space::Session`] or [`Space::Task`] early, which costs its user a new
/// session. It must not forget one of [`Space::Replay`] before it expires: where there is no room, it must fail.
pub trait State: fmt::Debug + Send + Sync + 'static {
    /// Stores a value where there is none; `false` where there is one, which stays. `expires_at` is in seconds since 1970.
    ///
    /// # Errors
    /// The store cannot be reached, or has no room.
    fn insert(&self, key: Key, value: Bytes, expires_at: u64) -> BoxFuture<'_, Result<bool, StateError>>;

    /// The value, unless it expired.
    ///
    /// # Errors
    /// The store cannot be reached.
    fn get(&self, key: Key) -> BoxFuture<'_, Result<Option<Bytes>, StateError>>;

    /// Replaces the value if it is `expected`, and says whether it was. Of several callers at once, one succeeds.
    ///
    /// # Errors
    /// The store cannot be reached.
    fn compare_and_set(
        &self,
        key: Key,
        expected: Bytes,
        value: Bytes,
        expires_at: u64,
    ) -> BoxFuture<'_, Result<bool, StateError>>;
}

/// What a value is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// Identifiers that may be used once (RFC 9449 §11.1).
    Replay,
    /// Who a session belongs to.
    Session,
    /// Who made a task, and by which tool.
    Task,
}

impl Space {
    /// A name for keys in a store that is shared.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Session => "session",
            Self::Task => "task",
        }
    }
}

/// Where a value is kept: the SHA-256 of what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    space: Space,
    digest: [u8; 32],
}

impl Key {
    /// The key for these parts, whose lengths count: `["ab", "c"]` is not `["a", "bc"]`.
    pub fn new(space: Space, parts: &[&str]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut digest = [0; 32];
        // SHA-256 has 32 bytes: the lengths agree.
        for (to, from) in digest.iter_mut().zip(context.finish().as_ref()) {
            *to = *from;
        }
        Self { space, digest }
    }

    /// What the value is about.
    pub fn space(&self) -> Space {
        self.space
    }

    /// The digest, for a store that is shared.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

/// A store that cannot do what it is asked; for the operator's log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StateError(String);

impl StateError {
    /// An error with these words.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
