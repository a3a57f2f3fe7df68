//! Servers that nobody here wrote, each unmodified behind the gateway with a policy written for it, called by clients
//! that nobody here wrote: an open tool without a token, then one that makes the client sign in, and one that makes it
//! ask for more.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use rmcp::transport::streamable_http_server::StreamableHttpServerConfig;
use serde_json::{Value, json};

use crate::counter;
use crate::harness::installed;
use crate::harness::sdk::{Call, Era, Sdk, Task};
use crate::harness::stand::{Server, Stand, servers};

const REDIRECT: &str = "http://localhost:53124/callback";

/// For the server of `@modelcontextprotocol/server-everything`.
const EVERYTHING: &str = "\
version = 1
[scopes.\"math\"]
description = \"Calculate for you\"
[scopes.\"pictures\"]
description = \"Draw for you\"
[resources.\"**\"]
auth = \"public\"
[prompts.\"*\"]
auth = \"public\"
[tools.echo]
auth = \"public\"
[tools.\"get-sum\"]
auth = \"oauth2\"
scopes = [\"math\"]
[tools.\"get-tiny-image\"]
auth = \"oauth2\"
scopes = [\"pictures\"]
";

/// For `server.py`.
const CALCULATOR: &str = "\
version = 1
[scopes.\"math\"]
description = \"Calculate for you\"
[scopes.\"slow\"]
description = \"Count for you\"
[resources.\"**\"]
auth = \"public\"
[prompts.\"*\"]
auth = \"public\"
[tools.greet]
auth = \"public\"
[tools.add]
auth = \"oauth2\"
scopes = [\"math\"]
[tools.steps]
auth = \"oauth2\"
scopes = [\"slow\"]
";

/// For the counter.
const COUNTER: &str = "\
version = 1
[scopes.\"math\"]
description = \"Calculate for you\"
[scopes.\"repeat\"]
description = \"Repeat what you say\"
[resources.\"**\"]
auth = \"public\"
[prompts.\"*\"]
auth = \"public\"
[tools.say_hello]
auth = \"public\"
[tools.sum]
auth = \"oauth2\"
scopes = [\"math\"]
[tools.echo]
auth = \"oauth2\"
scopes = [\"repeat\"]
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_typescript_1() {
    let server = Server::start(|port| {
        let mut command = Command::new(installed("bin/node"));
        command.arg(everything()).arg("streamableHttp").env("PORT", port.to_string());
        command
    })
    .await;
    for sdk in [Sdk::TypeScript1, Sdk::TypeScript2(Era::Legacy), Sdk::Python1, Sdk::Python2(Era::Legacy)] {
        everything_is_called(sdk, &quoted(&server.url)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_python_1() {
    let server = Server::start(|port| python("python-v1", &["http", &port.to_string()])).await;
    for sdk in [Sdk::TypeScript2(Era::Legacy), Sdk::Python1] {
        calculator_is_called(sdk, &quoted(&server.url)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_python_2_in_both_eras() {
    let server = Server::start(|port| python("python-v2", &["http", &port.to_string()])).await;
    for sdk in [
        Sdk::TypeScript1,
        Sdk::TypeScript2(Era::Modern),
        Sdk::Python2(Era::Legacy),
        Sdk::Python2(Era::Modern),
    ] {
        calculator_is_called(sdk, &quoted(&server.url)).await;
    }
}

/// rmcp's own examples are in its repository and not published: this is the counter of theirs, with rmcp's transport as
/// they set it up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_rmcp_with_sessions() {
    let server = counter::start(StreamableHttpServerConfig::default()).await;
    for sdk in [Sdk::TypeScript1, Sdk::TypeScript2(Era::Modern), Sdk::Python1, Sdk::Python2(Era::Legacy)] {
        counter_is_called(sdk, &quoted(&server.url)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_rmcp_without_sessions() {
    let stateless = StreamableHttpServerConfig::default().with_legacy_session_mode(false);
    let server = counter::start(stateless).await;
    for sdk in [Sdk::TypeScript2(Era::Legacy), Sdk::Python2(Era::Modern)] {
        counter_is_called(sdk, &quoted(&server.url)).await;
    }
}

async fn everything_is_called(sdk: Sdk, upstream: &str) {
    let calls = [
        Call::new("echo", json!({"message": "grüße, 世界"})),
        Call::new("get-sum", json!({"a": 2, "b": 3})),
        Call::new("get-tiny-image", json!({})),
    ];
    let results = &called(sdk, upstream, EVERYTHING, &calls, false).await["results"];
    assert_eq!(text(&results[0]), "Echo: grüße, 世界", "{sdk:?}");
    assert!(text(&results[1]).contains('5'), "{sdk:?}: {}", results[1]);
    let kinds = results[2]["content"].as_array().unwrap().iter().map(|content| content["type"].as_str());
    assert!(kinds.into_iter().any(|kind| kind == Some("image")), "{sdk:?}: {}", results[2]);
}

async fn calculator_is_called(sdk: Sdk, upstream: &str) {
    let calls = [
        Call::new("greet", json!({"name": "世界"})),
        Call::new("add", json!({"a": 2, "b": 3})),
        Call::new("steps", json!({"n": 3})),
    ];
    let results = &called(sdk, upstream, CALCULATOR, &calls, false).await["results"];
    assert_eq!(text(&results[0]), "Hello, 世界!", "{sdk:?}");
    assert_eq!(text(&results[1]), "5", "{sdk:?}");
    assert_eq!(text(&results[2]), "3 steps", "{sdk:?}");
}

async fn counter_is_called(sdk: Sdk, upstream: &str) {
    let calls = [
        Call::new("say_hello", json!({})),
        Call::new("sum", json!({"a": 2, "b": 3})),
        Call::new("echo", json!({"text": "grüße, 世界"})),
    ];
    let results = &called(sdk, upstream, COUNTER, &calls, false).await["results"];
    assert_eq!(text(&results[0]), "hello", "{sdk:?}");
    assert_eq!(text(&results[1]), "5", "{sdk:?}");
    assert_eq!(text(&results[2]), r#"{"text":"grüße, 世界"}"#, "{sdk:?}");
}

/// Signs in on the way: the first tool is open, the second is the first that needs a scope, and each one after it needs
/// one more, for as long as the policy has some.
pub(crate) async fn called(sdk: Sdk, upstream: &str, policy: &str, calls: &[Call], answers: bool) -> Value {
    let stand = Stand::before(upstream, policy).await;
    if sdk.era() == Era::Modern {
        stand.until_modern().await;
    }
    let task = Task {
        scenario: "calls",
        redirect_uri: REDIRECT,
        users: vec![stand.user.clone()],
        client_metadata_url: None,
    };
    let report = sdk.run_at(&stand.mcp_url, task, calls, answers).await;
    let [alex] = report.people.as_slice() else { panic!("{sdk:?}: {report:?}") };
    assert_eq!(alex.protocol_version, sdk.protocol_version(), "{sdk:?}");

    let tools = alex.steps["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap());
    let (listed, wanted): (BTreeSet<_>, BTreeSet<_>) =
        (tools.collect(), calls.iter().map(|call| call.tool).collect());
    assert_eq!(listed, wanted, "{sdk:?}: the list has what the policy names, and nothing else");

    let scopes = policy.matches("[scopes.").count();
    let names: Vec<_> = calls.iter().map(|call| call.tool).collect();
    assert_eq!(alex.calls(401), names[1..2], "{sdk:?}");
    assert_eq!(alex.calls(403), names[2..=scopes], "{sdk:?}");
    assert_eq!(alex.authorizations.len(), scopes, "{sdk:?}: {:?}", alex.authorizations);
    alex.steps.clone()
}

pub(crate) fn text(result: &Value) -> &str {
    assert_ne!(result["isError"], json!(true), "{result}");
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{result}"))
}

pub(crate) fn everything() -> PathBuf {
    servers().join("node_modules/@modelcontextprotocol/server-everything/dist/index.js")
}

fn python(generation: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(installed(&format!("{generation}/bin/python")));
    command.arg(servers().join("server.py")).args(arguments).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
