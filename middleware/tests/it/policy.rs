//! Policies through the whole layer: what loads, what is listed, what is called, and by which version.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use mcp_auth::clock::ManualClock;
use mcp_auth::policy::{Access, Listing, Mode, Policy, PolicyHandle, ScopeSet};
use mcp_auth::request::{Classified, ObjectKind, UnverifiedToken};
use mcp_auth::verifier::keys::FixedKeys;
use mcp_auth::verifier::{
    BoxFuture, Issuer, JwtVerifier, JwtVerifierBuilder, TokenVerifier, VerifiedToken, VerifyError,
};
use mcp_auth::{Caller, Judged, McpAuthLayer, Refusal};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt, service_fn};

use crate::harness::{Harness, ISSUER, NOW, RESOURCE, bearer, call, jwks, mint};

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

fn caller(scopes: &str) -> Caller {
    let scopes = ScopeSet::from_space_separated(scopes);
    let token =
        VerifiedToken::assert_verified(ISSUER, "alex", None, scopes, u64::MAX, serde_json::Map::new());
    Caller::bearer(Arc::new(token)).unwrap()
}

fn decide(policy: &Policy, tool: &str, caller: Option<&Caller>) -> Result<(), Refusal> {
    let body =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool}}).to_string();
    policy.decide(&Classified::from_body(&HeaderMap::new(), body.as_bytes()).unwrap(), caller).map(drop)
}

/// A harness with another policy in force, and a server that lists these tools.
fn listing(policy: &str, names: &[&str]) -> Harness {
    let tools: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}}).to_string();
    let harness = Harness::with(|builder| builder, ("application/json", answer));
    harness.policy.replace(Policy::parse(policy).unwrap());
    harness
}

