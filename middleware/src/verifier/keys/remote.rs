//! The keys of an issuer, found through its metadata and kept fresh.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, OwnedMutexGuard};
use url::Url;

use super::set::KeySet;
use super::{BoxFuture, Fetch, KeySource, VerificationKey, VerifyError};
use crate::ConfigError;
use crate::clock::Clock;
use crate::counts::Counts;

/// For how long what was fetched is good, in seconds.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    fresh: u64,
    stale: u64,
    cool_down: u64,
}

/// Follows the key set of an issuer.
///
/// Any number of requests cause one fetch, which goes on when the request that caused it is gone. A set that is older
/// than [five minutes](RemoteKeys::fresh_seconds) is fetched anew; meanwhile its keys serve on, unless it is twice as
/// old. A `kid` that is not in the set causes a fetch as well, at most one every [ten
/// seconds](RemoteKeys::cool_down_seconds), whatever came of the last one. While the server is down, the last set
/// serves for [a day](RemoteKeys::stale_seconds).
///
/// A token without `kid` is verified where one key alone fits its algorithm; which one of several is meant is not guessed.
///
/// Deployment: the key server must be reachable from here, not only from browsers. A key that is withdrawn is good for
/// ten minutes at most while it is.
pub struct RemoteKeys {
    source: Arc<Source>,
    bounds: Bounds,
}

/// What a fetch under way shares with those who want its keys.
struct Source {
    location: Location,
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    current: ArcSwapOption<Fetched>,
    /// When the last attempt was made. Holding it is being the one that fetches.
    last_attempt: Arc<Mutex<Option<u64>>>,
    /// When the last attempt failed; 0 where it did not.
    failed_at: AtomicU64,
    counts: Counts<{ RESULTS.len() }>,
}

/// What came of asking for a key: it was at hand; the set was fetched, or could not be; or it was not asked for, so soon
/// after the last attempt.
const RESULTS: [&str; 4] = ["hit", "fetched", "failed", "cooling-down"];
const HIT: usize = 0;
const FETCHED: usize = 1;
const FAILED: usize = 2;
const COOLING_DOWN: usize = 3;

#[derive(Debug)]
struct Fetched {
    keys: KeySet,
    at: u64,
}

#[derive(Debug)]
enum Location {
    /// The issuer's metadata names the key set.
    Discovered {
        issuer: Box<str>,
        metadata: Vec<Url>,
    },
    Given(Url),
}

impl RemoteKeys {
    /// The keys of `issuer`, found through its metadata: `/.well-known/oauth-authorization-server` before the path of
    /// the issuer (RFC 8414 §3.1), then `/.well-known/openid-configuration` before and behind it.
    ///
    /// # Errors
    /// `issuer` is no `https` URL, nor an `http` one of this machine, or has a query or a fragment (RFC 8414 §2).
    pub fn discovered(
        issuer: &str,
        fetch: Arc<dyn Fetch>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let url = Url::parse(issuer)
            .map_err(|_| ConfigError::new(format!("expected an absolute URL, but found `{issuer}`")))?;
        if !is_https_or_local(&url) {
            return Err(ConfigError::new(format!(
                "expected an https URL, or an http one of this machine, but found `{issuer}`"
            )));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(ConfigError::new(format!(
                "expected an issuer without query and fragment, but found `{issuer}`"
            )));
        }
        let path = url.path().trim_end_matches('/');
        let at = |path: String| {
            let mut metadata = url.clone();
            metadata.set_path(&path);
            metadata
        };
        let mut metadata = vec![
            at(format!("/.well-known/oauth-authorization-server{path}")),
            at(format!("/.well-known/openid-configuration{path}")),
        ];
        if !path.is_empty() {
            metadata.push(at(format!("{path}/.well-known/openid-configuration")));
        }
        Ok(Self::new(Location::Discovered { issuer: issuer.into(), metadata }, fetch, clock))
    }

