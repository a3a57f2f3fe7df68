//! [`Ring`]: the keys that are published, and the one among them that signs.
//!
//! A key that signs must be known before: one that comes with an edit is published at once, and signs only when those who
//! verify have had the time to see it. A key that no longer signs stays published for as long as its last assertion lives.

use std::sync::Arc;

use jsonwebtoken::jwk::Jwk;

use super::SigningKey;

/// How much longer than the last assertion of a key the key stays published: for clocks that differ.
const SLACK_SECONDS: u64 = 60;

/// Never changed, only replaced.
#[derive(Debug)]
pub(super) struct Ring {
    signer: Arc<SigningKey>,
    /// The key that signs from this second on.
    next: Option<(Arc<SigningKey>, u64)>,
    published: Vec<Published>,
}

#[derive(Clone, Debug)]
struct Published {
    key: Arc<SigningKey>,
    /// Seconds since 1970.
    since: u64,
    /// Until when it is, where it has left the file.
    until: Option<u64>,
}

impl Ring {
    /// The keys at the start, of which the first one signs at once: there is none before it. `None` without any.
    pub(super) fn new(keys: Vec<SigningKey>) -> Option<Self> {
        let keys: Vec<_> = keys.into_iter().map(Arc::new).collect();
        let signer = Arc::clone(keys.first()?);
        let published = keys.into_iter().map(|key| Published { key, since: 0, until: None }).collect();
        Some(Self { signer, next: None, published })
    }

    /// The ring after an edit. `None` without any key.
    pub(super) fn next(
        &self,
        keys: Vec<SigningKey>,
        now: u64,
        ahead_seconds: u64,
        lifetime_seconds: u64,
    ) -> Option<Self> {
        let signer = Arc::clone(self.signer(now));
        let lingers = lifetime_seconds.saturating_add(SLACK_SECONDS);
        let mut published: Vec<Published> = Vec::with_capacity(keys.len() + 1);
        for key in keys {
            let known = self.published.iter().find(|known| known.key.id() == key.id());
            published.push(match known.filter(|known| known.is_published(now)) {
                Some(known) => Published { until: None, ..known.clone() },
                None => Published { key: Arc::new(key), since: now, until: None },
            });
        }
        let first = published.first()?;
        let next = (first.key.id() != signer.id())
            // one more: the second that it came in had begun before
            .then(|| {
                (Arc::clone(&first.key), now.max(first.since.saturating_add(ahead_seconds).saturating_add(1)))
            });
        let signs_until = |key: &SigningKey| match &next {
            Some((_, from)) if key.id() == signer.id() => *from,
            _ => now,
        };
        for known in &self.published {
            if known.is_published(now) && !published.iter().any(|listed| listed.key.id() == known.key.id()) {
                let until = signs_until(&known.key).saturating_add(lingers);
                let until = known.until.filter(|_| known.key.id() != signer.id()).unwrap_or(until);
                published.push(Published { until: Some(until), ..known.clone() });
            }
        }
        Some(Self { signer, next, published })
    }

    /// The key that signs.
    pub(super) fn signer(&self, now: u64) -> &Arc<SigningKey> {
        match &self.next {
            Some((next, from)) if now >= *from => next,
            _ => &self.signer,
        }
    }

    pub(super) fn published(&self, now: u64) -> Vec<Jwk> {
        let published = self.published.iter().filter(|published| published.is_published(now));
        published.map(|published| published.key.public().clone()).collect()
    }
}

impl Published {
    fn is_published(&self, now: u64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::assertion::AssertionAlgorithm;

    const AHEAD: u64 = 300;
    const LIFETIME: u64 = 30;

    fn key() -> (String, SigningKey) {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let again = SigningKey::all_from_pem(&key).unwrap().remove(0);
        (key, again)
    }

    fn keys(pems: &[&String]) -> Vec<SigningKey> {
        pems.iter().map(|pem| SigningKey::all_from_pem(pem).unwrap().remove(0)).collect()
    }

    fn published(ring: &Ring, now: u64) -> Vec<String> {
        ring.published(now).into_iter().filter_map(|key| key.common.key_id).collect()
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_for_as_long_as_its_assertions_live() {
        let ((old, old_key), (new, new_key)) = (key(), key());
        let (old_id, new_id) = (old_key.id().to_owned(), new_key.id().to_owned());
        let ring = Ring::new(keys(&[&old])).unwrap();
        assert_eq!(ring.signer(1_000).id(), old_id);
        assert_eq!(published(&ring, 1_000), *std::slice::from_ref(&old_id));

        // the file is replaced, all at once
        let ring = ring.next(keys(&[&new]), 1_000, AHEAD, LIFETIME).unwrap();
        assert_eq!(published(&ring, 1_000), [new_id.clone(), old_id.clone()]);
        assert_eq!(ring.signer(1_300).id(), old_id);
        assert_eq!(ring.signer(1_301).id(), new_id);
        // the last assertion of the old key, made at 1300, ends at 1330
        assert_eq!(published(&ring, 1_390), [new_id.clone(), old_id.clone()]);
        assert_eq!(published(&ring, 1_391), *std::slice::from_ref(&new_id));

        // the key that signs from 1301 on is the one that signs; another edit changes nothing of that
        let ring = ring.next(keys(&[&new]), 1_350, AHEAD, LIFETIME).unwrap();
        assert_eq!(ring.signer(1_350).id(), new_id);
        assert_eq!(published(&ring, 1_390), [new_id.clone(), old_id]);
        assert_eq!(published(&ring, 1_391), [new_id]);
    }

    #[test]
    fn a_key_that_was_published_long_enough_signs_at_once() {
        let ((old, old_key), (new, new_key)) = (key(), key());
        let ring = Ring::new(keys(&[&old])).unwrap();
        let ring = ring.next(keys(&[&old, &new]), 1_000, AHEAD, LIFETIME).unwrap();
        assert_eq!(ring.signer(2_000).id(), old_key.id());
        let ring = ring.next(keys(&[&new, &old]), 2_000, AHEAD, LIFETIME).unwrap();
        assert_eq!(ring.signer(2_000).id(), new_key.id());
        assert_eq!(published(&ring, 2_000).len(), 2);
        // too soon after the key came
        let (newest, newest_key) = key();
        let ring = ring.next(keys(&[&new, &newest]), 2_010, AHEAD, LIFETIME).unwrap();
        let ring = ring.next(keys(&[&newest]), 2_020, AHEAD, LIFETIME).unwrap();
        assert_eq!(ring.signer(2_310).id(), new_key.id());
        assert_eq!(ring.signer(2_311).id(), newest_key.id());
    }

    #[test]
    fn no_key_is_no_ring_and_changes_nothing() {
        assert!(Ring::new(Vec::new()).is_none());
        let ring = Ring::new(vec![SigningKey::generate(AssertionAlgorithm::EdDsa).unwrap()]).unwrap();
        assert!(ring.next(Vec::new(), 1_000, AHEAD, LIFETIME).is_none());
    }
}
