//! The tools over real HTTP, with the headers that a gateway would write.

use std::sync::Arc;
use std::time::Duration;

use mcp_auth::clock::{ManualClock, SystemClock};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{DemoTools, Running, start, widget};

const ALEX: &[(&str, &str)] = &[
    ("x-auth-issuer", "https://as.test"),
    ("x-auth-subject", "alex"),
    ("x-auth-client-id", "client-1"),
    ("x-auth-scopes", "notes:read notes:write"),
];

struct Harness {
    url: String,
    tools: DemoTools,
    running: Running,
    client: reqwest::Client,
}

impl Harness {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let tools = DemoTools::new(Arc::new(ManualClock::at(1_795_230_000)));
        let running = start(tools.clone(), vec![listener]).await.unwrap();
        Self { url, tools, running, client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    async fn stop(self) {
        drop(self.client);
        self.running.shutdown();
        self.running.stopped().await.unwrap();
    }

    fn post(&self, headers: &[(&str, &str)], body: &Value) -> reqwest::RequestBuilder {
        let mut request =
            self.client.post(&self.url).header("accept", "application/json, text/event-stream").json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request
    }

    async fn rpc(&self, headers: &[(&str, &str)], method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let response = self.post(headers, &body).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json");
        response.json().await.unwrap()
    }

    /// The `structuredContent` of a call that must succeed, checked against its text form.
    async fn call(&self, headers: &[(&str, &str)], tool: &str, arguments: Value) -> Value {
        let answer = self.rpc(headers, "tools/call", json!({"name": tool, "arguments": arguments})).await;
        let result = &answer["result"];
        assert_eq!(result["isError"], false, "{answer}");
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, result["structuredContent"]);
        text
    }

