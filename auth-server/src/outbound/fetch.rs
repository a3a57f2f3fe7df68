//! The guarded fetch: https, one request, no redirect, no proxy, only addresses that were checked, little data, little
//! time.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use http::{HeaderMap, StatusCode, header};
use mcp_auth::net::{is_public, vetted};
use reqwest::{
    Certificate, Client, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};

use super::{
    freshness::{Bounds, reusable_seconds},
    url::FetchUrl,
};
use crate::outside::Resolver;

/// For everything: name, connection, TLS, headers, body.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What may come back, and for how long it is good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) max_bytes: usize,
    pub(crate) bounds: Bounds,
}

/// Fetches JSON.
#[derive(Debug)]
pub(super) struct Fetcher {
    public: Client,
    /// For the hosts that tests allow on loopback, and for no other address.
    loopback: Client,
}

/// What came back.
#[derive(Debug)]
pub(super) enum Fetched {
    Document { body: Vec<u8>, etag: Option<String>, reusable_seconds: i64 },
    NotModified { reusable_seconds: i64 },
}

/// Why nothing usable came back: for the log only, since it tells what is reachable from here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchFailed {
    #[error("no answer within 5 seconds")]
    TimedOut,
    #[error("the request failed")]
    Request(#[from] reqwest::Error),
    #[error("expected status 200, but found {0}")]
    Status(StatusCode),
    #[error("expected JSON, but found another content type")]
    ContentType,
    #[error("expected a plain body, but found a content coding")]
    Encoded,
    #[error("expected at most {0} bytes")]
    TooLarge(usize),
}

impl Fetcher {
    /// `extra_ca`: PEM roots that the loopback hosts' certificates are checked against.
    pub(super) fn new(resolver: &Arc<dyn Resolver>, extra_ca: Option<&[u8]>) -> anyhow::Result<Self> {
        let public = client(resolver, is_public).build().context(
            "client metadata documents and keys need the system's certificate authorities; install them, or set \
             `clients.metadata_documents = false` and give no `jwks_uri`",
        )?;
        let mut loopback = client(resolver, |address| address.is_loopback());
        if let Some(pem) = extra_ca {
            let roots = Certificate::from_pem_bundle(pem)
                .context("`clients.extra_ca_file` holds no PEM certificates")?;
            loopback = loopback.tls_certs_only(roots);
        }
        Ok(Self {
            public,
            loopback: loopback.build().context("no TLS for `clients.insecure_document_hosts`")?,
        })
    }

    /// Fetches what is at `url`, or learns that what had `etag` still holds.
    pub(super) async fn fetch(
        &self,
        url: &FetchUrl,
        etag: Option<&str>,
        limits: Limits,
    ) -> Result<Fetched, FetchFailed> {
        tokio::time::timeout(TIMEOUT, self.fetch_untimed(url, etag, limits))
            .await
            .map_err(|_| FetchFailed::TimedOut)?
    }

    async fn fetch_untimed(
        &self,
        url: &FetchUrl,
        etag: Option<&str>,
        limits: Limits,
    ) -> Result<Fetched, FetchFailed> {
        let client = if url.is_insecure() { &self.loopback } else { &self.public };
        let mut request = client.get(url.url().clone()).header(header::ACCEPT, "application/json");
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        let response = request.send().await?;
        let reusable_seconds = reusable_seconds(response.headers(), limits.bounds);
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if etag.is_some() => {
                return Ok(Fetched::NotModified { reusable_seconds });
            }
            other => return Err(FetchFailed::Status(other)),
        }
        if !is_json(response.headers()) {
            return Err(FetchFailed::ContentType);
        }
        if response.headers().contains_key(header::CONTENT_ENCODING) {
            return Err(FetchFailed::Encoded);
        }
        let etag =
            response.headers().get(header::ETAG).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Fetched::Document { body: read(response, limits.max_bytes).await?, etag, reusable_seconds })
    }
}

fn client(resolver: &Arc<dyn Resolver>, admits: fn(IpAddr) -> bool) -> reqwest::ClientBuilder {
    Client::builder()
        .user_agent(concat!("mcp-auth-server/", env!("CARGO_PKG_VERSION")))
        .https_only(true)
        .redirect(redirect::Policy::none())
        // a proxy would connect for us, to whatever it likes
        .no_proxy()
        // the addresses that this resolver returns are the ones connected to: what was checked is what is used
        .dns_resolver(Arc::new(Guarded { inner: Arc::clone(resolver), admits }))
        // a kept connection would outlive the check
        .pool_max_idle_per_host(0)
}

async fn read(mut response: Response, max_bytes: usize) -> Result<Vec<u8>, FetchFailed> {
    if response.content_length().is_some_and(|length| length > max_bytes as u64) {
        return Err(FetchFailed::TooLarge(max_bytes));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > max_bytes {
            return Err(FetchFailed::TooLarge(max_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// `application/json` or `application/*+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind.strip_prefix("application/").is_some_and(|kind| kind == "json" || kind.ends_with("+json"))
}

/// A resolver that gives no answer rather than one with an address that must not be connected to.
struct Guarded {
    inner: Arc<dyn Resolver>,
    admits: fn(IpAddr) -> bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let inner = Arc::clone(&self.inner);
        let admits = self.admits;
        Box::pin(async move {
            let addresses = vetted(inner.resolve(name.as_str()).await?, admits)?;
            let sockets: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(sockets)
        })
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;

    #[derive(Debug)]
    struct Fixed(Vec<IpAddr>);

    #[async_trait]
    impl Resolver for Fixed {
        async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
            Ok(self.0.clone())
        }
    }

    async fn resolve(addresses: &[&str]) -> Result<Vec<SocketAddr>, String> {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let guarded = Guarded { inner: Arc::new(Fixed(addresses)), admits: is_public };
        match guarded.resolve("client.test".parse().unwrap()).await {
            Ok(addresses) => Ok(addresses.collect()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// K9: the blocks themselves are in `tests/it/documents.rs`. In IPv6, all outside of 2000::/3 is reserved, so that only
    /// blocks within it have neighbours that are somebody's.
    #[tokio::test]
    async fn addresses_just_outside_of_every_block_pass() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.1.255",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "::ffff:9.255.255.255",
            "::ffff:11.0.0.0",
            "64:ff9b::9ff:ffff",
            "64:ff9b::b00:0",
            "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:200::",
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "2002:7eff:ffff::",
            "2002:8000::",
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff:1000::",
        ] {
            assert!(resolve(&[address]).await.is_ok(), "{address} as the answer for a name");
            let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
            assert!(FetchUrl::normalised(&format!("https://{host}/c"), &[]).is_ok(), "{address} as a host");
        }
    }

    #[tokio::test]
    async fn an_answer_with_any_inside_address_is_refused_whole() {
        for addresses in [&[][..], &["127.0.0.1"], &["8.8.8.8", "10.0.0.1"], &["2606:4700::1111", "::1"]] {
            assert!(resolve(addresses).await.is_err(), "{addresses:?}");
        }
        assert_eq!(resolve(&["8.8.8.8"]).await.unwrap(), ["8.8.8.8:0".parse().unwrap()]);
    }

    #[test]
    fn only_json_types_are_json() {
        for (kind, wanted) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/foo+json", true),
            ("text/html", false),
            ("text/json", false),
            ("application/jsonp", false),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind.parse().unwrap())]);
            assert_eq!(is_json(&headers), wanted, "{kind}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
