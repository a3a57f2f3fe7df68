use proptest::prelude::*;

use super::*;

const POLICY: &str = r#"
version = 1
[tools.open]
auth = "public"
[tools.maybe]
auth = "optional"
scopes = ["b", "a"]
[tools.closed]
auth = "oauth2"
scopes = ["c"]
[tools.user]
auth = "oauth2"
[resources."a:x"]
auth = "public"
[resources."a:{t}"]
auth = "public"
[prompts.p]
auth = "public"
"#;

pub(super) fn view(policy: &str, caller: Option<Caller>, era: Era) -> View {
    View { policy: Arc::new(Policy::parse(policy).unwrap()), caller, era }
}

fn rewriter(kind: ObjectKind, method: &'static str) -> ListRewriter {
    ListRewriter::for_answer(view(POLICY, None, Era::Modern), kind, method)
}

/// The answer as it goes on, changed or not.
fn rewritten(kind: ObjectKind, method: &'static str, text: &str) -> String {
    rewriter(kind, method).message(text).unwrap().unwrap_or_else(|| text.to_owned())
}

fn tools(text: &str) -> Result<Option<String>, Unreadable> {
    rewriter(ObjectKind::Tool, "tools/list").message(text)
}

#[test]
fn every_byte_that_is_not_about_the_policy_stays() {
    let answer = r#" { "jsonrpc":"2.0", "id" : "\u0061", "x":1.50e+1,
 "result":{"resultType":"complete","tools":[
   {"name":"open" , "inputSchema":{"z":1,"a":12345678901234567890.10,"x-mcp-header":"R"}, "_meta":{"ui":{"resourceUri":"ui:\/\/x"}} },
   {"name":"gone"},
   {"_meta":{},"name":"maybe"},
   {"name":"closed","securitySchemes":[{"type":"noauth"}],"_meta":{"securitySchemes":[],"k":"v"}},
   {"name":"user","_meta":null},
   {"name":"hidden"}
 ],"nextCursor":"","_meta":{"n":1}} } "#;
    insta::assert_snapshot!(tools(answer).unwrap().unwrap());
}

#[test]
fn denied_ones_leave_with_their_commas() {
    let list = |names: &[&str]| {
        let tools: Vec<String> = names.iter().map(|name| format!(r#"{{"uri":"{name}"}}"#)).collect();
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"result":{{"resources":[{}],"nextCursor":"c"}}}}"#,
            tools.join(", ")
        )
    };
    for (given, kept) in [
        (&["b:1"][..], &[][..]),
        (&["b:1", "b:2"], &[]),
        (&["b:1", "a:x"], &["a:x"]),
        (&["a:x", "b:1"], &["a:x"]),
        (&["b:1", "b:2", "a:x", "b:3", "b:4", "a:x", "b:5"], &["a:x", "a:x"]),
        (&[], &[]),
    ] {
        assert_eq!(rewritten(ObjectKind::Resource, "resources/list", &list(given)), list(kept), "{given:?}");
    }
    let templates =
        r#"{"id":1,"result":{"resourceTemplates":[{"uriTemplate":"a:{t}"},{"uriTemplate":"b:{t}"}]}}"#;
    assert_eq!(
        rewriter(ObjectKind::Resource, "resources/templates/list").message(templates).unwrap().unwrap(),
        r#"{"id":1,"result":{"resourceTemplates":[{"uriTemplate":"a:{t}"}]}}"#
    );
    let prompts = r#"{"id":1,"result":{"prompts":[{"name":"q"},{"name":"p"}]}}"#;
    assert_eq!(
        rewriter(ObjectKind::Prompt, "prompts/list").message(prompts).unwrap().unwrap(),
        r#"{"id":1,"result":{"prompts":[{"name":"p"}]}}"#
    );
}

#[test]
fn what_is_no_list_stays_as_it_is() {
    for text in [
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{}}"#,
    ] {
        assert_eq!(tools(text), Ok(None), "{text}");
    }
}

