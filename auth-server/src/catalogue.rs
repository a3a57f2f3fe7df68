//! The scopes of a resource and their words, as its policy file or the configuration gives them.

use std::collections::{BTreeMap, BTreeSet};

use mcp_auth::{document::Faults, policy::Policy};

use crate::model::scope::{OPENID, ScopeSet, is_own};

/// What a resource offers. The last good one is kept while a policy file is broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ScopeCatalogue {
    scopes: BTreeMap<String, Scope>,
    baseline: ScopeSet,
}

/// One scope that a resource offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// In words, where the operator gave any.
    pub(crate) description: Option<String>,
    /// What holding it is as good as holding, directly.
    pub(crate) implies: BTreeSet<String>,
}

/// Scopes that a resource does not offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownScope;

impl ScopeCatalogue {
    /// `baseline` is what a request without `scope` gets; scopes in it that the resource does not have are left out.
    pub(crate) fn new(scopes: BTreeMap<String, Scope>, baseline: &ScopeSet) -> Self {
        let baseline = baseline.iter().filter(|scope| scopes.contains_key(*scope)).collect();
        Self { scopes, baseline }
    }

    /// What a policy file offers: every scope that it mentions, with the words that it has for it.
    ///
    /// # Errors
    /// Every fault of the file.
    pub(crate) fn from_policy(text: &str) -> Result<Self, Faults> {
        let policy = Policy::parse(text)?;
        let described: BTreeMap<&str, Scope> = policy
            .scopes()
            .map(|(name, info)| {
                let implies = info.implies().iter().filter(|name| !is_own(name)).map(str::to_owned).collect();
                (name, Scope { description: info.description().map(str::to_owned), implies })
            })
            .collect();
        let scopes = policy
            .known_scopes()
            .iter()
            .filter(|name| !is_own(name))
            .map(|name| (name.to_owned(), described.get(name).cloned().unwrap_or_default()))
            .collect();
        Ok(Self::new(scopes, &policy.baseline_scopes().iter().collect()))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.scopes.keys().map(String::as_str)
    }

    /// The scope in words, where the operator gave any.
    pub(crate) fn description(&self, scope: &str) -> Option<&str> {
        self.scopes.get(scope)?.description.as_deref()
    }

    /// What holding `scope` is as good as holding, directly.
    pub(crate) fn implied_by(&self, scope: &str) -> impl Iterator<Item = &str> {
        self.scopes.get(scope).into_iter().flat_map(|scope| &scope.implies).map(String::as_str)
    }

    /// What whoever holds `held` may do: all of it, and what that implies, directly or not. Tokens name what was granted;
    /// this is for where something is decided.
    pub(crate) fn reach(&self, held: &ScopeSet) -> ScopeSet {
        let mut reached: BTreeSet<&str> = held.iter().collect();
        let mut open: Vec<&str> = held.iter().collect();
        while let Some(scope) = open.pop() {
            open.extend(self.implied_by(scope).filter(|implied| reached.insert(implied)));
        }
        reached.into_iter().collect()
    }

    /// What a request is granted that asked for `requested`.
    ///
    /// A request without scopes gets the baseline, or everything where there is none: RFC 6749 §3.3 leaves the default
    /// to the server, and MCP clients that know no scopes omit the parameter. `offline_access` alone counts as none.
    pub(crate) fn resolve(&self, requested: &ScopeSet) -> Result<ScopeSet, UnknownScope> {
        let for_resource = requested.of_resources();
        if for_resource.iter().any(|scope| !self.scopes.contains_key(scope)) {
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
        let scopes = ["read", "write"].map(|name| (name.to_owned(), Scope::default())).into();
        ScopeCatalogue::new(scopes, &ScopeSet::parse(baseline).unwrap())
    }

    #[test]
    fn what_a_scope_implies_is_followed_to_its_end_and_nowhere_else() {
        let policy = "version = 1\n[scopes.admin]\nimplies = [\"write\", \"audit\"]\n[scopes.write]\nimplies = [\"read\"]\n\
                      [scopes.read]\n[scopes.other]\nimplies = [\"read\"]\n";
        let catalogue = ScopeCatalogue::from_policy(policy).unwrap();
        for (held, reached) in [
            ("", ""),
            ("read", "read"),
            ("write", "read write"),
            ("admin", "admin audit read write"),
            ("other", "other read"),
            ("admin other", "admin audit other read write"),
            ("unknown offline_access", "offline_access unknown"),
        ] {
            assert_eq!(catalogue.reach(&ScopeSet::parse(held).unwrap()).to_string(), reached, "{held}");
        }
    }

    #[test]
    fn a_circle_has_an_end_even_where_nobody_refused_it() {
        let of = |implied: &str| Scope { implies: [implied.to_owned()].into(), ..Scope::default() };
        let scopes = [("a".to_owned(), of("b")), ("b".to_owned(), of("a"))].into();
        let catalogue = ScopeCatalogue::new(scopes, &ScopeSet::default());
        assert_eq!(catalogue.reach(&ScopeSet::parse("a").unwrap()).to_string(), "a b");
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
