use http::HeaderMap;
use proptest::prelude::*;

use super::*;

const POLICY: &str = r#"
version = 1
baseline_scopes = ["profile:read"]
[scopes."notes:admin"]
implies = ["notes:write"]
[scopes."notes:write"]
implies = ["notes:read"]
[tools.open]
auth = "public"
[tools.read]
auth = "oauth2"
scopes = ["notes:read"]
[tools.write]
auth = "oauth2"
scopes = ["notes:write", "extra"]
[tools.any_user]
auth = "oauth2"
[tools.teaser]
auth = "optional"
scopes = ["notes:read"]
[tools.gone]
auth = "deny"
[prompts.secret]
auth = "oauth2"
[methods."vendor/open"]
auth = "public"
[methods."vendor/gone"]
auth = "deny"
"#;

pub(super) fn caller(scopes: &str) -> Caller {
    let scopes = ScopeSet::from_space_separated(scopes);
    let token = VerifiedToken::assert_verified(
        "https://as.test",
        "alex",
        None,
        scopes,
        u64::MAX,
        serde_json::Map::new(),
    );
    Caller::bearer(Arc::new(token)).unwrap()
}

/// `user`, `anonymous`, or the refusal.
fn decide(policy: &str, method: &str, params: &str, scopes: Option<&str>) -> String {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    let request = Classified::from_body(&HeaderMap::new(), body.as_bytes()).unwrap();
    let caller = scopes.map(caller);
    match Policy::parse(policy).unwrap().decide(&request, caller.as_ref()) {
        Ok(permit) if permit.principal().is_some() => "user".to_owned(),
        Ok(_) => "anonymous".to_owned(),
        Err(Refusal::SignIn { scopes }) => format!("401 {scopes}"),
        Err(Refusal::InsufficientScope { scopes, .. }) => format!("403 {scopes}"),
        Err(refusal) => refusal.code().to_owned(),
    }
}

