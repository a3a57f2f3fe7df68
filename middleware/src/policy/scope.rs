//! Scopes as sets (RFC 6749 §3.3).

use std::fmt;

/// A set of scope tokens, sorted and without repeats, so that what is printed of it never depends on its origin.
///
/// ```
/// use mcp_auth::policy::ScopeSet;
///
/// let scopes = ScopeSet::from_space_separated("notes:write notes:read notes:write");
/// assert_eq!(scopes.to_string(), "notes:read notes:write");
/// assert!(scopes.contains("notes:read"));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ScopeSet(Box<[Box<str>]>);

impl ScopeSet {
    /// Reads the form of a token's `scope` claim: tokens with spaces between them.
    pub fn from_space_separated(text: &str) -> Self {
        text.split(' ').filter(|token| !token.is_empty()).collect()
    }

    /// Whether `scope` itself is in the set; what other scopes imply is the policy's to say.
    pub fn contains(&self, scope: &str) -> bool {
        self.0.binary_search_by(|held| (**held).cmp(scope)).is_ok()
    }

    /// Whether the set has no scope at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|scope| &**scope)
    }
}

/// Whether `text` is one scope token: `1*( %x21 / %x23-5B / %x5D-7E )` (RFC 6749 §3.3).
pub fn is_scope_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

impl<S: AsRef<str>> FromIterator<S> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = S>>(scopes: I) -> Self {
        let mut scopes: Vec<Box<str>> = scopes.into_iter().map(|scope| scope.as_ref().into()).collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes.into())
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

impl fmt::Debug for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScopeSet({self})")
    }
}
