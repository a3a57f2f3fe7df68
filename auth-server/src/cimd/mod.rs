//! Client ID metadata documents (draft-ietf-oauth-client-id-metadata-document): a client id that is the URL of the
//! client's description. Fetching what a stranger names is dangerous, so every step has its guard:
//!
//! `url` (what may be asked for) → `fetch` (where it may lead, how much may come back) → `document` (what it may say),
//! with `freshness` deciding how long the answer stands.

mod document;
mod fetch;
mod freshness;
pub(crate) mod url;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use moka::future::Cache;
use tokio::sync::Mutex;

use self::{
    fetch::{FetchFailed, Fetched, Fetcher},
    url::{DocumentUrl, InsecureHost, NotADocumentUrl},
};
use crate::{
    config,
    model::{client::Client, redirect::RedirectUri, registration},
    outside::{Clock, Outside, Timestamp},
    throttle::{Exceeded, Throttle},
};

/// Documents held at once.
const MAX_DOCUMENTS: u64 = 1000;
/// Fetches a minute, from one host and in all: anybody may make this server fetch, so it must not become a weapon.
const PER_HOST: u32 = 30;
const IN_ALL: u32 = 120;

/// The clients that documents describe.
#[derive(Debug)]
pub(crate) struct Documents {
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    slots: Cache<String, Arc<Slot>>,
    per_host: Throttle,
    in_all: Throttle,
    insecure_hosts: Vec<InsecureHost>,
    allowed_redirect_uris: Vec<RedirectUri>,
}

/// Why there is no client. Callers show one page for all but `Busy`.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NoClient {
    #[error("the client id is no URL of a document: {0}")]
    Url(#[from] NotADocumentUrl),
    #[error("the document could not be fetched: {0}")]
    Fetch(Arc<FetchFailed>),
    #[error("the document is refused: {0}")]
    Document(&'static str),
    #[error("too many documents are fetched at the moment")]
    Busy(Exceeded),
}

/// One document. The lock is held while it is fetched, so that all who want it wait for one fetch.
#[derive(Debug, Default)]
struct Slot {
    finished_fetches: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// The outcome of the last fetch, for those who waited for it. Never used by anybody who came later.
    last: Option<Result<Client, NoClient>>,
}

#[derive(Clone, Debug)]
struct Held {
    client: Client,
    etag: Option<String>,
    fresh_until: Timestamp,
}

impl Documents {
    pub(crate) fn new(config: &config::Clients, outside: &Outside) -> anyhow::Result<Self> {
        Ok(Self {
            fetcher: Fetcher::new(&outside.resolver, config.extra_ca.as_deref())?,
            clock: Arc::clone(&outside.clock),
            slots: Cache::new(MAX_DOCUMENTS),
            per_host: Throttle::new(PER_HOST, 60),
            in_all: Throttle::new(IN_ALL, 60),
            insecure_hosts: config.insecure_document_hosts.clone(),
            allowed_redirect_uris: config.allowed_redirect_uris.clone(),
        })
    }

    /// The client whose document is at `id`.
    pub(crate) async fn client(&self, id: &str) -> Result<Client, NoClient> {
        let url = DocumentUrl::parse(id, &self.insecure_hosts)?;
        let slot = self.slots.get_with_by_ref(id, async { Arc::default() }).await;
        let finished_before = slot.finished_fetches.load(Ordering::Acquire);
        let mut state = slot.state.lock().await;
        let now = self.clock.now();
        if let Some(held) = state.held.as_ref().filter(|held| now < held.fresh_until) {
            return Ok(held.client.clone());
        }
        if slot.finished_fetches.load(Ordering::Acquire) != finished_before
            && let Some(outcome) = &state.last
        {
            return outcome.clone();
        }
        self.admit(&url, now)?;
        let outcome = self.refresh(&url, &mut state.held, now).await;
        if let Err(reason) = &outcome {
            tracing::info!(client.host = url.host(), %reason, "client metadata document refused");
        }
        state.last = Some(outcome.clone());
        slot.finished_fetches.fetch_add(1, Ordering::Release);
        outcome
    }

    fn admit(&self, url: &DocumentUrl, now: Timestamp) -> Result<(), NoClient> {
        self.per_host.admit(url.host(), now).map_err(NoClient::Busy)?;
        self.in_all.admit("", now).map_err(NoClient::Busy)
    }

    /// Fetches the document. Errors and invalid documents are not kept.
    async fn refresh(
        &self,
        url: &DocumentUrl,
        held: &mut Option<Held>,
        now: Timestamp,
    ) -> Result<Client, NoClient> {
        let etag = held.as_ref().and_then(|held| held.etag.clone());
        match self.fetcher.fetch(url, etag.as_deref()).await {
            Err(reason) => Err(NoClient::Fetch(Arc::new(reason))),
            Ok(Fetched::NotModified { reusable_seconds }) => match held {
                Some(held) => {
                    held.fresh_until = now.plus_seconds(reusable_seconds);
                    Ok(held.client.clone())
                }
                None => Err(NoClient::Document("not modified, but nothing is held")),
            },
            Ok(Fetched::Document { body, etag, reusable_seconds }) => {
                *held = None;
                let client = self.understand(url, &body, now)?;
                *held = Some(Held {
                    client: client.clone(),
                    etag,
                    fresh_until: now.plus_seconds(reusable_seconds),
                });
                Ok(client)
            }
        }
    }

    fn understand(&self, url: &DocumentUrl, body: &[u8], now: Timestamp) -> Result<Client, NoClient> {
        let id = url.url().as_str();
        let metadata = document::parse(body, id).map_err(NoClient::Document)?;
        registration::from_document(id, url.host(), &metadata, &self.allowed_redirect_uris, now)
            .map_err(|refused| NoClient::Document(refused.description))
    }
}
