//! What a client is told that may not do what it asked for, to the byte.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use mcp_auth::McpAuthLayerBuilder;
use mcp_auth::clock::ManualClock;
use mcp_auth::policy::Policy;
use mcp_auth::possession::{DpopNonces, DpopOptions};
use serde_json::{Value, json};

use crate::harness::{Answer, Harness, METADATA, NOW, mint};
use crate::possession::{CLIENT, THIEF};

/// Everything needs a token, and each object a scope.
const CLOSED: &str = r#"
baseline_scopes = ["profile:read"]
[scopes."notes:read"]
[scopes."notes:write"]
[tools.notes_add]
auth = "oauth2"
scopes = ["notes:write"]
[prompts.daily]
auth = "oauth2"
scopes = ["notes:write"]
[resources."note:1"]
auth = "oauth2"
scopes = ["notes:write"]
"#;

/// The forms of a challenge, each with a client that has to get it.
const FORMS: [(&str, &str, &str); 5] = [
    ("http", "http", "openai-mcp/1.0"),
    ("tool-result", "tool-result", "curl/8"),
    ("auto, another client", "auto", "curl/8"),
    ("auto, no client named", "auto", ""),
    ("auto, OpenAI's client", "auto", "Mozilla OpenAI-MCP/1.0.0 (+https://openai.com/bot)"),
];

