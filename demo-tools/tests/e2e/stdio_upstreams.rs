//! Servers that nobody here wrote, each a process that the gateway starts and speaks to over standard input and output:
//! called, followed, cancelled, and asking back, by clients that nobody here wrote.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::installed;
use crate::harness::sdk::{Call, Era, Sdk};
use crate::harness::stand::servers;
use crate::upstreams::{called, everything, text};

/// For `@modelcontextprotocol/server-everything`.
const EVERYTHING: &str = "\
version = 1
[scopes.work]
description = \"Work for you\"
[scopes.ask]
description = \"Ask you and your model\"
[resources.\"**\"]
auth = \"public\"
[prompts.\"*\"]
auth = \"public\"
[tools.echo]
auth = \"public\"
[tools.trigger-long-running-operation]
auth = \"oauth2\"
scopes = [\"work\"]
[tools.trigger-sampling-request]
auth = \"oauth2\"
scopes = [\"ask\"]
[tools.trigger-elicitation-request]
auth = \"oauth2\"
scopes = [\"ask\"]
";

/// For `mcp-server-time`.
const TIME: &str = "\
version = 1
[scopes.convert]
description = \"Convert times for you\"
[resources.\"**\"]
auth = \"public\"
[prompts.\"*\"]
auth = \"public\"
[tools.get_current_time]
auth = \"public\"
[tools.convert_time]
auth = \"oauth2\"
scopes = [\"convert\"]
";

/// For `server.py`.
const WAITING: &str = "\
version = 1
[scopes.slow]
description = \"Count for you\"
[scopes.wait]
description = \"Wait for you\"
[resources.\"**\"]
auth = \"public\"
[prompts.\"*\"]
auth = \"public\"
[tools.greet]
auth = \"public\"
[tools.steps]
auth = \"oauth2\"
scopes = [\"slow\"]
[tools.wait]
auth = \"oauth2\"
scopes = [\"wait\"]
";

/// What the server asks, over the stream of the session, is answered by the client that called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_typescript_1_reports_and_asks_back() {
    let upstream = command(&[&installed("bin/node"), &everything(), Path::new("stdio")]);
    let calls = [
        Call::new("echo", json!({"message": "grüße, 世界"})),
        Call::new("trigger-long-running-operation", json!({"duration": 0.3, "steps": 3})),
        Call::new("trigger-sampling-request", json!({"prompt": "grüße"})),
        Call::new("trigger-elicitation-request", json!({})),
    ];
    for sdk in [Sdk::TypeScript1, Sdk::TypeScript2(Era::Legacy), Sdk::Python1, Sdk::Python2(Era::Legacy)] {
        let steps = called(sdk, &upstream, EVERYTHING, &calls, true).await;
        let results = &steps["results"];
        assert_eq!(text(&results[0]), "Echo: grüße, 世界", "{sdk:?}");
        assert!(text(&results[1]).starts_with("Long running operation completed."), "{sdk:?}: {steps}");
        assert_eq!(progress(&steps, 1), [1.0, 2.0, 3.0], "{sdk:?}");
        assert!(text(&results[2]).contains("sampled: Resource"), "{sdk:?}: {steps}");
        assert!(text(&results[2]).contains("grüße"), "{sdk:?}: {steps}");
        assert!(results[3].to_string().contains("- Name: Alex"), "{sdk:?}: {steps}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_from_pypi_serves_both_eras() {
    let upstream =
        command(&[&installed("python-servers/bin/mcp-server-time"), Path::new("--local-timezone=UTC")]);
    let conversion = json!({"source_timezone": "Asia/Tokyo", "time": "09:30", "target_timezone": "UTC"});
    let calls = [
        Call::new("get_current_time", json!({"timezone": "Asia/Tokyo"})),
        Call::new("convert_time", conversion),
    ];
    for sdk in [Sdk::TypeScript1, Sdk::TypeScript2(Era::Modern), Sdk::Python1, Sdk::Python2(Era::Modern)] {
        let steps = called(sdk, &upstream, TIME, &calls, false).await;
        assert!(text(&steps["results"][0]).contains("Asia/Tokyo"), "{sdk:?}: {steps}");
        assert!(text(&steps["results"][1]).contains("T00:30:00"), "{sdk:?}: {steps}");
    }
}

/// By a notification in the legacy era, by the end of the stream in the modern one: the tool itself is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_python_learn_that_a_call_is_cancelled() {
    for (generation, sdks) in [
        ("python-v1", &[Sdk::TypeScript1, Sdk::TypeScript2(Era::Legacy)][..]),
        ("python-v2", &[Sdk::TypeScript2(Era::Modern), Sdk::Python2(Era::Legacy), Sdk::Python2(Era::Modern)]),
    ] {
        let python = installed(&format!("{generation}/bin/python"));
        let upstream = command(&[&python, &servers().join("server.py"), Path::new("stdio")]);
        for sdk in sdks {
            let dir = tempfile::tempdir().unwrap();
            let note = dir.path().join("note");
            let calls = [
                Call::new("greet", json!({"name": "世界"})),
                Call::new("steps", json!({"n": 3})),
                Call { until: Some(note.clone()), ..Call::new("wait", json!({"note": note})) },
                // whoever was cancelled disturbed nobody
                Call::new("greet", json!({"name": "again"})),
            ];
            let steps = called(*sdk, &upstream, WAITING, &calls, false).await;
            let results = &steps["results"];
            assert_eq!(text(&results[0]), "Hello, 世界!", "{generation} {sdk:?}");
            assert_eq!(text(&results[1]), "3 steps", "{generation} {sdk:?}");
            assert_eq!(progress(&steps, 1), [1.0, 2.0, 3.0], "{generation} {sdk:?}");
            assert_eq!(results[2], "cancelled", "{generation} {sdk:?}");
            assert_eq!(std::fs::read_to_string(&note).unwrap(), "cancelled");
            assert_eq!(text(&results[3]), "Hello, again!", "{generation} {sdk:?}");
        }
    }
}

fn progress(steps: &Value, call: usize) -> Vec<f64> {
    steps["progress"][call].as_array().unwrap().iter().map(|told| told.as_f64().unwrap()).collect()
}

/// The value of `upstream` for a program and its arguments.
fn command(parts: &[&Path]) -> String {
    // a string of JSON is one of TOML as well
    format!("{{ command = {}, env = {{ PYTHONDONTWRITEBYTECODE = \"1\" }} }}", json!(parts))
}
