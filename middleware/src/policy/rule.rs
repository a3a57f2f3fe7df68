//! Rules, and finding the one for a name.

use std::any::Any;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use foldhash::HashMap;

use super::condition::{Condition, ConditionFailure, Inputs};
use super::observe::Counted;
use super::pattern::Patterns;
use super::raw::{Access, Listing, Mode};
use super::scope::ScopeSet;

/// What a policy says of one object, or of all that a pattern matches.
#[derive(Debug)]
pub struct Rule {
    pub(super) label: Arc<str>,
    pub(super) access: Access,
    pub(super) mode: Mode,
    pub(super) listing: Listing,
    /// All of these.
    pub(super) needed: Box<[Needed]>,
    /// One of these, where there are any; in the order of the file.
    pub(super) alternatives: Box<[Needed]>,
    pub(super) condition: Option<Condition>,
    pub(super) about: About,
    pub(super) audit_arguments: Box<[Box<str>]>,
    pub(super) counted: Counted,
    pub(super) kept: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// What a rule is for, as far as it matters to who counts.
#[derive(Debug, Default)]
pub(super) enum About {
    /// Tools, by a pattern or by default.
    Tools,
    /// The one tool of this name.
    Tool(Box<str>),
    #[default]
    Other,
}

/// A scope that a rule needs, and every scope that is as good.
#[derive(Debug)]
pub(super) struct Needed {
    pub(super) scope: Box<str>,
    /// The scope itself and all that imply it, worked out when the policy is loaded.
    pub(super) satisfied_by: Box<[Box<str>]>,
}

impl Needed {
    fn is_satisfied_by(&self, granted: &ScopeSet) -> bool {
        self.satisfied_by.iter().any(|scope| granted.contains(scope))
    }
}

impl Rule {
    /// A rule that needs no scopes, is enforced, and lists what it is about to everyone.
    pub(super) fn bare(label: impl Into<Arc<str>>, access: Access) -> Self {
        Self {
            label: label.into(),
            access,
            mode: Mode::Enforce,
            listing: Listing::Always,
            needed: Box::default(),
            alternatives: Box::default(),
            condition: None,
            about: About::default(),
            audit_arguments: Box::default(),
            counted: Counted::default(),
            kept: OnceLock::new(),
        }
    }

    /// Where the rule stands in the file: `tools.notes_list`, `defaults.tools`.
    pub fn label(&self) -> &str {
        &self.label
    }

    #[cfg(feature = "metrics")]
    pub(super) fn shared_label(&self) -> Arc<str> {
        Arc::clone(&self.label)
    }

    /// Whether it is for tools: by name, by a pattern or by default.
    pub fn is_for_tools(&self) -> bool {
        matches!(self.about, About::Tools | About::Tool(_))
    }

    /// The tool that it is for, where it names one. Unlike the names in requests, those are as many as the file has.
    pub fn tool(&self) -> Option<&str> {
        match &self.about {
            About::Tool(name) => Some(name),
            About::Tools | About::Other => None,
        }
    }

    /// The arguments that an audit may show, by name; of all others it has a hash.
    pub fn audit_arguments(&self) -> impl Iterator<Item = &str> {
        self.audit_arguments.iter().map(|name| &**name)
    }

    /// What a program that embeds the layer keeps with each rule, such as the handles of its metrics: made when it is
    /// first asked for, and gone with the policy. `None` where something of another type is kept.
    pub fn kept<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.kept.get_or_init(|| Box::new(make())).downcast_ref()
    }

    /// What it asks of a caller.
    pub fn access(&self) -> Access {
        self.access
    }

    /// Whether its refusals count, or are only noted.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// To whom a list shows what it is about.
    pub fn listing(&self) -> Listing {
        self.listing
    }

    /// The scopes that it needs, all of them.
    pub fn scopes(&self) -> impl Iterator<Item = &str> {
        self.needed.iter().map(|needed| &*needed.scope)
    }

    /// The scopes of which one is needed besides, in the order of the file; with none here, none is.
    pub fn any_scopes(&self) -> impl Iterator<Item = &str> {
        self.alternatives.iter().map(|needed| &*needed.scope)
    }