/// What is asked for: a name, the method (none is a `GET`), its parameters, and whether an answer is expected.
const REQUESTS: [(&str, &str, &str, bool); 9] = [
    ("tools/call", "tools/call", r#""name":"notes_add""#, true),
    ("tools/call that wants no answer", "tools/call", r#""name":"notes_add""#, false),
    ("prompts/get", "prompts/get", r#""name":"daily""#, true),
    ("resources/read", "resources/read", r#""uri":"note:1""#, true),
    ("tools/list", "tools/list", "", true),
    ("initialize", "initialize", "", true),
    ("vendor/method", "vendor/method", "", true),
    ("a notification", "notifications/cancelled", "", false),
    ("GET", "", "", false),
];

fn harness(policy: &str, build: impl FnOnce(McpAuthLayerBuilder) -> McpAuthLayerBuilder) -> Harness {
    let answer = ("application/json", r#"{"jsonrpc":"2.0","id":7,"result":{}}"#.to_owned());
    let clock = Arc::new(ManualClock::at(NOW));
    let harness = Harness::with(|builder| build(builder.clock(clock)), answer);
    harness.policy.replace(Policy::parse(policy).unwrap());
    harness
}

fn request(
    (_, method, params, answered): (&str, &str, &str, bool),
    modern: bool,
    agent: &str,
    uri: &str,
    headers: &[(&str, String)],
) -> Request<Full<Bytes>> {
    let mut request = match method {
        "" => Request::get(uri),
        _ => Request::post(uri).header("content-type", "application/json"),
    }
    .header("host", "gw.test");
    if !agent.is_empty() {
        request = request.header("user-agent", agent);
    }
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let mut meta = String::new();
    if modern {
        meta.push_str(r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}"#);
        request = request.header("mcp-protocol-version", "2026-07-28").header("mcp-method", method);
        if let Some((_, name)) = params.trim_end_matches('"').split_once(":\"") {
            request = request.header("mcp-name", name);
        }
        if !params.is_empty() {
            meta.push(',');
        }
    }
    let id = if answered { r#""id":"a\u0062","# } else { "" };
    let body = match method {
        "" => String::new(),
        _ => format!(r#"{{"jsonrpc":"2.0",{id}"method":"{method}","params":{{{meta}{params}}}}}"#),
    };
    request.body(body.into()).unwrap()
}

/// Status, headers and body, as a client reads them.
fn print(answer: &Answer) -> String {
    if answer.refusal.is_none() {
        return "served".to_owned();
    }
    let mut text = format!("HTTP {}\n", answer.status);
    for (name, value) in &answer.headers {
        writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
    }
    format!("{text}\n{}", answer.text)
}

/// Each different answer once, under the names of all the cells of the table that it stands in.
#[derive(Default)]
struct Table(BTreeMap<String, Vec<String>>);

impl Table {
    fn put(&mut self, cell: String, answer: &Answer) {
        self.0.entry(print(answer)).or_default().push(cell);
    }

    fn print(self) -> String {
        let mut groups: Vec<(Vec<String>, String)> =
            self.0.into_iter().map(|(text, cells)| (cells, text)).collect();
        groups.sort();
        let groups = groups.into_iter().map(|(cells, text)| format!("### {}\n{text}", cells.join("\n### ")));
        groups.collect::<Vec<_>>().join("\n\n")
    }
}

/// The situations of the table, as the header that brings each one about.
fn situations() -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let bearer = |changes: Value| vec![("authorization", format!("Bearer {}", mint(&changes)))];
    vec![
        ("no token", vec![]),
        ("no JWT", vec![("authorization", "Bearer garbage".to_owned())]),
        ("expired", bearer(json!({"exp": NOW - 31}))),
        ("another audience", bearer(json!({"aud": "https://gw.test/other"}))),
        ("another issuer", bearer(json!({"iss": "https://evil.test"}))),
        ("unknown scheme", vec![("authorization", "Basic YWxleDpwYXNzd29yZA==".to_owned())]),
        ("scopes missing", bearer(json!({"scope": "openid offline_access notes:read foreign"}))),
        ("two tokens", [bearer(json!({})), bearer(json!({}))].concat()),
    ]
}

/// `contracts`: every situation × form × kind of request × era.
#[tokio::test]
async fn every_cell_of_the_table_of_challenges() {
    let harness = harness("version = 1\n", |builder| builder);
    for (situation, headers) in situations() {
        let mut table = Table::default();
        for (form_name, form, agent) in FORMS {
            let policy = format!("version = 1\nchallenge = \"{form}\"\n{CLOSED}");
            harness.policy.replace(Policy::parse(&policy).unwrap());
            for what in REQUESTS {
                for modern in [false, true] {
                    if modern && (what.1.is_empty() || what.1 == "initialize") {
                        continue;
                    }
                    let answer = harness.send(request(what, modern, agent, "/mcp", &headers)).await;
                    let era = if modern { "modern" } else { "legacy" };
                    table.put(format!("{} | {era} | {form_name}", what.0), &answer);
                }
            }
        }
        let name = format!("challenges__{}", situation.replace(' ', "_"));
        insta::assert_snapshot!(name, table.print());
    }
    let in_query = harness.send(request(REQUESTS[0], false, "", "/mcp?access_token=x", &[])).await;
    insta::assert_snapshot!("challenges__token_in_the_query", print(&in_query));
}

#[tokio::test]
async fn a_minimal_challenge_asks_for_what_is_needed_alone() {
    let policy = format!("version = 1\nchallenge_scopes = \"minimal\"\n{CLOSED}");
    let harness = harness(&policy, |builder| builder);
    for (scopes, status, asked) in
        [("notes:read", 403, "notes:write"), ("", 403, "notes:write"), ("notes:write", 200, "")]
    {
        let headers = [("authorization", format!("Bearer {}", mint(&json!({ "scope": scopes }))))];
        let answer = harness.send(request(REQUESTS[0], false, "", "/mcp", &headers)).await;
        assert_eq!(answer.status, status, "{scopes}");
        if status == 403 {
            let expected = format!(
                r#"Bearer error="insufficient_scope", error_description="notes_add needs more permissions: notes:write", scope="{asked}", resource_metadata="{METADATA}""#
            );
            assert_eq!(answer.header("www-authenticate"), expected);
        }
    }
}

/// The cells that DPoP adds: every way in which a proof can be missing, × what the layer says of DPoP × form.
#[tokio::test]
async fn every_cell_of_the_challenges_of_dpop() {
    let nonces = DpopNonces::from_key(&[7; 32]);
    for (offer, options) in [
        ("by default", None),
        ("offered", Some(DpopOptions::new())),
        ("required", Some(DpopOptions::new().required(true))),
        ("with nonces", Some(DpopOptions::new().nonces(nonces))),
    ] {
        let mut table = Table::default();
        for (form_name, form, agent) in [FORMS[0], FORMS[1], FORMS[4]] {
            for what in [REQUESTS[0], REQUESTS[2]] {
                let policy = format!("version = 1\nchallenge = \"{form}\"\n{CLOSED}");
                let options = options.clone();
                let harness = harness(&policy, |builder| match options {
                    Some(options) => builder.dpop(options),
                    None => builder,
                });
                let (token, weak) = (CLIENT.token("notes:write"), CLIENT.token("notes:read"));
                let dpop = |token: &str, proofs: &[&str]| {
                    let mut headers = vec![("authorization", format!("DPoP {token}"))];
                    headers.extend(proofs.iter().map(|proof| ("dpop", (*proof).to_owned())));
                    headers
                };
                let bearer = |token: &str| vec![("authorization", format!("Bearer {token}"))];
                let proof = |jti: &str, changes| CLIENT.proof(&token, jti, &changes);
                let asked = request(what, false, agent, "/mcp", &dpop(&token, &[&proof("0", json!({}))]));
                let nonce = harness.send(asked).await.header("dpop-nonce").to_owned();
                for (situation, headers) in [
                    ("no token", vec![]),
                    ("bad token as Bearer", bearer("x")),
                    ("plain token as Bearer", bearer(&mint(&json!({"scope": "notes:write"})))),
                    ("bound token as Bearer", bearer(&token)),
                    ("unprovable token as Bearer", bearer(&mint(&json!({"cnf": {"kid": "1"}})))),
                    ("certificate token as Bearer", bearer(&mint(&json!({"cnf": {"x5t#S256": "x"}})))),
                    ("bad token as DPoP", dpop("x", &[&proof("1", json!({}))])),
                    ("plain token as DPoP", dpop(&mint(&json!({})), &[&proof("1", json!({}))])),
                    ("no proof", dpop(&token, &[])),
                    ("two proofs", dpop(&token, &[&proof("1", json!({})), &proof("2", json!({}))])),
                    ("another key", dpop(&token, &[&THIEF.proof(&token, "1", &json!({}))])),
                    ("another method", dpop(&token, &[&proof("1", json!({"htm": "GET"}))])),
                    ("no nonce", dpop(&token, &[&proof("3", json!({}))])),
                    ("a nonce of ours", dpop(&token, &[&proof("4", json!({"nonce": nonce}))])),
                    ("scopes missing", dpop(&weak, &[&CLIENT.proof(&weak, "5", &json!({"nonce": nonce}))])),
                ] {
                    let answer = harness.send(request(what, false, agent, "/mcp", &headers)).await;
                    table.put(format!("{situation} | {} | {form_name}", what.0), &answer);
                }
            }
        }
        let name = format!("challenges__dpop_{}", offer.replace(' ', "_"));
        insta::assert_snapshot!(name, table.print());
    }
}

/// One challenge, read strictly by RFC 9110 §11.2: the scheme, and the names and values of its parameters in order.
fn parse(challenge: &str) -> (String, Vec<(String, String)>) {
    let (scheme, mut rest) = challenge.split_once(' ').unwrap();
    let mut parameters = Vec::new();
    loop {
        let (name, behind) = rest.split_once("=\"").unwrap();
        let (value, behind) = behind.split_once('"').unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{challenge}");
        assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'\\'), "{challenge}");
        parameters.push((name.to_owned(), value.to_owned()));
        if behind.is_empty() {
            return (scheme.to_owned(), parameters);
        }
        rest = behind.strip_prefix(", ").unwrap();
    }
}

/// Quotes, backslashes, line ends and what is not ASCII, in what a client or its token names: a challenge stays one
/// header with the parameters that it should have, in each form and scheme.
#[tokio::test]
async fn nothing_that_a_client_names_breaks_out_of_a_challenge() {
    let policy = |form: &str| {
        format!(
            "version = 1\nchallenge = \"{form}\"\n[tools.\"*\"]\nauth = \"oauth2\"\nscopes = [\"notes:write\"]\n"
        )
    };
    for hostile in [
        "\"",
        "\\",
        "\\\"",
        "x\", error=\"none",
        "x\", resource_metadata=\"https://evil.test/",
        "x\r\nSet-Cookie: session=1",
        "x\n\nHTTP/1.1 200 OK",
        "x, Bearer resource_metadata=https://evil.test",
        "é",
        "\u{202e}",
        "\u{0}",
        "\u{7f}",
        "\u{1F600}",
        "ſ",
        "\t",
    ] {
        let name = serde_json::to_string(hostile).unwrap();
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":{name}}}}}"#);
        let token = mint(&json!({"scope": format!("notes:write{hostile} {hostile}")}));
        let garbage = format!("Bearer {}", hostile.replace(|c: char| !(' '..='~').contains(&c), "?"));
        for form in ["http", "tool-result"] {
            let harness = harness(&policy(form), |builder| builder.dpop(DpopOptions::new()));
            for authorization in [None, Some(format!("Bearer {token}")), Some(garbage.clone())] {
                let headers: Vec<(&str, &str)> =
                    authorization.iter().map(|value| ("authorization", value.as_str())).collect();
                let answer = harness.post(&body, &headers).await;
                // None holds the scope: a name that contains one is another name.
                assert!(matches!(answer.status, 200 | 400 | 401 | 403), "{hostile:?}");
                assert!(answer.refusal.is_some(), "{hostile:?}");
                assert!(!answer.headers.contains_key("set-cookie"), "{hostile:?}");
                let json = answer.json();
                let in_body = json["result"]["_meta"]["mcp/www_authenticate"][0].as_str();
                let in_headers = answer.headers.get_all("www-authenticate").iter();
                let challenges: Vec<&str> =
                    in_headers.map(|value| value.to_str().unwrap()).chain(in_body).collect();
                assert!(!challenges.is_empty(), "{hostile:?}");
                for challenge in challenges {
                    let (scheme, parameters) = parse(challenge);
                    assert!(["Bearer", "DPoP"].contains(&&*scheme), "{challenge}");
                    let mut names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
                    names.sort_unstable();
                    let wanted = ["algs", "error", "error_description", "resource_metadata", "scope"];
                    assert!(names.iter().all(|name| wanted.contains(name)), "{challenge}");
                    assert!(names.is_sorted_by(|one, next| one < next), "{challenge}");
                    for (name, value) in &parameters {
                        match name.as_str() {
                            "resource_metadata" => assert_eq!(value, METADATA),
                            "scope" => assert_eq!(value, "notes:write", "{challenge}"),
                            _ => {}
                        }
                    }
                }
            }
            assert_eq!(harness.reached(), 0, "{hostile:?}");
        }
    }
}

/// What an operator names is checked when the policy is read, so that no challenge ever has to hide it.
#[test]
fn a_scope_that_no_challenge_could_carry_is_no_scope() {
    for scope in ["a\\\"b", "a\\\\b", "a b", "a\\r\\nb", "é", "a\\u0000", ""] {
        let needed = format!("version = 1\n[tools.t]\nauth = \"oauth2\"\nscopes = [\"{scope}\"]\n");
        let baseline = format!("version = 1\nbaseline_scopes = [\"{scope}\"]\n");
        for policy in [needed, baseline] {
            assert!(Policy::parse(&policy).is_err(), "{policy}");
        }
    }
}
