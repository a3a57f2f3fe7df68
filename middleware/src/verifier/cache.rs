//! [`VerifiedTokens`]: what has been verified need not be verified again while all holds that made it good.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use serde_json::{Map, Value};

use super::VerifiedToken;
use super::fingerprint::{Fingerprint, Fingerprints};
use super::keys::VerificationKey;

/// What an entry takes besides the token's claims: key, list nodes and bookkeeping of the cache. Estimated upwards.
const BYTES_AROUND_AN_ENTRY: usize = 512;

/// How many tokens are known as expired: some 100 bytes each. An issuer signs no token that expired before it was signed, so
/// that nobody makes these at will.
const EXPIRED_KEPT: u64 = 10_000;

/// The tokens that verifiers have found good, held by a fingerprint under a secret key, never by the token itself.
///
/// Only good tokens are held. One is served from here while `nbf` ≤ now < `exp`, without leeway; outside of that, and
/// as soon as the key that it was signed with is gone from its issuer's keys, it is verified anew.
///
/// What has been refused because it expired is known as well, the 10,000 seen last: a clock that is set back makes none
/// of them good again.
///
/// Clones share their content. Verifiers that share a handle share its bound and its evictions, and nothing else: a
/// token that one of them accepts is unknown to the others.
///
/// Default: 16 MiB.
///
/// ```
/// use mcp_auth::verifier::VerifiedTokens;
///
/// let tokens = VerifiedTokens::with_capacity_bytes(4 * 1024 * 1024);
/// // … give a clone to each verifier, and keep one for the day that somebody is locked out:
/// assert_eq!(tokens.evict_subject("https://login.example", "alex"), 0);
/// ```
///
/// Deployment: evicting makes a token go through its verifier again. That ends it where the verifier asks somebody (RFC
/// 7662, a status list); a JWT that nobody is asked about stays good until `exp`.
#[derive(Clone)]
pub struct VerifiedTokens(Arc<Shared>);

struct Shared {
    entries: Cache<Fingerprint, Arc<Remembered>, RandomState>,
    /// What was refused since it had expired.
    expired: Cache<Fingerprint, (), RandomState>,
    fingerprints: Fingerprints,
    /// How often something was evicted: a token that was verified meanwhile may be one of those meant.
    evictions: AtomicU64,
    partitions: AtomicU64,
}

impl VerifiedTokens {
    /// Holds as many tokens as fit into about this many bytes, the ones used last. With 0 it holds none.
    pub fn with_capacity_bytes(bytes: u64) -> Self {
        let entries = Cache::builder()
            .max_capacity(bytes)
            .weigher(|_: &Fingerprint, remembered: &Arc<Remembered>| remembered.weight)
            // Whoever has a good token is let in: with a policy by frequency, expired tokens that were popular once
            // would keep new ones out.
            .eviction_policy(EvictionPolicy::lru())
            // fingerprints are made under a secret key: nobody can choose two that meet in one place
            .build_with_hasher(RandomState::default());
        let expired = Cache::builder()
            .max_capacity(if bytes == 0 { 0 } else { EXPIRED_KEPT })
            .eviction_policy(EvictionPolicy::lru())
            .build_with_hasher(RandomState::default());
        Self(Arc::new(Shared {
            entries,
            expired,
            fingerprints: Fingerprints::new(),
            evictions: AtomicU64::new(0),
            partitions: AtomicU64::new(0),
        }))
    }

    /// Evicts the tokens of one principal; says how many there were.
    pub fn evict_subject(&self, issuer: &str, subject: &str) -> usize {
        self.evict_tokens(|token| token.issuer() == issuer && token.subject() == subject)
    }

    /// Evicts the tokens that an issuer gave to one client; says how many there were.
    pub fn evict_client(&self, issuer: &str, client_id: &str) -> usize {
        self.evict_tokens(|token| token.issuer() == issuer && token.client_id() == Some(client_id))
    }

    /// Evicts the tokens with this `jti` (RFC 7519 §4.1.7); says how many there were.
    pub fn evict_jti(&self, issuer: &str, jti: &str) -> usize {
        self.evict_tokens(|token| {
            token.issuer() == issuer && token.claim("jti").and_then(Value::as_str) == Some(jti)
        })
    }

    /// Evicts all tokens of one issuer; says how many there were.
    pub fn evict_issuer(&self, issuer: &str) -> usize {
        self.evict_tokens(|token| token.issuer() == issuer)
    }

    fn evict_tokens(&self, meant: impl Fn(&VerifiedToken) -> bool) -> usize {
        self.evict(|remembered| meant(&remembered.token))
    }

    fn evict(&self, meant: impl Fn(&Remembered) -> bool) -> usize {
        // Before the search, so that what is inserted behind its back sees it: see `Partition::remember`.
        self.0.evictions.fetch_add(1, Ordering::SeqCst);
        let found: Vec<Fingerprint> = self
            .0
            .entries
            .iter()
            .filter(|(_, remembered)| meant(remembered))
            .map(|(fingerprint, _)| *fingerprint)
            .collect();
        for fingerprint in &found {
            self.0.entries.invalidate(fingerprint);
        }
        found.len()
    }

    /// How many good tokens it holds, and how many that expired.
    #[cfg(test)]
    pub(super) fn held(&self) -> (u64, u64) {
        self.0.entries.run_pending_tasks();
        self.0.expired.run_pending_tasks();
        (self.0.entries.entry_count(), self.0.expired.entry_count())
    }

