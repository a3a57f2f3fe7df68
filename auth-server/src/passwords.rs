//! Passwords: argon2id, off the async threads, so many at once and no more.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use argon2::{
    Argon2, RECOMMENDED_SALT_LEN,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{metrics::Counted, outside::Rng};

/// Longest password, in characters. Long enough for any passphrase; bounds what one request may make the server hash.
pub(crate) const MAX_CHARS: usize = 128;
/// Shortest new one.
pub(crate) const MIN_CHARS: usize = 8;
/// Sign-ins that wait for their turn. More than these would wait for longer than anybody does.
const WAITING: usize = 256;
/// How long a sign-in waits for its turn.
const PATIENCE: Duration = Duration::from_secs(15);

/// Hashes and verifies passwords.
#[derive(Debug)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    /// Of those that wait for a turn.
    places: Semaphore,
    /// Of a password that nobody has, verified against when there is no such user, so that it takes as long.
    decoy: String,
}

/// Too many sign-ins at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overloaded;

impl Passwords {
    pub(crate) async fn new(decoy: SecretString, at_once: usize, rng: &dyn Rng) -> anyhow::Result<Self> {
        Ok(Self {
            turns: Arc::new(Semaphore::new(at_once)),
            places: Semaphore::new(WAITING),
            decoy: hash(decoy, rng).await?,
        })
    }

    /// Whether `password` is the one that `hash` was made of. Without a hash, the answer is no, and takes as long.
    pub(crate) async fn verify(
        &self,
        password: SecretString,
        hash: Option<String>,
    ) -> Result<bool, Overloaded> {
        let turn = self.turn().await?;
        let (hash, known) = self.verified_against(hash);
        let verified = tokio::task::spawn_blocking(move || {
            let verified = PasswordHash::new(&hash).is_ok_and(|parsed| {
                Argon2::default().verify_password(password.expose_secret().as_bytes(), &parsed).is_ok()
            });
            drop(turn);
            verified
        })
        .await;
        Ok(verified.unwrap_or(false) && known)
    }

    /// The hash that a password is held against, and whether it is the user's. One who has no password, having come by
    /// another way, is told from nobody as little as anybody else.
    fn verified_against(&self, hash: Option<String>) -> (String, bool) {
        match hash.filter(|hash| PasswordHash::new(hash).is_ok()) {
            Some(hash) => (hash, true),
            None => (self.decoy.clone(), false),
        }
    }

    /// Hashes a new password, when it is its turn.
    pub(crate) async fn hash(
        &self,
        password: SecretString,
        rng: &dyn Rng,
    ) -> Result<anyhow::Result<String>, Overloaded> {
        let turn = self.turn().await?;
        let hashed = hash(password, rng).await;
        drop(turn);
        Ok(hashed)
    }

    async fn turn(&self) -> Result<Turn, Overloaded> {
        // as good as a place in the queue: whoever would be last gives up at once
        let place = self.places.try_acquire().map_err(|_| Overloaded)?;
        let waiting = Counted::password_waiting();
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        drop((place, waiting));
        let turn = turn.map_err(|_| Overloaded)?.map_err(|_| Overloaded)?;
        Ok(Turn { _turn: turn, _counted: Counted::password_hashing() })
    }
}

/// The right to hash, until it is dropped.
struct Turn {
    _turn: OwnedSemaphorePermit,
    _counted: Counted,
}

/// Hashes a password with argon2id and a random salt.
pub(crate) async fn hash(password: SecretString, rng: &dyn Rng) -> anyhow::Result<String> {
    let mut salt = [0; RECOMMENDED_SALT_LEN];
    rng.fill(&mut salt)?;
    tokio::task::spawn_blocking(move || {
        Argon2::default()
            .hash_password_with_salt(password.expose_secret().as_bytes(), &salt)
            .map(|hash| hash.to_string())
            .map_err(|error| anyhow!("the password could not be hashed: {error}"))
    })
    .await
    .context("the password could not be hashed")?
}

/// What a password for a new user must be.
pub(crate) fn check_new(password: &SecretString) -> anyhow::Result<()> {
    let chars = password.expose_secret().chars().count();
    anyhow::ensure!(
        (MIN_CHARS..=MAX_CHARS).contains(&chars),
        "expected a password of {MIN_CHARS} to {MAX_CHARS} characters, but found {chars}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::outside::SystemRng;

    #[tokio::test]
    async fn only_the_right_password_verifies() {
        let passwords = Passwords::new("decoy-password".into(), 2, &SystemRng).await.unwrap();
        let stored = hash("correct horse".into(), &SystemRng).await.unwrap();
        assert!(stored.starts_with("$argon2id$"));
        assert!(passwords.verify("correct horse".into(), Some(stored.clone())).await.unwrap());
        assert!(!passwords.verify("wrong horse".into(), Some(stored)).await.unwrap());
        // whoever has no password signs in with none, the empty one included, and that takes as long
        assert_eq!(passwords.verified_against(Some(String::new())), (passwords.decoy.clone(), false));
        for password in ["", "decoy-password"] {
            assert!(!passwords.verify(password.into(), Some(String::new())).await.unwrap(), "{password}");
        }
        // not even whoever guesses the decoy signs in as nobody
        assert!(!passwords.verify("decoy-password".into(), None).await.unwrap());
    }

    /// T5
    #[tokio::test]
    async fn so_many_are_hashed_at_once_and_so_many_wait() {
        let passwords = Arc::new(Passwords::new("decoy-password".into(), 1, &SystemRng).await.unwrap());
        let hashing = passwords.turn().await.unwrap();
        let waiting: Vec<_> = (0..WAITING)
            .map(|_| {
                let passwords = Arc::clone(&passwords);
                tokio::spawn(async move { passwords.verify("wrong horse".into(), None).await })
            })
            .collect();
        while passwords.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let one_more = passwords.verify("wrong horse".into(), None).now_or_never();
        assert!(matches!(one_more, Some(Err(Overloaded))), "told at once");
        let new = passwords.hash("correct horse".into(), &SystemRng).now_or_never();
        assert!(matches!(new, Some(Err(Overloaded))), "as is who wants a new one");
        assert_eq!(passwords.turns.available_permits(), 0, "nobody goes before the one whose turn it is");
        for attempt in waiting {
            attempt.abort();
            assert!(attempt.await.unwrap_err().is_cancelled());
        }
        drop(hashing);
        assert!(!passwords.verify("wrong horse".into(), None).await.unwrap());
    }
}
