//! The demo as its users start it: a process, one JSON line, a log.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::PATIENCE;

/// How long the demo may take to let its connections go.
const GRACE: Duration = Duration::from_secs(20);

/// The line that `demo --json` prints once everything answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ready {
    pub(crate) mcp_url: String,
    pub(crate) issuer: String,
    pub(crate) upstream_url: String,
    pub(crate) policy_file: PathBuf,
    pub(crate) users: Vec<User>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct User {
    pub(crate) username: String,
    pub(crate) password: String,
}

/// A running demo; it ends with this value, and a failing test shows its log.
pub(crate) struct Demo {
    pub(crate) ready: Ready,
    child: Child,
    log: Arc<Mutex<String>>,
    stdout: Option<JoinHandle<String>>,
}

impl Demo {
    /// On ports of its own.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let ports = ["--gateway-port", "0", "--as-port", "0", "--tools-port", "0"];
        Self::start_on(&ports, arguments)
    }

    pub(crate) fn start_on(ports: &[&str], arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_demo"))
            .args(ports)
            .args(arguments)
            .arg("--json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the demo starts");
        let log = Arc::new(Mutex::new(String::new()));
        drain(child.stderr.take().unwrap(), Arc::clone(&log));
        let (first_line, stdout) = first_line(child.stdout.take().unwrap());
        let line = first_line.recv_timeout(PATIENCE).unwrap_or_default();
        match serde_json::from_str(&line) {
            Ok(ready) => Self { ready, child, log, stdout: Some(stdout) },
            Err(error) => {
                child.kill().ok();
                child.wait().ok();
                panic!("the demo said `{line}`: {error}; its log:\n{}", log.lock().unwrap());
            }
        }
    }

    pub(crate) fn user(&self, username: &str) -> User {
        self.ready
            .users
            .iter()
            .find(|user| user.username == username)
            .expect("the demo seeds this user")
            .clone()
    }

    /// The gateway's origin.
    pub(crate) fn gateway(&self) -> String {
        url::Url::parse(&self.ready.mcp_url).unwrap().origin().ascii_serialization()
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Asks it to stop, as an operator would; gives how it ended and all that it printed to stdout.
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        let status = self.terminate().expect("the demo heeds SIGTERM");
        (status, self.stdout.take().unwrap().join().unwrap())
    }

    /// `None` if it does not end in time.
    fn terminate(&mut self) -> Option<ExitStatus> {
        // the standard library can only kill, and a killed demo leaves its directory behind
        Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status().ok()?;
        let deadline = Instant::now() + GRACE;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Demo {
    #[expect(clippy::print_stderr, reason = "the test harness shows it beside the failure")]
    fn drop(&mut self) {
        if self.stdout.is_some() && self.terminate().is_none() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("--- the demo's log ---\n{}", self.log());
        }
    }
}

fn drain(mut pipe: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = pipe.read(&mut chunk) {
            into.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
    });
}

fn first_line(pipe: impl Read + Send + 'static) -> (Receiver<String>, JoinHandle<String>) {
    let (sender, receiver) = channel();
    let reader = std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut all = String::new();
        pipe.read_line(&mut all).ok();
        sender.send(all.clone()).ok();
        pipe.read_to_string(&mut all).ok();
        all
    });
    (receiver, reader)
}