fn names(list: &Value) -> Vec<String> {
    let tools = list["result"]["tools"].as_array().unwrap();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// Row 33: an edit that cannot be read leaves the last good policy, and never one that allows all.
#[tokio::test]
async fn row_33_a_policy_that_does_not_load_changes_nothing() {
    let harness = Harness::new();
    let good = harness.policy.load().version();
    for text in [
        "",
        "\u{feff}",
        "version",
        "version = 1\n[tools.closed]\nauth = ",
        "version = 1\n[tools.closed]\nauth = \"public",
        "[tools.closed]\nauth = \"public\"\n",
        "version = 2\n[tools.closed]\nauth = \"public\"\n",
        "version = 1\nmode = \"off\"\n[tools.closed]\nauth = \"public\"\n",
        "version = 1\nmode = \"both\"\n[defaults]\ntools = \"public\"\n",
        "version = 1\nauth = \"public\"\n",
        "version = 1\n[defaults]\ntools = \"allow\"\n",
        "version = 1\n[defaults]\ntools = true\n",
        "version = 1\n[tools.\"*\"]\n",
        "version = 1\n[tools.\"[\"]\nauth = \"public\"\n",
        "version = 1\n[tools.closed]\nauth = \"oauth2\"\nany_scopes = []\n",
        "version = 1\n[scopes.a]\nimplies = [\"a\"]\n[tools.closed]\nauth = \"public\"\n",
        "{\"version\": 1, \"tools\": {\"closed\": {\"auth\": \"public\"}}}",
    ] {
        // There is no other way to put a policy in force than to have one.
        assert!(Policy::parse(text).map(|policy| harness.policy.replace(policy)).is_err(), "{text}");
        assert_eq!(harness.policy.load().version(), good);
        let answers = [
            harness.call("closed", &[]).await.status,
            harness.call("closed", &[("authorization", &bearer(""))]).await.status,
            harness.call("closed", &[("authorization", "Bearer x")]).await.status,
        ];
        assert_eq!(answers, [401, 403, 401], "{text}");
    }
    assert_eq!(harness.reached(), 0);
}

/// Row 33: whatever the modes, nothing starts without what it needs, and no combination of them opens what is denied or
/// lets a bad token pass.
#[tokio::test]
async fn row_33_no_mode_makes_up_for_a_missing_piece() {
    let resource = || RESOURCE.parse().unwrap();
    let issuer = || Issuer::new(ISSUER, Arc::new(FixedKeys::from_jwks(&jwks()).unwrap()));
    let verifier = |issuers: Vec<Issuer>| {
        let builder = JwtVerifier::builder(resource(), Arc::new(ManualClock::at(NOW)));
        issuers.into_iter().fold(builder, JwtVerifierBuilder::issuer).build()
    };
    for challenge in ["http", "tool-result", "auto"] {
        for mode in ["enforce", "shadow"] {
            for list in ["always", "callable", "acquirable"] {
                let modes = format!("mode = \"{mode}\"\nlist = \"{list}\"\nchallenge = \"{challenge}\"\n");
                let rules = "[tools.gone]\nauth = \"deny\"\n[tools.open]\nauth = \"public\"\n";
                let policy = |version: &str| Policy::parse(&format!("{version}{modes}{rules}"));
                assert!(policy("").is_err(), "{modes}");
                let handle = || PolicyHandle::new(policy("version = 1\n").unwrap());
                // No authorization server, no issuer, no key, no audience, nothing to be known by.
                let good = Arc::new(verifier(vec![issuer()]).unwrap());
                assert!(McpAuthLayer::builder(resource(), handle(), good).build().is_err(), "{modes}");
                assert!(verifier(vec![]).is_err());
                assert!(verifier(vec![issuer().audiences([""; 0])]).is_err());
                assert!(FixedKeys::from_jwks("{}").is_err());
                assert!("".parse::<mcp_auth::resource::ResourceUri>().is_err());

                let harness = Harness::new();
                harness.policy.replace(policy("version = 1\n").unwrap());
                for tool in ["gone", "never_heard_of"] {
                    for authorization in [None, Some(bearer("notes:read"))] {
                        let headers: Vec<_> =
                            authorization.iter().map(|value| ("authorization", value.as_str())).collect();
                        assert_eq!(harness.call(tool, &headers).await.refusal, Some("unknown"), "{modes}");
                    }
                }
                for tool in ["open", "gone"] {
                    let bad = mint(&json!({ "aud": "https://elsewhere.test/mcp" }));
                    for token in ["x".to_owned(), String::new(), bad] {
                        let answer =
                            harness.call(tool, &[("authorization", &format!("Bearer {token}"))]).await;
                        assert_eq!(answer.status, 401, "{modes} {token}");
                    }
                }
                assert_eq!(harness.reached(), 0, "{modes}");
            }
        }
    }
}

const AUTHS: [&str; 4] = ["public", "oauth2", "optional", "deny"];

/// A rule as a file has it: without scopes where they would never be checked.
fn rule(key: &str, auth: &str, scopes: &[&str], any: &[&str], mode: &str, list: &str) -> String {
    let mut rule = format!("[tools.{key:?}]\nauth = \"{auth}\"\nmode = \"{mode}\"\nlist = \"{list}\"\n");
    if matches!(auth, "oauth2" | "optional") {
        let _ = writeln!(rule, "scopes = {scopes:?}");
        if !any.is_empty() {
            let _ = writeln!(rule, "any_scopes = {any:?}");
        }
    }
    rule
}

fn some_scopes() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(vec!["a", "b", "c", "d"], 0..=3)
}

fn some_rule() -> impl Strategy<Value = String> {
    let keys = vec!["one", "two", "three", "t*", "?", "*", "{one,two}"];
    let [modes, lists] = [vec!["enforce", "enforce", "shadow"], vec!["always", "callable", "acquirable"]];
    (
        proptest::sample::select(keys),
        proptest::sample::select(AUTHS.to_vec()),
        some_scopes(),
        some_scopes(),
        proptest::sample::select(modes),
        proptest::sample::select(lists),
    )
        .prop_map(|(key, auth, scopes, any, mode, list)| rule(key, auth, &scopes, &any, mode, list))
}

