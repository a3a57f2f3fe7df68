//! [`TokenExchange`]: the caller's token for one that is meant for the upstream (RFC 8693).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use mcp_auth::CallerToken;
use mcp_auth::verifier::SingleFlight;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use secrecy::ExposeSecret as _;
use tokio::sync::Semaphore;

use super::CredentialError;
use super::bearer::{Bearer, Generation};
use super::client_credentials::{REFUSED_ONCE_SECONDS, error};
use super::pause::Pause;
use super::token_endpoint::{Failure, Issued, TokenEndpoint};
use crate::config::TokenExchangeConfig;

/// RFC 8693 §2.1.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// What an access token may be called in an answer, whichever of the two was asked for (RFC 8693 §3).
const ACCESS_TOKENS: [&str; 2] =
    ["urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt"];

/// For how many seconds a caller whose token was not exchanged gets the same answer again.
const REFUSAL_SECONDS: u64 = 10;
/// Exchanges that are under way at once; further ones wait.
const EXCHANGES_AT_ONCE: usize = 64;
/// Exchanges that are under way or wait; further ones fail.
const EXCHANGES_WAITING: usize = 1024;
/// What an entry takes besides its token: key, list nodes and bookkeeping of the cache. Estimated upwards.
const BYTES_AROUND_AN_ENTRY: usize = 256;

/// Of a caller's token; the token itself is not kept.
pub(super) type Digest = [u8; 32];

/// The tokens that were given for those of callers, held no longer than either of the two lasts.
#[derive(Debug)]
pub(super) struct TokenExchange {
    endpoint: TokenEndpoint,
    form: Vec<(&'static str, String)>,
    requested: String,
    serves_anonymous: bool,
    entries: Cache<Digest, Entry>,
    flights: SingleFlight<Digest, Result<Bearer, CredentialError>>,
    /// Of a server that cannot be reached: it is so for all callers.
    pause: Mutex<Pause>,
    at_once: Semaphore,
    waiting: Semaphore,
}

#[derive(Clone, Debug)]
struct Entry {
    state: State,
    /// Seconds since 1970: when the upstream last refused a token that was then given up.
    given_up_at: Option<u64>,
}

#[derive(Clone, Debug)]
enum State {
    Given(Bearer),
    /// The server gave none; until this second it is not asked again.
    Refused(u64),
    /// The upstream refused the one that was given.
    GivenUp,
}

impl TokenExchange {
    pub(super) fn new(config: &TokenExchangeConfig, endpoint: TokenEndpoint) -> Self {
        let mut form = vec![
            ("grant_type", GRANT.to_owned()),
            ("subject_token_type", config.subject_token_type.clone()),
            ("requested_token_type", config.requested_token_type.clone()),
        ];
        form.extend(config.target.form());
        let entries = Cache::builder()
            .max_capacity(config.cache_bytes)
            .weigher(|_: &Digest, entry: &Entry| entry.weight())
            // whoever calls is let in: with a policy by frequency, tokens that were popular once would keep new ones out
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Self {
            endpoint,
            form,
            requested: config.requested_token_type.clone(),
            serves_anonymous: config.serves_anonymous,
            entries,
            flights: SingleFlight::new(),
            pause: Mutex::default(),
            at_once: Semaphore::new(EXCHANGES_AT_ONCE),
            waiting: Semaphore::new(EXCHANGES_WAITING),
        }
    }

    /// Whether a request that is served as nobody goes on, without credentials.
    pub(super) fn serves_anonymous(&self) -> bool {
        self.serves_anonymous
    }

    /// The token to present in the name of a caller, whose own ends at `expires_at`, in seconds since 1970.
    pub(super) async fn token(
        &self,
        caller: &CallerToken,
        expires_at: u64,
    ) -> Result<(Digest, Bearer), CredentialError> {
        let mut key: Digest = [0; 32];
        key.copy_from_slice(digest(&SHA256, caller.expose().as_bytes()).as_ref());
        match self.entries.get(&key).map(|entry| entry.state) {
            Some(State::Given(token)) if self.endpoint.now() < token.until => return Ok((key, token)),
            Some(State::Refused(until)) if self.endpoint.now() < until => {
                return Err(CredentialError::Refused);
            }
            _ => {}
        }
        // Boxed: the future of a request whose caller is known, nearly all, stays small.
        let exchanged = Box::pin(self.flights.run(key, || self.exchange(key, caller, expires_at))).await;
        exchanged.map(|token| (key, token))
    }