#[test]
fn a_stream_may_repeat_any_list_and_anything_else() {
    let stream = |text: &str| ListRewriter::for_stream(view(POLICY, None, Era::Legacy)).message(text);
    let tools = stream(r#"{"id":1,"result":{"tools":[{"name":"gone"},{"name":"user"}]}}"#).unwrap().unwrap();
    assert!(!tools.contains("gone") && tools.contains("securitySchemes"), "{tools}");
    for (list, denied) in [
        (r#"{"id":1,"result":{"prompts":[{"name":"q"}]}}"#, "q"),
        (r#"{"id":1,"result":{"resources":[{"uri":"b:x"}]}}"#, "b:x"),
        (r#"{"id":1,"result":{"resourceTemplates":[{"uriTemplate":"b:{t}"}]}}"#, "b:{t}"),
    ] {
        assert!(!stream(list).unwrap().unwrap().contains(denied), "{list}");
    }
    for other in [
        "ping",
        "[1]",
        r#"{"id":1,"result":null}"#,
        r#"{"id":1,"result":{"content":[],"tools":"none"}}"#,
        r#"{"id":1,"result":{"content":[{"type":"text","text":"{\"tools\":[]}"}]}}"#,
        r#"{"method":"notifications/message","params":{"tools":[{"name":"gone"}]}}"#,
    ] {
        assert_eq!(stream(other), Ok(None), "{other}");
    }
    assert!(stream(r#"{"id":1,"result":{"tools":[{"name":1}]}}"#).is_err());
    assert!(stream("{").is_err());
}

#[test]
fn a_list_that_can_be_read_in_two_ways_is_unreadable() {
    for text in [
        "",
        "[]",
        "{",
        r#"{"result":{}}"#,
        r#"{"result":[]}"#,
        r#"{"result":{"tools":{}}}"#,
        r#"{"result":{"tools":[1]}}"#,
        r#"{"result":{"tools":[{}]}}"#,
        r#"{"result":{"tools":[{"name":1}]}}"#,
        r#"{"result":{"tools":[{"name":"open","name":"gone"}]}}"#,
        r#"{"result":{"tools":[],"tools":[{"name":"gone"}]}}"#,
        r#"{"result":{"tools":[]},"result":{"tools":[{"name":"gone"}]}}"#,
        r#"{"result":{"tools":[{"name":"open","_meta":{},"_meta":{}}]}}"#,
        r#"{"result":{"tools":[]}} {}"#,
    ] {
        assert!(tools(text).is_err(), "{text}");
    }
}

#[test]
fn a_key_counts_in_whatever_escapes_it_is_spelled() {
    let list = r#"{"id":1,"result":{"tools":[{"\u006eame":"gone","x":1}, {"t\u0069tle":"t","name":"\u006fpen" } ,{ "\u006eame":"hidden" }]}}"#;
    assert_eq!(
        tools(list).unwrap().unwrap(),
        r#"{"id":1,"result":{"tools":[{"t\u0069tle":"t","name":"\u006fpen","_meta":{"securitySchemes":[{"type":"noauth"}]},"securitySchemes":[{"type":"noauth"}] }]}}"#
    );
    for twice in [
        r#"{"result":{"tools":[{"name":"open","\u006eame":"gone"}]}}"#,
        r#"{"result":{"tools":[],"t\u006fols":[{"name":"gone"}]}}"#,
        r#"{"result":{"tools":[]},"r\u0065sult":{"tools":[{"name":"gone"}]}}"#,
        r#"{"result":{"tools":[{"name":"open","_meta":{},"_m\u0065ta":{}}]}}"#,
        r#"{"result":{"tools":[{"name":"open","securitySchemes":[],"\u0073ecuritySchemes":[]}]}}"#,
    ] {
        assert!(tools(twice).is_err(), "{twice}");
    }
}

proptest! {
    /// What comes out is JSON, has only allowed tools, and each says what is enforced.
    #[test]
    fn what_is_published_is_what_is_enforced(names in prop::collection::vec(prop::sample::select(vec!["open", "maybe", "closed", "user", "gone", "x"]), 0..12), meta in any::<bool>(), spaces in "[ \n]{0,3}") {
        let list: Vec<String> = names.iter().map(|name| {
            let meta = if meta { format!(r#","_meta":{spaces}{{"k":[1]{spaces}}}"#) } else { String::new() };
            format!(r#"{spaces}{{{spaces}"name":"{name}"{meta}{spaces}}}{spaces}"#)
        }).collect();
        let rewritten = rewritten(ObjectKind::Tool, "tools/list", &format!(r#"{{"id":1,"result":{{"tools":[{}]}}}}"#, list.join(",")));
        let value: serde_json::Value = serde_json::from_str(&rewritten).unwrap();
        let kept: Vec<&str> = value["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
        let expected: Vec<&str> = names.into_iter().filter(|name| !matches!(*name, "gone" | "x")).collect();
        prop_assert_eq!(kept, expected);
        for tool in value["result"]["tools"].as_array().unwrap() {
            prop_assert_eq!(&tool["securitySchemes"], &tool["_meta"]["securitySchemes"]);
            let noauth = tool["securitySchemes"].as_array().unwrap().iter().any(|scheme| scheme["type"] == "noauth");
            prop_assert_eq!(noauth, matches!(tool["name"].as_str().unwrap(), "open" | "maybe"));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}:,\"a-z0-9 ]{0,100}") {
        let _ = tools(&text);
        let _ = tools(&format!(r#"{{"result":{{"tools":[{text}]}}}}"#));
    }
}
