//! Scopes: parsing, and what a resource offers.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

/// The scope that asks for a refresh token (OpenID Connect Core §11). It belongs to no resource.
pub(crate) const OFFLINE_ACCESS: &str = "offline_access";

/// The scopes of OpenID Connect (Core §5.4) that this server serves. They belong to no resource either.
pub(crate) const OPENID: &str = "openid";
pub(crate) const PROFILE: &str = "profile";
pub(crate) const EMAIL: &str = "email";

/// Scopes of the server itself, with the words for them.
const OWN: [(&str, &str); 4] = [
    (OFFLINE_ACCESS, "Stay signed in when you are not there"),
    (OPENID, "Know who you are"),
    (PROFILE, "See your user name and profile"),
    (EMAIL, "See your e-mail address"),
];

/// What a scope of the server itself means, in words; `None` for any other.
pub(crate) fn own_words(scope: &str) -> Option<&'static str> {
    OWN.iter().find(|(own, _)| *own == scope).map(|(_, words)| *words)
}

/// Whether a scope belongs to the server itself, whatever resource it is asked with.
pub(crate) fn is_own(scope: &str) -> bool {
    own_words(scope).is_some()
}

/// Every scope of the server itself.
pub(crate) fn own_scopes() -> impl Iterator<Item = &'static str> {
    OWN.iter().map(|(scope, _)| *scope)
}

/// More than any honest client asks for; bounds what a grant may store.
const MAX_SCOPES: usize = 100;
const MAX_SCOPE_BYTES: usize = 256;

/// A set of scope tokens, printed sorted and space-separated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ScopeSet(BTreeSet<String>);

/// Text that is no scope list as RFC 6749 §3.3 defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a space-separated list of scopes")]
pub(crate) struct NotAScopeList;

impl ScopeSet {
    /// Reads a space-separated list (RFC 6749 §3.3).
    pub(crate) fn parse(text: &str) -> Result<Self, NotAScopeList> {
        let mut set = BTreeSet::new();
        for token in text.split(' ').filter(|token| !token.is_empty()) {
            if !is_scope_token(token) || set.len() >= MAX_SCOPES {
                return Err(NotAScopeList);
            }
            set.insert(token.to_owned());
        }
        Ok(Self(set))
    }

    pub(crate) fn contains(&self, scope: &str) -> bool {
        self.0.contains(scope)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_subset(&self, of: &Self) -> bool {
        self.0.is_subset(&of.0)
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }

    pub(crate) fn union(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The set without `offline_access`, which says nothing about what a token may do at the resource.
    /// Those that belong to a resource.
    pub(crate) fn of_resources(&self) -> Self {
        Self(self.0.iter().filter(|scope| !is_own(scope)).cloned().collect())
    }

    /// Those that belong to the server itself.
    pub(crate) fn of_server(&self) -> Self {
        Self(self.0.iter().filter(|scope| is_own(scope)).cloned().collect())
    }

    pub(crate) fn for_access_token(&self) -> Self {
        Self(self.0.iter().filter(|scope| *scope != OFFLINE_ACCESS).cloned().collect())
    }
}

impl<S: Into<String>> FromIterator<S> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = S>>(scopes: I) -> Self {
        Self(scopes.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

/// `scope-token` of RFC 6749 §3.3: `%x21 / %x23-5B / %x5D-7E`.
pub(crate) fn is_scope_token(token: &str) -> bool {
    !token.is_empty()
        && token.len() <= MAX_SCOPE_BYTES
        && token.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scope_tokens_are_accepted() {
        for bad in ["a\"b", "a\\b", "a\tb", "a\nb", "é", "a\u{0}", "a\u{7f}"] {
            assert_eq!(ScopeSet::parse(bad), Err(NotAScopeList), "{bad:?}");
        }
        assert_eq!(ScopeSet::parse("b  a b ").unwrap().to_string(), "a b");
        assert!(ScopeSet::parse("").unwrap().is_empty());
    }

    proptest::proptest! {
        #[test]
        fn printed_sets_are_read_back(text in ".*") {
            if let Ok(set) = ScopeSet::parse(&text) {
                proptest::prop_assert_eq!(ScopeSet::parse(&set.to_string()).unwrap(), set);
            }
        }
    }

    #[test]
    fn lists_are_bounded() {
        let many: Vec<_> = (0..=MAX_SCOPES).map(|n| n.to_string()).collect();
        assert_eq!(ScopeSet::parse(&many.join(" ")), Err(NotAScopeList));
        assert_eq!(ScopeSet::parse(&"x".repeat(MAX_SCOPE_BYTES + 1)), Err(NotAScopeList));
    }

    #[test]
    fn offline_access_is_no_permission_at_the_resource() {
        let set = ScopeSet::parse("offline_access notes:read").unwrap();
        assert_eq!(set.for_access_token().to_string(), "notes:read");
    }
}
