//! The keys that this server signs with: made at the first start, published before they sign, replaced on schedule or by
//! command, and removed once nothing that they signed can be good any more. They live in the database, so that all
//! servers on it have the same; `schedule` says which one signs, from their dates alone.

pub(crate) mod admin;
mod algorithm;
mod key;
mod schedule;
mod seal;

use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use jsonwebtoken::{Header, Validation, jwk::JwkSet};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Mutex;

use self::key::Key;
pub(crate) use self::{
    algorithm::Algorithm,
    key::{OLD_SEALING_KEY_VARIABLE, SEALING_KEY_VARIABLE},
    schedule::{Due, Schedule, Term},
    seal::SealingKey,
};
use crate::{
    audit,
    model::audit::{AuditEvent, AuditKind},
    outside::{Clock, Timestamp},
    storage::{Storage, StoredKey},
};

/// For so many seconds after one look into the database for a key that is not known, there is no other: anybody can write
/// the name of a key into a token.
const UNKNOWN_KEY_PAUSE: i64 = 5;

/// What is signed here. Its `typ` keeps one from passing as another (RFC 8725 §3.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenType {
    /// RFC 9068 §2.1.
    Access,
    /// OpenID Connect Core §2.
    Id,
    /// draft-ietf-oauth-status-list §5.1.
    StatusList,
}

impl TokenType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "at+jwt",
            Self::Id => "JWT",
            Self::StatusList => "statuslist+jwt",
        }
    }
}

/// Nothing could be signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    #[error("there is no signing key")]
    NoKey,
    #[error("the signing key does not sign")]
    Failed(#[from] jsonwebtoken::errors::Error),
}

/// What the operator wants of the keys.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) schedule: Schedule,
    /// What private keys are encrypted with in the database, if they are.
    pub(crate) sealing: Option<Arc<SealingKey>>,
    /// Seconds that the longest-lived of what is signed lives.
    pub(crate) longest_lifetime: i64,
}

impl Settings {
    /// Until when a key is needed that signs until `until`. Somewhat longer, so that it need not be said each second.
    fn needed_until(&self, until: Timestamp) -> Timestamp {
        until.plus_seconds(self.longest_lifetime + 2 * self.schedule.reload_seconds())
    }
}

/// The keys as this server knows them.
pub(crate) struct SigningKeys {
    settings: Settings,
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    held: ArcSwap<Held>,
    /// When a key that is not known was looked for last. One looks at a time.
    looked_at: Mutex<Option<Timestamp>>,
}

/// What was read from the database last.
struct Held {
    keys: Vec<Arc<Key>>,
    published: JwkSet,
}

impl Held {
    fn new(keys: Vec<Arc<Key>>) -> Self {
        let published = JwkSet { keys: keys.iter().map(|key| key.jwk.clone()).collect() };
        Self { keys, published }
    }

    fn find(&self, kid: &str) -> Option<&Arc<Key>> {
        self.keys.iter().find(|key| key.term.kid == kid)
    }

