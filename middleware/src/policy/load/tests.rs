use std::fmt::Write as _;

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
fn a_star_in_a_uri_stops_at_a_slash() {
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
    ] {
        assert_eq!(policy.rule(Resource, uri).access(), access, "{uri}");
    }
}

#[test]
fn a_uri_that_other_readings_put_under_another_rule_is_denied() {
    let policy = Policy::parse(
        r#"
version = 1
[resources."docs://h/**"]
auth = "public"
[resources."docs://h/private/**"]
auth = "oauth2"
[resources."docs://h/one"]
auth = "oauth2"
[resources."https://web.test/**"]
auth = "public"
[resources."https://web.test/private"]
auth = "oauth2"
"#,
    )
    .unwrap();
    for uri in [
        "docs://h/pri\tvate/x",
        "docs://h/pri\nvate/x",
        "docs://h/public/.\t./private/x",
        "docs://h/public/../private/x",
        "docs://h/public/%2e%2E/private/x",
        "docs://h/public/.%2e/private/x",
        "docs://h/public/%252e%252e/private/x",
        "docs://h/a%2f..%2fprivate/x",
        "docs://h/private%2Fx",
        "docs://h/a/..\\private/x",
        "docs://h/a/..%5cprivate/x",
        "docs://h/%70rivate/x",
        "docs://h/pri%0Avate/x",
        "docs://h/public/.%09./private/x",
        "docs://h//private/x",
        "docs://h/one ",
        " docs://h/one",
        "docs://h/one\n",
        "docs://h/one#f",
        "docs://h/one?",
        "docs://h/one?x=1",
        "docs://h/./one",
        "docs://h/\u{a0}",
        "DOCS://h/public",
        "https://WEB.test/private",
        "https://web.test:443/private",
        "https://web.test/a/../private",
        "HTTPS://web.test/x",
    ] {
        assert_eq!(policy.rule(Resource, uri).access(), Access::Deny, "{uri:?}");
    }
    // Its readings would be many times as long as the longest body.
    let long = |length: usize| format!("docs://h/%20{}", "x".repeat(length));
    assert_eq!(policy.rule(Resource, &long(8 * 1024)).access(), Access::Deny);
    assert_eq!(policy.rule(Resource, &long(8 * 1024 - 12)).access(), Access::Public);
    for (uri, access) in [
        ("docs://h/public", Access::Public),
        ("docs://h/a%20b", Access::Public),
        ("docs://h/a%2Fb", Access::Public),
        ("docs://h/größe", Access::Public),
        ("docs://h/search?q=x%20y#z", Access::Public),
        ("docs://h/a/../b", Access::Public),
        ("docs://h/a/...", Access::Public),
        ("docs://h/private/a%20b", Access::OAuth2),
        ("docs://h/private/x?y", Access::OAuth2),
        ("docs://h/one", Access::OAuth2),
        ("https://web.test/x", Access::Public),
        ("https://web.test/private", Access::OAuth2),
    ] {
        assert_eq!(policy.rule(Resource, uri).access(), access, "{uri:?}");
    }
}

