use http::StatusCode;

use super::*;

fn classify(body: &str) -> Result<Classified<'_>, Malformed> {
    Classified::from_body(&HeaderMap::new(), body.as_bytes())
}

fn with_headers<'a>(headers: &[(&'static str, &str)], body: &'a str) -> Result<Classified<'a>, Malformed> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    Classified::from_body(&map, body.as_bytes())
}

fn call(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

#[test]
fn what_is_not_one_json_document_is_a_parse_error() {
    let nested =
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    for body in [
        "",
        " ",
        "not json",
        "{",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"} {}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}x"#,
        "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping",}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"arguments":{"a":1e999}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"x","params":{"arguments":{"a":"\ud800"}}}"#,
        &nested,
    ] {
        let refused = classify(body).expect_err(body);
        assert_eq!(
            (refused.status(), refused.code(), refused.id),
            (StatusCode::BAD_REQUEST, -32700, None),
            "{body}"
        );
    }
    let refused =
        Classified::from_body(&HeaderMap::new(), b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\xff\"}")
            .unwrap_err();
    assert_eq!(refused.code(), -32700);
}

#[test]
fn what_is_no_jsonrpc_message_is_an_invalid_request() {
    for body in [
        "null",
        "1",
        "\"x\"",
        "[]",
        r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
        "{}",
        r#"{"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":2.0,"id":1,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":null}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
    ] {
        let refused = classify(body).expect_err(body);
        assert_eq!((refused.status(), refused.code()), (StatusCode::BAD_REQUEST, -32600), "{body}");
    }
}

#[test]
fn an_id_is_a_string_or_an_integer_and_is_kept_as_spelled() {
    for id in ["null", "1.5", "1e3", "true", "{}", "[1]", r#""\ud800""#] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        let refused = classify(&body).expect_err(id);
        assert_eq!((refused.status(), refused.id), (StatusCode::BAD_REQUEST, None), "{id}");
    }
    for id in ["0", "-7", "123456789012345678901234567890", r#""""#, r#""a\u0062\"""#] {
        let body = format!(r#"{{"jsonrpc":"2.0","id": {id} ,"method":"ping"}}"#);
        assert_eq!(classify(&body).unwrap().id.unwrap().as_json(), id);
    }
}

#[test]
fn keys_that_parsers_could_understand_differently_are_refused() {
    for body in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"ping","params":{"name":"a"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","Method":"ping","params":{"name":"a"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"PARAMS":{"name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"},"param\u017f":{"name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"Name":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","n\u0061me":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","x":1,"x":2}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","argumentſ":{}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","tas\u212AId":"b"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"a:b","URI":"c:d"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","IO.modelcontextprotocol/protocolVersion":"x"}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"type":"ref/prompt","Type":"ref/resource","name":"p"}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":[],"ResourceSubscriptions":["a:b"]}}}"#,
    ] {
        let refused = classify(body).expect_err(body);
        assert_eq!(
            (refused.status(), refused.code()),
            (StatusCode::BAD_REQUEST, -32600),
            "{body}: {refused}"
        );
    }
}

