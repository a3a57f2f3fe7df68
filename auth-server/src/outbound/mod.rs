//! Fetching what strangers name. That is dangerous, so every step has its guard:
//!
//! `url` (what may be asked for) → `shelf` (whether it must be asked for at all) → the budget (how often) → `fetch`
//! (where it may lead, how much may come back), with `freshness` deciding how long the answer stands.

mod fetch;
mod freshness;
mod shelf;
pub(crate) mod url;

use std::sync::Arc;

pub(crate) use self::{
    fetch::Limits,
    freshness::Bounds,
    shelf::{NotHad, Shelf, Terms},
};
use self::{
    fetch::{FetchFailed, Fetched, Fetcher},
    url::{FetchUrl, InsecureHost, NotFetchable},
};
use crate::{
    config,
    outside::{Clock, Outside, Timestamp},
    throttle::{Exceeded, Throttle},
};

/// The one way out to addresses that strangers name. Anybody may make this server fetch, so it must not become a weapon:
/// the budget is for a minute.
#[derive(Debug)]
pub(crate) struct Outbound {
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    per_host: Throttle,
    in_all: Throttle<()>,
    insecure_hosts: Vec<InsecureHost>,
}

/// Why nothing was fetched.
#[derive(Debug)]
enum NotFetched {
    Busy(Exceeded),
    Failed(FetchFailed),
}

impl Outbound {
    pub(crate) fn new(
        config: &config::Clients,
        fetches: config::Fetches,
        outside: &Outside,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            fetcher: Fetcher::new(&outside.resolver, config.extra_ca.as_deref())?,
            clock: Arc::clone(&outside.clock),
            per_host: Throttle::new(fetches.per_host, 60),
            in_all: Throttle::new(fetches.in_all, 60),
            insecure_hosts: config.insecure_document_hosts.clone(),
        })
    }

    /// A URL whose spelling is an identity.
    pub(crate) fn exact_url(&self, text: &str) -> Result<FetchUrl, NotFetchable> {
        FetchUrl::parse(text, &self.insecure_hosts)
    }

    /// A URL that is only a place.
    pub(crate) fn url(&self, text: &str) -> Result<FetchUrl, NotFetchable> {
        FetchUrl::normalised(text, &self.insecure_hosts)
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn fetch(&self, url: &FetchUrl, etag: Option<&str>, limits: Limits) -> Result<Fetched, NotFetched> {
        let now = self.now();
        self.per_host.admit(url.host(), now).map_err(NotFetched::Busy)?;
        self.in_all.admit(&(), now).map_err(NotFetched::Busy)?;
        self.fetcher.fetch(url, etag, limits).await.map_err(NotFetched::Failed)
    }
}
