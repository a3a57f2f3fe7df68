//! Client ID metadata documents (draft-ietf-oauth-client-id-metadata-document): a client id that is the URL of the
//! client's description. `outbound` has the guards around fetching it, `document` says what it may say.

mod document;

use std::sync::Arc;

use crate::{
    config,
    model::{
        client::Client,
        registration::{self, Rules},
    },
    outbound::{Bounds, Limits, NotHad, Outbound, Shelf, Terms},
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

/// The clients that documents describe.
#[derive(Debug)]
pub(crate) struct Documents {
    shelf: Shelf<Client>,
    rules: Arc<Rules>,
}

impl Documents {
    pub(crate) fn new(outbound: Arc<Outbound>, config: &config::Clients) -> Self {
        Self { shelf: Shelf::new(outbound, LIMITS, CAPACITY), rules: Arc::clone(&config.rules) }
    }

    /// The client whose document is at `id`.
    pub(crate) async fn client(&self, id: &str) -> Result<Client, NotHad> {
        let url = self.shelf.outbound().exact_url(id)?;
        let (id, host, rules) = (id.to_owned(), url.host().to_owned(), Arc::clone(&self.rules));
        let read = move |body: &[u8], now| {
            let metadata = document::parse(body, &id)?;
            registration::from_document(&id, &host, &metadata, &rules, now)
                .map_err(|refused| refused.description)
        };
        let (client, validated_at) = self.shelf.get(&url, NOW, read).await?;
        Ok(Client { registered_at: validated_at, ..client })
    }
}
