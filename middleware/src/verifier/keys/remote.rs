//! The keys of an issuer, found through its metadata and kept fresh.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::Url;

use super::set::KeySet;
use super::{BoxFuture, Fetch, KeySource, VerificationKey, VerifyError};
use crate::ConfigError;
use crate::clock::Clock;

/// How long a key set is used without asking again, in seconds.
const FRESH_SECONDS: u64 = 300;
/// How long a key set is used while its server cannot be reached, in seconds: a key that leaked and was withdrawn must
/// not be good for ever because somebody keeps the server busy.
const STALE_SECONDS: u64 = 24 * 3600;
/// How long after an attempt, successful or not, the server is left alone, in seconds: tokens with made-up `kid`s must
/// not become requests to it.
const COOL_DOWN_SECONDS: u64 = 10;

/// Follows the key set of an issuer.
///
/// Any number of requests cause one fetch. A `kid` that is not in the set causes another one, at most every ten seconds;
/// so does a set that is older than five minutes. While the server is down, the last set serves for a day.
///
/// Deployment: the key server must be reachable from here, not only from browsers.
pub struct RemoteKeys {
    location: Location,
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    current: ArcSwapOption<Fetched>,
    /// When the last attempt was made. Holding it is being the one that fetches.
    last_attempt: Mutex<Option<u64>>,
}

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
        Self { location, fetch, clock, current: ArcSwapOption::empty(), last_attempt: Mutex::new(None) }
    }

    async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Option<Arc<VerificationKey>>, VerifyError> {
        let known = |fetched: &Option<Arc<Fetched>>| {
            let fetched = fetched.as_ref().filter(|fetched| self.age(fetched) < FRESH_SECONDS)?;
            fetched.keys.find(kid, algorithm)
        };
        // The ordinary way: no lock, no copy.
        if let Some(key) = known(&self.current.load_full()) {
            return Ok(Some(key));
        }
        let mut last_attempt = self.last_attempt.lock().await;
        // Whoever held the lock before may have fetched what is wanted here.
        if let Some(key) = known(&self.current.load_full()) {
            return Ok(Some(key));
        }
        let now = self.clock.unix_seconds();
        if last_attempt.is_none_or(|at| now.saturating_sub(at) >= COOL_DOWN_SECONDS) {
            *last_attempt = Some(now);
            match self.fetch_keys().await {
                Ok(keys) => self.current.store(Some(Arc::new(Fetched { keys, at: now }))),
                Err(error) => {
                    tracing::warn!(keys.from = %self.location, error, "the keys of an issuer could not be fetched");
                }
            }
        }
        drop(last_attempt);
        match self.current.load_full() {
            Some(fetched) if self.age(&fetched) < STALE_SECONDS => Ok(fetched.keys.find(kid, algorithm)),
            _ => Err(VerifyError::Unavailable(format!("the keys at {} cannot be had", self.location))),
        }
    }

    fn age(&self, fetched: &Fetched) -> u64 {
        self.clock.unix_seconds().saturating_sub(fetched.at)
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
                Ok(body) => return jwks_uri(issuer, url, &body),
                Err(error) => failures.push(error.to_string()),
            }
        }
        Err(failures.join("; "))
    }
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
        f.debug_struct("RemoteKeys").field("location", &self.location).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
