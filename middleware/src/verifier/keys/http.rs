//! The guarded fetch over reqwest: one request, no redirect, no proxy, only addresses that were checked, little data,
//! little time.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::dns::{Addrs, Name, Resolving};
use reqwest::header::{ACCEPT, CONTENT_ENCODING};
use reqwest::{Client, Request, Response, StatusCode};
use url::{Host, Url};

use super::{BoxFuture, Fetch, FetchError};
use crate::net::{Resolve, SystemResolver, is_public, vetted};
use crate::verifier::Exchange;

/// [`Fetch`] and [`Exchange`] over HTTP.
///
/// Refused:
/// - an address that is not public: as the URL's host in whatever spelling, or as any answer for its name (see
///   [`is_public`]); the addresses that were judged are the ones connected to, so that a second answer changes nothing
/// - http, but to this machine where that is allowed
/// - redirects, answers with a content coding, answers that are too long or take too long
///
/// A proxy that the environment names is not used: it would connect for us, to whatever it likes.
///
/// Defaults: no private address; at most 1 MiB; 3 seconds to connect and 5 in all; the system's trust roots.
#[derive(Debug, Clone)]
pub struct HttpFetch {
    client: Client,
    admission: Arc<Admission>,
    max_bytes: usize,
}

/// Builds an [`HttpFetch`].
#[derive(Debug, Clone)]
#[must_use]
pub struct HttpFetchBuilder {
    admission: Admission,
    resolver: Arc<dyn Resolve>,
    timeout: Duration,
    max_bytes: usize,
}

/// Which hosts and addresses are connected to.
#[derive(Debug, Clone, Default)]
struct Admission {
    loopback: bool,
    private_addresses: bool,
    /// In the spelling of the URL parser.
    private_hosts: Vec<Box<str>>,
}

impl HttpFetch {
    /// With the defaults.
    ///
    /// # Errors
    /// The TLS backend cannot be set up.
    pub fn new() -> Result<Self, FetchError> {
        Self::builder().build()
    }

    /// With settings.
    pub fn builder() -> HttpFetchBuilder {
        HttpFetchBuilder {
            admission: Admission::default(),
            resolver: Arc::new(SystemResolver),
            timeout: Duration::from_secs(5),
            max_bytes: 1024 * 1024,
        }
    }

    /// Sends one request and reads the whole answer, whatever its status. The error never quotes the request.
    async fn exchange(&self, request: Request) -> Result<(Response, Bytes), FetchError> {
        self.admission.check(request.url())?;
        let failed = |error: reqwest::Error| FetchError::new(with_causes(&error.without_url()));
        let mut response = self.client.execute(request).await.map_err(failed)?;
        // What is compressed may become any size; nothing is asked for in such a form.
        if response.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return Err(FetchError::new("expected a plain body, but found a content coding"));
        }
        let too_long =
            || FetchError::new(format!("expected at most {} bytes, but found more", self.max_bytes));
        if response.content_length().is_some_and(|length| length > self.max_bytes as u64) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len().saturating_add(chunk.len()) > self.max_bytes {
                return Err(too_long());
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response, body.into()))
    }
}

impl Fetch for HttpFetch {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(async move {
            let mut request = Request::new(reqwest::Method::GET, url.clone());
            request
                .headers_mut()
                .insert(ACCEPT, reqwest::header::HeaderValue::from_static("application/json"));
            let answer = self.exchange(request).await;
            let (response, body) = answer.map_err(|error| FetchError::new(format!("{url}: {error}")))?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::new(format!(
                    "expected 200 from {url}, but found {}",
                    response.status()
                )));
            }
            Ok(body)
        })
    }
}

impl Exchange for HttpFetch {
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, FetchError>> {
        Box::pin(async move {
            let request =
                Request::try_from(request).map_err(|_| FetchError::new("expected an absolute URL"))?;
            let (response, body) = self.exchange(request).await?;
            let mut answer = http::Response::new(body);
            *answer.status_mut() = response.status();
            *answer.headers_mut() = response.headers().clone();
            Ok(answer)
        })
    }
}

