//! Policies with few and with many rules, and the questions that are put to them.

use std::fmt::Write as _;
use std::sync::Arc;

use http::HeaderMap;
use mcp_auth::Caller;
use mcp_auth::policy::{Policy, ScopeSet};
use mcp_auth::request::Classified;
use mcp_auth::verifier::VerifiedToken;

/// So many rules with exact names, and a hundred patterns of several shapes.
pub(crate) fn policy(exact: usize) -> Policy {
    let mut text = String::from("version = 1\n[scopes.\"notes:write\"]\nimplies = [\"notes:read\"]\n");
    for rule in 0..exact {
        let _ = write!(text, "[tools.exact_tool_{rule}]\nauth = \"oauth2\"\nscopes = [\"notes:read\"]\n");
    }
    for rule in 0..100 {
        let pattern = match rule % 4 {
            0 => format!("group_{rule}_*"),
            1 => format!("group_{rule}_*_admin"),
            2 => format!("*_of_{rule}"),
            _ => format!("group_{rule}.[a-m]*?"),
        };
        let _ = write!(text, "[tools.\"{pattern}\"]\nauth = \"oauth2\"\nscopes = [\"notes:read\"]\n");
    }
    Policy::parse(&text).unwrap()
}

/// A thousand calls: of tools with exact rules, of tools that a pattern matches, and of tools that nothing matches.
pub(crate) struct Questions {
    pub(crate) exact: Vec<String>,
    pub(crate) patterns: Vec<String>,
    pub(crate) unknown: Vec<String>,
}

impl Questions {
    /// For the policy with so many exact rules; the names are drawn from all over it.
    pub(crate) fn new(exact: usize) -> Self {
        let bodies = |name: &dyn Fn(usize) -> String| {
            (0..1000)
                .map(|index| {
                    let name = name(index);
                    format!(
                        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{name}"}}}}"#
                    )
                })
                .collect()
        };
        Self {
            // 7919 is prime to both numbers of rules: each step lands far away from the last.
            exact: bodies(&|index| format!("exact_tool_{}", index * 7919 % exact)),
            patterns: bodies(&|index| match index % 4 {
                0 => format!("group_{}_list", index * 4 % 100),
                1 => format!("group_{}_list_admin", index * 4 % 100 + 1),
                2 => format!("list_of_{}", index * 4 % 100 + 2),
                _ => format!("group_{}.list", index * 4 % 100 + 3),
            }),
            unknown: bodies(&|index| format!("group_of_nobody_{index}")),
        }
    }
}

pub(crate) fn classified(bodies: &[String]) -> Vec<Classified<'_>> {
    bodies.iter().map(|body| Classified::from_body(&HeaderMap::new(), body.as_bytes()).unwrap()).collect()
}

/// A user whose token holds `notes:write`, which implies what the rules need.
pub(crate) fn caller() -> Caller {
    let scopes = ScopeSet::from_space_separated("notes:write profile");
    let claims = serde_json::Map::new();
    let token = VerifiedToken::assert_verified("https://as.test", "alex", None, scopes, u64::MAX, claims);
    Caller::bearer(Arc::new(token)).unwrap()
}
