//! What has to be remembered from one request to the next: used proofs, owners of sessions, makers of tasks, and what
//! was taken of a quota.
//!
//! Everything else that the layer decides, it decides from the request alone. A single instance keeps this in memory;
//! several that share their callers share an implementation of [`State`] as well. The layer itself has no quotas: they
//! are for the program around it, which has the same need to share them.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), mcp_auth::state::StateError> {
//! use std::sync::Arc;
//! use mcp_auth::clock::ManualClock;
//! use mcp_auth::state::{Account, Key, MemoryState, Once, Space, State};
//!
//! let state = MemoryState::new(Arc::new(ManualClock::at(1_000)));
//! let proof = Once {
//!     key: Key::new(Space::Replay, &["https://tools.example/mcp", "the jti of a proof"]),
//!     account: Account::new(&["https://login.example", "alex"]),
//!     made_at: 999,
//!     expires_at: 1_060,
//! };
//! assert!(state.use_once(proof).await?, "it is new");
//! assert!(!state.use_once(proof).await?, "it was used before");
//! # Ok(()) }
//! ```

mod memory;
mod once;
mod quota;
mod rates;

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;

pub use memory::MemoryState;
pub use once::{Account, Once};
pub use quota::{Admission, Quota, Take};
pub use rates::{Bucket, NotNow, Rates};

use crate::verifier::BoxFuture;

/// A small store with atomic verbs. Keys are digests: nothing that comes out of it identifies anyone.
///
/// An implementation may forget a value early, which costs its user a new session. It must not forget what was
/// [used once](Self::use_once) before it expires: where there is no room, it must fail.
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

    /// Whether this is the first use of something that may be used once. Of several callers at once, one is the first.
    ///
    /// A store that can lose what it was told, and comes back empty, has to know since when it knows: what was made no
    /// later than that may have been used before, and is not the first use.
    ///
    /// # Errors
    /// The store cannot be reached, or has no room for more of this account.
    fn use_once(&self, once: Once) -> BoxFuture<'_, Result<bool, StateError>>;

    /// Takes from several buckets, from each or from none; the same bucket is named once.
    ///
    /// # Errors
    /// The store cannot be reached.
    fn take<'a>(&'a self, takes: &'a [Take<'a>]) -> BoxFuture<'a, Result<Admission, StateError>>;
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
    /// What was taken of a quota.
    Rate,
}

impl Space {
    /// A name for keys in a store that is shared.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Session => "session",
            Self::Task => "task",
            Self::Rate => "rate",
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
        Self { space, digest: digest_of(parts) }
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

fn digest_of(parts: &[&str]) -> [u8; 32] {
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
    digest
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
