//! Deciding does not allocate: a flood of calls costs no memory, whatever the policy says of them.
//!
//! A test binary of its own, because the counting allocator is that of a whole program.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::sync::Arc;

use allocation_counter::measure;
use http::HeaderMap;
use mcp_auth::Caller;
use mcp_auth::policy::{Policy, ScopeSet};
use mcp_auth::request::Classified;
use mcp_auth::verifier::VerifiedToken;

const POLICY: &str = r#"
version = 1
[scopes."notes:admin"]
implies = ["notes:write"]
[scopes."notes:write"]
implies = ["notes:read"]

[tools.open]
auth = "public"
[tools.closed]
auth = "oauth2"
scopes = ["notes:read", "profile"]
[tools.teaser]
auth = "optional"
scopes = ["notes:read"]
[tools."notes_*"]
auth = "oauth2"
scopes = ["notes:read"]
[tools."{draft,final}_[a-z]*"]
auth = "oauth2"
scopes = ["notes:write"]

[prompts.greeting]
auth = "public"
[prompts."*_summary"]
auth = "oauth2"
scopes = ["notes:read"]

[resources."notes://all/**"]
auth = "oauth2"
scopes = ["notes:read"]
[resources."ui://*/index.html"]
auth = "public"

[methods."x/method"]
auth = "oauth2"
scopes = ["notes:read"]
"#;

fn caller(scopes: &str) -> Caller {
    let scopes = ScopeSet::from_space_separated(scopes);
    let claims = serde_json::Map::new();
    let token = VerifiedToken::assert_verified("https://as.test", "alex", None, scopes, u64::MAX, claims);
    Caller::bearer(Arc::new(token)).unwrap()
}

#[test]
fn a_permit_costs_no_allocation() {
    let policy = Policy::parse(POLICY).unwrap();
    let admin = caller("notes:admin profile");
    let stranger = caller("other");
    let tool = |name: &str| ("tools/call", format!(r#"{{"name":"{name}"}}"#));
    let prompt = |name: &str| ("prompts/get", format!(r#"{{"name":"{name}"}}"#));
    let resource = |uri: &str| ("resources/read", format!(r#"{{"uri":"{uri}"}}"#));
    let method = |name: &'static str| (name, "{}".to_owned());
    let anonymously = None;
    for ((method, params), caller, as_user) in [
        (tool("open"), anonymously, false),
        (tool("open"), Some(&admin), true),
        (tool("closed"), Some(&admin), true),
        (tool("teaser"), anonymously, false),
        (tool("teaser"), Some(&stranger), false),
        (tool("teaser"), Some(&admin), true),
        (tool("notes_list"), Some(&admin), true),
        (tool("draft_one"), Some(&admin), true),
        (prompt("greeting"), anonymously, false),
        (prompt("weekly_summary"), Some(&admin), true),
        (resource("notes://all/2026/11"), Some(&admin), true),
        (resource("ui://widget/index.html"), anonymously, false),
        (method("x/method"), Some(&admin), true),
        (method("another/method"), Some(&stranger), true),
        (method("ping"), anonymously, false),
        (method("initialize"), Some(&admin), true),
        (method("tools/list"), anonymously, false),
        (method("resources/list"), Some(&stranger), true),
    ] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
        let request = Classified::from_body(&HeaderMap::new(), body.as_bytes()).unwrap();
        let permitted = || policy.decide(&request, caller).map(|permit| permit.principal().is_some());
        // The expression of a pattern that needs one keeps what it works in, for each thread, from the first match on.
        assert_eq!(permitted(), Ok(as_user), "{body}");
        let counted = measure(|| {
            let _ = std::hint::black_box(permitted());
        });
        assert_eq!(counted.count_total, 0, "{body}");
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}
