//! Clients in other languages: each is a process that reads a task and prints a report, both as JSON.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::clients;

/// Runs `script` of a folder below `tests/clients` to its end.
pub(crate) async fn run(program: &Path, folder: &str, script: &str, task: &Value) -> Value {
    let folder = clients().join(folder);
    if Path::new(script).extension().is_some_and(|extension| extension == "mjs") {
        assert!(
            folder.join("node_modules").exists(),
            "what `{script}` needs is not installed: run ./test, or demo-tools/tests/setup"
        );
    }
    let mut child = Command::new(program)
        .arg(script)
        .current_dir(folder)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(task.to_string().as_bytes()).await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(Duration::from_mins(3), child.wait_with_output())
        .await
        .unwrap_or_else(|_| panic!("{script} does not come to an end"))
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} failed:\n{stderr}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{script}: {error}:\n{stderr}"))
}