    fn terms(&self) -> Vec<Term> {
        self.keys.iter().map(|key| key.term.clone()).collect()
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeys").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl SigningKeys {
    /// Loads the keys, after making the first where there is none.
    ///
    /// # Errors
    /// When the database fails, or has a key that cannot be used: one that is encrypted, and with which key is not known,
    /// above all.
    pub(crate) async fn start(
        storage: Arc<dyn Storage>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> anyhow::Result<Self> {
        let keys = Self {
            settings,
            storage,
            clock,
            held: ArcSwap::from_pointee(Held::new(Vec::new())),
            looked_at: Mutex::new(None),
        };
        keys.look_after().await?;
        Ok(keys)
    }

    /// The JSON Web Key Set, public members only (RFC 7517 §5).
    pub(crate) fn published(&self) -> JwkSet {
        self.held.load().published.clone()
    }

    /// Seconds that a copy of the published keys may be kept.
    pub(crate) fn published_max_age(&self) -> i64 {
        self.settings.schedule.published_max_age()
    }

    /// The algorithms of the published keys, each once.
    pub(crate) fn algorithms(&self) -> Vec<&'static str> {
        let held = self.held.load();
        let mut names: Vec<_> = held.keys.iter().map(|key| key.term.algorithm.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Signs claims.
    pub(crate) fn sign(&self, kind: TokenType, claims: &impl Serialize) -> Result<String, SignError> {
        let held = self.held.load();
        let terms = held.keys.iter().map(|key| &key.term);
        let signer = self.settings.schedule.signer(terms, self.clock.now());
        let key = signer.and_then(|term| held.find(&term.kid)).ok_or(SignError::NoKey)?;
        let mut header = Header::new(key.term.algorithm.jose());
        header.typ = Some(kind.as_str().to_owned());
        header.kid = Some(key.term.kid.clone());
        Ok(jsonwebtoken::encode(&header, claims, &key.encoding)?)
    }

    /// The claims of what this server signed, expired or not; `None` for anything else.
    pub(crate) async fn read_own<C: DeserializeOwned>(
        &self,
        kind: TokenType,
        token: &str,
        issuer: &str,
    ) -> Option<C> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if header.typ.as_deref() != Some(kind.as_str()) || header.crit.is_some() {
            return None;
        }
        let key = self.known(header.kid.as_deref()?).await?;
        let mut validation = Validation::new(key.term.algorithm.jose());
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.set_issuer(&[issuer]);
        validation.set_required_spec_claims(&["iss"]);
        Some(jsonwebtoken::decode::<C>(token, &key.decoding, &validation).ok()?.claims)
    }

    /// The key of a name. Another server may have made it a moment ago.
    async fn known(&self, kid: &str) -> Option<Arc<Key>> {
        if let Some(key) = self.held.load().find(kid) {
            return Some(Arc::clone(key));
        }
        let mut looked_at = self.looked_at.lock().await;
        let now = self.clock.now();
        let lately = |at: Timestamp| (0..UNKNOWN_KEY_PAUSE).contains(&now.seconds_since(at));
        if self.held.load().find(kid).is_none() && !looked_at.is_some_and(lately) {
            *looked_at = Some(now);
            match self.read().await {
                Ok(held) if held.keys.is_empty() => {}
                Ok(held) => self.held.store(Arc::new(held)),
                Err(error) => tracing::error!("the signing keys could not be read: {error:#}"),
            }
        }
        self.held.load().find(kid).map(Arc::clone)
    }

    /// Looks after the keys as long as the server runs. It is done at the start as well.
    pub(crate) async fn look_after_always(&self) {
        let every = self.settings.schedule.reload_seconds();
        let mut next = self.clock.now().plus_seconds(every);
        loop {
            self.clock.sleep_until(next).await;
            next = self.clock.now().plus_seconds(every);
            // what is at hand goes on signing: the others know it as well
            if let Err(error) = self.look_after().await {
                tracing::error!("the signing keys could not be looked after: {error:#}");
            }
        }
    }

    /// Reads the keys, makes those that are due, says how long the one that signs is needed, and removes those that are
    /// over. Any number of servers may do this at once.
    async fn look_after(&self) -> anyhow::Result<()> {
        let schedule = &self.settings.schedule;
        let now = self.clock.now();
        let mut held = self.read().await?;
        let due = schedule.due(&held.terms(), now);
        if !due.is_empty() {
            for due in due {
                self.make(due, now).await?;
            }
            held = self.read().await?;
        }
        let terms = held.terms();
        anyhow::ensure!(!terms.is_empty(), "the database keeps no signing key");
        let in_clear = held.keys.iter().any(|key| !key.is_sealed);
        self.held.store(Arc::new(held));

        if let Some(signer) = schedule.signer(terms.iter(), now)
            && signer.needed_until < self.settings.needed_until(now.plus_seconds(-schedule.reload_seconds()))
        {
            self.storage.prolong_signing_key(&signer.kid, self.settings.needed_until(now)).await?;
        }
        let over = schedule.over(&terms, now);
        for term in &over {
            if self.storage.delete_signing_key(&term.kid).await? {
                self.record(AuditKind::KeyRemoved, &term.kid, term.algorithm.as_str()).await;
            }
        }
        if !over.is_empty() {
            self.held.store(Arc::new(self.read().await?));
        }
        match &self.settings.sealing {
            Some(sealing) if in_clear => self.seal(sealing).await,
            _ => Ok(()),
        }
    }

    async fn read(&self) -> anyhow::Result<Held> {
        let known = self.held.load();
        let mut keys = Vec::new();
        for stored in self.storage.signing_keys().await? {
            let term = key::term(&stored)?;
            keys.push(Arc::new(match known.find(&stored.kid) {
                // it is the same key, also where it is encrypted with something else by now
                Some(key) => Key { term, is_sealed: stored.sealed_with.is_some(), ..Key::clone(key) },
                None => Key::read(&stored, self.settings.sealing.as_deref())?,
            }));
        }
        Ok(Held::new(keys))
    }

    async fn make(&self, due: Due, now: Timestamp) -> anyhow::Result<()> {
        if let Some(key) = insert(&*self.storage, &self.settings, due, now).await? {
            self.record(AuditKind::KeyCreated, &key.kid, &key.algorithm).await;
        }
        Ok(())
    }

    /// Encrypts what another server, or this one before it was given a key, stored in clear.
    async fn seal(&self, sealing: &SealingKey) -> anyhow::Result<()> {
        for stored in self.storage.signing_keys().await?.into_iter().filter(|key| key.sealed_with.is_none()) {
            let (pkcs8, sealed_with) = key::close(&stored.kid, stored.pkcs8.clone(), Some(sealing))?;
            self.storage.reseal_signing_key(&StoredKey { pkcs8, sealed_with, ..stored }).await?;
        }
        Ok(())
    }

    async fn record(&self, what: AuditKind, kid: &str, algorithm: &str) {
        let event = AuditEvent::new(what, self.clock.now())
            .detail("kid", kid)
            .detail("algorithm", algorithm)
            .detail("by", "schedule");
        if let Err(error) = audit::record(&*self.storage, &event).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                kind = event.kind.as_str(),
                "audit event not stored"
            );
        }
    }
}

/// Makes a key and stores it, unless another server was faster.
async fn insert(
    storage: &dyn Storage,
    settings: &Settings,
    due: Due,
    now: Timestamp,
) -> anyhow::Result<Option<StoredKey>> {
    let (sealing, needed_until) = (settings.sealing.clone(), settings.needed_until(due.activates_at));
    let making = move || key::generate(&due, now, needed_until, sealing.as_deref());
    let key = tokio::task::spawn_blocking(making).await.context("a signing key could not be made")??;
    Ok(storage.insert_signing_key(&key, due.unless_after).await?.then_some(key))
}

#[cfg(test)]
mod tests;
