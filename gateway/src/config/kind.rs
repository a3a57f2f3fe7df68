//! `kind` of a route, and the keys that belong to one kind alone.

use std::path::PathBuf;

use mcp_auth::document::KeyPath;
use mcp_auth::policy::{ChallengeForm, is_scope_token};
use mcp_auth_runtime::config::Report;

use super::policy::{self, PolicyFile};
use super::raw::{self, RouteTable};

/// What a route is, and what decides about its requests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RouteKind {
    /// An MCP endpoint.
    Mcp {
        /// The path by which [`Config::policies`](super::Config) has it.
        policy: PathBuf,
        /// Instead of the policy's `challenge`.
        challenge: Option<ChallengeForm>,
    },
    /// Plain HTTP that everyone may see.
    Public,
    /// Plain HTTP for those whose token has these scopes.
    OAuth2 { scopes: Vec<String> },
}

impl RouteKind {
    pub(crate) fn is_mcp(&self) -> bool {
        matches!(self, Self::Mcp { .. })
    }
}

pub(super) fn understand(
    raw: &RouteTable,
    at: &KeyPath,
    policies: &mut Vec<PolicyFile>,
    report: &mut Report,
) -> Option<RouteKind> {
    let default = RouteTable::default();
    match raw.kind {
        raw::Kind::Mcp => {
            let elsewhere = "which the policy says of an MCP route";
            refuse_keys(
                &[("auth", raw.auth.is_some()), ("scopes", !raw.scopes.is_empty())],
                elsewhere,
                at,
                report,
            );
            let policy = policy::understand(raw.policy.as_deref(), &at.key("policy"), policies, report)?;
            let challenge = raw.challenge.map(|form| match form {
                raw::Challenge::Http => ChallengeForm::Http,
                raw::Challenge::ToolResult => ChallengeForm::ToolResult,
                raw::Challenge::Auto => ChallengeForm::Auto,
            });
            Some(RouteKind::Mcp { policy, challenge })
        }
        raw::Kind::Http => {
            let elsewhere = "which is for MCP routes";
            let misplaced = [
                ("policy", raw.policy.is_some()),
                ("challenge", raw.challenge.is_some()),
                ("upstream_era", raw.upstream_era != default.upstream_era),
            ];
            refuse_keys(&misplaced, elsewhere, at, report);
            http(raw, at, report)
        }
    }
}

fn http(raw: &RouteTable, at: &KeyPath, report: &mut Report) -> Option<RouteKind> {
    let scopes = at.key("scopes");
    for (index, _) in raw.scopes.iter().enumerate().filter(|(_, scope)| !is_scope_token(scope)) {
        report.unexpected(&scopes.index(index), "a scope, such as `reports:read` (RFC 6749 §3.3)");
    }
    match raw.auth {
        None => {
            report.unexpected(&at.key("auth"), "`public` or `oauth2`, since no policy says who may");
            None
        }
        Some(raw::Auth::Public) => {
            refuse_keys(&[("scopes", !raw.scopes.is_empty())], "since everyone may", at, report);
            Some(RouteKind::Public)
        }
        Some(raw::Auth::OAuth2) => Some(RouteKind::OAuth2 { scopes: raw.scopes.clone() }),
    }
}

fn refuse_keys(keys: &[(&str, bool)], why: &str, at: &KeyPath, report: &mut Report) {
    for (key, _) in keys.iter().filter(|(_, is_there)| *is_there) {
        report.fault(&at.key(key), format!("expected no `{key}`, {why}, but found one"));
    }
}