proptest::proptest! {
    /// Whatever a URL parser makes of a URI, and whoever decodes it: what is public stays under the public rule.
    #[test]
    fn no_spelling_reaches_the_private_part(pieces in proptest::collection::vec(proptest::sample::select(vec!["docs://h/", "public/", "private/", "..", ".", "/", "%2e", "%2F", "%5c", "%70rivate", "\t", "%09", "?", "#", "x", "//"]), 1..8)) {
        let policy = Policy::parse("version = 1\n[resources.\"docs://h/**\"]\nauth = \"public\"\n[resources.\"docs://h/private/**\"]\nauth = \"oauth2\"\n").unwrap();
        let uri = format!("docs://h/{}", pieces.concat());
        if policy.rule(Resource, &uri).access() == Access::Public {
            let is_private = |uri: &str| uri.starts_with("docs://h/private/");
            let normal = url::Url::parse(&uri).unwrap().to_string();
            let decoded = percent_encoding::percent_decode_str(&normal).decode_utf8_lossy().into_owned();
            let twice = url::Url::parse(&decoded).unwrap().to_string();
            for read in [&uri, &normal, &decoded, &twice] {
                proptest::prop_assert!(!is_private(read), "{uri:?} read as {read:?}");
            }
        }
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

#[cfg(feature = "cel")]
#[test]
fn a_faulty_condition_is_reported_with_its_place() {
    let text = r#"version = 1
[tools.one]
auth = "deny"
when = "true"
[tools.two]
auth = "oauth2"
when = "clams.sub == 'x'"
[tools.three]
auth = "oauth2"
when = "args.text.matches('(')"
[tools.four]
auth = "oauth2"
when = "args.a.all(x, args.b.all(y, x == y))"
[tools.five]
auth = "oauth2"
when = "args.a =="
[tools.six]
auth = "oauth2"
when = true
[prompts.seven]
auth = "public"
when = ""
"#;
    insta::assert_snapshot!(faults(text));
}

#[cfg(not(feature = "cel"))]
#[test]
fn a_condition_needs_a_feature() {
    let text = "version = 1\n[tools.one]\nauth = \"oauth2\"\nwhen = \"true\"\n";
    assert!(faults(text).contains("built without the feature `cel`"), "{}", faults(text));
}

fn warnings(text: &str) -> String {
    let policy = Policy::parse(text).unwrap_or_else(|faults| panic!("{}", faults.render("policy.toml")));
    let lines: Vec<String> = policy
        .warnings()
        .iter()
        .map(|warning| {
            let hint = warning.hint().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
            warning.render("policy.toml") + &hint
        })
        .collect();
    lines.join("\n")
}

#[test]
fn what_is_perhaps_not_meant_is_said_with_its_line() {
    insta::assert_snapshot!(warnings(
        r#"version = 1
mode = "shadow"
baseline_scopes = ["profile"]

[scopes.read]
description = "Read"
implies = ["raed"]
[scopes.admin]
description = " "
implies = ["write"]
[scopes.write]
[scopes.unused]
description = "Nothing"
[scopes.low]
description = "Implied by what is needed, and needed by nothing"
[scopes.openid]
description = "For the authorization server"

[tools."a*"]
auth = "oauth2"
scopes = ["write", "wriet"]
[tools."a**"]
auth = "oauth2"
any_scopes = ["read"]
[tools."b?*?"]
auth = "public"
[tools."b??*"]
auth = "public"
[tools.gone]
auth = "deny"
mode = "shadow"
[resources."docs:**"]
auth = "deny"
[resources."docs://h/a/../b"]
auth = "public"
[resources."https://WEB.test/x"]
auth = "public"
[methods."x/*"]
auth = "public"
[methods."x/**"]
auth = "deny"
[methods."tools/*"]
auth = "oauth2"
scopes = ["read"]
[methods."completion/*"]
auth = "deny"
"#
    ));
}

#[test]
fn nothing_is_said_of_what_is_meant() {
    let reference =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../config/policy.toml")).unwrap();
    let sound = r#"
version = 1
[tools."a*"]
auth = "public"
[tools."a?"]
auth = "public"
[tools."a*b"]
auth = "public"
[tools."a/**"]
auth = "public"
[tools."a/*"]
auth = "public"
[tools."{a,b}*"]
auth = "oauth2"
scopes = ["nobody_says_what_it_is"]
[resources."a://*"]
auth = "public"
[resources."a://**"]
auth = "public"
[resources."**"]
auth = "oauth2"
[resources."a://x/**/y"]
auth = "public"
[resources."a://{id}/x"]
auth = "public"
[resources."a:x y*"]
auth = "public"
[methods."resources/list"]
auth = "public"
"#;
    let implied = "version = 1\n[scopes.all]\ndescription = \"All\"\nimplies = [\"some\"]\n[scopes.some]\ndescription = \"Some\"\n[tools.a]\nauth = \"oauth2\"\nany_scopes = [\"some\"]\nmode = \"shadow\"\n";
    for text in [&*reference, sound, implied] {
        assert_eq!(warnings(text), "", "{text}");
    }
}

#[test]
fn alternatives_are_checked_like_scopes() {
    insta::assert_snapshot!(faults(
        r#"version = 1
mode = "shade"
list = ["always"]
[tools.a]
auth = "oauth2"
any_scopes = []
[tools.b]
auth = "public"
any_scopes = ["x"]
[tools.c]
auth = "optional"
any_scopes = ["a b", "offline_access"]
[tools.d]
auth = "oauth2"
any_scopes = "x"
mode = "shadwo"
list = "callabel"
any_scope = ["x"]
"#
    ));
}

#[test]
fn a_cycle_of_any_length_is_refused() {
    for cycle in [&["a"][..], &["a", "b"], &["a", "b", "c", "d"]] {
        let scopes: Vec<String> = (0..cycle.len())
            .map(|at| format!("[scopes.{}]\nimplies = [\"{}\"]\n", cycle[at], cycle[(at + 1) % cycle.len()]))
            .collect();
        let faults = faults(&format!("version = 1\n{}", scopes.concat()));
        assert_eq!(faults.matches("implies itself").count(), cycle.len(), "{faults}");
    }
}

proptest::proptest! {
    /// Whatever the order of the rules in the file, the same rule is found, and what is found is the same each time.
    #[test]
    fn the_order_in_the_file_never_matters(
        keys in proptest::collection::hash_set("[ab*?]{1,4}|[ab]{0,2}\\{[ab]{1,2},[ab*]{1,2}\\}[ab*]{0,2}|\\[[ab]{1,2}\\][ab*]{0,2}", 1..12),
        names in proptest::collection::vec("[ab]{0,5}", 1..20),
        turn in 0_usize..12,
    ) {
        let mut keys: Vec<String> = keys.into_iter().collect();
        let file = |keys: &[String]| {
            let mut text = "version = 1\n".to_owned();
            for section in ["tools", "resources"] {
                for key in keys {
                    let _ = writeln!(text, "[{section}.{key:?}]\nauth = \"public\"");
                }
            }
            Policy::parse(&text).unwrap()
        };
        let found = |policy: &Policy| -> Vec<String> {
            names
                .iter()
                .flat_map(|name| [Tool, Resource].map(|kind| policy.rule(kind, name).label().to_owned()))
                .collect()
        };
        let first = found(&file(&keys));
        proptest::prop_assert_eq!(&first, &found(&file(&keys)));
        let turn = turn % keys.len();
        keys.rotate_left(turn);
        proptest::prop_assert_eq!(&first, &found(&file(&keys)));
        keys.reverse();
        proptest::prop_assert_eq!(&first, &found(&file(&keys)));
    }
}

#[test]
fn the_version_is_that_of_the_text() {
    let [one, two, three] = ["version = 1\n", "version = 1\n# a comment\n", "version = 1\n"]
        .map(|text| Policy::parse(text).unwrap());
    assert_eq!(one.version(), three.version());
    assert_ne!(one.version(), two.version());
    // What `sha256sum` says of the file.
    assert_eq!(one.version().as_str(), "dbab12665d98aef0");
}
