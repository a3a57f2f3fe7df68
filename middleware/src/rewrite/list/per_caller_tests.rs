//! Lists that differ from caller to caller, and what of an answer stays (`list_…`: the points of MCP's list handling).

use super::tests::view;
use super::*;
use crate::policy::ScopeSet;
use crate::verifier::VerifiedToken;

const POLICY: &str = r#"
version = 1
list = "callable"
[tools.open]
auth = "public"
[tools.closed]
auth = "oauth2"
scopes = ["read"]
[tools.gone]
auth = "deny"
[prompts.open]
auth = "public"
[prompts.closed]
auth = "oauth2"
[resources."a:open"]
auth = "public"
[resources."a:closed"]
auth = "oauth2"
[resources."a:{open}"]
auth = "public"
[resources."a:{closed}"]
auth = "oauth2"
"#;

fn caller(scopes: &str) -> Caller {
    let scopes = ScopeSet::from_space_separated(scopes);
    let claims = serde_json::Map::new();
    let token = VerifiedToken::assert_verified("https://as.test", "alex", None, scopes, u64::MAX, claims);
    Caller::bearer(Arc::new(token)).unwrap()
}

fn rewritten(policy: &str, caller: Option<Caller>, era: Era, method: &str, text: &str) -> String {
    let kind = match method {
        "tools/list" => ObjectKind::Tool,
        "prompts/list" => ObjectKind::Prompt,
        _ => ObjectKind::Resource,
    };
    let rewriter = ListRewriter::for_answer(view(policy, caller, era), kind, method);
    rewriter.message(text).unwrap().unwrap_or_else(|| text.to_owned())
}

/// An answer with elements of these names, and more members of the result.
fn answer(member: &str, name: &str, names: &[&str], more: &str) -> String {
    let elements: Vec<String> = names.iter().map(|of| format!(r#"{{"{name}":"{of}"}}"#)).collect();
    format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"{member}":[{}]{more}}}}}"#, elements.join(","))
}

#[test]
fn list_is_filtered_for_its_caller_whatever_the_kind() {
    for (method, member, name, names) in [
        ("prompts/list", "prompts", "name", &["open", "closed", "unheard"][..]),
        ("resources/list", "resources", "uri", &["a:open", "a:closed", "a:unheard"]),
        (
            "resources/templates/list",
            "resourceTemplates",
            "uriTemplate",
            &["a:{open}", "a:{closed}", "a:{x}"],
        ),
    ] {
        let given = answer(member, name, names, "");
        for (caller, kept) in [(None, 1), (Some(caller("")), 2)] {
            let expected = answer(member, name, &names[..kept], "");
            assert_eq!(rewritten(POLICY, caller, Era::Legacy, method, &given), expected, "{method}");
        }
    }
    let given = answer("tools", "name", &["open", "closed", "gone"], "");
    for (caller, closed) in [(None, false), (Some(caller("other")), false), (Some(caller("read")), true)] {
        let list = rewritten(POLICY, caller, Era::Legacy, "tools/list", &given);
        assert_eq!((list.contains("closed"), list.contains("gone")), (closed, false), "{list}");
    }
}