proptest! {
    /// Row 34: what a list shows to a caller is what the caller's calls would say, for every identity.
    #[test]
    fn row_34_lists_and_calls_agree_for_every_identity(
        rules in proptest::collection::vec(some_rule(), 0..6),
        default in proptest::sample::select(AUTHS.to_vec()),
        mode in proptest::sample::select(vec!["enforce", "shadow"]),
        list in proptest::sample::select(vec!["always", "callable", "acquirable"]),
        held in proptest::option::of(some_scopes()),
    ) {
        let mut seen = std::collections::HashSet::new();
        let rules: String =
            rules.into_iter().filter(|rule| seen.insert(rule.lines().next().unwrap().to_owned())).collect();
        let text = format!(
            "version = 1\nmode = \"{mode}\"\nlist = \"{list}\"\n[defaults]\ntools = \"{default}\"\n[scopes.d]\nimplies = [\"a\"]\n{rules}"
        );
        let policy = Policy::parse(&text).unwrap();
        let held = held.map(|scopes| caller(&scopes.join(" ")));
        for name in ["one", "two", "three", "twenty", "x", "", "One"] {
            let rule = policy.rule(ObjectKind::Tool, name);
            let shown = policy.shows(ObjectKind::Tool, name, held.as_ref());
            let called = decide(&policy, name, held.as_ref());
            let denied = rule.access() == Access::Deny && rule.mode() == Mode::Enforce;
            match rule.listing() {
                Listing::Always => prop_assert_eq!(shown, !denied, "{} in {}", name, text),
                Listing::Callable => prop_assert_eq!(shown, called.is_ok(), "{} in {}", name, text),
                // Hidden only where signing in, or being granted more, is no cure.
                Listing::Acquirable => prop_assert_eq!(shown, !denied, "{} in {}", name, text),
            }
            // What is not there is not there for anyone, listed or called.
            prop_assert_eq!(denied, matches!(decide(&policy, name, Some(&caller("a b c d"))), Err(Refusal::Unknown(_))));
        }
    }
}

/// Row 34, through the layer: each identity sees what it can call, and no list is kept from one for another.
#[tokio::test]
async fn row_34_each_identity_gets_its_own_list() {
    let policy = "version = 1\nlist = \"callable\"\n[tools.open]\nauth = \"public\"\n[tools.read]\nauth = \"oauth2\"\nscopes = [\"read\"]\n[tools.write]\nauth = \"oauth2\"\nscopes = [\"write\"]\n[tools.gone]\nauth = \"deny\"\n";
    let tools = ["open", "read", "write", "gone", "unheard"];
    let harness = listing(policy, &tools);
    for scopes in [None, Some(""), Some("read"), Some("write"), Some("read write"), Some("other"), None] {
        let token = scopes.map(bearer);
        let headers: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
        let shown = names(&harness.post(LIST, &headers).await.json());
        for tool in tools {
            let refusal = harness.call(tool, &headers).await.refusal;
            assert_eq!(shown.contains(&tool.to_owned()), refusal.is_none(), "{tool} for {scopes:?}");
        }
        assert!(shown.contains(&"open".to_owned()));
    }
    // No list is stale after the policy has changed.
    harness.policy.replace(Policy::parse("version = 1\n[tools.gone]\nauth = \"public\"\n").unwrap());
    assert_eq!(names(&harness.post(LIST, &[]).await.json()), ["gone"]);
}

/// Row 34: what is no MCP never reaches the server.
#[tokio::test]
async fn row_34_what_is_no_mcp_is_refused() {
    let harness = Harness::new();
    for authorization in [None, Some(bearer("notes:read"))] {
        let headers: Vec<_> = authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        for body in ["", "hello", "<xml/>", "{}", "[]", "null", "1", r#"{"name":"open"}"#, "a=b"] {
            assert_eq!(harness.post(body, &headers).await.status, 400, "{body}");
        }
        for method in ["PUT", "PATCH", "TRACE", "CONNECT", "PROPFIND"] {
            let mut request = Request::builder().method(method).uri("/mcp").header("host", "gw.test");
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            assert_eq!(
                harness.send(request.body(call("open").into()).unwrap()).await.status,
                405,
                "{method}"
            );
        }
        for content_type in
            ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/html"]
        {
            let mut request =
                Request::post("/mcp").header("host", "gw.test").header("content-type", content_type);
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            let answer = harness.send(request.body(call("open").into()).unwrap()).await;
            assert_eq!(answer.status, 415, "{content_type}");
        }
    }
    assert_eq!(harness.reached(), 0);
}