    /// The upstream refused a token.
    pub(super) fn refused(&self, key: Digest, generation: Generation) {
        let Some(entry) = self.entries.get(&key) else { return };
        let now = self.endpoint.now();
        let again = entry.given_up_at.is_some_and(|at| now < at.saturating_add(REFUSED_ONCE_SECONDS));
        if !again && matches!(&entry.state, State::Given(token) if token.generation() == generation) {
            self.entries.insert(key, Entry { state: State::GivenUp, given_up_at: Some(now) });
        }
    }

    /// Lets the cache do at once what it would do in time.
    #[cfg(test)]
    pub(super) fn run_pending_tasks(&self) {
        self.entries.run_pending_tasks();
    }

    async fn exchange(
        &self,
        key: Digest,
        caller: &CallerToken,
        expires_at: u64,
    ) -> Result<Bearer, CredentialError> {
        let now = self.endpoint.now();
        let before = self.entries.get(&key);
        // whoever was at it before may have brought it
        match before.as_ref().map(|entry| &entry.state) {
            Some(State::Given(token)) if now < token.until => return Ok(token.clone()),
            Some(State::Refused(until)) if now < *until => return Err(CredentialError::Refused),
            _ => {}
        }
        if let Some(retry_after) = self.pause().left(now) {
            return Err(CredentialError::Unavailable { retry_after });
        }
        let crowded = CredentialError::Unavailable { retry_after: Duration::from_secs(1) };
        let _place = self.waiting.try_acquire().map_err(|_| crowded)?;
        let _turn = self.at_once.acquire().await.map_err(|_| crowded)?;

        let given_up_at = before.and_then(|entry| entry.given_up_at);
        match self.ask(caller).await {
            Ok(issued) => {
                *self.pause() = Pause::default();
                let token = Bearer::new(issued.token.expose_secret(), issued.asked_at, issued.seconds)?
                    .no_longer_than(self.endpoint.at_date(expires_at));
                self.entries.insert(key, Entry { state: State::Given(token.clone()), given_up_at });
                Ok(token)
            }
            Err(Failure::Refused) => {
                *self.pause() = Pause::default();
                let until = now.saturating_add(REFUSAL_SECONDS);
                self.entries.insert(key, Entry { state: State::Refused(until), given_up_at });
                Err(CredentialError::Refused)
            }
            Err(failure @ Failure::Unavailable) => {
                let mut pause = self.pause();
                *pause = pause.after_failure(now);
                Err(error(failure, pause.left(now).unwrap_or_default()))
            }
        }
    }

    async fn ask(&self, caller: &CallerToken) -> Result<Issued, Failure> {
        let mut form: Vec<(&str, &str)> =
            self.form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        form.push(("subject_token", caller.expose()));
        let issued = self.endpoint.ask(&form).await?;
        let is_wanted = issued.kind.as_deref().is_some_and(|kind| {
            kind == self.requested || [kind, &self.requested].iter().all(|kind| ACCESS_TOKENS.contains(kind))
        });
        if !is_wanted {
            tracing::error!(
                "the authorization server does not say that it exchanged a token for one of the type that was asked for"
            );
            return Err(Failure::Unavailable);
        }
        // it would reach the upstream, which could use it here as the user
        if issued.token.expose_secret() == caller.expose() {
            tracing::error!(
                "the authorization server gave the caller's own token back, which is not passed on"
            );
            return Err(Failure::Refused);
        }
        Ok(issued)
    }

    fn pause(&self) -> MutexGuard<'_, Pause> {
        // nothing in here panics half-way through a change
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn weight(&self) -> u32 {
        let token = match &self.state {
            State::Given(token) => token.bytes(),
            State::Refused(_) | State::GivenUp => 0,
        };
        u32::try_from(BYTES_AROUND_AN_ENTRY.saturating_add(token)).unwrap_or(u32::MAX)
    }
}
