//! The lists, as they are published.

use std::{
    io::Write as _,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use flate2::{Compression, write::ZlibEncoder};
use moka::future::Cache;

use super::{LIST_LIFETIME_SECONDS, LIST_SIZE, places::COUNTER, uri};
use crate::{
    app::App,
    keys::{SignError, TokenType},
    model::grant::MOST_LEEWAY_SECONDS,
    outside::Timestamp,
    storage::{Storage, StorageError},
    wire::token::{StatusBits, StatusListClaims},
};

/// Lists that are kept for the second in which they were made.
const KEPT: u64 = 64;

/// Why a list could not be made.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum NoList {
    #[error("a status list could not be read")]
    Storage(#[source] Arc<StorageError>),
    #[error("a status list could not be packed")]
    Packing(#[source] Arc<std::io::Error>),
    #[error("a status list could not be signed")]
    Signing(#[source] Arc<SignError>),
}

/// Makes lists when they are asked for. However many ask within a second, each is made once.
#[derive(Debug)]
pub(crate) struct StatusLists {
    signed: Cache<(i64, Timestamp), Arc<str>>,
    /// How many places were given out, as far as is known; there never are fewer.
    taken: AtomicI64,
    counted: Cache<Timestamp, i64>,
}

impl StatusLists {
    pub(crate) fn new() -> Self {
        Self { signed: Cache::new(KEPT), taken: AtomicI64::new(0), counted: Cache::new(2) }
    }

    /// The signed form of a list, or `None` for one that no token names.
    pub(crate) async fn signed(&self, app: &App, list: i64) -> Result<Option<Arc<str>>, NoList> {
        let now = app.now();
        if !self.exists(&*app.storage, list, now).await? {
            return Ok(None);
        }
        let making = self.signed.try_get_with((list, now), make(app, list, now));
        making.await.map(Some).map_err(|error| NoList::clone(&error))
    }

    /// Whether a token may be in the list. The one after the last is there as well: whichever server gives out its first
    /// place, nobody is told that there is no such list.
    async fn exists(&self, storage: &dyn Storage, list: i64, now: Timestamp) -> Result<bool, NoList> {
        let within = |taken: i64| (0..=taken.div_euclid(LIST_SIZE).saturating_add(1)).contains(&list);
        if within(self.taken.load(Ordering::Relaxed)) {
            return Ok(true);
        }
        if list < 0 {
            return Ok(false);
        }
        let counting = self.counted.try_get_with(now, storage.numbers_taken(COUNTER));
        let taken = counting.await.map_err(NoList::Storage)?;
        self.taken.fetch_max(taken, Ordering::Relaxed);
        Ok(within(taken))
    }
}

async fn make(app: &App, list: i64, now: Timestamp) -> Result<Arc<str>, NoList> {
    let first = list.saturating_mul(LIST_SIZE);
    // a token that is revoked stays so for as long as anybody may take it for good
    let since = now.plus_seconds(-MOST_LEEWAY_SECONDS);
    let revoked = app
        .storage
        .revoked_statuses(first, first.saturating_add(LIST_SIZE), since)
        .await
        .map_err(|error| NoList::Storage(Arc::new(error)))?;
    let uri = uri(&app.issuer, list);
    let claims = StatusListClaims {
        iss: app.issuer.as_str(),
        sub: &uri,
        iat: now.unix_seconds(),
        exp: now.plus_seconds(LIST_LIFETIME_SECONDS).unix_seconds(),
        ttl: app.tokens.status_list_ttl,
        status_list: StatusBits {
            bits: 1,
            lst: packed(revoked.iter().map(|place| place.saturating_sub(first)))
                .map_err(|error| NoList::Packing(Arc::new(error)))?,
        },
    };
    let signed = app.keys.sign(TokenType::StatusList, &claims);
    signed.map(Into::into).map_err(|error| NoList::Signing(Arc::new(error)))
}

/// A list of one bit for each token, set for those that are revoked (§4.1): the lowest bit of each byte comes first. It is
/// always as long, so that a copy that somebody has also speaks of the tokens that are issued after it was made.
fn packed(revoked: impl Iterator<Item = i64>) -> std::io::Result<String> {
    let bytes = usize::try_from(LIST_SIZE / 8).unwrap_or_default();
    let mut bits = vec![0_u8; bytes];
    for place in revoked {
        let byte = usize::try_from(place).ok().and_then(|place| bits.get_mut(place / 8));
        let byte = byte.ok_or_else(|| std::io::Error::other(format!("no place in a list: {place}")))?;
        *byte |= 1 << (place % 8);
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&bits)?;
    Ok(URL_SAFE_NO_PAD.encode(encoder.finish()?))
}

#[cfg(test)]
mod tests {
    use mcp_auth::verifier::status_list::StatusList;

    use super::*;

    #[test]
    fn whoever_reads_a_list_finds_those_that_are_revoked_and_no_others() {
        let revoked = [0, 1, 7, 8, 1000, LIST_SIZE - 1];
        let json = serde_json::json!({"bits": 1, "lst": packed(revoked.into_iter()).unwrap()});
        let list = StatusList::decode(json.to_string().as_bytes()).unwrap();
        for place in 0..LIST_SIZE {
            let expected = u8::from(revoked.contains(&place));
            assert_eq!(list.get(u64::try_from(place).unwrap()), Some(expected), "{place}");
        }
        assert_eq!(list.get(u64::try_from(LIST_SIZE).unwrap()), None);
        for place in [-1, LIST_SIZE] {
            assert!(packed([place].into_iter()).is_err(), "{place}");
        }
    }

    #[test]
    fn a_list_of_good_tokens_is_small() {
        assert!(packed([].into_iter()).unwrap().len() < 100);
    }
}
