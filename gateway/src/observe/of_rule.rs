//! [`OfRule`]: what is made once of a rule, for all requests that it decides.

use std::sync::OnceLock;

use mcp_auth::policy::Rule;

use super::metrics::AtRoutes;

/// What is kept with a rule as long as its policy is in force. The layer keeps one thing for the gateway, and this is it.
#[derive(Debug, Default)]
pub(super) struct OfRule {
    pub(super) counters: AtRoutes,
    /// What each line of the audit says of it.
    pub(super) audit: OnceLock<Box<[u8]>>,
}

impl OfRule {
    /// `None` where something else is kept, which nothing here does.
    pub(super) fn of(rule: &Rule) -> Option<&Self> {
        rule.kept(Self::default)
    }
}
