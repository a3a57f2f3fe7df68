//! The program as operators run it, which can be killed at any moment.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;

/// A process that does not outlive its test.
pub(super) struct Process {
    child: Child,
    pub(super) at: String,
    /// What it complains of.
    complaints: Option<JoinHandle<Vec<String>>>,
}

impl Process {
    /// Starts the server and waits until it says where it listens. Temporary files are made in `temporary`.
    pub(super) fn start(config: &Path, temporary: &Path) -> Self {
        let mut child = command(config, temporary).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let mut complaints = Complaints::default();
        let at = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it does not start: {complaints:?}"));
            if let Some(event) = complaints.read(line).filter(|event| event["message"] == "listening") {
                break format!("http://{}", event["addr"].as_str().unwrap());
            }
        };
        // what nobody reads would fill the pipe and stop the server
        let reading = std::thread::spawn(move || {
            lines.for_each(|line| drop(complaints.read(line)));
            complaints.found
        });
        Self { child, at, complaints: Some(reading) }
    }

    /// Kills it, if it still runs as it should.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        let status = self.end();
        assert_eq!(status.signal(), Some(9), "it ended by itself: {status}");
    }

    /// Stops it in good order.
    pub(super) fn stop(&mut self) {
        let line = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").arg("-c").arg(line).status().unwrap().success());
        let status = self.end();
        assert!(status.success(), "{status}");
    }

    fn end(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        let complaints = self.complaints.take().unwrap().join().unwrap();
        assert!(complaints.is_empty(), "{complaints:#?}");
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the server and kills it so soon, whatever it is doing by then.
pub(super) async fn kill_at_start(config: &Path, temporary: &Path, after: Duration) {
    let mut child = command(config, temporary).stderr(Stdio::null()).spawn().unwrap();
    tokio::time::sleep(after).await;
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "it ended by itself: {status}");
}

fn command(config: &Path, temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-auth-server"));
    command.args(["run", "--config"]).arg(config).env("TMPDIR", temporary).env_remove("RUST_LOG");
    command
}

/// Warnings and worse.
#[derive(Debug, Default)]
struct Complaints {
    found: Vec<String>,
    /// No JSON: the last line may be cut off where the server was killed.
    cut_off: Option<String>,
}

impl Complaints {
    fn read(&mut self, line: String) -> Option<Value> {
        self.found.extend(self.cut_off.take());
        let Ok(event) = serde_json::from_str::<Value>(&line) else {
            self.cut_off = Some(line);
            return None;
        };
        if !["INFO", "DEBUG", "TRACE"].contains(&event["level"].as_str().unwrap_or_default()) {
            self.found.push(line);
        }
        Some(event)
    }
}

/// The names of the files in a folder.
pub(super) fn files(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}