    /// What it asks of a request besides.
    pub fn condition(&self) -> Option<&Condition> {
        self.condition.as_ref()
    }

    /// Evaluates the condition, which is the rule's own, and says how long it took.
    #[cfg_attr(
        not(feature = "cel"),
        expect(
            clippy::trivially_copy_pass_by_ref,
            reason = "without the feature there is no condition at all"
        )
    )]
    pub(super) fn evaluate(
        &self,
        condition: &Condition,
        inputs: &Inputs<'_>,
    ) -> Result<(), ConditionFailure> {
        let started = Instant::now();
        let held = condition.evaluate(inputs);
        let took = started.elapsed();
        tracing::debug!(
            policy.rule = self.label(),
            condition.held = held.is_ok(),
            condition.micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "evaluated the condition of a rule"
        );
        #[cfg(feature = "metrics")]
        metrics::histogram!("mcp_auth_condition_seconds", "rule" => self.label().to_owned())
            .record(took.as_secs_f64());
        held
    }

    /// The scopes to ask for: all of those that are needed, and of the alternatives one that `granted` holds, else the
    /// first. To ask for every alternative would be to ask for more than any call needs.
    pub(crate) fn asked_scopes(&self, granted: Option<&ScopeSet>) -> impl Iterator<Item = &str> {
        let held =
            granted.and_then(|granted| self.alternatives.iter().find(|one| one.is_satisfied_by(granted)));
        self.scopes().chain(held.or(self.alternatives.first()).map(|one| &*one.scope))
    }

    /// Whether the granted scopes, and what they imply, cover the rule's.
    pub(super) fn is_satisfied_by(&self, granted: &ScopeSet) -> bool {
        self.needed.iter().all(|needed| needed.is_satisfied_by(granted))
            && (self.alternatives.is_empty()
                || self.alternatives.iter().any(|one| one.is_satisfied_by(granted)))
    }

    /// Whether callers without a token are served.
    pub(crate) fn is_open(&self) -> bool {
        self.mode == Mode::Shadow || matches!(self.access, Access::Public | Access::Optional)
    }

    /// Whether what it is about does not exist, for anyone.
    pub(crate) fn is_denied(&self) -> bool {
        self.mode == Mode::Enforce && self.access == Access::Deny
    }
}

/// The rules for one kind of object.
#[derive(Debug)]
pub(super) struct RuleTable {
    /// Those of patterns as well, under their own text.
    exact: HashMap<Box<str>, Arc<Rule>>,
    /// The most specific first.
    patterns: Patterns<Arc<Rule>>,
    default: Arc<Rule>,
    /// For what no rule is asked about.
    pub(super) denied: Arc<Rule>,
    any_open: bool,
    per_caller: bool,
}

impl RuleTable {
    pub(super) fn new(
        section: &str,
        exact: HashMap<Box<str>, Arc<Rule>>,
        patterns: Patterns<Arc<Rule>>,
        default: Rule,
    ) -> Self {
        let denied = Rule::bare(format!("{section}: a name that can be read in two ways"), Access::Deny);
        // Every request that is about no object asks for this; it is not worth a walk through all rules each time.
        let any = |has: fn(&Rule) -> bool| has(&default) || exact.values().any(|rule| has(rule));
        let any_open = any(Rule::is_open);
        let per_caller = any(|rule| !rule.is_denied() && rule.listing != Listing::Always);
        Self { any_open, per_caller, exact, patterns, default: Arc::new(default), denied: Arc::new(denied) }
    }

    pub(super) fn get(&self, name: &str) -> &Arc<Rule> {
        self.explicit(name).unwrap_or(&self.default)
    }

    /// The rule that names or matches, without the default.
    pub(super) fn explicit(&self, name: &str) -> Option<&Arc<Rule>> {
        self.exact.get(name).or_else(|| self.patterns.first_match(name))
    }

    /// Whether any object can be used without a token.
    pub(super) fn any_open(&self) -> bool {
        self.any_open
    }

    /// Whether a list may differ from caller to caller.
    pub(super) fn per_caller(&self) -> bool {
        self.per_caller
    }
}
