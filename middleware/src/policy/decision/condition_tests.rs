//! Conditions in decisions: what they see, when they are asked, and what becomes of their refusals.

use http::HeaderMap;
use serde_json::{Value, json};

use super::*;

fn caller(scopes: &str, claims: &Value) -> Caller {
    let claims = claims.as_object().cloned().unwrap_or_default();
    let scopes = ScopeSet::from_space_separated(scopes);
    let client = Some("c1".into());
    let token = VerifiedToken::assert_verified("https://as.test", "alex", client, scopes, u64::MAX, claims);
    Caller::bearer(Arc::new(token)).unwrap()
}

fn decide(policy: &str, body: &str, caller: Option<&Caller>) -> Result<Permit, Refusal> {
    let policy = Policy::parse(&format!("version = 1\n{policy}")).unwrap_or_else(|faults| panic!("{faults}"));
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,{body}}}"#);
    policy.decide(&Classified::from_body(&HeaderMap::new(), body.as_bytes()).unwrap(), caller)
}

fn code(decided: &Result<Permit, Refusal>) -> &'static str {
    decided
        .as_ref()
        .map_or_else(Refusal::code, |permit| if permit.principal().is_some() { "user" } else { "anonymous" })
}

const CALL: &str = r#""method":"tools/call","params":{"name":"t","arguments":{"amount":50}}"#;

#[test]
fn a_condition_is_asked_after_access_and_scopes() {
    let rule = |auth: &str, more: &str, when: &str| {
        format!("[tools.t]\nauth = \"{auth}\"\n{more}\nwhen = \"{when}\"\n")
    };
    let scoped = "scopes = [\"pay\"]";
    let alex = caller("pay", &json!({"limit": 100}));
    let poor = caller("", &json!({"limit": 100}));
    let limit = "args.amount <= claims.limit && client == 'c1' && tool == 't'";
    for (policy, caller, expected) in [
        (rule("oauth2", scoped, limit), None, "sign-in"),
        (rule("oauth2", scoped, limit), Some(&poor), "insufficient-scope"),
        (rule("oauth2", scoped, limit), Some(&alex), "user"),
        (rule("oauth2", scoped, "args.amount < 50"), Some(&alex), "condition-failed"),
        (rule("oauth2", scoped, "args.amount"), Some(&alex), "condition-failed"),
        (rule("oauth2", scoped, "args.missing"), Some(&alex), "condition-failed"),
        // Even what is false for everyone does not keep a stranger from signing in.
        (rule("oauth2", "", "false"), None, "sign-in"),
        (rule("public", "", "args.amount <= 50"), None, "anonymous"),
        (rule("public", "", "args.amount < 50"), None, "condition-failed"),
        (rule("public", "", limit), None, "condition-failed"),
        (rule("public", "", limit), Some(&poor), "user"),
        (rule("public", "", "claims == {} && client == ''"), None, "anonymous"),
        // Where the identity is withheld from the server, it is from the condition as well.
        (rule("optional", scoped, "claims == {} && client == ''"), Some(&poor), "anonymous"),
        (rule("optional", scoped, limit), Some(&poor), "condition-failed"),
        (rule("optional", scoped, limit), Some(&alex), "user"),
        (rule("optional", scoped, limit), None, "condition-failed"),
    ] {
        assert_eq!(code(&decide(&policy, CALL, caller)), expected, "{policy}");
    }
}