fn call(tool: &str, scopes: Option<&str>) -> String {
    decide(POLICY, "tools/call", &format!(r#"{{"name":"{tool}"}}"#), scopes)
}

#[test]
fn the_table_of_rules() {
    for (tool, scopes, expected) in [
        ("open", None, "anonymous"),
        ("open", Some(""), "user"),
        ("read", None, "401 notes:read"),
        ("read", Some("notes:read"), "user"),
        ("read", Some(""), "403 notes:read"),
        ("write", None, "401 extra notes:write"),
        ("write", Some("notes:write extra"), "user"),
        ("write", Some("notes:write"), "403 extra notes:write"),
        ("write", Some("extra"), "403 extra notes:write"),
        ("any_user", None, "401 profile:read"),
        ("any_user", Some(""), "user"),
        ("teaser", None, "anonymous"),
        ("teaser", Some("notes:read"), "user"),
        ("teaser", Some("other"), "anonymous"),
        ("gone", None, "unknown"),
        ("gone", Some("notes:read"), "unknown"),
        ("never_heard_of", None, "unknown"),
        ("never_heard_of", Some("notes:read"), "unknown"),
        ("Read", Some("notes:read"), "unknown"),
        ("read ", Some("notes:read"), "unknown"),
    ] {
        assert_eq!(call(tool, scopes), expected, "{tool} with {scopes:?}");
    }
}

#[test]
fn an_implied_scope_is_as_good_and_implications_follow() {
    assert_eq!(call("read", Some("notes:write")), "user");
    assert_eq!(call("read", Some("notes:admin")), "user");
    assert_eq!(call("teaser", Some("notes:admin")), "user");
    // Never the other way round.
    assert_eq!(call("write", Some("notes:read extra")), "403 extra notes:read notes:write");
}

#[test]
fn a_step_up_asks_for_what_is_held_and_known_and_needed() {
    assert_eq!(
        call("write", Some("notes:read foreign offline_access openid")),
        "403 extra notes:read notes:write"
    );
    let minimal = format!("challenge_scopes = \"minimal\"\n{POLICY}");
    assert_eq!(
        decide(&minimal, "tools/call", r#"{"name":"write"}"#, Some("notes:read")),
        "403 extra notes:write"
    );
}

#[test]
fn what_denied_calls_tell_is_what_the_list_tells() {
    // The list of prompts is closed to strangers: neither a denied nor an unknown one shows itself.
    for name in ["secret", "never_heard_of"] {
        assert_eq!(
            decide(POLICY, "prompts/get", &format!(r#"{{"name":"{name}"}}"#), None),
            "401 profile:read"
        );
    }
    assert_eq!(decide(POLICY, "prompts/get", r#"{"name":"never_heard_of"}"#, Some("")), "unknown");
    assert_eq!(decide(POLICY, "prompts/list", "{}", None), "401 profile:read");
    assert_eq!(decide(POLICY, "resources/read", r#"{"uri":"a:b"}"#, None), "401 profile:read");
    // That of tools is open.
    assert_eq!(decide(POLICY, "tools/list", "{}", None), "anonymous");
    assert_eq!(decide(POLICY, "tools/list", "{}", Some("")), "user");
}

#[test]
fn the_connection_is_open_while_anything_is() {
    let closed =
        "version = 1\nbaseline_scopes = [\"b\"]\n[tools.t]\nauth = \"oauth2\"\n[tools.u]\nauth = \"deny\"\n";
    for method in ["initialize", "server/discover", "ping", "logging/setLevel"] {
        assert_eq!(decide(POLICY, method, "{}", None), "anonymous", "{method}");
        assert_eq!(decide(closed, method, "{}", None), "401 b", "{method}");
        assert_eq!(decide(closed, method, "{}", Some("")), "user", "{method}");
    }
    for open in ["[defaults]\nresources = \"optional\"\n", "[prompts.\"*\"]\nauth = \"public\"\n"] {
        assert_eq!(decide(&format!("{closed}{open}"), "initialize", "{}", None), "anonymous", "{open}");
    }
}

#[test]
fn an_unknown_method_is_never_public() {
    assert_eq!(decide(POLICY, "vendor/other", "{}", None), "401 profile:read");
    assert_eq!(decide(POLICY, "vendor/other", "{}", Some("")), "user");
    assert_eq!(decide(POLICY, "tasks/get", r#"{"taskId":"1"}"#, None), "401 profile:read");
    assert_eq!(decide(POLICY, "vendor/open", "{}", None), "anonymous");
    assert_eq!(decide(POLICY, "vendor/gone", "{}", Some("")), "unknown");
    let deny = "version = 1\n[defaults]\nmethods = \"deny\"\n[tools.open]\nauth = \"public\"\n";
    assert_eq!(decide(deny, "vendor/other", "{}", Some("")), "unknown");
    assert_eq!(decide(deny, "ping", "{}", None), "anonymous");
}

#[test]
fn a_subscription_needs_every_resource_that_it_names() {
    let policy = "version = 1\n[methods.\"subscriptions/listen\"]\nauth = \"public\"\n[resources.\"a:x\"]\nauth = \"public\"\n[resources.\"a:y\"]\nauth = \"oauth2\"\nscopes = [\"y\"]\n";
    let listen = |uris: &str, scopes| {
        decide(
            policy,
            "subscriptions/listen",
            &format!(r#"{{"notifications":{{"resourceSubscriptions":[{uris}]}}}}"#),
            scopes,
        )
    };
    assert_eq!(listen(r#""a:x""#, None), "anonymous");
    assert_eq!(listen(r#""a:x","a:y""#, None), "401 y");
    assert_eq!(listen(r#""a:x","a:y""#, Some("")), "403 y");
    assert_eq!(listen(r#""a:x","a:y""#, Some("y")), "user");
    assert_eq!(listen(r#""a:x","a:z""#, Some("y")), "unknown");
}

proptest! {
    /// More scopes never take away what fewer gave.
    #[test]
    fn scopes_only_ever_add(few in proptest::sample::subsequence(vec!["notes:read", "notes:write", "extra", "foreign"], 0..=4), more in "[a-z:]{1,12}", tool in proptest::sample::select(vec!["open", "read", "write", "any_user", "teaser", "gone"])) {
        let fewer = few.join(" ");
        if call(tool, Some(&fewer)) == "user" {
            prop_assert_eq!(call(tool, Some(&format!("{fewer} {more}"))), "user");
        }
    }

    /// No name opens a tool that is not public or optional by that very name.
    #[test]
    fn only_exact_names_are_open(name in "\\PC{0,12}") {
        let name_json = serde_json::to_string(&name).unwrap();
        let decided = decide(POLICY, "tools/call", &format!(r#"{{"name":{name_json}}}"#), None);
        prop_assert_eq!(decided == "anonymous", name == "open" || name == "teaser");
    }
}