impl HttpFetchBuilder {
    /// Lets URLs with the host `localhost`, or a loopback address, lead to this machine, with http as well. Default: no.
    pub fn allow_loopback(mut self, allow: bool) -> Self {
        self.admission.loopback = allow;
        self
    }

    /// Lets this host, a name or an address as in the URL, have any address: an identity provider of the house. The
    /// scheme has to be https still. Default: none.
    pub fn allow_private_host(mut self, host: &str) -> Self {
        // The spelling that the URL parser gives a host; what is no host at all will not be met.
        let host = Host::parse(host).map_or_else(|_| host.to_owned(), |host| host.to_string());
        self.admission.private_hosts.push(host.into());
        self
    }

    /// Lets every host have any address. Default: no.
    ///
    /// Deployment: right where all that can be reached from here may be reached by whoever can write to the metadata of
    /// an issuer, or answer for its name. [`HttpFetchBuilder::allow_private_host`] is narrower.
    pub fn allow_private_addresses(mut self, allow: bool) -> Self {
        self.admission.private_addresses = allow;
        self
    }

    /// Who turns names into addresses. Default: the machine.
    pub fn resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// How long a fetch may take in all. Default: 5 seconds.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The longest answer. Default: 1 MiB.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The fetcher.
    ///
    /// # Errors
    /// The TLS backend cannot be set up.
    pub fn build(self) -> Result<HttpFetch, FetchError> {
        let admission = Arc::new(self.admission);
        let guarded = Guarded { admission: Arc::clone(&admission), resolver: self.resolver };
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(guarded))
            // A kept connection would outlive the check.
            .pool_max_idle_per_host(0)
            // Another crate in the program may switch these features on.
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .connect_timeout(self.timeout.min(Duration::from_secs(3)))
            .timeout(self.timeout)
            .build()
            .map_err(|error| FetchError::new(with_causes(&error)))?;
        Ok(HttpFetch { client, admission, max_bytes: self.max_bytes })
    }
}

impl Admission {
    /// Judges what the resolver never sees: the scheme, and a host that is an address already. However that was spelled
    /// (`2130706433`, `0x7f.1`), the URL parser has made an address of it.
    fn check(&self, url: &Url) -> Result<(), FetchError> {
        let refused = |wanted: &str| Err(FetchError::new(format!("expected {wanted}")));
        let Some(host) = url.host() else {
            return refused("a URL with a host");
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && self.loopback && is_this_machine(&host)) {
            return refused("an https URL");
        }
        let address = match host {
            Host::Domain(_) => return Ok(()),
            Host::Ipv4(address) => IpAddr::V4(address),
            Host::Ipv6(address) => IpAddr::V6(address),
        };
        if self.admits(&host.to_string(), address) { Ok(()) } else { refused("a public address") }
    }

    fn admits(&self, host: &str, address: IpAddr) -> bool {
        let this_machine = || {
            self.loopback
                && address.is_loopback()
                && Host::parse(host).is_ok_and(|host| is_this_machine(&host))
        };
        is_public(address)
            || self.private_addresses
            || self.private_hosts.iter().any(|private| **private == *host)
            || this_machine()
    }
}

fn is_this_machine<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => name.as_ref() == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// A resolver that gives no answer rather than one with an address that must not be connected to.
struct Guarded {
    admission: Arc<Admission>,
    resolver: Arc<dyn Resolve>,
}

impl reqwest::dns::Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let (admission, resolver) = (Arc::clone(&self.admission), Arc::clone(&self.resolver));
        Box::pin(async move {
            let host = name.as_str();
            let addresses = vetted(resolver.resolve(host).await?, |address| admission.admits(host, address))?;
            let sockets: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(sockets)
        })
    }
}

/// reqwest says *that* a request failed; why stands in the chain of causes.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