    /// The keys at `jwks_uri`.
    pub fn at(jwks_uri: Url, fetch: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Self {
        Self::new(Location::Given(jwks_uri), fetch, clock)
    }

    fn new(location: Location, fetch: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Self {
        let source = Source {
            counts: Counts::new("mcp_auth_keys_total", Some(("from", location.label())), RESULTS),
            location,
            fetch,
            clock,
            current: ArcSwapOption::empty(),
            last_attempt: Arc::default(),
            failed_at: AtomicU64::new(0),
        };
        let bounds = Bounds { fresh: 300, stale: 24 * 3600, cool_down: 10 };
        Self { source: Arc::new(source), bounds }
    }

    /// How long a key set is used without asking again. Default: 300 seconds.
    #[must_use]
    pub fn fresh_seconds(mut self, seconds: u64) -> Self {
        self.bounds.fresh = seconds;
        self
    }

    /// How long a key set is used while its server cannot be reached. Default: a day; a key that leaked and was withdrawn
    /// must not be good for ever because somebody keeps the server busy.
    #[must_use]
    pub fn stale_seconds(mut self, seconds: u64) -> Self {
        self.bounds.stale = seconds;
        self
    }

    /// How long after an attempt, successful or not, the server is left alone: tokens with made-up `kid`s must not become
    /// requests to it. Default: 10 seconds; at least 1.
    #[must_use]
    pub fn cool_down_seconds(mut self, seconds: u64) -> Self {
        self.bounds.cool_down = seconds.max(1);
        self
    }

    async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Option<Arc<VerificationKey>>, VerifyError> {
        let now = self.source.clock.unix_seconds();
        let usable = |fetched: &Arc<Fetched>| between(fetched.at, now) < self.bounds.stale;
        // The ordinary way: no lock, no copy.
        if let Some(fetched) = self.source.current.load().as_ref().filter(|fetched| usable(fetched))
            && let Some(key) = fetched.keys.find(kid, algorithm)
        {
            let age = between(fetched.at, now);
            if age < self.bounds.fresh {
                self.source.counts.count(HIT);
                return Ok(Some(key));
            }
            // A key that is a little old serves while it is looked for, so that nobody waits. After a quiet night it may
            // be withdrawn since long: then it is asked for first, unless that was tried in vain just now.
            let may_serve = age < self.bounds.fresh.saturating_mul(2) || self.failed_lately(now);
            if may_serve && self.refresh_behind() {
                self.source.counts.count(HIT);
                return Ok(Some(key));
            }
        }
        // Boxed, so that the future of the ordinary way is small.
        Box::pin(self.refresh()).await;
        let now = self.source.clock.unix_seconds();
        match self.source.current.load_full() {
            Some(fetched) if between(fetched.at, now) < self.bounds.stale => {
                Ok(fetched.keys.find(kid, algorithm))
            }
            _ => Err(VerifyError::Unavailable(format!("the keys at {} cannot be had", self.source.location))),
        }
    }

    fn failed_lately(&self, now: u64) -> bool {
        let failed_at = self.source.failed_at.load(Ordering::Relaxed);
        failed_at != 0 && between(failed_at, now) < self.bounds.fresh
    }

    /// Whether the server may be asked again; `attempt` is held by whoever asks.
    fn cooled_down(&self, attempt: Option<u64>) -> bool {
        let now = self.source.clock.unix_seconds();
        attempt.is_none_or(|at| between(at, now) >= self.bounds.cool_down)
    }

    /// Fetches, or waits for whoever does, unless that was done just now.
    async fn refresh(&self) {
        let last_attempt = Arc::clone(&self.source.last_attempt);
        // whoever waits for the attempt of another was not refused one
        let (attempt, waited) = match Arc::clone(&last_attempt).try_lock_owned() {
            Ok(attempt) => (attempt, false),
            Err(_) => (last_attempt.lock_owned().await, true),
        };
        if !self.cooled_down(*attempt) {
            if !waited {
                self.source.counts.count(COOLING_DOWN);
            }
            return;
        }
        let fetching = Arc::clone(&self.source).run(attempt);
        match Handle::try_current() {
            // In a task of its own: a client that hangs up must not end what others wait for, cool-down and all.
            Ok(runtime) => drop(runtime.spawn(fetching).await),
            Err(_) => fetching.await,
        }
    }

    /// Sees to it that somebody fetches, without waiting; `false` where there is no runtime to do it.
    fn refresh_behind(&self) -> bool {
        let Ok(runtime) = Handle::try_current() else {
            return false;
        };
        if let Ok(attempt) = Arc::clone(&self.source.last_attempt).try_lock_owned()
            && self.cooled_down(*attempt)
        {
            runtime.spawn(Arc::clone(&self.source).run(attempt));
        }
        true
    }
}

impl Source {
    async fn run(self: Arc<Self>, mut attempt: OwnedMutexGuard<Option<u64>>) {
        let now = self.clock.unix_seconds();
        *attempt = Some(now);
        match self.fetch_keys().await {
            Ok(keys) => {
                self.counts.count(FETCHED);
                self.failed_at.store(0, Ordering::Relaxed);
                self.current.store(Some(Arc::new(Fetched { keys, at: now })));
            }
            Err(error) => {
                self.counts.count(FAILED);
                self.failed_at.store(now, Ordering::Relaxed);
                tracing::warn!(keys.from = %self.location, error, "the keys of an issuer could not be fetched");
            }
        }
    }

    async fn fetch_keys(&self) -> Result<KeySet, String> {
        let jwks_uri = match &self.location {
            Location::Given(url) => url.clone(),
            Location::Discovered { issuer, metadata } => self.discover(issuer, metadata).await?,
        };
        let body = self.fetch.get(&jwks_uri).await.map_err(|error| error.to_string())?;
        let text = std::str::from_utf8(&body).map_err(|_| format!("expected UTF-8 at {jwks_uri}"))?;
        KeySet::from_jwks(text).map_err(|error| format!("{jwks_uri}: {error}"))
    }

    async fn discover(&self, issuer: &str, metadata: &[Url]) -> Result<Url, String> {
        let mut failures = Vec::new();
        for url in metadata {
            match self.fetch.get(url).await {
                // A server may have a page for every path: what is no metadata is not the last word.
                Ok(body) => match jwks_uri(issuer, url, &body) {
                    Ok(jwks_uri) => return Ok(jwks_uri),
                    Err(error) => failures.push(error),
                },
                Err(error) => failures.push(error.to_string()),
            }
        }
        Err(failures.join("; "))
    }
}

/// How many seconds lie between then and now. A clock that was set back by an hour makes what was fetched an hour old, and
/// not new until that hour has passed again: a key that is withdrawn meanwhile would be good for as long.
fn between(then: u64, now: u64) -> u64 {
    now.abs_diff(then)
}

fn jwks_uri(issuer: &str, from: &Url, metadata: &[u8]) -> Result<Url, String> {
    #[derive(Deserialize)]
    struct Metadata {
        issuer: String,
        jwks_uri: Url,
    }
    let metadata: Metadata = serde_json::from_slice(metadata).map_err(|error| {
        format!(
            "expected authorization server metadata with `issuer` and `jwks_uri` at {from}, but found {error}"
        )
    })?;
    // RFC 8414 §3.3: metadata of another issuer must not be used.
    if metadata.issuer != issuer {
        return Err(format!(
            "expected the metadata of `{issuer}` at {from}, but found that of `{}`",
            metadata.issuer.escape_debug()
        ));
    }
    if from.scheme() == "https" && metadata.jwks_uri.scheme() != "https" {
        return Err(format!("expected an https `jwks_uri` at {from}, but found `{}`", metadata.jwks_uri));
    }
    Ok(metadata.jwks_uri)
}

pub(in crate::verifier) fn is_https_or_local(url: &Url) -> bool {
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => true,
        ("http", Some(url::Host::Domain(name))) => name == "localhost",
        ("http", Some(url::Host::Ipv4(address))) => address.is_loopback(),
        ("http", Some(url::Host::Ipv6(address))) => address.is_loopback(),
        _ => false,
    }
}

impl KeySource for RemoteKeys {
    fn key<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> BoxFuture<'a, Result<Option<Arc<VerificationKey>>, VerifyError>> {
        Box::pin(self.find(kid, algorithm))
    }
}

impl Location {
    /// What metrics call it: whoever may read those may not know the rest of a URL.
    fn label(&self) -> Box<str> {
        match self {
            Self::Discovered { issuer, .. } => issuer.clone(),
            Self::Given(url) => {
                format!("{}{}", url.origin().ascii_serialization(), url.path()).into_boxed_str()
            }
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discovered { issuer, .. } => f.write_str(issuer),
            Self::Given(url) => url.fmt(f),
        }
    }
}

impl fmt::Debug for RemoteKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteKeys")
            .field("location", &self.source.location)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
