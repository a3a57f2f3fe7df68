//! [`SessionKeys`]: what session ids are sealed with.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::owner::Principal;
use crate::ConfigError;
use crate::random::{Random as _, SystemRandom};
use crate::resource::ResourceUri;

/// The longest id of a server that is sealed, in bytes.
const MOST_ID_BYTES: usize = 1024;
/// The longest id that is opened: nonce, mark, owner, the longest id, tag, in base64.
const MOST_SEALED_BYTES: usize = (NONCE_LEN + 1 + OWNER_LENGTH + MOST_ID_BYTES + 16) * 4 / 3 + 1;
const OWNER_LENGTH: usize = 32;

/// The keys that session ids are sealed with. The first one seals, every one opens: to rotate, put a new one in front,
/// and take the old one away when the sessions that it sealed are over.
///
/// AES-256-GCM-SIV with random nonces. `Debug` shows how many keys there are; secrets are not kept but in the cipher,
/// which wipes them when the last clone is dropped.
#[derive(Clone)]
pub struct SessionKeys(Arc<[RandomizedNonceKey]>);

impl SessionKeys {
    /// Keys from secrets of 32 random bytes each, the one to seal with first.
    ///
    /// # Errors
    /// - no secret at all
    /// - a secret that does not have 32 bytes
    pub fn from_secrets<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Result<Self, ConfigError> {
        let keys = secrets
            .into_iter()
            .map(|secret| {
                let secret = secret.as_ref();
                RandomizedNonceKey::new(&AES_256_GCM_SIV, secret).map_err(|_| {
                    ConfigError::new(format!(
                        "expected a session secret of 32 bytes, but found {} bytes",
                        secret.len()
                    ))
                })
            })
            .collect::<Result<Arc<[_]>, _>>()?;
        if keys.is_empty() {
            return Err(ConfigError::new("expected at least one session secret, but found none"));
        }
        Ok(Self(keys))
    }

    /// One random key. What it sealed ends with the process.
    ///
    /// # Errors
    /// The machine gives no random bytes.
    pub fn random() -> Result<Self, ConfigError> {
        let mut secret = Zeroizing::new([0_u8; 32]);
        SystemRandom
            .fill(&mut *secret)
            .map_err(|_| ConfigError::new("expected random bytes for session keys, but found no source"))?;
        Self::from_secrets([&*secret])
    }

    /// No keys: nothing is sealed, nothing opens.
    pub(crate) fn none() -> Self {
        Self(Arc::default())
    }

    pub(crate) fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Seals a server's id for `owner` at `resource`: visible ASCII. `None` where that is not possible.
    pub(super) fn seal(&self, id: &[u8], owner: SealedOwner, resource: &ResourceUri) -> Option<String> {
        if !is_session_id(id) {
            return None;
        }
        let mut sealed = Vec::with_capacity(1 + OWNER_LENGTH + id.len() + AES_256_GCM_SIV.tag_len());
        let (mark, owner) = match &owner {
            SealedOwner::Stranger(handle) => (0, handle),
            SealedOwner::Principal(principal) => (1, principal.as_bytes()),
        };
        sealed.push(mark);
        sealed.extend_from_slice(owner);
        sealed.extend_from_slice(id);
        let nonce =
            self.0.first()?.seal_in_place_append_tag(Aad::from(context(resource)), &mut sealed).ok()?;
        Some(URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &sealed].concat()))
    }

    /// Opens what [`seal`](Self::seal) made for the same resource; `None` is anything else.
    pub(super) fn open(&self, sealed: &[u8], resource: &ResourceUri) -> Option<(Vec<u8>, SealedOwner)> {
        if sealed.len() > MOST_SEALED_BYTES {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        self.0.iter().find_map(|key| {
            let mut opened = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let opened = key.open_in_place(nonce, Aad::from(context(resource)), &mut opened).ok()?;
            let (mark, rest) = opened.split_first()?;
            let (owner, id) = rest.split_first_chunk::<OWNER_LENGTH>()?;
            let owner = match mark {
                0 => SealedOwner::Stranger(*owner),
                1 => SealedOwner::Principal(Principal::from_bytes(*owner)),
                _ => return None,
            };
            Some((id.to_vec(), owner))
        })
    }
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKeys({})", self.0.len())
    }
}

/// Who opened a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SealedOwner {
    /// Nobody that is known: where it is kept who claimed it.
    Stranger([u8; OWNER_LENGTH]),
    Principal(Principal),
}

/// What a sealed id is good for: it opens nowhere else.
fn context(resource: &ResourceUri) -> Vec<u8> {
    [b"mcp-auth session id 1\0".as_slice(), resource.as_str().as_bytes()].concat()
}

