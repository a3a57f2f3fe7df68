//! What an administrator does with the signing keys, whether or not servers run: they follow within a minute.

use std::sync::Arc;

use anyhow::Context as _;

use super::{SealingKey, Settings, Term, insert, key};
use crate::{
    outside::Timestamp,
    storage::{Storage, StoredKey},
};

/// A key in a list.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) term: Term,
    pub(crate) signs: bool,
    /// The name of the key that the private key is encrypted with.
    pub(crate) sealed_with: Option<String>,
}

/// Every key, the oldest first.
pub(crate) async fn list(
    storage: &dyn Storage,
    settings: &Settings,
    now: Timestamp,
) -> anyhow::Result<Vec<Listed>> {
    let stored = storage.signing_keys().await?;
    let terms = stored.iter().map(key::term).collect::<anyhow::Result<Vec<_>>>()?;
    let signer = settings.schedule.signer(terms.iter(), now).map(|term| term.kid.clone());
    let listed = terms.into_iter().zip(stored).map(|(term, stored)| Listed {
        signs: signer.as_ref() == Some(&term.kid),
        sealed_with: stored.sealed_with,
        term,
    });
    Ok(listed.collect())
}

/// Makes a new key of each algorithm, which signs after it was published for long enough; or at once, for a key that leaked.
pub(crate) async fn rotate(
    storage: &dyn Storage,
    settings: &Settings,
    at_once: bool,
    now: Timestamp,
) -> anyhow::Result<Vec<Term>> {
    let stored = storage.signing_keys().await?;
    let terms = stored.iter().map(key::term).collect::<anyhow::Result<Vec<_>>>()?;
    let mut made = Vec::new();
    for algorithm in &settings.schedule.algorithms {
        let mut due = settings.schedule.next(*algorithm, &terms, now);
        if at_once {
            due.activates_at = now;
        }
        let key = insert(storage, settings, due, now).await?;
        let key = key.context("another server has made a new key this very moment; see `key list`")?;
        made.push(key::term(&key)?);
    }
    Ok(made)
}

/// Encrypts every private key with the key that is given now: those in clear, and those that are encrypted with `old`. All
/// or, where one cannot be read, none. Returns how many there were.
pub(crate) async fn reseal(
    storage: &dyn Storage,
    new: &SealingKey,
    old: Option<&Arc<SealingKey>>,
) -> anyhow::Result<usize> {
    let mut resealed = Vec::new();
    for stored in storage.signing_keys().await? {
        if stored.sealed_with.as_deref() == Some(new.name()) {
            // that it opens is what there is to know
            key::open(&stored, Some(new))?;
            continue;
        }
        let pkcs8 = key::open(&stored, old.map(|old| &**old))?;
        let (pkcs8, sealed_with) = key::close(&stored.kid, pkcs8, Some(new))?;
        resealed.push(StoredKey { pkcs8, sealed_with, ..stored });
    }
    for key in &resealed {
        storage.reseal_signing_key(key).await?;
    }
    Ok(resealed.len())
}

/// Removes a key, whatever it has signed. Servers make a new one where none is left.
pub(crate) async fn delete(storage: &dyn Storage, kid: &str) -> anyhow::Result<Term> {
    let stored = storage.signing_keys().await?.into_iter().find(|key| key.kid == kid);
    let stored = stored.with_context(|| format!("expected the `kid` of a signing key, but found `{kid}`"))?;
    storage.delete_signing_key(kid).await?;
    key::term(&stored)
}
