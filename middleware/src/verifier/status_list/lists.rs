//! [`StatusLists`]: the lists of one issuer, fetched when they are needed and not fresh.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use url::Url;

use super::StatusList;
use super::reference::{Places, Reference};
use super::signed::{self, Expected, Signed};
use crate::ConfigError;
use crate::clock::Clock;
use crate::verifier::keys::KeySource;
use crate::verifier::single_flight::SingleFlight;
use crate::verifier::{Algorithm, Exchange, InvalidToken, VerifyError};

/// The media type of a list (§8.2).
const MEDIA_TYPE: &str = "application/statuslist+jwt";

/// How many bytes all lists of an issuer may take; the ones used last are kept.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// How many lists are remembered as not to be had.
const MOST_FAILURES: u64 = 1024;

/// How long a server that failed is left alone at most, in seconds.
const COOL_DOWN_SECONDS: u64 = 5;

/// Fetches and keeps the status lists of one issuer.
///
/// A list is fetched when a token needs it and the copy at hand is older than the poll interval: the smallest of the
/// configured one (5 seconds) and the list's own `ttl`. However many requests need it, it is fetched once; a little before
/// the interval is over, one request fetches it anew and the others use the copy. So what the issuer withdraws is refused
/// within the interval, and nothing is fetched for tokens that nobody uses.
///
/// While a list cannot be fetched, or what is fetched is not good, the copy serves until it is stale (60 seconds) or
/// past its `exp`. Then its tokens are refused: [`VerifyError::Unavailable`], since nobody knows.
///
/// A list must be a JWT of type `statuslist+jwt`, signed by the issuer of the access tokens, with its own URI as `sub`,
/// no older than the copy at hand, and at most [`StatusList::MOST_BYTES`] long when unpacked. Redirects are not followed.
///
/// Deployment: the lists must be reachable from here, over https, at the issuer's own origin or at a host that is
/// [configured](StatusListsBuilder::hosts).
pub struct StatusLists {
    issuer: Box<str>,
    keys: Arc<dyn KeySource>,
    exchange: Arc<dyn Exchange>,
    clock: Arc<dyn Clock>,
    algorithms: Vec<jsonwebtoken::Algorithm>,
    places: Places,
    required: bool,
    poll_seconds: u64,
    stale_seconds: u64,
    allow_stale: bool,
    leeway_seconds: u64,
    most_bytes: usize,
    copies: Cache<Arc<str>, Arc<Copy>>,
    /// When a fetch failed last, for lists whose last fetch did.
    failures: Cache<Arc<str>, u64>,
    flights: SingleFlight<Arc<str>, Option<Arc<Copy>>>,
}

/// A list at hand.
struct Copy {
    signed: Signed,
    /// When it was asked for: it may be as old as that, whenever it came.
    asked_at: u64,
}

