//! Tokens as somebody presents them. What they say of themselves is not believed: it says where to look, and only what
//! is found there by the digest decides.
//!
//! A digest alone would be enough to find a token. But digests are spread over all of an index, so that among a million
//! grants each use of one would touch pages that no other use touches. A refresh token is therefore kept beside the
//! others of its grant, and an access token beside those of the same second.

use serde::Deserialize;

use super::secret::{Digest, Secret};
use crate::outside::{NoRandomness, Rng, Timestamp};

/// Stands between the grant and the secret: in no identifier, no secret, and allowed in a token (RFC 6749 §A.17).
const SEPARATOR: char = '.';

/// A token of either kind.
#[derive(Debug)]
pub(crate) enum Presented {
    Access(AccessTokenName),
    Refresh(RefreshSecret),
}

impl Presented {
    /// Whatever is no access token of ours by its form can only be a refresh token.
    pub(crate) fn read(text: &str) -> Self {
        AccessTokenName::read(text).map_or_else(|| Self::Refresh(RefreshSecret::received(text)), Self::Access)
    }
}

/// By what a stored access token is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessTokenName {
    pub(crate) issued_at: Timestamp,
    /// Of the whole token.
    pub(crate) digest: Digest,
}

impl AccessTokenName {
    /// `None` for what is no JWT that says when it was issued: it is none of ours.
    pub(crate) fn read(text: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Issued {
            iat: i64,
        }

        let issued: Issued = jsonwebtoken::dangerous::insecure_decode_claims(text).ok()?;
        Some(Self {
            issued_at: Timestamp::from_unix_seconds(issued.iat),
            digest: Digest::of(text.as_bytes()),
        })
    }
}

/// By what a stored refresh token is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefreshTokenName {
    /// Absent in tokens from before they named their grant.
    pub(crate) grant_id: Option<String>,
    /// Of the secret.
    pub(crate) digest: Digest,
}

/// A refresh token in clear: the grant that it is for, and the secret. `Debug` shows nothing of the latter.
#[derive(Clone, Debug)]
pub(crate) struct RefreshSecret {
    grant_id: Option<String>,
    secret: Secret,
}

impl RefreshSecret {
    pub(crate) fn generate(grant_id: &str, rng: &dyn Rng) -> Result<Self, NoRandomness> {
        Ok(Self { grant_id: Some(grant_id.to_owned()), secret: Secret::generate(rng)? })
    }

    pub(crate) fn received(text: &str) -> Self {
        match text.split_once(SEPARATOR) {
            Some((grant_id, secret)) => {
                Self { grant_id: Some(grant_id.to_owned()), secret: Secret::received(secret) }
            }
            None => Self { grant_id: None, secret: Secret::received(text) },
        }
    }

    /// The token that follows this one: derived, so that it can be given again without being stored. Nobody derives it
    /// without the salt, which never leaves the database.
    pub(crate) fn successor(&self, grant_id: &str, salt: &str) -> Self {
        Self { grant_id: Some(grant_id.to_owned()), secret: self.secret.derive(&["refresh", salt]) }
    }

    pub(crate) fn name(&self) -> RefreshTokenName {
        RefreshTokenName { grant_id: self.grant_id.clone(), digest: self.digest() }
    }

    pub(crate) fn digest(&self) -> Digest {
        self.secret.digest()
    }

    /// The token, for its client.
    pub(crate) fn expose(&self) -> String {
        let secret = self.secret.expose();
        self.grant_id.as_ref().map_or_else(|| secret.to_owned(), |id| format!("{id}{SEPARATOR}{secret}"))
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;
    use crate::outside::SystemRng;

    fn jwt(payload: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode("{\"alg\":\"ES256\"}"), URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn what_is_no_jwt_with_a_time_is_no_access_token() {
        for text in [
            "",
            ".",
            "..",
            "a.b.c",
            "opaque",
            "grant.secret",
            &jwt(""),
            &jwt("[]"),
            &jwt("{}"),
            &jwt("{\"iat\":\"1\"}"),
            &jwt("{\"iat\":1.5}"),
            &jwt("{\"iat\":99999999999999999999}"),
        ] {
            assert_eq!(AccessTokenName::read(text), None, "{text}");
            assert!(matches!(Presented::read(text), Presented::Refresh(_)), "{text}");
        }
    }

    #[test]
    fn an_access_token_is_named_by_its_second_and_all_of_its_text() {
        let text = jwt("{\"iat\":1000000}");
        let Presented::Access(name) = Presented::read(&text) else { panic!("{text}") };
        assert_eq!(name.issued_at, Timestamp::from_unix_seconds(1_000_000));
        assert_eq!(name.digest, Digest::of(text.as_bytes()));
        assert_ne!(AccessTokenName::read(&format!("{text}A")).unwrap().digest, name.digest);
    }

    #[test]
    fn a_refresh_token_comes_back_as_it_was_given() {
        let given = RefreshSecret::generate("a-grant_id", &SystemRng).unwrap();
        let text = given.expose();
        let (grant, secret) = text.split_once('.').unwrap();
        assert_eq!((grant, secret.len()), ("a-grant_id", 43));
        let received = RefreshSecret::received(&text);
        assert_eq!(received.name(), given.name());
        assert_eq!(received.expose(), text);
        assert!(!format!("{received:?}").contains(secret));
    }

    #[test]
    fn one_of_before_is_its_secret_alone_and_its_successor_names_the_grant() {
        let old = RefreshSecret::received("secret");
        assert_eq!(old.name(), RefreshTokenName { grant_id: None, digest: Digest::of(b"secret") });
        let next = old.successor("g", "salt");
        assert_eq!(next.name().grant_id.as_deref(), Some("g"));
        // the same that it had before tokens named their grants, so that a retry across the change finds it
        assert_eq!(next.digest(), Secret::received("secret").derive(&["refresh", "salt"]).digest());
        assert_ne!(next.digest(), old.successor("g", "other").digest());
    }

    proptest::proptest! {
        /// Whatever is sent, it is one of the two, and a refresh token is made of what was sent and nothing else.
        #[test]
        fn anything_is_a_token_of_some_kind(text in "[A-Za-z0-9_.-]{0,80}|.{0,80}") {
            match Presented::read(&text) {
                Presented::Access(name) => proptest::prop_assert_eq!(name.digest, Digest::of(text.as_bytes())),
                Presented::Refresh(secret) => proptest::prop_assert_eq!(secret.expose(), text),
            }
        }
    }
}
