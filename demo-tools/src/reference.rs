//! The files under `config/` are what newcomers copy: they load, and say what the demo's table says.

use std::path::{Path, PathBuf};

use mcp_auth::policy::{Access, ChallengeForm, Policy};
use mcp_auth::request::ObjectKind;

use crate::{tools, widget};

/// Tool, rule, scopes: the table of the demo.
const TABLE: [(&str, Access, &[&str]); 7] = [
    ("auth_show", Access::Public, &[]),
    ("auth_whoami", Access::OAuth2, &["profile:read"]),
    ("notes_list", Access::OAuth2, &["notes:read"]),
    ("notes_add", Access::OAuth2, &["notes:write"]),
    ("notes_teaser", Access::Optional, &["notes:read"]),
    ("echo", Access::OAuth2, &[]),
    ("count", Access::Public, &[]),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config")
}

fn policy() -> Policy {
    Policy::parse(&std::fs::read_to_string(folder().join("policy.toml")).unwrap()).unwrap()
}

#[test]
fn the_policy_has_a_rule_for_every_tool_and_none_besides() {
    let policy = policy();
    for (name, access, scopes) in TABLE {
        let rule = policy.rule(ObjectKind::Tool, name);
        assert_eq!(rule.access(), access, "{name}");
        assert_eq!(rule.scopes().collect::<Vec<_>>(), scopes, "{name}");
    }
    let served: Vec<_> = tools::all().into_iter().map(|tool| tool.name.into_owned()).collect();
    assert_eq!(served, TABLE.map(|(name, ..)| name));
    for (kind, name) in [
        (ObjectKind::Tool, "notes_burn"),
        (ObjectKind::Prompt, "any"),
        (ObjectKind::Resource, "file:///etc/passwd"),
    ] {
        assert_eq!(policy.rule(kind, name).access(), Access::Deny, "{name}");
    }
    assert_eq!(policy.rule(ObjectKind::Resource, widget::URI).access(), Access::Public);
}

#[test]
fn the_policy_explains_every_scope() {
    let policy = policy();
    assert_eq!(policy.challenge(), ChallengeForm::Auto);
    assert_eq!(policy.baseline_scopes().iter().collect::<Vec<_>>(), ["profile:read"]);
    let described: Vec<_> =
        policy.scopes().map(|(name, scope)| (name, scope.description().is_some())).collect();
    assert_eq!(described, [("notes:read", true), ("notes:write", true), ("profile:read", true)]);
    let (_, write) = policy.scopes().find(|(name, _)| *name == "notes:write").unwrap();
    assert!(write.implies().contains("notes:read"));
}

#[test]
fn the_gateways_file_loads() {
    let config = mcp_auth_gateway::config::Config::load(&folder().join("gateway.toml"));
    assert!(config.is_ok(), "{}", config.unwrap_err());
}

#[test]
fn the_authorization_servers_file_loads() {
    let config = mcp_auth_server::config::Config::load(&folder().join("auth-server.toml"));
    assert!(config.is_ok(), "{}", config.unwrap_err());
}