impl StatusLists {
    /// The lists of `issuer`, signed with its `keys`.
    pub fn builder(
        issuer: impl Into<Box<str>>,
        keys: Arc<dyn KeySource>,
        exchange: Arc<dyn Exchange>,
        clock: Arc<dyn Clock>,
    ) -> StatusListsBuilder {
        let issuer = issuer.into();
        let origin = Url::parse(&issuer).ok().map(|url| url.origin()).filter(url::Origin::is_tuple);
        let copies = Cache::builder()
            .max_capacity(CACHE_BYTES)
            .weigher(|uri: &Arc<str>, copy: &Arc<Copy>| {
                let bytes = copy.signed.list.size_bytes().saturating_add(uri.len()).saturating_add(256);
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            // A list that is new is needed now, however popular the others were.
            .eviction_policy(EvictionPolicy::lru())
            .build();
        StatusListsBuilder(Self {
            issuer,
            keys,
            exchange,
            clock,
            algorithms: [Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA].map(Algorithm::jose).to_vec(),
            places: Places { issuer: origin, hosts: Vec::new() },
            required: false,
            poll_seconds: 5,
            stale_seconds: 60,
            allow_stale: false,
            leeway_seconds: 30,
            most_bytes: StatusList::MOST_BYTES,
            copies,
            failures: Cache::new(MOST_FAILURES),
            flights: SingleFlight::new(),
        })
    }

    /// Whose lists these are.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) fn is_required(&self) -> bool {
        self.required
    }

    /// The status of a token, or `None` where the list ends before it.
    pub(super) async fn status(&self, reference: &Reference<'_>) -> Result<Option<u8>, VerifyError> {
        let Some(url) = self.places.allow(reference.uri) else {
            tracing::warn!(
                token.issuer = &*self.issuer,
                list = %reference.uri.escape_debug(),
                "a token's status list is at a server that is neither the issuer's own nor configured"
            );
            let why = "the status list of the token is at a server that is not accepted";
            return Err(VerifyError::Invalid(InvalidToken::Untrusted(why)));
        };
        let copy = self.copy(reference.uri, &url).await?;
        Ok(copy.signed.list.get(reference.index))
    }

    async fn copy(&self, uri: &str, url: &Url) -> Result<Arc<Copy>, VerifyError> {
        let now = self.clock.unix_seconds();
        let held = self.copies.get(uri);
        if let Some(copy) = held.as_ref().filter(|copy| self.is_usable(copy, now)) {
            let (age, poll) = (copy.age(now), self.poll_seconds_of(copy));
            // The last fifth of the interval is for the one who fetches, so that the others need not wait.
            if age < poll.saturating_sub(poll / 5) {
                return Ok(Arc::clone(copy));
            }
            let another_fetches = || self.flights.is_under_way(&Arc::from(uri));
            if (age < poll || self.failures.contains_key(uri)) && another_fetches() {
                return Ok(Arc::clone(copy));
            }
        }
        let key: Arc<str> = uri.into();
        let fetched = if self.is_left_alone(uri, now) {
            None
        } else {
            self.flights.run(Arc::clone(&key), || self.refresh(&key, url)).await
        };
        let now = self.clock.unix_seconds();
        fetched
            .or_else(|| self.copies.get(uri))
            .filter(|copy| self.is_usable(copy, now))
            .ok_or_else(|| VerifyError::Unavailable(format!("no status list in force can be had from {url}")))
    }

    /// Fetches a list and keeps it. `None` is that it cannot be had, or is not good.
    async fn refresh(&self, uri: &Arc<str>, url: &Url) -> Option<Arc<Copy>> {
        let asked_at = self.clock.unix_seconds();
        match self.fetch(uri, url).await {
            Ok(signed) => {
                let copy = Arc::new(Copy { signed, asked_at });
                self.copies.insert(Arc::clone(uri), Arc::clone(&copy));
                self.failures.invalidate(uri);
                Some(copy)
            }
            Err(error) => {
                tracing::warn!(token.issuer = &*self.issuer, list = %url, error, "a status list could not be fetched");
                self.failures.insert(Arc::clone(uri), self.clock.unix_seconds());
                None
            }
        }
    }

    async fn fetch(&self, uri: &str, url: &Url) -> Result<Signed, String> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = url.as_str().parse().map_err(|_| "its URL is no URI")?;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(MEDIA_TYPE));
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let response = self.exchange.send(request).await.map_err(|error| error.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(format!("expected status 200, but found {}", response.status().as_u16()));
        }
        if !is_list(response.headers().get(header::CONTENT_TYPE)) {
            return Err(format!("expected the type `{MEDIA_TYPE}`, but found another"));
        }
        let token =
            std::str::from_utf8(response.body()).map_err(|_| "expected a JWT, but found other bytes")?;
        let expected = Expected {
            issuer: &self.issuer,
            uri,
            algorithms: &self.algorithms,
            now: self.clock.unix_seconds(),
            leeway_seconds: self.leeway_seconds,
            most_bytes: self.most_bytes,
        };
        let signed = signed::verify(token.trim_ascii(), &*self.keys, &expected).await?;
        // Whoever stands between could otherwise play back the list of the time before a token was withdrawn.
        if self.copies.get(uri).is_some_and(|held| signed.issued_at < held.signed.issued_at) {
            return Err("expected a list no older than the one at hand, but found an older one".to_owned());
        }
        Ok(signed)
    }

    fn is_usable(&self, copy: &Copy, now: u64) -> bool {
        let in_force = copy.signed.expires_at.is_none_or(|exp| now < exp.saturating_add(self.leeway_seconds));
        in_force && (self.allow_stale || copy.age(now) < self.stale_seconds)
    }

    fn poll_seconds_of(&self, copy: &Copy) -> u64 {
        copy.signed.ttl_seconds.map_or(self.poll_seconds, |ttl| ttl.min(self.poll_seconds))
    }

    /// Whether a fetch failed so short a time ago that another one would be no use.
    fn is_left_alone(&self, uri: &str, now: u64) -> bool {
        let cool_down = self.poll_seconds.clamp(1, COOL_DOWN_SECONDS);
        self.failures.get(uri).and_then(|at| now.checked_sub(at)).is_some_and(|since| since < cool_down)
    }
}