    /// A part of the cache for one verifier, whose tokens no other one sees.
    pub(super) fn partition(&self) -> Partition {
        Partition { tokens: self.clone(), number: self.0.partitions.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self::with_capacity_bytes(16 * 1024 * 1024)
    }
}

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedTokens")
            .field("entries", &self.0.entries.entry_count())
            .field("bytes", &self.0.entries.weighted_size())
            .finish_non_exhaustive()
    }
}

/// A verifier's own part of a [`VerifiedTokens`]: what it accepts depends on its issuers and its audience, so that
/// another one's answers are not its.
#[derive(Debug)]
pub(super) struct Partition {
    tokens: VerifiedTokens,
    number: u64,
}

/// A token that was found good.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) token: Arc<VerifiedToken>,
    /// Seconds since 1970: served from this one on, and not from that one on.
    from: u64,
    until: u64,
    /// What it was signed with, where it is a JWT.
    pub(super) signed_with: Option<SignedWith>,
    weight: u32,
    partition: u64,
}

/// The key of a signature, and what to ask a key source to see whether it still has it.
#[derive(Debug)]
pub(super) struct SignedWith {
    pub(super) key: Arc<VerificationKey>,
    pub(super) algorithm: jsonwebtoken::Algorithm,
}

impl Remembered {
    /// To be served while `from` ≤ now < `until`, in seconds since 1970.
    pub(super) fn new(
        token: Arc<VerifiedToken>,
        from: u64,
        until: u64,
        signed_with: Option<SignedWith>,
    ) -> Self {
        let bytes = BYTES_AROUND_AN_ENTRY.saturating_add(size_of::<VerifiedToken>()).saturating_add(
            token.claims().iter().fold(0, |sum: usize, (name, value)| {
                sum.saturating_add(name.len()).saturating_add(bytes_of(value))
            }),
        );
        Self {
            token,
            from,
            until,
            signed_with,
            weight: u32::try_from(bytes).unwrap_or(u32::MAX),
            partition: 0,
        }
    }
}

/// The room that a claim takes. Scopes, subject and client are held as claims, in their own form, and as what the program
/// around the layer [keeps](VerifiedToken::kept), such as headers and a piece of a log.
fn bytes_of(value: &Value) -> usize {
    // With `preserve_order`, which any crate in a program may switch on, a value is more than twice as large.
    const NODE: usize = size_of::<Value>() + 32;
    let inside = match value {
        Value::String(text) => text.len().saturating_mul(4),
        Value::Array(values) => values.iter().map(bytes_of).fold(0, usize::saturating_add),
        Value::Object(members) => bytes_of_members(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    NODE.saturating_add(inside)
}

fn bytes_of_members(members: &Map<String, Value>) -> usize {
    members
        .iter()
        .map(|(name, value)| name.len().saturating_add(bytes_of(value)))
        .fold(0, usize::saturating_add)
}

/// Where a token is remembered, or could be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// None: it cannot be remembered.
    fingerprint: Option<Fingerprint>,
    evictions: u64,
}

impl Place {
    /// What tells the tokens of a verifier apart.
    pub(super) fn fingerprint(&self) -> Option<Fingerprint> {
        self.fingerprint
    }
}

impl Partition {
    /// The place of a token, and what is remembered there, if it is in force `now`.
    pub(super) fn find(&self, token: &str, now: u64) -> (Place, Option<Arc<Remembered>>) {
        let shared = &*self.tokens.0;
        // Before the token is verified: an eviction from here on may mean it.
        let evictions = shared.evictions.load(Ordering::SeqCst);
        let fingerprint = shared.fingerprints.of(self.number, token);
        let remembered = fingerprint
            .and_then(|fingerprint| shared.entries.get(&fingerprint))
            .filter(|remembered| (remembered.from..remembered.until).contains(&now));
        (Place { fingerprint, evictions }, remembered)
    }

    /// Remembers what was verified since `find`, unless something was evicted meanwhile.
    pub(super) fn remember(&self, place: Place, mut remembered: Remembered) {
        let shared = &*self.tokens.0;
        let evicted = || shared.evictions.load(Ordering::SeqCst) != place.evictions;
        let Some(fingerprint) = place.fingerprint.filter(|_| !evicted()) else { return };
        remembered.partition = self.number;
        shared.entries.insert(fingerprint, Arc::new(remembered));
        // An eviction that began before this line may have searched before the line above.
        if evicted() {
            self.forget(place);
        }
    }

    /// From now on it has expired, whatever the clock says later.
    pub(super) fn expire(&self, place: Place) {
        if let Some(fingerprint) = place.fingerprint {
            self.tokens.0.expired.insert(fingerprint, ());
        }
        self.forget(place);
    }

    /// Whether it was refused before since it had expired.
    pub(super) fn has_expired(&self, place: Place) -> bool {
        place.fingerprint.is_some_and(|fingerprint| self.tokens.0.expired.contains_key(&fingerprint))
    }

    /// Forgets what is not true any more.
    pub(super) fn forget(&self, place: Place) {
        if let Some(fingerprint) = &place.fingerprint {
            self.tokens.0.entries.invalidate(fingerprint);
        }
    }
}

impl Drop for Partition {
    /// A verifier that is gone, since its issuers were loaded again, leaves nothing.
    fn drop(&mut self) {
        self.tokens.evict(|remembered| remembered.partition == self.number);
    }
}

#[cfg(test)]
mod tests;