/// An id is visible ASCII (MCP 2025-11-25, Session Management), and not without measure.
fn is_session_id(id: &[u8]) -> bool {
    !id.is_empty() && id.len() <= MOST_ID_BYTES && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn resource(path: &str) -> ResourceUri {
        format!("https://gw.test{path}").parse().unwrap()
    }

    const ALEX: SealedOwner = SealedOwner::Principal(Principal::from_bytes([1; 32]));

    #[test]
    fn a_new_key_seals_and_the_ones_before_it_still_open() {
        let (old, new) = ([1; 32], [2; 32]);
        let before = SessionKeys::from_secrets([old]).unwrap();
        let during = SessionKeys::from_secrets([new, old]).unwrap();
        let after = SessionKeys::from_secrets([new]).unwrap();
        let sealed = before.seal(b"s-1", ALEX, &resource("/a")).unwrap();
        assert_eq!(during.open(sealed.as_bytes(), &resource("/a")), Some((b"s-1".to_vec(), ALEX)));
        assert_eq!(after.open(sealed.as_bytes(), &resource("/a")), None);
        let sealed = during.seal(b"s-1", ALEX, &resource("/a")).unwrap();
        assert_eq!(before.open(sealed.as_bytes(), &resource("/a")), None);
        assert_eq!(after.open(sealed.as_bytes(), &resource("/a")), Some((b"s-1".to_vec(), ALEX)));
    }

    #[test]
    fn an_id_opens_at_its_own_resource_only() {
        let keys = SessionKeys::random().unwrap();
        let sealed = keys.seal(b"s-1", ALEX, &resource("/a")).unwrap();
        assert!(keys.open(sealed.as_bytes(), &resource("/a")).is_some());
        assert_eq!(keys.open(sealed.as_bytes(), &resource("/b")), None);
        assert_eq!(keys.open(sealed.as_bytes(), &resource("/a/")), None);
    }

    #[test]
    fn secrets_have_32_bytes_and_are_not_shown() {
        for (secrets, found) in
            [(&[][..], "found none"), (&[&[1; 31][..]], "found 31 bytes"), (&[&[1; 32], &[1; 16]], "16")]
        {
            let error = SessionKeys::from_secrets(secrets).unwrap_err().to_string();
            assert!(error.contains(found), "{error}");
        }
        assert_eq!(format!("{:?}", SessionKeys::from_secrets([[1; 32]]).unwrap()), "SessionKeys(1)");
    }

    /// 10,000 ids for one and the same session: all differ, and each bit of them is as often 0 as 1.
    #[test]
    fn ids_cannot_be_predicted() {
        let keys = SessionKeys::random().unwrap();
        let mut seen = HashSet::new();
        let mut ones = Vec::new();
        for _ in 0..10_000 {
            let sealed = keys.seal(b"s-1", ALEX, &resource("/a")).unwrap();
            let bytes = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
            ones.resize(bytes.len() * 8, 0_u32);
            for (index, count) in ones.iter_mut().enumerate() {
                *count += u32::from(bytes[index / 8] >> (index % 8) & 1);
            }
            assert!(seen.insert(sealed));
        }
        // Six standard deviations around the half: one bit in 500 million falls outside.
        assert!(ones.iter().all(|count| (4_700..5_300).contains(count)), "{ones:?}");
    }

    #[test]
    fn what_is_no_id_is_not_sealed() {
        let keys = SessionKeys::random().unwrap();
        let longest = "x".repeat(MOST_ID_BYTES);
        for id in ["", "a b", "a\tb", "\u{7f}", "é", &format!("{longest}x")] {
            assert_eq!(keys.seal(id.as_bytes(), ALEX, &resource("/a")), None, "{id:?}");
        }
        let sealed = keys.seal(longest.as_bytes(), ALEX, &resource("/a")).unwrap();
        assert!(sealed.bytes().all(|byte| byte.is_ascii_graphic()) && sealed.len() <= MOST_SEALED_BYTES);
        assert!(keys.open(sealed.as_bytes(), &resource("/a")).is_some());
    }

    proptest! {
        #[test]
        fn a_sealed_id_opens_to_what_it_was(id in "[!-~]{1,64}", owner: [u8; 32], stranger: bool) {
            let keys = SessionKeys::from_secrets([[3; 32]]).unwrap();
            let owner = if stranger {
                SealedOwner::Stranger(owner)
            } else {
                SealedOwner::Principal(Principal::from_bytes(owner))
            };
            let sealed = keys.seal(id.as_bytes(), owner, &resource("/a")).unwrap();
            prop_assert_eq!(keys.open(sealed.as_bytes(), &resource("/a")), Some((id.into_bytes(), owner)));
        }

        /// Bits of the text, so that the spare ones of the last character of base64 are among them.
        #[test]
        fn with_any_bit_flipped_it_does_not_open(id in "[!-~]{1,64}", at: proptest::sample::Index) {
            let keys = SessionKeys::from_secrets([[3; 32]]).unwrap();
            let mut sealed = keys.seal(id.as_bytes(), ALEX, &resource("/a")).unwrap().into_bytes();
            let bit = at.index(sealed.len() * 8);
            sealed[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(keys.open(&sealed, &resource("/a")), None);
        }

        #[test]
        fn whatever_else_does_not_open(sealed: Vec<u8>) {
            let keys = SessionKeys::from_secrets([[3; 32]]).unwrap();
            prop_assert_eq!(keys.open(&sealed, &resource("/a")), None);
            let encoded = URL_SAFE_NO_PAD.encode(&sealed);
            prop_assert_eq!(keys.open(encoded.as_bytes(), &resource("/a")), None);
        }
    }
}