#[test]
fn a_refused_message_is_answered_by_its_id_where_it_has_one_for_certain() {
    for (body, id) in [
        (
            r#"{"jsonrpc":"2.0","id":"a\u0062","method":"tools/call","params":{"name":"a","name":"b"}}"#,
            Some(r#""a\u0062""#),
        ),
        (r#"{"method":"x","Method":"y","id":7,"jsonrpc":"2.0"}"#, Some("7")),
        (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, None),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping","method":"ping"}"#, None),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, None),
        ("[7]", None),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping""#, None),
    ] {
        let refused = classify(body).expect_err(body);
        assert_eq!(refused.id.as_ref().map(RequestId::as_json), id, "{body}");
    }
}

#[test]
fn names_are_the_exact_text_that_the_body_decodes_to() {
    for (spelled, name) in
        [(r"a", "a"), (r"\u0061", "a"), (r" a ", " a "), (r"A", "A"), ("é", "é"), ("e\u{301}", "e\u{301}")]
    {
        let body = call(
            "tools/call",
            &format!(r#"{{"name":"{spelled}","arguments":{{"name":"other","n":[{{"uri":"x"}}]}}}}"#),
        );
        let classified = classify(&body).unwrap();
        assert_eq!(classified.called_tool().unwrap().1, name);
    }
}

#[test]
fn every_method_is_guarded_by_the_object_that_it_names() {
    use ObjectKind::{Prompt, Resource, Tool};
    for (method, params, kind, name) in [
        ("tools/call", r#"{"name":"t"}"#, Tool, "t"),
        ("prompts/get", r#"{"name":"p","uri":"x"}"#, Prompt, "p"),
        ("resources/read", r#"{"uri":"a:b","name":"x"}"#, Resource, "a:b"),
        ("resources/subscribe", r#"{"uri":"a:b"}"#, Resource, "a:b"),
        ("resources/unsubscribe", r#"{"uri":"a:b"}"#, Resource, "a:b"),
        (
            "completion/complete",
            r#"{"ref":{"type":"ref/prompt","name":"p"},"argument":{"name":"a","value":""}}"#,
            Prompt,
            "p",
        ),
        ("completion/complete", r#"{"ref":{"type":"ref/resource","uri":"a:{x}"}}"#, Resource, "a:{x}"),
    ] {
        let body = call(method, params);
        assert_eq!(
            classify(&body).unwrap().operation,
            Operation::Object { kind, name: name.into() },
            "{method}"
        );
        let silent = body.replace(r#""id":1,"#, "");
        assert_eq!(
            classify(&silent).unwrap().operation,
            Operation::Object { kind, name: name.into() },
            "{method} without id"
        );
    }
    for method in ["tasks/get", "tasks/update", "tasks/cancel", "tasks/result"] {
        assert_eq!(
            classify(&call(method, r#"{"taskId":"t\u0031","name":"n","uri":"u"}"#)).unwrap().operation,
            Operation::Task { method, id: "t1".into() }
        );
    }
    let listen = call(
        "subscriptions/listen",
        r#"{"notifications":{"resourceSubscriptions":["a:b","c:d"],"taskIds":["t1"]}}"#,
    );
    assert_eq!(
        classify(&listen).unwrap().operation,
        Operation::Method {
            name: "subscriptions/listen".into(),
            resources: vec!["a:b".into(), "c:d".into()],
            tasks: vec!["t1".into()],
        }
    );
}

#[test]
fn an_object_that_is_not_named_is_refused() {
    for (method, params) in [
        ("tools/call", "{}"),
        ("tools/call", "[\"a\"]"),
        ("tools/call", r#"{"name":1}"#),
        ("tools/call", r#"{"name":["a"]}"#),
        ("prompts/get", r#"{"name":null}"#),
        ("resources/read", r#"{"name":"a"}"#),
        ("completion/complete", "{}"),
        ("completion/complete", r#"{"ref":"ref/prompt"}"#),
        ("completion/complete", r#"{"ref":{"type":"ref/other","name":"p"}}"#),
    ] {
        let body = call(method, params);
        let refused = classify(&body).expect_err(&body);
        assert_eq!((refused.status(), refused.code()), (StatusCode::BAD_REQUEST, -32602), "{body}");
        assert_eq!(refused.id.unwrap().as_json(), "1");
    }
}

#[test]
fn only_what_keeps_a_connection_is_lifecycle() {
    for method in ["initialize", "server/discover", "ping", "logging/setLevel"] {
        assert!(
            matches!(classify(&call(method, "{}")).unwrap().operation, Operation::Lifecycle(Some(_))),
            "{method}"
        );
    }
    let notification = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert!(matches!(classify(notification).unwrap().operation, Operation::Lifecycle(Some(_))));
    assert!(matches!(
        classify(r#"{"jsonrpc":"2.0","id":3,"result":{}}"#).unwrap().operation,
        Operation::Lifecycle(None)
    ));
    for method in ["Initialize", "tools/Call", "tasks/list", "notifications/initialized", "vendor/x", ""] {
        assert!(
            matches!(classify(&call(method, "{}")).unwrap().operation, Operation::Method { .. }),
            "{method}"
        );
    }
}

const MODERN: &str = r#"{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;

#[test]
fn a_modern_body_must_be_confirmed_by_its_headers() {
    let body = call("tools/call", MODERN);
    let version = ("mcp-protocol-version", "2026-07-28");
    let method = ("mcp-method", "tools/call");
    let name = ("mcp-name", "t");
    for headers in [
        &[][..],
        &[version],
        &[version, method],
        &[version, name],
        &[method, name],
        &[("mcp-protocol-version", "2025-11-25"), method, name],
        &[version, ("mcp-method", "tools/list"), name],
        &[version, ("mcp-method", "TOOLS/CALL"), name],
        &[version, method, ("mcp-name", "other")],
        &[version, method, ("mcp-name", "T")],
        &[version, method, ("mcp-name", "=?base64?!?=")],
        &[version, method, ("mcp-name", "=?BASE64?dA==?=")],
        &[version, method, name, name],
        &[version, version, method, name],
        &[version, method, ("mcp-name", "t, t")],
    ] {
        let refused = with_headers(headers, &body).expect_err(&format!("{headers:?}"));
        assert_eq!((refused.status(), refused.code()), (StatusCode::BAD_REQUEST, -32020), "{headers:?}");
        assert_eq!(refused.id.unwrap().as_json(), "1");
    }
    for headers in [
        &[version, method, name][..],
        &[version, method, ("mcp-name", "=?base64?dA==?=")],
        &[("mcp-protocol-version", " 2026-07-28 "), method, name],
    ] {
        assert_eq!(with_headers(headers, &body).unwrap().era, Era::Modern, "{headers:?}");
    }
}

#[test]
fn the_era_is_decided_by_the_body() {
    let legacy = call("tools/call", r#"{"name":"t"}"#);
    assert_eq!(
        with_headers(&[("mcp-protocol-version", "2025-11-25"), ("mcp-name", "lies")], &legacy).unwrap().era,
        Era::Legacy
    );
    let modern_version = [("mcp-protocol-version", "2026-07-28")];
    for body in [legacy.as_str(), r#"{"jsonrpc":"2.0","id":1,"result":{}}"#] {
        let refused = with_headers(&modern_version, body).unwrap_err();
        assert_eq!((refused.status(), refused.code()), (StatusCode::BAD_REQUEST, -32602), "{body}");
    }
}

#[test]
fn a_modern_call_of_a_legacy_method_is_404() {
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/result",
    ] {
        let body = call(
            method,
            r#"{"uri":"a:b","taskId":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
        );
        let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
        let refused = with_headers(&headers, &body).expect_err(method);
        assert_eq!((refused.status(), refused.code()), (StatusCode::NOT_FOUND, -32601), "{method}");
        assert_eq!(refused.id.unwrap().as_json(), "1");
    }
}

#[test]
fn a_task_is_confirmed_by_its_name_header() {
    let body = call(
        "tasks/get",
        r#"{"taskId":"t1","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
    );
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tasks/get")];
    assert_eq!(with_headers(&headers, &body).unwrap_err().code(), -32020);
    for (name, accepted) in [("t1", true), ("t2", false), ("=?base64?dDE=?=", true)] {
        let headers = [headers[0], headers[1], ("mcp-name", name)];
        assert_eq!(with_headers(&headers, &body).is_ok(), accepted, "{name}");
    }
}

#[test]
fn arguments_are_the_text_of_those_that_the_message_has() {
    for (params, arguments) in [
        (r#"{"name":"t","arguments":{"a":1,"a":[2]}}"#, Some(r#"{"a":1,"a":[2]}"#)),
        (r#"{"arguments": "x" ,"name":"t"}"#, Some(r#""x""#)),
        (r#"{"name":"t","\u0061rguments":null}"#, None),
        (r#"{"name":"t","arguments": null }"#, None),
        (r#"{"name":"t","\u0061rguments":{"a":1}}"#, Some(r#"{"a":1}"#)),
        ("{\"arguments\" \t\r\n:\n {\"arguments\":2}\t,\"name\":\"t\"}", Some(r#"{"arguments":2}"#)),
        (r#"{"name":"t","_meta":{"arguments":{}},"arguments":[3]}"#, Some("[3]")),
        (r#"{"name":"\"arguments\":1","arguments":-4.5e6}"#, Some("-4.5e6")),
        (r#"{"name":"t","_meta":{"arguments":{}}}"#, None),
        (r#"{"name":"t"}"#, None),
    ] {
        assert_eq!(classify(&call("tools/call", params)).unwrap().arguments(), arguments, "{params}");
    }
    assert_eq!(classify(&call("vendor/x", r#"[{"arguments":1}]"#)).unwrap().arguments(), None);
    assert_eq!(classify(&call("vendor/x", r#"[{"a":1},2]"#)).unwrap().arguments(), None);
}

/// A JSON value with all of its keys, as they come.
enum Tree {
    Object(Vec<(String, Tree)>),
    Text(String),
    Other,
}

impl<'de> serde::Deserialize<'de> for Tree {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TreeVisitor;
        impl<'de> serde::de::Visitor<'de> for TreeVisitor {
            type Value = Tree;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Tree::Object(members))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
                while seq.next_element::<Tree>()?.is_some() {}
                Ok(Tree::Other)
            }
            fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
                Ok(Tree::Text(text.to_owned()))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Tree, E> {
                Ok(Tree::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Tree, E> {
                Ok(Tree::Other)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Tree, E> {
                Ok(Tree::Other)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Tree, E> {
                Ok(Tree::Other)
            }
            fn visit_unit<E>(self) -> Result<Tree, E> {
                Ok(Tree::Other)
            }
        }
        deserializer.deserialize_any(TreeVisitor)
    }
}

/// How parsers differ: which of two equal keys they take, and whether case makes two keys equal.
#[derive(Clone, Copy, Debug)]
struct Habit {
    last: bool,
    folds: bool,
}

const HABITS: [Habit; 4] = [
    Habit { last: true, folds: false },
    Habit { last: false, folds: false },
    Habit { last: true, folds: true },
    Habit { last: false, folds: true },
];

impl Tree {
    fn get(&self, key: &str, habit: Habit) -> Option<&Tree> {
        let Self::Object(members) = self else { return None };
        let fold = |key: &str| key.replace('ſ', "s").replace('\u{212A}', "k").to_ascii_lowercase();
        let mut found = members.iter().filter(|(k, _)| k == key || (habit.folds && fold(k) == fold(key)));
        let (_, value) = if habit.last { found.next_back() } else { found.next() }?;
        Some(value)
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Object(_) | Self::Other => None,
        }
    }
}

mod properties {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// A piece of an envelope, some of them tricks.
    fn member() -> impl Strategy<Value = String> {
        let key = select(vec![
            "jsonrpc",
            "id",
            "method",
            "params",
            "Method",
            "PARAMS",
            r"m\u0065thod",
            "name",
            "Name",
            "n\\u0061me",
            "uri",
            "result",
            "_meta",
            "paramſ",
            "x",
            "arguments",
        ]);
        let value = select(vec![
            r#""2.0""#,
            "1",
            r#""tools/call""#,
            r#""ping""#,
            r#""resources/read""#,
            r#"{"name":"a"}"#,
            r#"{"name":"a","name":"b"}"#,
            r#"{"n\u0061me":"b"}"#,
            r#"{"uri":"a:b","name":"c"}"#,
            r#"{"Name":"b"}"#,
            "[]",
            "null",
            "{}",
            "true",
            "1.5",
            r#""a""#,
        ]);
        (key, value).prop_map(|(key, value)| format!(r#""{key}":{value}"#))
    }

    fn method() -> impl Strategy<Value = String> {
        select(vec!["tools/call", "tools\\/call", "resources/read", "prompts/get", "ping"])
            .prop_map(|method| format!(r#""method":"{method}""#))
    }

    proptest! {
        /// Whatever is accepted means the same to parsers of all habits.
        #[test]
        fn what_is_accepted_is_what_others_read(method in method(), params in prop::collection::vec(member(), 1..4), more in prop::collection::vec(member(), 0..2), swap in any::<bool>()) {
            let mut members = vec![r#""jsonrpc":"2.0""#.to_owned(), r#""id":7"#.to_owned(), method, format!(r#""params":{{{}}}"#, params.join(","))];
            members.extend(more);
            if swap {
                members.reverse();
            }
            let body = format!("{{{}}}", members.join(","));
            if let Ok(classified) = classify(&body) {
                let tree: Tree = serde_json::from_str(&body).unwrap();
                for habit in HABITS {
                    let acted_on = |key: &str| tree.get("params", habit).and_then(|params| params.get(key, habit)).and_then(Tree::text);
                    prop_assert_eq!(classified.method.as_deref(), tree.get("method", habit).and_then(Tree::text), "{:?}", habit);
                    if let Operation::Object { kind, name: judged } = &classified.operation {
                        let key = if *kind == ObjectKind::Resource { "uri" } else { "name" };
                        prop_assert_eq!(Some(&**judged), acted_on(key), "{:?}", habit);
                    }
                }
            }
        }

        /// No bytes and no headers make it panic, and a refusal always is a client's error.
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}:,\"a-z0-9\\\\ ]{0,200}", header in "[ -~]{0,40}") {
            let mut headers = HeaderMap::new();
            for name in ["mcp-protocol-version", "mcp-method", "mcp-name"] {
                headers.insert(name, header.parse().unwrap());
            }
            for body in [bytes.as_slice(), text.as_bytes(), call("tools/call", &text).as_bytes(), call("tools/call", super::MODERN).as_bytes()] {
                if let Err(refused) = Classified::from_body(&headers, body) {
                    prop_assert!(refused.status().is_client_error());
                }
            }
        }

        /// A modern name is accepted in exactly the spellings that decode to it.
        #[test]
        fn a_modern_name_is_confirmed_by_its_own_spelling_only(name in "\\PC{1,12}", other in "\\PC{1,12}") {
            use base64::Engine as _;
            let sentinel = |text: &str| format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(text));
            let body = call("tools/call", &super::MODERN.replace(r#""t""#, &serde_json::to_string(&name).unwrap()));
            let version = ("mcp-protocol-version", "2026-07-28");
            let method = ("mcp-method", "tools/call");
            prop_assert!(with_headers(&[version, method, ("mcp-name", &sentinel(&name))], &body).is_ok());
            let differs = with_headers(&[version, method, ("mcp-name", &sentinel(&other))], &body);
            prop_assert_eq!(differs.is_ok(), name == other);
        }
    }
}