impl Copy {
    /// In seconds. A clock that was set back says nothing about the age: then it is as old as can be.
    fn age(&self, now: u64) -> u64 {
        now.checked_sub(self.asked_at).unwrap_or(u64::MAX)
    }
}

fn is_list(content_type: Option<&HeaderValue>) -> bool {
    let essence = content_type.and_then(|value| value.to_str().ok()).and_then(|text| text.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(MEDIA_TYPE))
}

/// Builds [`StatusLists`].
#[derive(Debug)]
#[must_use]
pub struct StatusListsBuilder(StatusLists);

impl StatusListsBuilder {
    /// Refuses tokens of this issuer that have no reference to a status list. Default: they pass.
    pub fn required(mut self) -> Self {
        self.0.required = true;
        self
    }

    /// Servers besides the issuer's own whose lists are fetched: `host` or `host:port`, by https. Default: none.
    pub fn hosts(mut self, hosts: impl IntoIterator<Item = impl Into<Box<str>>>) -> Self {
        self.0.places.hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// The algorithms that lists may be signed with. Default: ES256, RS256 and EdDSA.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.0.algorithms = algorithms.into_iter().map(Algorithm::jose).collect();
        self
    }

    /// For how many seconds a copy is used without asking again; a `ttl` of the list that is shorter counts instead.
    /// Default: 5. A token that is withdrawn is good for so long, at most. 0 asks for every request.
    pub fn poll_seconds(mut self, seconds: u64) -> Self {
        self.0.poll_seconds = seconds;
        self
    }

    /// For how many seconds a copy serves while it cannot be replaced. Default: 60.
    pub fn stale_seconds(mut self, seconds: u64) -> Self {
        self.0.stale_seconds = seconds;
        self
    }

    /// Uses a copy however old it is, up to its `exp`. Default: a stale one is refused.
    ///
    /// Deployment: whoever can keep the list's server from being reached then decides for how long a withdrawn token
    /// is good.
    pub fn allow_stale(mut self) -> Self {
        self.0.allow_stale = true;
        self
    }

    /// By how many seconds the issuer's clock and ours may differ, when `iat`, `nbf` and `exp` are checked. Default: 30.
    pub fn leeway_seconds(mut self, seconds: u64) -> Self {
        self.0.leeway_seconds = seconds;
        self
    }

    /// How many bytes a list may have when it is unpacked. Default: [`StatusList::MOST_BYTES`].
    pub fn most_bytes(mut self, bytes: usize) -> Self {
        self.0.most_bytes = bytes;
        self
    }

    /// The lists.
    ///
    /// # Errors
    /// - no algorithm
    /// - a copy that would be stale before it is to be replaced
    /// - a host that is none
    pub fn build(self) -> Result<StatusLists, ConfigError> {
        let lists = self.0;
        if lists.algorithms.is_empty() {
            return Err(ConfigError::new("expected an algorithm for status lists, but found none"));
        }
        if lists.stale_seconds < lists.poll_seconds || lists.stale_seconds == 0 {
            return Err(ConfigError::new(format!(
                "expected status lists to become stale no sooner than they are fetched again ({} seconds), but found \
                 {} seconds",
                lists.poll_seconds, lists.stale_seconds
            )));
        }
        for host in &lists.places.hosts {
            // As a URL writes it, so that it can be compared.
            let url = Url::parse(&format!("https://{host}/")).ok();
            let written = url.as_ref().and_then(|url| {
                let name = url.host_str()?;
                Some(match host.strip_suffix(":443") {
                    Some(_) => format!("{name}:443"),
                    None => url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}")),
                })
            });
            if written.as_deref() != Some(host) {
                return Err(ConfigError::new(format!(
                    "expected a host in lower case and, where there is one, a port, but found `{}`",
                    host.escape_debug()
                )));
            }
        }
        Ok(lists)
    }
}

impl fmt::Debug for StatusLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusLists")
            .field("issuer", &self.issuer)
            .field("required", &self.required)
            .field("poll_seconds", &self.poll_seconds)
            .field("stale_seconds", &self.stale_seconds)
            .field("allow_stale", &self.allow_stale)
            .finish_non_exhaustive()
    }
}
