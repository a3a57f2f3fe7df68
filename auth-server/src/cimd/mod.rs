//! Client ID metadata documents (draft-ietf-oauth-client-id-metadata-document): a client id that is the URL of the
//! client's description. `outbound` has the guards around fetching it, `document` says what it may say.

mod document;
pub(crate) mod hosts;

use std::sync::Arc;

use self::hosts::HostPolicy;

use crate::{
    config,
    model::{
        client::Client,
        registration::{self, Rules},
    },
    outbound::{Bounds, Limits, NotHad, Outbound, Shelf, Terms},
    outside::Timestamp,
};

/// Documents held at once.
const CAPACITY: u64 = 1000;

const LIMITS: Limits = Limits {
    // the size that the draft recommends as a limit (§6.6)
    max_bytes: 5 * 1024,
    // a withdrawn redirect URI must not live on for longer than a day
    bounds: Bounds { min: 60, max: 24 * 3600, default: 3600 },
};

/// For an authorization: the document must be good now (§5: abort where it cannot be fetched).
const NOW: Terms = Terms { anew: false, pause_seconds: 0, stale_seconds: 0, wait: true };

/// For a client that somebody signed in with before: its server is asked now and then, and nobody waits for that twice.
const NOW_AND_THEN: Terms = Terms { anew: false, pause_seconds: 60, stale_seconds: 0, wait: false };

/// Seconds for which a client goes on whose document cannot be had, or is none any more: long enough for the outage of a
/// weekend, and for a mistake of the publisher's to be noticed; not long enough to outlive a withdrawal.
const STALE_SECONDS: i64 = 7 * 24 * 3600;

/// The clients that documents describe.
#[derive(Debug)]
pub(crate) struct Documents {
    shelf: Shelf<Client>,
    rules: Arc<Rules>,
    hosts: HostPolicy,
}

impl Documents {
    pub(crate) fn new(outbound: Arc<Outbound>, config: &config::Clients) -> Self {
        Self {
            shelf: Shelf::new(outbound, LIMITS, CAPACITY),
            rules: Arc::clone(&config.rules),
            hosts: config.document_hosts.clone(),
        }
    }

    /// The client whose document is at `id`, good now.
    pub(crate) async fn client(&self, id: &str) -> Result<Client, NotHad> {
        self.get(id, NOW).await
    }

    /// The client that `last` was: with the document as it is, or, for a while, as it was last.
    pub(crate) async fn still(&self, last: Client, now: Timestamp) -> Option<Client> {
        match self.get(&last.id, NOW_AND_THEN).await {
            Ok(client) => Some(client),
            // the operator's word holds at once
            Err(NotHad::NotAllowed | NotHad::Url(_)) => None,
            Err(_) => (now.seconds_since(last.registered_at) < STALE_SECONDS).then_some(last),
        }
    }

    async fn get(&self, id: &str, terms: Terms) -> Result<Client, NotHad> {
        let url = self.shelf.outbound().exact_url(id)?;
        if !self.hosts.admits(url.host_name()) {
            return Err(NotHad::NotAllowed);
        }
        let (id, host, rules) = (id.to_owned(), url.host().to_owned(), Arc::clone(&self.rules));
        let read = move |body: &[u8], now| {
            let metadata = document::parse(body, &id)?;
            registration::from_document(&id, &host, &metadata, &rules, now)
                .map_err(|refused| refused.description)
        };
        let (client, validated_at) = self.shelf.get(&url, terms, read).await?;
        Ok(Client { registered_at: validated_at, ..client })
    }
}
