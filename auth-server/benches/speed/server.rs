//! The server as a process of its own, and what the kernel says of it.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{RESOURCE, SECRET};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mcp-auth-server");

/// A process that does not outlive its measurement.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// A folder with a configuration and a database without grants, but with tables.
pub(crate) fn prepare(dir: &Path) -> PathBuf {
    std::fs::create_dir_all(dir).unwrap();
    let config = dir.join("auth-server.toml");
    let toml = format!(
        r#"
[server]
issuer = "http://localhost:4000"
listen = ["127.0.0.1:0"]

# everything comes from one address here
[limits]
token_requests_per_minute = 1_000_000_000
introspections_per_minute = 1_000_000_000

[[resources]]
url = "{RESOURCE}"
[resources.scopes."mcp:read"]

[[clients.registered]]
id = "pub1"
redirect_uris = ["https://app.test/cb"]

[[clients.registered]]
id = "gw"
grant_types = []
secret_file = "gw.secret"
serves = ["{RESOURCE}"]
"#
    );
    std::fs::write(&config, toml).unwrap();
    std::fs::write(dir.join("gw.secret"), SECRET).unwrap();
    let migrated = Command::new(PROGRAM).args(["migrate", "--config"]).arg(&config).output().unwrap();
    assert!(migrated.status.success(), "{migrated:?}");
    dir.join("auth-server.db")
}

impl Server {
    /// Starts it on a folder, with `environment`, and waits until it says where it listens.
    pub(crate) fn start(dir: &Path, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["run", "--config"])
            .arg(dir.join("auth-server.toml"))
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["message"] == "listening" {
                break event["addr"].as_str().unwrap().parse().unwrap();
            }
        };
        // what nobody reads would fill the pipe and stop the server
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// The processor time that it took until now, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "a figure to be printed")]
    pub(crate) fn spent(&self) -> f64 {
        // the threads' own clocks, in nanoseconds: those of the process count in hundredths of a second
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let spent = |task: std::fs::DirEntry| {
            let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            text.split(' ').next().and_then(|spent| spent.parse::<u64>().ok()).unwrap_or_default()
        };
        tasks.map(|task| spent(task.unwrap())).sum::<u64>() as f64 / 1e3
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
