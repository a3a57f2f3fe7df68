//! Users and their browser sessions.

use std::collections::BTreeMap;

use super::secret::Digest;
use crate::outside::Timestamp;

/// Somebody who can sign in.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// `sub`: random, never reused, says nothing about the person.
    pub(crate) id: String,
    pub(crate) name: String,
    /// An argon2id PHC string.
    pub(crate) password_hash: String,
    pub(crate) email: Option<String>,
    pub(crate) email_verified: bool,
    /// What else may become a claim: organisation, tier, whatever the operator keeps of people.
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) created_at: Timestamp,
    /// Since when the user cannot sign in and nothing of theirs is good.
    pub(crate) disabled_at: Option<Timestamp>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A browser in which somebody is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) digest: Digest,
    pub(crate) user_id: String,
    pub(crate) authenticated_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// Where it was signed in from, for its user to recognise: an address and what the browser calls itself.
    pub(crate) address: String,
    pub(crate) user_agent: String,
}

/// What a password that was right begins.
#[derive(Clone)]
pub(crate) struct SignIn {
    pub(crate) session: Session,
    /// The session that it replaces in the same browser.
    pub(crate) replaces: Option<Digest>,
    /// The browser, which is known to be the user's from now on.
    pub(crate) browser: Digest,
    /// The request that the user signs in for.
    pub(crate) transaction: Option<Digest>,
    /// The hash that the password was found right by. The user may have another one by now.
    pub(crate) verified: String,
}

/// A user takes a new password in a session of theirs.
#[derive(Clone)]
pub(crate) struct PasswordChange {
    /// An argon2id PHC string.
    pub(crate) password_hash: String,
    /// The session goes on as this one: whoever had the id of the old one loses it.
    pub(crate) session: Session,
    pub(crate) replaces: Digest,
    /// The browser, which stays known as the user's.
    pub(crate) browser: Option<Digest>,
    /// The hash that the current password was found right by.
    pub(crate) verified: String,
}

/// Text that cannot be a user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a user name of 1 to 64 letters, digits or `. _ - + @`")]
pub struct BadUserName;

/// The one spelling of a user name that is stored and looked up: phones like to capitalise the first letter.
///
/// # Errors
/// [`BadUserName`] for anything with other characters: look-alike letters would let two users seem the same.
pub(crate) fn user_name(text: &str) -> Result<String, BadUserName> {
    let name = text.trim();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'@');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(legal) {
        return Err(BadUserName);
    }
    Ok(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_names_have_one_spelling() {
        let long = "a".repeat(65);
        for bad in ["", " ", "a b", "аlex", "a\u{0}", "<b>", &long] {
            assert_eq!(user_name(bad), Err(BadUserName), "{bad:?}");
        }
        assert_eq!(user_name(" Alex "), Ok("alex".to_owned()));
    }
}