    /// The text of a call that must fail as a tool, not as a protocol.
    async fn fault(&self, headers: &[(&str, &str)], tool: &str, arguments: Value) -> String {
        let answer = self.rpc(headers, "tools/call", json!({"name": tool, "arguments": arguments})).await;
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        answer["result"]["content"][0]["text"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn refuses_an_address_that_others_can_reach() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let tools = DemoTools::new(Arc::new(SystemClock));
    let fault = start(tools, vec![listener]).await.unwrap_err();
    assert!(fault.to_string().contains("expected a loopback address"), "{fault}");
}

#[tokio::test]
async fn refuses_a_foreign_host_name() {
    let house = Harness::start().await;
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let response = house.post(&[("host", "rebound.example")], &body).send().await.unwrap();
    assert_eq!(response.status(), 403);
    house.stop().await;
}

#[tokio::test]
async fn refuses_an_identity_that_is_not_whole() {
    let house = Harness::start().await;
    let params = json!({"name": "notes_teaser", "arguments": {}});
    for headers in [&ALEX[..1], &ALEX[1..2]] {
        let answer = house.rpc(headers, "tools/call", params.clone()).await;
        assert_eq!(answer["error"]["code"], -32600, "{answer}");
    }
    house.stop().await;
}

#[tokio::test]
async fn bad_arguments_are_the_tools_error() {
    let house = Harness::start().await;
    for (tool, arguments, needle) in [
        ("echo", json!({}), "missing field `text`"),
        ("echo", json!({"text": 1}), "invalid type"),
        ("echo", json!({"text": "a", "more": 1}), "unknown field `more`"),
        ("auth_show", json!({"more": 1}), "unknown field `more`"),
        ("notes_add", json!({"text": " "}), "expected some text"),
        ("notes_add", json!({"text": "x".repeat(1_001)}), "expected at most 1000 characters"),
        ("count", json!({"n": -1}), "invalid value"),
        ("count", json!({"n": 10_001}), "expected at most 10000"),
        ("count", json!({"n": 3_601}), "expected at most 3600 seconds"),
    ] {
        let text = house.fault(ALEX, tool, arguments).await;
        assert!(text.contains(needle), "{tool}: {text}");
    }
    house.stop().await;
}

#[tokio::test]
async fn what_belongs_to_a_user_needs_one() {
    let house = Harness::start().await;
    for (tool, arguments) in
        [("auth_whoami", json!({})), ("notes_list", json!({})), ("notes_add", json!({"text": "x"}))]
    {
        let text = house.fault(&[], tool, arguments).await;
        assert!(text.contains("nobody is signed in"), "{tool}: {text}");
    }
    house.stop().await;
}

#[tokio::test]
async fn an_unknown_tool_and_resource_are_the_protocols_error() {
    let house = Harness::start().await;
    let answer = house.rpc(&[], "tools/call", json!({"name": "notes_burn"})).await;
    assert_eq!(answer["error"]["code"], -32602);
    let answer = house.rpc(&[], "resources/read", json!({"uri": "ui://auth-demo/other.html"})).await;
    assert!(answer["error"]["code"].is_i64(), "{answer}");
    house.stop().await;
}

#[tokio::test]
async fn every_tool_answers_an_anonymous_caller_as_documented() {
    let house = Harness::start().await;
    assert_eq!(house.call(&[], "auth_show", json!({})).await, json!({"signed_in": false, "subject": null}));
    let teased = house.call(&[], "notes_teaser", json!({})).await;
    assert!(teased["teaser"].is_string() && teased.get("notes").is_none(), "{teased}");
    assert_eq!(house.call(&[], "echo", json!({"text": "hé"})).await, json!({"echo": "hé"}));
    assert_eq!(house.call(&[], "count", json!({"n": 2, "interval_ms": 0})).await, json!({"counted": 2}));
    house.stop().await;
}

#[tokio::test]
async fn every_tool_answers_a_user_as_documented() {
    let house = Harness::start().await;
    assert_eq!(house.call(ALEX, "auth_show", json!({})).await, json!({"signed_in": true, "subject": "alex"}));
    assert_eq!(
        house.call(ALEX, "auth_whoami", json!({})).await,
        json!({
            "issuer": "https://as.test", "subject": "alex", "client_id": "client-1",
            "scopes": ["notes:read", "notes:write"],
        })
    );
    assert_eq!(house.call(ALEX, "notes_list", json!({})).await, json!({"notes": []}));
    let note = json!({"id": "1", "text": "milk", "created_at": "2026-11-21T03:00:00Z"});
    assert_eq!(house.call(ALEX, "notes_add", json!({"text": "milk"})).await, note);
    assert_eq!(house.call(ALEX, "notes_list", json!({})).await, json!({"notes": [note]}));
    assert_eq!(house.call(ALEX, "notes_teaser", json!({})).await, json!({"notes": [note]}));
    // the same name at another issuer is another user
    let other = &[("x-auth-issuer", "https://other.test"), ("x-auth-subject", "alex")];
    assert_eq!(house.call(other, "notes_list", json!({})).await, json!({"notes": []}));
    house.stop().await;
}

#[tokio::test]
async fn lists_the_tools_with_strict_schemas_and_the_widget() {
    let house = Harness::start().await;
    let answer = house.rpc(&[], "tools/list", json!({})).await;
    let tools = answer["result"]["tools"].as_array().unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["auth_show", "auth_whoami", "notes_list", "notes_add", "notes_teaser", "echo", "count"]
    );
    for tool in tools {
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert!(tool["inputSchema"]["properties"].is_object(), "{tool}");
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
        assert_eq!(tool["outputSchema"]["type"], "object", "{tool}");
    }
    assert_eq!(tools[0]["_meta"]["ui"]["resourceUri"], widget::URI);
    assert_eq!(tools[0]["_meta"]["openai/outputTemplate"], widget::URI);
    house.stop().await;
}

#[tokio::test]
async fn reads_the_widget() {
    let house = Harness::start().await;
    let answer = house.rpc(&[], "resources/read", json!({"uri": widget::URI})).await;
    let contents = &answer["result"]["contents"][0];
    assert_eq!(contents["mimeType"], "text/html;profile=mcp-app");
    assert_eq!(contents["text"], widget::HTML);
    let answer = house.rpc(&[], "resources/list", json!({})).await;
    assert_eq!(answer["result"]["resources"][0]["uri"], widget::URI);
    house.stop().await;
}

#[tokio::test]
async fn speaks_every_revision() {
    let house = Harness::start().await;
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let params = json!({
            "protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"},
        });
        let answer = house.rpc(&[], "initialize", params).await;
        assert_eq!(answer["result"]["protocolVersion"], version, "{answer}");
    }
    let headers =
        &[("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "auth_show")];
    let params = json!({
        "name": "auth_show", "arguments": {},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    });
    let answer = house.rpc(headers, "tools/call", params).await;
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    assert_eq!(answer["result"]["structuredContent"]["signed_in"], false);
    house.stop().await;
}

fn counting(n: u32, interval_ms: u32) -> Value {
    json!({
        "jsonrpc": "2.0", "id": 7, "method": "tools/call",
        "params": {
            "name": "count", "arguments": {"n": n, "interval_ms": interval_ms},
            "_meta": {"progressToken": "p"},
        },
    })
}

#[tokio::test]
async fn count_tells_its_progress_and_then_the_result() {
    let house = Harness::start().await;
    let response = house.post(&[], &counting(3, 1)).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let body = response.text().await.unwrap();
    let messages: Vec<Value> = body
        .lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| serde_json::from_str(data.trim()).unwrap())
        .collect();
    let (last, progress) = messages.split_last().unwrap();
    let told: Vec<_> = progress.iter().map(|message| message["params"].clone()).collect();
    let wanted: Vec<_> =
        [1.0, 2.0, 3.0].map(|at| json!({"progressToken": "p", "progress": at, "total": 3.0})).into();
    assert_eq!(told, wanted);
    assert_eq!(last["result"]["structuredContent"], json!({"counted": 3}));
    house.stop().await;
}

#[tokio::test]
async fn count_stops_when_the_client_goes_away() {
    let house = Harness::start().await;
    let idle = house.tools.users_of_the_notes();
    let mut response = house.post(&[], &counting(10_000, 10)).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    assert!(house.tools.users_of_the_notes() > idle, "a call under way holds on to the notes");
    drop(response);
    tokio::time::timeout(Duration::from_secs(10), async {
        while house.tools.users_of_the_notes() > idle {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the count goes on without its client");
    house.stop().await;
}

#[tokio::test]
async fn a_shutdown_ends_a_call_under_way() {
    let house = Harness::start().await;
    let mut response = house.post(&[], &counting(10_000, 10)).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    house.running.shutdown();
    tokio::time::timeout(Duration::from_secs(10), house.running.stopped())
        .await
        .expect("the server does not stop")
        .unwrap();
}