/// Row 34: nothing is read into a model and written again.
#[tokio::test]
async fn row_34_empty_arrays_and_objects_stay_what_they_are() {
    let tool = r#"{"name":"open","inputSchema":{"type":"object","properties":{},"required":[],"examples":[[],{}]},"icons":[]}"#;
    let answer =
        format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{tool}],"extra":[],"none":{{}}}}}}"#);
    let harness = Harness::with(|builder| builder, ("application/json", answer.clone()));
    let schemes = r#"[{"type":"noauth"}]"#;
    let expected = answer.replace(
        r#""icons":[]}"#,
        &format!(r#""icons":[],"_meta":{{"securitySchemes":{schemes}}},"securitySchemes":{schemes}}}"#),
    );
    let text = harness.post(LIST, &[]).await.text;
    let sorted = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(sorted(&text), sorted(&expected));
    for kept in
        [r#""properties":{},"required":[],"examples":[[],{}]"#, r#""icons":[]"#, r#""extra":[],"none":{}"#]
    {
        assert!(text.contains(kept), "{text}");
    }
    let empty = listing("version = 1\n[tools.open]\nauth = \"public\"\n", &["gone"]);
    assert!(empty.post(LIST, &[]).await.text.contains(r#""tools":[]"#));
}

/// Row 35: a name is its bytes. Whatever looks like it, or is it after some treatment, gets the default rule.
#[tokio::test]
async fn row_35_a_name_that_only_looks_the_same_gets_the_default_rule() {
    let long = format!("tool{}", "l".repeat(100_000));
    let likenesses = [
        "Tool",
        "TOOL",
        "tooL",
        "tool ",
        " tool",
        "tool\t",
        "tool\n",
        "tool\u{0}",
        "tool\u{a0}",
        "to\u{200b}ol",
        "tool\u{200d}",
        "\u{feff}tool",
        "\u{202e}tool",
        "ｔｏｏｌ",
        "tооl",
        "t\u{f6}\u{f6}l",
        "%74ool",
        "tool%20",
        "tool%00",
        "t%6Fol",
        "server__tool",
        "server/tool",
        "server.tool",
        "server:tool",
        "/tool",
        "./tool",
        "x/../tool",
        "tool/",
        "tool\\",
        "\\u0074ool",
        "tool,tool",
        "tool;x=1",
        "tool?x",
        "tool#",
        "\"tool\"",
        "",
        "*",
        long.as_str(),
        // Decomposed, where the rule's name is composed.
        "caf\u{65}\u{301}",
        "CAF\u{c9}",
        "cafe",
        "\u{212a}ey",
        "\u{17f}ecret",
    ];
    let rules = "[tools.tool]\nauth = \"public\"\n[tools.\"caf\u{e9}\"]\nauth = \"public\"\n[tools.Key]\nauth = \"public\"\n[tools.secret]\nauth = \"public\"\n";
    for (default, refusal) in [("deny", "unknown"), ("oauth2", "sign-in")] {
        let harness = Harness::new();
        let policy = format!("version = 1\n[defaults]\ntools = \"{default}\"\n{rules}");
        harness.policy.replace(Policy::parse(&policy).unwrap());
        let body = |name: &str| {
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name}}).to_string()
        };
        for name in likenesses {
            let answer = harness.post(&body(name), &[]).await;
            assert_eq!(answer.refusal, Some(refusal), "{name:?} under {default}");
        }
        assert_eq!(harness.reached(), 0);
        // The names themselves, one of them spelled with an escape that every parser undoes.
        for body in [body("tool"), body("caf\u{e9}"), body("tool").replace("\"tool\"", "\"\\u0074ool\"")] {
            assert_eq!(harness.post(&body, &[]).await.status, 200, "{body}");
        }
        assert_eq!(harness.reached(), 3);
    }
}

