//! Alternatives among scopes, shadow rules, and what lists show.

use super::tests::caller;
use super::*;
use http::HeaderMap;

/// Who it is served as, or the refusal; with `!` and the refusal that was not enforced.
fn decide(policy: &str, method: &str, params: &str, scopes: Option<&str>) -> String {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
    let request = Classified::from_body(&HeaderMap::new(), body.as_bytes()).unwrap();
    let caller = scopes.map(caller);
    let said = |refusal: &Refusal| match refusal {
        Refusal::SignIn { scopes } => format!("401 {scopes}"),
        Refusal::InsufficientScope { scopes, needed } => format!("403 {scopes} for {needed}"),
        refusal => refusal.code().to_owned(),
    };
    let policy = Policy::parse(policy).unwrap();
    match policy.decide(&request, caller.as_ref()) {
        Ok(permit) => {
            assert_eq!(permit.policy_version(), policy.version());
            let who = if permit.principal().is_some() { "user" } else { "anonymous" };
            permit.shadowed().map_or(who.to_owned(), |refusal| format!("{who}! {}", said(refusal)))
        }
        Err(refusal) => said(&refusal),
    }
}

fn call(policy: &str, tool: &str, scopes: Option<&str>) -> String {
    decide(policy, "tools/call", &format!(r#"{{"name":"{tool}"}}"#), scopes)
}

const ALTERNATIVES: &str = r#"
version = 1
baseline_scopes = ["base"]
[scopes."admin"]
implies = ["write"]
[tools.any]
auth = "oauth2"
any_scopes = ["write", "read"]
[tools.both]
auth = "oauth2"
scopes = ["base"]
any_scopes = ["write", "read"]
[tools.teaser]
auth = "optional"
any_scopes = ["write", "read"]
"#;

#[test]
fn one_of_several_scopes_is_enough_and_all_the_others_are_needed_besides() {
    for (tool, scopes, expected) in [
        ("any", None, "401 write"),
        ("any", Some("read"), "user"),
        ("any", Some("write"), "user"),
        ("any", Some("admin"), "user"),
        ("any", Some("base"), "403 base write for write"),
        ("any", Some(""), "403 write for write"),
        ("both", None, "401 base write"),
        ("both", Some("base read"), "user"),
        ("both", Some("base admin"), "user"),
        ("both", Some("base"), "403 base write for base write"),
        // What is held already is good enough: nothing is asked for in its place.
        ("both", Some("read"), "403 base read for base read"),
        ("both", Some("read write"), "403 base read write for base write"),
        ("both", Some("other"), "403 base write for base write"),
        ("teaser", None, "anonymous"),
        ("teaser", Some("base"), "anonymous"),
        ("teaser", Some("read"), "user"),
    ] {
        assert_eq!(call(ALTERNATIVES, tool, scopes), expected, "{tool} with {scopes:?}");
    }
}

/// A challenge that is followed to the letter leads to a call that is served, whatever was held before.
#[test]
fn what_a_challenge_asks_for_is_enough() {
    for form in ["accumulate", "minimal"] {
        let policy = format!("challenge_scopes = \"{form}\"\n{ALTERNATIVES}");
        for tool in ["any", "both"] {
            for held in
                [None, Some(""), Some("read"), Some("write"), Some("base"), Some("admin"), Some("other")]
            {
                let answer = call(&policy, tool, held);
                let asked = answer.get(4..).unwrap_or_default().split(" for ").next().unwrap_or_default();
                if answer.starts_with("40") {
                    assert_eq!(call(&policy, tool, Some(asked)), "user", "{tool} with {held:?}: {answer}");
                }
            }
        }
    }
}

const SHADOW: &str = r#"
version = 1
baseline_scopes = ["base"]
[tools.closed]
auth = "oauth2"
scopes = ["read"]
mode = "shadow"
[tools.teaser]
auth = "optional"
scopes = ["read"]
mode = "shadow"
[tools.gone]
auth = "deny"
mode = "shadow"
[tools.enforced]
auth = "oauth2"
scopes = ["read"]
[prompts.p]
auth = "oauth2"
[resources."a:x"]
auth = "oauth2"
scopes = ["x"]
mode = "shadow"
[methods."subscriptions/listen"]
auth = "public"
"#;

#[test]
fn what_a_shadow_rule_refuses_is_noted_and_served() {
    for (tool, scopes, expected) in [
        ("closed", None, "anonymous! 401 read"),
        ("closed", Some(""), "user! 403 read for read"),
        ("closed", Some("read"), "user"),
        // Nothing is refused: the identity is withheld as ever.
        ("teaser", Some(""), "anonymous"),
        ("teaser", Some("read"), "user"),
        ("gone", None, "anonymous! unknown"),
        ("gone", Some(""), "user! unknown"),
        ("enforced", None, "401 read"),
        ("enforced", Some(""), "403 read for read"),
        ("other", None, "unknown"),
    ] {
        assert_eq!(call(SHADOW, tool, scopes), expected, "{tool} with {scopes:?}");
    }
    // What is let through must be found, and what is not is as closed as ever.
    assert_eq!(decide(SHADOW, "tools/list", "{}", None), "anonymous");
    assert_eq!(decide(SHADOW, "initialize", "{}", None), "anonymous");
    assert_eq!(decide(SHADOW, "prompts/list", "{}", None), "401 base");
    let listen = r#"{"notifications":{"resourceSubscriptions":["a:x"]}}"#;
    assert_eq!(decide(SHADOW, "subscriptions/listen", listen, None), "anonymous! 401 x");
    assert_eq!(decide(SHADOW, "subscriptions/listen", listen, Some("")), "user! 403 x for x");
}

/// One word at the top of a file must not open what has no rule.
#[test]
fn a_shadow_over_all_stops_short_of_deny() {
    let rules = "[tools.a]\nauth = \"oauth2\"\n[tools.b]\nauth = \"deny\"\n[tools.c]\nauth = \"deny\"\nmode = \"shadow\"\n[tools.d]\nauth = \"oauth2\"\nmode = \"enforce\"\n[methods.\"x/gone\"]\nauth = \"deny\"\n";
    let policy = format!("version = 1\nmode = \"shadow\"\n{rules}");
    for (tool, expected) in [
        ("a", "anonymous! 401 "),
        ("b", "unknown"),
        ("c", "anonymous! unknown"),
        ("d", "401 "),
        ("never_heard_of", "unknown"),
    ] {
        assert_eq!(call(&policy, tool, None), expected, "{tool}");
    }
    assert_eq!(decide(&policy, "x/gone", "{}", None), "unknown");
    assert_eq!(decide(&policy, "x/other", "{}", None), "anonymous! 401 ");
    assert_eq!(decide(&policy, "prompts/get", r#"{"name":"p"}"#, None), "unknown");
    assert_eq!(decide(&policy, "resources/read", r#"{"uri":"a:b"}"#, Some("")), "unknown");
    // Nothing but the shadow opens these.
    let closed = "version = 1\nmode = \"shadow\"\n";
    for method in ["initialize", "tools/list", "ping"] {
        assert_eq!(decide(closed, method, "{}", None), "anonymous! 401 ", "{method}");
        assert_eq!(decide("version = 1\n", method, "{}", None), "401 ", "{method}");
    }
    assert_eq!(call(closed, "any", None), "unknown");
}

#[test]
fn a_list_shows_what_the_rule_says_to_whom_it_says() {
    let policy = |list: &str| {
        Policy::parse(&format!(
            "version = 1\nlist = \"{list}\"\n[tools.open]\nauth = \"public\"\n[tools.maybe]\nauth = \"optional\"\nscopes = [\"a\"]\n[tools.user]\nauth = \"oauth2\"\n[tools.closed]\nauth = \"oauth2\"\nscopes = [\"a\"]\nany_scopes = [\"b\", \"c\"]\n[tools.gone]\nauth = \"deny\"\n[tools.shadow]\nauth = \"oauth2\"\nmode = \"shadow\"\n[tools.shown]\nauth = \"oauth2\"\nlist = \"always\"\n[tools.hidden]\nauth = \"oauth2\"\nlist = \"callable\"\n"
        ))
        .unwrap()
    };
    let tools = ["open", "maybe", "user", "closed", "gone", "shadow", "shown", "hidden", "unheard"];
    let shown = |list: &str, scopes: Option<&str>| -> Vec<&str> {
        let (policy, caller) = (policy(list), scopes.map(caller));
        tools.into_iter().filter(|name| policy.shows(ObjectKind::Tool, name, caller.as_ref())).collect()
    };
    for list in ["always", "acquirable"] {
        let all = ["open", "maybe", "user", "closed", "shadow", "shown"];
        assert_eq!(shown(list, None), all, "{list}");
        assert_eq!(shown(list, Some("")), [&all[..], &["hidden"]].concat(), "{list}");
    }
    assert_eq!(shown("callable", None), ["open", "maybe", "shadow", "shown"]);
    assert_eq!(shown("callable", Some("b")), ["open", "maybe", "user", "shadow", "shown", "hidden"]);
    assert_eq!(
        shown("callable", Some("a c")),
        ["open", "maybe", "user", "closed", "shadow", "shown", "hidden"]
    );
    // The list says nothing about the call.
    assert!(matches!(
        policy("callable").decide(
            &Classified::from_body(
                &HeaderMap::new(),
                br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"hidden"}}"#
            )
            .unwrap(),
            None
        ),
        Err(Refusal::SignIn { .. })
    ));
}