/// On every page, whether something was taken from it or not, and whatever stood there.
#[test]
fn list_that_differs_is_private_in_the_modern_era() {
    for (before, after) in [
        ("", r#","cacheScope":"private""#),
        (r#","cacheScope":"public","ttlMs":5000"#, r#","cacheScope":"private","ttlMs":5000"#),
        (r#","cacheScope" : "private""#, r#","cacheScope" : "private""#),
        (r#","cacheScope":null"#, r#","cacheScope":"private""#),
        (r#","cacheScope":{"a":1}"#, r#","cacheScope":"private""#),
        (r#","ttlMs":300000 "#, r#","ttlMs":300000,"cacheScope":"private" "#),
    ] {
        for names in [&["open"][..], &["open", "closed"], &["closed"], &[]] {
            let given = answer("prompts", "name", names, before);
            let kept: &[&str] = if names.contains(&"open") { &["open"] } else { &[] };
            let expected = answer("prompts", "name", kept, after);
            assert_eq!(rewritten(POLICY, None, Era::Modern, "prompts/list", &given), expected);
            // Earlier revisions know no such member, and what the server says there is its own affair.
            let expected = answer("prompts", "name", kept, before);
            assert_eq!(rewritten(POLICY, None, Era::Legacy, "prompts/list", &given), expected);
        }
    }
    for (policy, differs) in [
        ("version = 1\n[prompts.open]\nauth = \"public\"\n", false),
        (
            "version = 1\n[prompts.open]\nauth = \"public\"\n[tools.x]\nauth = \"public\"\nlist = \"callable\"\n",
            false,
        ),
        (
            "version = 1\n[prompts.open]\nauth = \"public\"\n[prompts.x]\nauth = \"deny\"\nlist = \"callable\"\n",
            false,
        ),
        (
            "version = 1\n[prompts.open]\nauth = \"public\"\n[prompts.\"x*\"]\nauth = \"oauth2\"\nlist = \"callable\"\n",
            true,
        ),
        ("version = 1\nlist = \"acquirable\"\n[defaults]\nprompts = \"oauth2\"\n", true),
    ] {
        let given = answer("prompts", "name", &["open"], r#","cacheScope":"public""#);
        let list = rewritten(policy, None, Era::Modern, "prompts/list", &given);
        assert_eq!(list.contains("private"), differs, "{policy}");
    }
    // A scope that can be read in two ways is neither.
    let twice = answer("prompts", "name", &["open"], r#","cacheScope":"private","cacheScope":"public""#);
    let rewriter =
        ListRewriter::for_answer(view(POLICY, None, Era::Modern), ObjectKind::Prompt, "prompts/list");
    assert!(rewriter.message(&twice).is_err());
}

#[test]
fn list_keeps_its_cursor_when_nothing_is_left_of_the_page() {
    for cursor in ["\"\"", "\"c\\u0061\"", "\"a b\"", "null", "12"] {
        for era in [Era::Legacy, Era::Modern] {
            let more = format!(r#","nextCursor":{cursor},"ttlMs":1e3,"resultType":"complete""#);
            let list = rewritten(
                POLICY,
                None,
                era,
                "tools/list",
                &answer("tools", "name", &["closed", "gone"], &more),
            );
            assert!(list.contains(&format!(r#""tools":[]{more}"#)), "{list}");
        }
    }
}

#[test]
fn list_keeps_every_member_that_it_does_not_own() {
    let tool = r#"{"outputSchema":{"$ref":"https://x.test/s"},"title":"T","name":"open","icons":[{"src":"d"}],"inputSchema":{"$schema":"s","$defs":{},"type":"object","properties":{"r":{"type":"string","x-mcp-header":"Region"}},"required":[],"maximum":12345678901234567890123.450e+10},"annotations":{},"execution":{"taskSupport":"optional"},"_meta":{"openai/outputTemplate":"ui:\/\/x","ui":{"resourceUri":"ui://x"}}}"#;
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":"\u0031","result":{{"_meta":{{"io.modelcontextprotocol/serverInfo":{{"name":"n"}}}},"resultType":"complete","x":[],"tools":[{tool}]}}}}"#
    );
    let schemes = r#"[{"type":"noauth"}]"#;
    let expected = text.replace(
        r#""ui":{"resourceUri":"ui://x"}}}"#,
        &format!(
            r#""ui":{{"resourceUri":"ui://x"}},"securitySchemes":{schemes}}},"securitySchemes":{schemes}}}"#
        ),
    );
    assert_eq!(rewritten(POLICY, None, Era::Legacy, "tools/list", &text), expected);
}

#[test]
fn list_keeps_the_order_of_what_is_left() {
    let names = ["closed", "open", "gone", "open", "closed", "open"];
    let given = answer("tools", "name", &names, "");
    let value: serde_json::Value =
        serde_json::from_str(&rewritten(POLICY, Some(caller("read")), Era::Legacy, "tools/list", &given))
            .unwrap();
    let kept: Vec<&str> = value["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(kept, ["closed", "open", "open", "closed", "open"]);
}

/// What the server publishes of a tool's security never counts, weaker or stronger, and is never published twice.
#[test]
fn list_publishes_what_is_enforced() {
    let policy = r#"
version = 1
[tools.any]
auth = "oauth2"
scopes = ["b"]
any_scopes = ["z", "a"]
[tools.teaser]
auth = "optional"
any_scopes = ["z", "a"]
[tools.dark]
auth = "oauth2"
scopes = ["b"]
mode = "shadow"
[tools.lifted]
auth = "deny"
mode = "shadow"
"#;
    for (tool, schemes) in [
        ("any", r#"[{"type":"oauth2","scopes":["b","z"]}]"#),
        ("teaser", r#"[{"type":"noauth"},{"type":"oauth2","scopes":["z"]}]"#),
        ("dark", r#"[{"type":"noauth"},{"type":"oauth2","scopes":["b"]}]"#),
        ("lifted", r#"[{"type":"noauth"}]"#),
    ] {
        for said in ["[]", r#"[{"type":"noauth"}]"#, "null", r#"{"type":"oauth2","scopes":["root"]}"#] {
            let tools = format!(
                r#"{{"id":1,"result":{{"tools":[{{"name":"{tool}","securitySchemes":{said},"_meta":{{"securitySchemes":{said},"k":1}}}}]}}}}"#
            );
            let list = rewritten(policy, None, Era::Legacy, "tools/list", &tools);
            assert_eq!(list, tools.replace(said, schemes), "{tool} {said}");
        }
    }
}

#[test]
fn list_in_the_answers_to_a_batch_is_found_by_its_id() {
    let id = |text| RequestId::from_json(text).unwrap();
    let asked = [
        (id("1"), ObjectKind::Tool, "tools/list"),
        (id("\"p\""), ObjectKind::Prompt, "prompts/list"),
        (id("-3"), ObjectKind::Resource, "resources/templates/list"),
    ];
    let rewriter = ListRewriter::for_batch(view(POLICY, None, Era::Legacy), asked);
    let tools = |id: &str, names: &[&str]| {
        answer("tools", "name", names, "").replace("\"id\":1", &format!("\"id\":{id}"))
    };
    let prompts = |id: &str, names: &[&str]| {
        answer("prompts", "name", names, "").replace("\"id\":1", &format!("\"id\":{id}"))
    };
    let call =
        r#"{"jsonrpc":"2.0","id":9,"result":{"content":[{"type":"text","text":"gone"}],"isError":false}}"#;
    let error = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"m"}}"#;
    for (given, expected) in [
        // In any order, under any spelling of the id, alone and in an array.
        (
            format!(
                " [{call} , {},\n{}]",
                prompts(r#""\u0070""#, &["open", "closed"]),
                tools("1", &["gone"])
            ),
            Some(format!(" [{call} , {},\n{}]", prompts(r#""\u0070""#, &["open"]), tools("1", &[]))),
        ),
        (prompts("\"p\"", &["closed"]), Some(prompts("\"p\"", &[]))),
        // Under an id that nobody asked with, a list is a list all the same.
        (tools("1.0", &["gone"]), Some(tools("1.0", &[]))),
        (format!("[{}]", prompts("null", &["closed"])), Some(format!("[{}]", prompts("null", &[])))),
        (format!("[{call},{error}]"), None),
        (call.to_owned(), None),
        ("[]".to_owned(), None),
    ] {
        assert_eq!(rewriter.message(&given).unwrap(), expected, "{given}");
    }
    for unreadable in [
        r#"[{"id":1,"result":{"prompts":[]}}]"#,
        r#"[{"id":1,"result":{"tools":{}}}]"#,
        r#"[{"id":1,"id":2,"result":{"tools":[]}}]"#,
        r#"[{"id":"p","result":[]}]"#,
        "[{]",
        "{",
    ] {
        assert!(rewriter.message(unreadable).is_err(), "{unreadable}");
    }
}

/// Revision 2025-03-26 may repeat an array of answers on a stream that is resumed.
#[test]
fn list_in_an_array_on_a_stream_is_found() {
    let stream = ListRewriter::for_stream(view(POLICY, None, Era::Legacy));
    let call = r#"{"jsonrpc":"2.0","id":9,"result":{"content":[]}}"#;
    let list = answer("prompts", "name", &["open", "closed"], "");
    let shorter = answer("prompts", "name", &["open"], "");
    assert_eq!(stream.message(&format!("[1,{call},{list}]")).unwrap(), Some(format!("[1,{call},{shorter}]")));
}