/// Row 35: a list shows the object under the very name that is called.
#[tokio::test]
async fn row_35_a_listed_name_is_its_bytes_as_well() {
    let listed = ["Tool", "tool", "tool ", "to\u{200b}ol", "caf\u{65}\u{301}", "caf\u{e9}"];
    let rules = "[tools.tool]\nauth = \"public\"\n[tools.\"caf\u{e9}\"]\nauth = \"public\"\n";
    let harness = listing(&format!("version = 1\n{rules}"), &listed);
    assert_eq!(names(&harness.post(LIST, &[]).await.json()), ["tool", "caf\u{e9}"]);
}

/// Row 36: nothing depends on which of several scopes is come upon first, in the token or in the file.
#[test]
fn row_36_two_scopes_give_the_same_answer_a_thousand_times() {
    let text = |first: &str, second: &str| {
        format!(
            "version = 1\n[scopes.editor]\nimplies = [\"read\"]\n[scopes.viewer]\nimplies = [\"read\"]\n[tools.read]\nauth = \"oauth2\"\nscopes = [\"read\"]\n[tools.edit]\nauth = \"oauth2\"\nany_scopes = [\"{first}\", \"{second}\"]\n[tools.admin]\nauth = \"oauth2\"\nscopes = [\"admin\"]\nany_scopes = [\"viewer\", \"editor\"]\n"
        )
    };
    let answers = |policy: &Policy, scopes: Option<&str>| {
        let caller = scopes.map(caller);
        ["read", "edit", "admin", "other"].map(|tool| decide(policy, tool, caller.as_ref()))
    };
    let [policy, turned] =
        [("owner", "editor"), ("editor", "owner")].map(|(a, b)| Policy::parse(&text(a, b)).unwrap());
    let expected = answers(&policy, Some("viewer editor"));
    assert!(expected[0].is_ok() && expected[1].is_ok());
    let Err(Refusal::InsufficientScope { scopes, needed }) = &expected[2] else { panic!("{expected:?}") };
    assert_eq!(
        (scopes.to_string(), needed.to_string()),
        ("admin editor viewer".to_owned(), "admin viewer".to_owned())
    );
    for run in 0..1000 {
        let again = Policy::parse(&text("owner", "editor")).unwrap();
        for policy in [&policy, &turned, &again] {
            assert_eq!(answers(policy, Some("viewer editor")), expected, "run {run}");
            assert_eq!(answers(policy, Some("editor viewer")), expected, "run {run}");
        }
    }
    // No scopes at all, and none that the file knows, are no leave.
    for scopes in ["", "unknown", "Editor", "editor\u{a0}viewer", "owne"] {
        assert!(answers(&policy, Some(scopes)).iter().all(Result::is_err), "{scopes}");
    }
    assert!(answers(&policy, None).iter().all(Result::is_err));
}

/// Knows every token, and puts another policy in force before it says so.
#[derive(Debug)]
struct SlowVerifier {
    handle: PolicyHandle,
    then: &'static str,
}

impl TokenVerifier for SlowVerifier {
    fn verify<'a>(
        &'a self,
        _: &'a UnverifiedToken,
    ) -> BoxFuture<'a, Result<Arc<VerifiedToken>, VerifyError>> {
        self.handle.replace(Policy::parse(self.then).unwrap());
        let claims = serde_json::Map::new();
        let token = VerifiedToken::assert_verified(ISSUER, "a", None, ScopeSet::default(), u64::MAX, claims);
        Box::pin(std::future::ready(Ok(Arc::new(token))))
    }
}

