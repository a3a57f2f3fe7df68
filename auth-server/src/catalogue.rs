//! The scopes of a resource and their words, as its policy file or the configuration gives them.

use std::collections::BTreeMap;

use mcp_auth::{document::Faults, policy::Policy};

use crate::model::scope::{OPENID, ScopeSet, is_own};

/// What a resource offers. The last good one is kept while a policy file is broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScopeCatalogue {
    descriptions: BTreeMap<String, Option<String>>,
    baseline: ScopeSet,
}

/// Scopes that a resource does not offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownScope;

impl ScopeCatalogue {
    /// `baseline` is what a request without `scope` gets; scopes in it that the resource does not have are left out.
    pub(crate) fn new(descriptions: BTreeMap<String, Option<String>>, baseline: &ScopeSet) -> Self {
        let baseline = baseline.iter().filter(|scope| descriptions.contains_key(*scope)).collect();
        Self { descriptions, baseline }
    }

    /// What a policy file offers: every scope that it mentions, with the words that it has for it.
    ///
    /// # Errors
    /// Every fault of the file.
    pub(crate) fn from_policy(text: &str) -> Result<Self, Faults> {
        let policy = Policy::parse(text)?;
        let words: BTreeMap<&str, Option<&str>> =
            policy.scopes().map(|(name, info)| (name, info.description())).collect();
        let descriptions = policy
            .known_scopes()
            .iter()
            .filter(|name| !is_own(name))
            .map(|name| (name.to_owned(), words.get(name).copied().flatten().map(str::to_owned)))
            .collect();
        Ok(Self::new(descriptions, &policy.baseline_scopes().iter().collect()))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.descriptions.keys().map(String::as_str)
    }

    /// The scope in words, where the operator gave any.
    pub(crate) fn description(&self, scope: &str) -> Option<&str> {
        self.descriptions.get(scope)?.as_deref()
    }

    /// What a request is granted that asked for `requested`.
    ///
    /// A request without scopes gets the baseline, or everything where there is none: RFC 6749 §3.3 leaves the default
    /// to the server, and MCP clients that know no scopes omit the parameter. `offline_access` alone counts as none.
    pub(crate) fn resolve(&self, requested: &ScopeSet) -> Result<ScopeSet, UnknownScope> {
        let for_resource = requested.of_resources();
        if for_resource.iter().any(|scope| !self.descriptions.contains_key(scope)) {
            return Err(UnknownScope);
        }
        // whoever asks only who the user is gets only that
        if !for_resource.is_empty() || requested.contains(OPENID) {
            return Ok(requested.clone());
        }
        let default = if self.baseline.is_empty() { self.names().collect() } else { self.baseline.clone() };
        Ok(default.union(&requested.of_server()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(baseline: &str) -> ScopeCatalogue {
        let descriptions = [("read".to_owned(), None), ("write".to_owned(), None)].into();
        ScopeCatalogue::new(descriptions, &ScopeSet::parse(baseline).unwrap())
    }

    #[test]
    fn unknown_scopes_are_refused() {
        for requested in ["admin", "read admin", "READ", "offline_access admin"] {
            assert_eq!(
                catalogue("").resolve(&ScopeSet::parse(requested).unwrap()),
                Err(UnknownScope),
                "{requested}"
            );
        }
    }

    #[test]
    fn a_request_without_scopes_gets_the_baseline_or_everything() {
        for (baseline, requested, granted) in [
            ("read", "", "read"),
            ("", "", "read write"),
            ("unknown", "", "read write"),
            ("read", "offline_access", "offline_access read"),
            ("read", "write", "write"),
            ("read", "openid", "openid"),
            ("read", "email offline_access", "email offline_access read"),
            ("read", "openid write", "openid write"),
            ("read", "write offline_access", "offline_access write"),
        ] {
            let resolved = catalogue(baseline).resolve(&ScopeSet::parse(requested).unwrap()).unwrap();
            assert_eq!(resolved.to_string(), granted);
        }
    }
}
