use super::*;
use crate::request::ObjectKind::{Prompt, Resource, Tool};

fn faults(text: &str) -> String {
    Policy::parse(text).expect_err(text).render("policy.toml")
}

#[test]
fn an_empty_file_is_no_policy() {
    for text in ["", "\n", "# nothing\n"] {
        assert!(faults(text).contains("expected `version = 1`"), "{}", faults(text));
    }
}

#[test]
fn every_fault_is_reported_with_its_line() {
    let text = r#"version = 2
chalenge = "http"
challenge = "html"
baseline_scopes = ["a b", "ok"]

[defaults]
tools = "allow"

[scopes."x y"]
[scopes.a]
implies = ["b"]
[scopes.b]
implies = ["a"]

[tools.one]
scopes = ["a"]
[tools.two]
auth = "public"
scopes = ["a"]
[tools.three]
auth = "oauth2"
scopes = ["openid"]
scope = ["a"]
[tools."x[".y]
[resources."a[b"]
auth = "oauth2"
[methods."tools/call"]
auth = "public"
"#;
    insta::assert_snapshot!(faults(text));
}

#[test]
fn the_most_specific_rule_wins_whatever_the_order() {
    let rules = [
        "[tools.\"*\"]\nauth = \"deny\"\n",
        "[tools.\"notes_*\"]\nauth = \"oauth2\"\n",
        "[tools.\"notes_p*\"]\nauth = \"optional\"\n",
        "[tools.notes_public]\nauth = \"public\"\n",
    ];
    let mut reversed = rules;
    reversed.reverse();
    for rules in [rules, reversed] {
        let policy = Policy::parse(&format!("version = 1\n{}", rules.concat())).unwrap();
        for (name, label) in [
            ("x", "tools.\"*\""),
            ("notes_x", "tools.\"notes_*\""),
            ("notes_px", "tools.\"notes_p*\""),
            ("notes_public", "tools.notes_public"),
            ("Notes_public", "tools.\"*\""),
            ("notes_public ", "tools.\"notes_p*\""),
        ] {
            assert_eq!(policy.rule(Tool, name).label(), label, "{name}");
        }
    }
}

#[test]
fn what_has_no_rule_gets_the_default() {
    let policy = Policy::parse("version = 1\n[tools.a]\nauth = \"public\"\n").unwrap();
    assert_eq!(policy.rule(Tool, "b").access(), Access::Deny);
    assert_eq!(policy.rule(Prompt, "a").access(), Access::Deny);
    let policy = Policy::parse("version = 1\n[defaults]\ntools = \"oauth2\"\n").unwrap();
    assert_eq!(policy.rule(Tool, "b").access(), Access::OAuth2);
}

#[test]
fn a_star_in_a_uri_stops_at_a_slash_and_dot_segments_match_nothing() {
    let policy = Policy::parse(
        "version = 1\n[resources.\"ui://**\"]\nauth = \"public\"\n[resources.\"notes://*/text\"]\nauth = \"optional\"\n[resources.\"users://{id}\"]\nauth = \"oauth2\"\n",
    )
    .unwrap();
    for (uri, access) in [
        ("ui://a", Access::Public),
        ("ui://a/b/c.html", Access::Public),
        ("notes://1/text", Access::Optional),
        ("notes://1/2/text", Access::Deny),
        ("users://{id}", Access::OAuth2),
        ("UI://a", Access::Deny),
        ("ui:a", Access::Deny),
        ("ui://a/../../etc/passwd", Access::Deny),
        ("ui://a/%2e%2E/b", Access::Deny),
        ("ui://a/.%2e/b", Access::Deny),
        ("ui://a/./b", Access::Deny),
        ("ui://a\\..\\b", Access::Deny),
        ("ui://a/..?x", Access::Deny),
        ("ui://a/...", Access::Public),
        ("ui://a/x..y", Access::Public),
    ] {
        assert_eq!(policy.rule(Resource, uri).access(), access, "{uri}");
    }
}

#[test]
fn scopes_are_kept_with_their_words_and_known_wherever_they_stand() {
    let policy = Policy::parse(
        "version = 1\nbaseline_scopes = [\"p\"]\n[scopes.w]\ndescription = \"Write\"\nimplies = [\"r\"]\n[tools.t]\nauth = \"oauth2\"\nscopes = [\"t\"]\n",
    )
    .unwrap();
    assert_eq!(policy.known_scopes().to_string(), "p r t w");
    let (name, info) = policy.scopes().next().unwrap();
    assert_eq!((name, info.description(), info.implies().to_string().as_str()), ("w", Some("Write"), "r"));
}

#[test]
fn the_first_half_of_a_file_is_never_a_policy_that_opens() {
    let text = "version = 1\n\n[tools.a]\nauth = \"oauth2\"\nscopes = [\"x\"]\n";
    for half in (1..text.len()).filter_map(|cut| text.get(..cut)) {
        if let Ok(policy) = Policy::parse(half) {
            assert!(matches!(policy.rule(Tool, "a").access(), Access::Deny | Access::OAuth2), "{half}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in "[\\[\\]a-z0-9=\"'{}.,#* \n]{0,200}") {
        let _ = Policy::parse(&text);
    }
}