/// The policy of a request is taken when it is decided, and its answer is read by the same one, whatever is loaded
/// before, in between and after.
#[tokio::test]
async fn a_request_is_decided_by_one_version_from_start_to_end() {
    let before = "version = 1\n[tools.a]\nauth = \"public\"\n";
    let decided = "version = 1\n[tools.a]\nauth = \"public\"\n[tools.b]\nauth = \"oauth2\"\n";
    let after = "version = 1\n[tools.c]\nauth = \"public\"\n";
    let version = |text: &str| Policy::parse(text).unwrap().version();
    let handle = PolicyHandle::new(Policy::parse(before).unwrap());
    let verifier = SlowVerifier { handle: handle.clone(), then: decided };
    let layer = McpAuthLayer::builder(RESOURCE.parse().unwrap(), handle.clone(), Arc::new(verifier))
        .authorization_server(ISSUER)
        .build()
        .unwrap();
    let server = layer.layer(service_fn(move |_: Request<Full<Bytes>>| {
        // While the server works, everything changes again.
        handle.replace(Policy::parse(after).unwrap());
        let list = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"},{"name":"b"},{"name":"c"}]}}"#;
        let response = Response::builder().header("content-type", "application/json").body(list.into());
        async move { Ok::<Response<Full<Bytes>>, Infallible>(response.unwrap()) }
    }));
    let request = |body: &str| {
        Request::post("/mcp")
            .header("host", "gw.test")
            .header("content-type", "application/json")
            .header("authorization", "Bearer x")
            .body(Full::<Bytes>::from(body.to_owned()))
            .unwrap()
    };
    let response = server.clone().oneshot(request(LIST)).await.unwrap();
    let judged = response.extensions().get::<Judged>().unwrap();
    assert_eq!(judged.policy_version(), version(decided));
    assert_eq!(judged.permit().unwrap().policy_version(), version(decided));
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(names(&serde_json::from_slice(&body).unwrap()), ["a", "b"]);
    // A refusal says so too. What the verifier puts in force is what decides.
    let refused = server.oneshot(request(&call("c"))).await.unwrap();
    assert_eq!(refused.extensions().get::<Refusal>().unwrap().code(), "unknown");
    assert_eq!(refused.extensions().get::<Judged>().unwrap().policy_version(), version(decided));
}

/// What is only noted reaches the server, and says so to whoever logs; a bad token is refused even so.
#[tokio::test]
async fn a_shadow_rule_lets_through_and_says_what_it_would_have_done() {
    let policy = "version = 1\nmode = \"shadow\"\n[tools.closed]\nauth = \"oauth2\"\nscopes = [\"notes:read\"]\n[tools.gone]\nauth = \"deny\"\n";
    let harness = Harness::new();
    harness.policy.replace(Policy::parse(policy).unwrap());
    for (scopes, subject) in [(None, None), (Some("other"), Some("alex"))] {
        let token = scopes.map(bearer);
        let headers: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
        assert_eq!(harness.call("closed", &headers).await.status, 200);
        let seen = harness.seen.lock().unwrap().pop().unwrap();
        assert_eq!(seen.subject().as_deref(), subject);
        let permit: &mcp_auth::Permit = seen.head.extensions.get().unwrap();
        let code = if scopes.is_some() { "insufficient-scope" } else { "sign-in" };
        assert_eq!(permit.shadowed().map(Refusal::code), Some(code));
        assert!(!seen.head.headers.contains_key("authorization"));
    }
    assert_eq!(harness.call("closed", &[("authorization", "Bearer x")]).await.status, 401);
    assert_eq!(harness.call("gone", &[]).await.refusal, Some("unknown"));
    assert_eq!(harness.reached(), 0);
}

/// A list that differs from caller to caller is private to caches, in the era that knows of them.
#[tokio::test]
async fn a_list_for_one_caller_is_private() {
    let policy = "version = 1\nlist = \"callable\"\n[tools.open]\nauth = \"public\"\n";
    let modern = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#;
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/list")];
    let harness = listing(policy, &["open"]);
    let list = harness.post(modern, &headers).await;
    assert_eq!(list.json()["result"]["cacheScope"], "private", "{}", list.text);
    assert_eq!(harness.post(LIST, &[]).await.json()["result"].get("cacheScope"), None);
}
