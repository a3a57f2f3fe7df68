//! Rules, and finding the one for a name.

use std::collections::HashMap;
use std::sync::Arc;

use super::pattern::Patterns;
use super::raw::Access;
use super::scope::ScopeSet;

/// What a policy says of one object, or of all that a pattern matches.
#[derive(Debug)]
pub struct Rule {
    label: Box<str>,
    access: Access,
    needed: Box<[Needed]>,
}

/// A scope that a rule needs, and every scope that is as good.
#[derive(Debug)]
pub(super) struct Needed {
    pub(super) scope: Box<str>,
    /// The scope itself and all that imply it, worked out when the policy is loaded.
    pub(super) satisfied_by: Box<[Box<str>]>,
}

impl Rule {
    pub(super) fn new(label: impl Into<Box<str>>, access: Access, needed: impl Into<Box<[Needed]>>) -> Self {
        Self { label: label.into(), access, needed: needed.into() }
    }

    /// Where the rule stands in the file: `tools.notes_list`, `defaults.tools`.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What it asks of a caller.
    pub fn access(&self) -> Access {
        self.access
    }

    /// The scopes that it needs, all of them.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.needed.iter().map(|needed| &*needed.scope)
    }

    /// Whether the granted scopes, and what they imply, cover the rule's.
    pub(super) fn is_satisfied_by(&self, granted: &ScopeSet) -> bool {
        self.needed.iter().all(|needed| needed.satisfied_by.iter().any(|scope| granted.contains(scope)))
    }
}

/// The rules for one kind of object.
#[derive(Debug)]
pub(super) struct RuleTable {
    exact: HashMap<Box<str>, Arc<Rule>>,
    /// The most specific first.
    patterns: Patterns<Arc<Rule>>,
    default: Arc<Rule>,
    /// For what no rule is asked about.
    pub(super) denied: Arc<Rule>,
    any_open: bool,
}

impl RuleTable {
    pub(super) fn new(
        exact: HashMap<Box<str>, Arc<Rule>>,
        patterns: Patterns<Arc<Rule>>,
        default: Arc<Rule>,
        denied: Arc<Rule>,
    ) -> Self {
        // Every request that is about no object asks for this; it is not worth a walk through all rules each time.
        let any_open = exact
            .values()
            .chain(patterns.values())
            .chain([&default])
            .any(|rule| matches!(rule.access, Access::Public | Access::Optional));
        Self { exact, patterns, default, denied, any_open }
    }

    pub(super) fn get(&self, name: &str) -> &Arc<Rule> {
        self.explicit(name).unwrap_or(&self.default)
    }

    /// The rule that names or matches, without the default.
    pub(super) fn explicit(&self, name: &str) -> Option<&Arc<Rule>> {
        self.exact.get(name).or_else(|| self.patterns.first_match(name))
    }

    /// Whether any of the objects can be used without a token.
    pub(super) fn any_open(&self) -> bool {
        self.any_open
    }
}

/// How many characters of a pattern must be matched as they stand; more is more specific.
pub(super) fn literal_length(pattern: &str) -> usize {
    pattern.chars().filter(|c| !matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | ',')).count()
}
