//! [`HttpRule`]: the one rule of a route that speaks no JSON-RPC.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::decision::{Verdict, verdict};
use super::permit::Permit;
use super::raw::{Access, ChallengeForm, ChallengeScopes};
use super::refusal::Refusal;
use super::rule::{Needed, Rule, RuleTable};
use super::scope::{ScopeSet, is_scope_token};
use super::version::PolicyVersion;
use super::{Policy, observe};
use crate::ConfigError;
use crate::possession::Caller;

/// What every request of a plain HTTP route asks of its caller.
///
/// No scope implies another here: that is what policy files say.
///
/// ```
/// use mcp_auth::HttpRule;
///
/// let rule = HttpRule::oauth2(["reports:read", "reports:print"])?;
/// assert!(!rule.is_public() && HttpRule::public().is_public());
/// assert!(HttpRule::oauth2(["two words"]).is_err());
/// # Ok::<(), mcp_auth::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct HttpRule(Arc<Rule>);

impl HttpRule {
    /// Everyone is served: as the user whom a valid token names, else anonymously. An invalid token is refused all the same.
    pub fn public() -> Self {
        Self(Arc::new(Rule::bare("http.public", Access::Public)))
    }

    /// Whoever has a token with all of these scopes is served.
    ///
    /// # Errors
    /// A text that is no scope (RFC 6749 §3.3).
    pub fn oauth2<S: AsRef<str>>(scopes: impl IntoIterator<Item = S>) -> Result<Self, ConfigError> {
        let scopes: ScopeSet = scopes.into_iter().collect();
        if let Some(scope) = scopes.iter().find(|scope| !is_scope_token(scope)) {
            return Err(ConfigError::new(format!("expected a scope, but found `{scope}`")));
        }
        let needed =
            scopes.iter().map(|scope| Needed { scope: scope.into(), satisfied_by: [scope.into()].into() });
        let rule = Rule { needed: needed.collect(), ..Rule::bare("http.oauth2", Access::OAuth2) };
        Ok(Self(Arc::new(rule)))
    }

    pub(crate) fn rule(&self) -> &Arc<Rule> {
        &self.0
    }

    /// Whether callers without a token are served.
    pub fn is_public(&self) -> bool {
        self.0.is_open()
    }

    /// What the rest of the layer takes for the policy: nothing but the scopes to ask for.
    pub(crate) fn as_policy(&self) -> Policy {
        let scopes: ScopeSet = self.0.scopes().collect();
        let text = format!("{} {scopes}", self.0.label());
        let nothing = |section| {
            RuleTable::new(
                section,
                foldhash::HashMap::default(),
                std::iter::empty().collect(),
                Rule::bare(section, Access::Deny),
            )
        };
        Policy {
            version: PolicyVersion::of(&text),
            warnings: Box::default(),
            challenge: ChallengeForm::Http,
            challenge_scopes: ChallengeScopes::default(),
            baseline_scopes: scopes.clone(),
            scopes: BTreeMap::new(),
            known_scopes: scopes,
            tools: nothing("tools"),
            resources: nothing("resources"),
            prompts: nothing("prompts"),
            methods: nothing("methods"),
            opened: Arc::clone(&self.0),
            closed: Arc::clone(&self.0),
        }
    }

    /// Decides a request of a caller; `None` is one without a token. `policy` is [`Self::as_policy`].
    ///
    /// # Errors
    /// - a token is needed: [`Refusal::SignIn`]
    /// - scopes are missing: [`Refusal::InsufficientScope`]
    pub(crate) fn decide(&self, policy: &Policy, caller: Option<&Caller>) -> Result<Permit, Refusal> {
        let Self(rule) = self;
        let permit = |served: Option<&Caller>| Permit::new(served.cloned(), rule, policy.version());
        let decided = match verdict(rule, caller.map(Caller::token)) {
            Verdict::AsUser => Ok(permit(caller)),
            Verdict::Anonymously => Ok(permit(None)),
            Verdict::NoScope => Err(policy.step_up(rule, caller)),
            Verdict::NoToken | Verdict::Absent => Err(policy.sign_in(Some(rule))),
        };
        observe::decided(rule, &decided);
        decided
    }
}
