//! [`ClientCredentials`]: a token that the gateway has for itself (RFC 6749 §4.4).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use mcp_auth::verifier::SingleFlight;
use secrecy::ExposeSecret as _;

use super::CredentialError;
use super::bearer::{Bearer, Generation};
use super::pause::Pause;
use super::token_endpoint::{Failure, TokenEndpoint};
use crate::config::ClientCredentialsConfig;

/// For how many seconds a token that was fetched because the upstream refused the one before is not given up for that.
pub(super) const REFUSED_ONCE_SECONDS: u64 = 60;

/// The token of one route: fetched with the first request, fetched anew in the background shortly before it ends, by
/// one request for all that wait.
#[derive(Debug)]
pub(super) struct ClientCredentials {
    endpoint: TokenEndpoint,
    form: Vec<(&'static str, String)>,
    current: ArcSwapOption<Bearer>,
    history: Mutex<History>,
    flights: SingleFlight<(), Result<Arc<Bearer>, CredentialError>>,
    refreshing: AtomicBool,
}

/// What went wrong before.
#[derive(Debug, Default)]
struct History {
    pause: Pause,
    last_failure: Option<Failure>,
    /// Seconds since 1970: when the upstream last refused a token that was then given up.
    given_up_at: Option<u64>,
}

impl ClientCredentials {
    pub(super) fn new(config: &ClientCredentialsConfig, endpoint: TokenEndpoint) -> Self {
        let mut form = vec![("grant_type", "client_credentials".to_owned())];
        form.extend(config.target.form());
        Self {
            endpoint,
            form,
            current: ArcSwapOption::empty(),
            history: Mutex::default(),
            flights: SingleFlight::new(),
            refreshing: AtomicBool::new(false),
        }
    }

    /// The token to present now.
    pub(super) async fn token(self: &Arc<Self>) -> Result<Arc<Bearer>, CredentialError> {
        let now = self.endpoint.now();
        if let Some(current) = self.current.load_full().filter(|current| now < current.until) {
            if now >= current.refresh_at {
                self.refresh();
            }
            return Ok(current);
        }
        // Boxed: the future of a request that needs no fetch, nearly all, stays small.
        Box::pin(self.flights.run((), || self.fetch())).await
    }

    /// The upstream refused a token.
    pub(super) fn refused(&self, generation: Generation) {
        let mut history = self.history();
        let now = self.endpoint.now();
        let is_current =
            self.current.load().as_ref().is_some_and(|current| current.generation() == generation);
        let again = history.given_up_at.is_some_and(|at| now < at.saturating_add(REFUSED_ONCE_SECONDS));
        if is_current && !again {
            history.given_up_at = Some(now);
            self.current.store(None);
            tracing::warn!("the upstream refused the gateway's token, which is given up");
        }
    }

    /// Fetches another token while the current one still serves.
    fn refresh(self: &Arc<Self>) {
        if self.history().pause.left(self.endpoint.now()).is_some()
            || self.refreshing.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let refreshing = Refreshing(Arc::clone(self));
        tokio::spawn(async move {
            // what went wrong is logged, and the next request tries again
            let _result = refreshing.0.flights.run((), || refreshing.0.fetch()).await;
        });
    }

    async fn fetch(&self) -> Result<Arc<Bearer>, CredentialError> {
        let now = self.endpoint.now();
        // whoever was at it before may have brought it
        if let Some(current) = self.current.load_full().filter(|current| now < current.refresh_at) {
            return Ok(current);
        }
        {
            let history = self.history();
            if let (Some(left), Some(failure)) = (history.pause.left(now), history.last_failure) {
                return Err(error(failure, left));
            }
        }
        let form: Vec<(&str, &str)> = self.form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        match self.endpoint.ask(&form).await {
            Ok(issued) => {
                let token = Bearer::new(issued.token.expose_secret(), issued.asked_at, issued.seconds)?;
                let token = Arc::new(token);
                let mut history = self.history();
                (history.pause, history.last_failure) = (Pause::default(), None);
                self.current.store(Some(Arc::clone(&token)));
                Ok(token)
            }
            Err(failure) => {
                let mut history = self.history();
                let now = self.endpoint.now();
                history.pause = history.pause.after_failure(now);
                history.last_failure = Some(failure);
                Err(error(failure, history.pause.left(now).unwrap_or_default()))
            }
        }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        // nothing in here panics half-way through a change
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A refresh under way; it is over even where its runtime ends it.
struct Refreshing(Arc<ClientCredentials>);

impl Drop for Refreshing {
    fn drop(&mut self) {
        self.0.refreshing.store(false, Ordering::Release);
    }
}

pub(super) fn error(failure: Failure, retry_after: Duration) -> CredentialError {
    match failure {
        Failure::Unavailable => CredentialError::Unavailable { retry_after },
        Failure::Refused => CredentialError::Refused,
    }
}