#[test]
fn the_arguments_are_those_of_the_very_body() {
    let policy = "[tools.t]\nauth = \"public\"\nwhen = \"!has(args.amount) || args.amount <= 10\"\n";
    for (params, expected) in [
        (r#"{"name":"t"}"#, "anonymous"),
        (r#"{"name":"t","arguments":null}"#, "anonymous"),
        (r#"{"name":"t","arguments":{}}"#, "anonymous"),
        (r#"{"name":"t","arguments":{"amount":10}}"#, "anonymous"),
        (r#"{"name":"t","arguments":{"amount":11}}"#, "condition-failed"),
        (r#"{"name":"t","argum\u0065nts":{"amount":11}}"#, "condition-failed"),
        (r#"{"name":"t","arguments":{"am\u006funt":11}}"#, "condition-failed"),
        // What some server would read as another amount, or as one where there is none.
        (r#"{"name":"t","arguments":{"amount":1,"amount":11}}"#, "condition-failed"),
        (r#"{"name":"t","arguments":{"Amount":11}}"#, "condition-failed"),
        (r#"{"name":"t","arguments":{"amount":10.00000000000000001}}"#, "condition-failed"),
        (r#"{"name":"t","arguments":[]}"#, "condition-failed"),
        (r#"{"name":"t","arguments":"{\"amount\":1}"}"#, "condition-failed"),
    ] {
        let decided = decide(policy, &format!(r#""method":"tools/call","params":{params}"#), None);
        assert_eq!(code(&decided), expected, "{params}");
    }
}

#[test]
fn a_long_message_is_not_searched_for_its_arguments() {
    let policy = "[tools.t]\nauth = \"public\"\nwhen = \"!has(args.amount)\"\n";
    for (padding, expected) in [(100_000, "anonymous"), (132_000, "condition-failed")] {
        let body = format!(r#""x":"{}","method":"tools/call","params":{{"name":"t"}}"#, "x".repeat(padding));
        assert_eq!(code(&decide(policy, &body, None)), expected, "{padding}");
    }
}

#[test]
fn every_kind_of_rule_takes_a_condition() {
    let policy = "
[prompts.p]
auth = \"public\"
when = \"args.language == 'en' && tool == 'p'\"
[resources.\"notes://{user}/**\"]
auth = \"oauth2\"
when = \"tool.startsWith('notes://' + claims.sub + '/')\"
[resources.\"notes://*/**\"]
auth = \"oauth2\"
when = \"tool.startsWith('notes://' + claims.sub + '/')\"
[methods.\"vendor/do\"]
auth = \"public\"
when = \"args.x == 1 && tool == 'vendor/do'\"
[methods.\"resources/list\"]
auth = \"oauth2\"
when = \"'staff' in claims.groups\"
[methods.\"subscriptions/listen\"]
auth = \"oauth2\"
";
    let alex = caller("", &json!({"sub": "alex", "groups": ["staff"]}));
    let blake = caller("", &json!({"sub": "blake", "groups": []}));
    for (body, caller, expected) in [
        (r#""method":"prompts/get","params":{"name":"p","arguments":{"language":"en"}}"#, None, "anonymous"),
        (
            r#""method":"prompts/get","params":{"name":"p","arguments":{"language":"fr"}}"#,
            None,
            "condition-failed",
        ),
        (r#""method":"resources/read","params":{"uri":"notes://alex/1"}"#, Some(&alex), "user"),
        (r#""method":"resources/read","params":{"uri":"notes://alex/1"}"#, Some(&blake), "condition-failed"),
        (r#""method":"vendor/do","params":{"arguments":{"x":1}}"#, None, "anonymous"),
        (r#""method":"vendor/do","params":{"arguments":{"x":2}}"#, None, "condition-failed"),
        (r#""method":"resources/list""#, Some(&alex), "user"),
        (r#""method":"resources/list""#, Some(&blake), "condition-failed"),
        (
            r#""method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":["notes://alex/1","notes://blake/1"]}}"#,
            Some(&alex),
            "condition-failed",
        ),
    ] {
        assert_eq!(code(&decide(policy, body, caller)), expected, "{body}");
    }
}

#[test]
fn a_condition_in_shadow_mode_refuses_nobody_and_says_so() {
    let policy = "[tools.t]\nauth = \"optional\"\nscopes = [\"pay\"]\nmode = \"shadow\"\nwhen = \"args.amount < 50\"\n";
    let (alex, poor) = (caller("pay", &json!({})), caller("", &json!({})));
    for (caller, served) in [(Some(&alex), "user"), (Some(&poor), "anonymous"), (None, "anonymous")] {
        let decided = decide(policy, CALL, caller);
        assert_eq!(code(&decided), served);
        assert_eq!(decided.unwrap().shadowed().map(Refusal::code), Some("condition-failed"));
    }
}

#[test]
fn a_list_shows_what_a_condition_on_claims_allows() {
    let policy = |listing: &str, when: &str| {
        let text =
            format!("version = 1\nlist = \"{listing}\"\n[tools.t]\nauth = \"oauth2\"\nwhen = \"{when}\"\n");
        Policy::parse(&text).unwrap()
    };
    let (staff, guest) = (caller("", &json!({"staff": true})), caller("", &json!({"staff": false})));
    for (listing, when, caller, shown) in [
        ("always", "claims.staff", Some(&guest), true),
        ("callable", "claims.staff", Some(&staff), true),
        ("callable", "claims.staff", Some(&guest), false),
        ("callable", "claims.staff", None, false),
        ("acquirable", "claims.staff", Some(&guest), false),
        ("acquirable", "claims.staff", Some(&staff), true),
        ("acquirable", "claims.staff", None, true),
        // Only a call has arguments.
        ("callable", "claims.staff && args.x == 1", Some(&guest), true),
    ] {
        let shows = policy(listing, when).shows(ObjectKind::Tool, "t", caller);
        assert_eq!(shows, shown, "{listing} {when} {caller:?}");
    }
}
