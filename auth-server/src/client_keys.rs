//! The keys that clients publish at a URL of their own, fetched like everything that strangers name.

use std::sync::Arc;

use jsonwebtoken::Algorithm;

use crate::{
    model::jwks::{PublicKey, PublicKeys, Unusable},
    outbound::{Bounds, Limits, NotHad, Outbound, Shelf, Terms},
};

/// Sets held at once.
const CAPACITY: u64 = 500;

const LIMITS: Limits = Limits {
    max_bytes: 32 * 1024,
    // a key that leaked and was withdrawn must not be good for hours
    bounds: Bounds { min: 60, max: 3600, default: 300 },
};

/// A server that is down does not take its clients' sign-ins with it; but whoever keeps it busy must not keep a leaked
/// key alive for ever.
const HELD: Terms = Terms { anew: false, pause_seconds: PAUSE, stale_seconds: 24 * 3600, wait: true };
/// For a `kid` that is not in the set: the client may have exchanged its keys.
const ANEW: Terms = Terms { anew: true, ..HELD };

/// Seconds between two attempts: made-up `kid`s must not become requests to a client's server.
const PAUSE: i64 = 10;

/// The key sets of clients.
#[derive(Debug)]
pub(crate) struct ClientKeys {
    shelf: Shelf<Arc<PublicKeys>>,
}

impl ClientKeys {
    pub(crate) fn new(outbound: Arc<Outbound>) -> Self {
        Self { shelf: Shelf::new(outbound, LIMITS, CAPACITY) }
    }

    /// The key of the set at `url` for a signature, as for [`PublicKeys::find`]. Why there is none is in the log only.
    pub(crate) async fn find(
        &self,
        url: &str,
        kid: Option<&str>,
        algorithm: Algorithm,
        registered: Option<Algorithm>,
    ) -> Option<PublicKey> {
        for terms in [HELD, ANEW] {
            let keys = self.get(url, terms).await.ok()?;
            if let Some(key) = keys.find(kid, algorithm, registered) {
                return Some(key.clone());
            }
        }
        None
    }

    async fn get(&self, url: &str, terms: Terms) -> Result<Arc<PublicKeys>, NotHad> {
        let url = self.shelf.outbound().url(url)?;
        let read = |body: &[u8], _| PublicKeys::parse(body).map(Arc::new).map_err(words);
        Ok(self.shelf.get(&url, terms, read).await?.0)
    }
}

const fn words(reason: Unusable) -> &'static str {
    match reason {
        Unusable::NotASet => "no JSON Web Key Set",
        Unusable::NotPublic => "a private or symmetric key was published",
        Unusable::NoneUsable => "no usable key in the set",
    }
}
