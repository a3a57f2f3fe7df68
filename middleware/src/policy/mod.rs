//! DECIDE: a policy in TOML, and what it says of one request. Pure: no I/O, no clock.
//!
//! ```
//! use std::sync::Arc;
//! use mcp_auth::policy::{Policy, Refusal};
//! use mcp_auth::request::Classified;
//!
//! let policy = Arc::new(Policy::parse(r#"
//! version = 1
//! [tools.echo]
//! auth = "public"
//! [tools.notes_list]
//! auth = "oauth2"
//! scopes = ["notes:read"]
//! "#)?);
//!
//! let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"notes_list"}}"#;
//! let call = Classified::from_body(&http::HeaderMap::new(), body).expect("a well-formed call");
//! match policy.decide(&call, None) {
//!     Err(Refusal::SignIn { scopes }) => assert_eq!(scopes.to_string(), "notes:read"),
//!     other => panic!("an anonymous caller was not asked to sign in: {other:?}"),
//! }
//! # Ok::<(), mcp_auth::document::Faults>(())
//! ```
//!
//! # What a challenge asks for
//!
//! All of a rule's `scopes`, and of its `any_scopes` the one that the token holds already, else the first in the file:
//! whoever gets what was asked for is served, and nobody is asked for more than one call needs. `securitySchemes` in
//! lists name the same scopes; that others of `any_scopes` would do as well, they cannot say.
//!
//! # Shadow mode
//!
//! A rule with `mode = "shadow"`, or any but a `deny` under a global one, refuses nobody. What it would have refused is
//! served as the user if a valid token came, else anonymously; the [`Permit`] [says](Permit::shadowed) so, and an event
//! and a count do. A token that does not verify is refused even so. What shadow lets through counts as open, and lists
//! show it: otherwise no client would ever call it.
//!
//! # Lists
//!
//! [`Listing`] makes lists shorter, never calls: whoever calls an object by name that a list hides is asked to sign in, or
//! for more scopes, like anyone. Only what is denied does not exist. Where a list may differ from caller to caller, modern
//! results become `cacheScope: "private"`.

mod batch;
mod by_name;
pub mod condition;
mod decision;
mod handle;
mod http;
mod load;
pub(crate) mod observe;
mod pattern;
mod permit;
mod raw;
mod readings;
mod refusal;
mod rule;
#[cfg(feature = "schema")]
mod schema;
mod scope;
mod specificity;
mod version;
mod warning;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use batch::BatchRefusal;
pub use by_name::{BadPattern, ByName};
pub(crate) use decision::shows;
pub use handle::PolicyHandle;
pub use http::HttpRule;
pub use permit::Permit;
pub use raw::{Access, ChallengeForm, ChallengeScopes, Listing, Mode};
pub use refusal::{Refusal, UnknownObject};
pub use rule::Rule;
#[cfg(feature = "schema")]
pub use schema::json_schema;
pub use scope::{ScopeSet, is_scope_token};
pub use version::PolicyVersion;
pub use warning::Warning;

use crate::document::Faults;
use crate::request::ObjectKind;
use rule::RuleTable;

/// Who may do what, as one policy file says it.
///
/// A policy is immutable; an edited file becomes another one, and [`PolicyHandle`] changes from one to the next.
#[derive(Debug)]
pub struct Policy {
    version: PolicyVersion,
    warnings: Box<[Warning]>,
    challenge: ChallengeForm,
    challenge_scopes: ChallengeScopes,
    baseline_scopes: ScopeSet,
    scopes: BTreeMap<Box<str>, ScopeInfo>,
    /// Every scope that the file mentions anywhere.
    known_scopes: ScopeSet,
    tools: RuleTable,
    resources: RuleTable,
    prompts: RuleTable,
    methods: RuleTable,
    /// The rule of what is open while anything is.
    opened: Arc<Rule>,
    /// The rule of the same while nothing is.
    closed: Arc<Rule>,
}

/// What a policy says of one scope.
#[derive(Debug, Clone, Default)]
pub struct ScopeInfo {
    description: Option<String>,
    implies: ScopeSet,
}

impl ScopeInfo {
    /// The words for the consent page.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// The scopes that holding this one is as good as holding, directly; implications of those follow.
    pub fn implies(&self) -> &ScopeSet {
        &self.implies
    }
}

impl Policy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// Every fault at once, each with its line, the value seen and the value wanted. A file with any fault is refused
    /// whole, an empty one too: it does not say `version = 1`.
    pub fn parse(text: &str) -> Result<Self, Faults> {
        load::load(text)
    }

    /// Which text this policy was read from.
    pub fn version(&self) -> PolicyVersion {
        self.version
    }

    /// What the file says that is no fault and perhaps not meant, in the order of its lines.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// How challenges reach the client.
    pub fn challenge(&self) -> ChallengeForm {
        self.challenge
    }

    /// The scopes to ask for where an operation names none; no rule requires them by that.
    pub fn baseline_scopes(&self) -> &ScopeSet {
        &self.baseline_scopes
    }

    /// The scopes that have an entry of their own, in order of their names.
    pub fn scopes(&self) -> impl Iterator<Item = (&str, &ScopeInfo)> {
        self.scopes.iter().map(|(name, info)| (&**name, info))
    }

    /// Every scope that the policy mentions: with an entry, in a rule, implied, or as baseline.
    pub fn known_scopes(&self) -> &ScopeSet {
        &self.known_scopes
    }

    /// The rule for an object: the one of its exact name, else the most specific pattern, else the default.
    ///
    /// A resource whose URI would fall under another rule when it is decoded or normalised is denied, whoever asks.
    pub fn rule(&self, kind: ObjectKind, name: &str) -> &Arc<Rule> {
        match kind {
            ObjectKind::Tool => self.tools.get(name),
            ObjectKind::Prompt => self.prompts.get(name),
            ObjectKind::Resource => self.resource_rule(name),
        }
    }

    fn resource_rule(&self, uri: &str) -> &Arc<Rule> {
        let rule = self.resources.get(uri);
        let one_rule =
            || readings::readings(uri).iter().all(|reading| Arc::ptr_eq(self.resources.get(reading), rule));
        if readings::is_plain(uri) || (!readings::is_hopeless(uri) && one_rule()) {
            rule
        } else {
            &self.resources.denied
        }
    }

    /// Whether anything at all can be used without a token.
    fn any_open(&self) -> bool {
        self.tools.any_open() || self.resources.any_open() || self.prompts.any_open()
    }

    /// Whether the lists of a kind may differ from caller to caller.
    pub(crate) fn lists_per_caller(&self, kind: ObjectKind) -> bool {
        self.table(kind).per_caller()
    }

    fn table(&self, kind: ObjectKind) -> &RuleTable {
        match kind {
            ObjectKind::Tool => &self.tools,
            ObjectKind::Resource => &self.resources,
            ObjectKind::Prompt => &self.prompts,
        }
    }
}
