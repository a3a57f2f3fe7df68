//! The program as operators run it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::harness::{DEADLINE, Files, POLICY};
use crate::upstream::{Upstream, json};

const GATEWAY: &str = env!("CARGO_BIN_EXE_mcp-auth-gateway");

/// A process that does not outlive its test.
pub struct Process {
    child: Child,
    pub addr: SocketAddr,
    admin: Option<SocketAddr>,
}

impl Process {
    /// Starts the gateway and waits until it says where it listens.
    pub fn start(files: &Files) -> Self {
        let mut command = Command::new(GATEWAY);
        command.args(["run", "--config"]).arg(files.config()).stderr(Stdio::piped());
        Self::spawn(command)
    }

    /// Starts a command that becomes the gateway, and waits until it says where it listens.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut admin = None;
        let addr = loop {
            let line = lines.next().expect("the gateway says where it listens").unwrap();
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
            if event["message"] == "metrics and health" {
                admin = event["addr"].as_str().unwrap().parse().ok();
            }
            if event["message"] == "listening" {
                break event["addr"].as_str().unwrap().parse().unwrap();
            }
        };
        // what nobody reads would fill the pipe and stop the gateway
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, addr, admin }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn terminate(&self) {
        self.signal("TERM");
    }

    fn signal(&self, name: &str) {
        let line = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").arg("-c").arg(line).status().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_signal_lets_requests_under_way_finish() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&entered), Arc::clone(&release));
    let upstream = Upstream::start(move |_| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            tell.notify_one();
            wait.notified().await;
            json(r#"{"jsonrpc":"2.0","id":1,"result":{"late":true}}"#)
        }
    })
    .await;
    let files = Files::new(POLICY);
    let listen = "127.0.0.1:0".parse().unwrap();
    let server = "shutdown_delay_seconds = 1";
    files.configure(
        listen,
        "http://localhost:3000",
        &upstream.url(),
        server,
        "[admin]\nlisten = [\"127.0.0.1:0\"]\n",
    );
    let mut process = tokio::task::spawn_blocking(move || (Process::start(&files), files)).await.unwrap();

    let client = reqwest::Client::new();
    let url = format!("http://{}", process.0.addr);
    let admin = format!("http://{}/readyz", process.0.admin.unwrap());
    let ready = async || client.get(&admin).send().await.map(|response| response.status().as_u16());
    let accepts = async || client.get(&url).send().await.is_ok();
    assert_eq!(ready().await.unwrap(), 200);
    let call = client
        .post(format!("{url}/mcp"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"}}"#)
        .send();
    let call = tokio::spawn(call);
    timeout(DEADLINE, entered.notified()).await.unwrap();

    process.0.terminate();
    // first it says so, and still serves; then it accepts nobody
    while ready().await.unwrap() == 200 {}
    assert_eq!(ready().await.unwrap(), 503);
    while accepts().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(process.0.child.try_wait().unwrap().is_none(), "gone, with a request under way");
    release.notify_one();
    let response = timeout(DEADLINE, call).await.unwrap().unwrap().unwrap();
    assert!(response.text().await.unwrap().contains("late"));
    let status = tokio::task::spawn_blocking(move || process.0.child.wait().unwrap()).await.unwrap();
    assert!(status.success(), "{status}");
}

/// As service managers and tools that renew certificates do, some of them at once.
#[test]
fn who_asks_for_a_reload_at_the_start_does_not_end_it() {
    for _ in 0..5 {
        let files = Files::new(POLICY);
        let listen = "127.0.0.1:0".parse().unwrap();
        files.configure(listen, "http://localhost:3000", "http://127.0.0.1:1/mcp", "", "");
        let process = Process::start(&files);
        process.signal("HUP");
        let mut client = std::net::TcpStream::connect(process.addr).unwrap();
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 "), "{answer}");
    }
}

/// The exit code, standard output and standard error of a command line.
fn run(args: &[&str]) -> (i32, String, String) {
    let mut child =
        Command::new(GATEWAY).args(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (child.wait().unwrap().code().unwrap(), out, err)
}

#[test]
fn check_says_whether_the_configuration_is_sound() {
    let files = Files::new(POLICY);
    files.configure(
        "127.0.0.1:0".parse().unwrap(),
        "http://localhost:3000",
        "http://127.0.0.1:5000/mcp",
        "",
        "",
    );
    let config = files.config().display().to_string();
    let (code, out, err) = run(&["check", "--config", &config]);
    assert_eq!((code, err.as_str()), (0, ""));
    let policy = files.policy().display().to_string();
    assert_eq!(
        out,
        format!("{config}: sound\nhttp://localhost:3000/mcp -> http://127.0.0.1:5000/mcp ({policy})\n")
    );

    std::fs::write(files.policy(), "version = 1\nmode = \"shadow\"\n[scopes.a]\n").unwrap();
    let (code, _, err) = run(&["check", "--config", &config]);
    assert_eq!(code, 0, "what loads is sound: {err}");
    let places: Vec<_> =
        err.lines().filter_map(|line| line.strip_prefix("warning: ")?.strip_prefix(&policy)).collect();
    assert_eq!(places.len(), 3, "{err}");
    assert!(places[0].starts_with(":2:8: `mode`: ") && places[1].starts_with(":3:1: `scopes.a`: "), "{err}");

    std::fs::write(files.policy(), "version = 2\n[tools.open]\nauth = \"pubic\"\n").unwrap();
    for command in ["check", "run"] {
        let (code, out, err) = run(&[command, "--config", &config]);
        assert_eq!((code, out.as_str()), (1, ""), "{command}");
        let places: Vec<_> = err.lines().filter_map(|line| line.strip_prefix(&policy)).collect();
        assert!(
            places.len() == 2 && places[0].starts_with(":1:11: ") && places[1].starts_with(":3:8: "),
            "{err}"
        );
    }
}

#[test]
fn the_environment_overrides_the_file_and_its_faults_name_the_variable() {
    let files = Files::new(POLICY);
    files.configure(
        "127.0.0.1:0".parse().unwrap(),
        "http://localhost:3000",
        "http://127.0.0.1:5000/mcp",
        "",
        "",
    );
    let check = |value: &str| {
        let output = Command::new(GATEWAY)
            .args(["check", "--config"])
            .arg(files.config())
            .env("MCP_AUTH_GATEWAY__SERVER__PUBLIC_URL", value)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, said) = check("https://gw.example");
    assert!(code == Some(0) && said.contains("https://gw.example/mcp -> "), "{said}");
    let (code, said) = check("gw.example");
    assert_eq!(code, Some(1));
    assert_eq!(
        said,
        "environment variable `MCP_AUTH_GATEWAY__SERVER__PUBLIC_URL`: expected an absolute http or https URL without \
         a path, such as `http://localhost:3000`, but found `\"gw.example\"`\n"
    );
    let misspelt = Command::new(GATEWAY)
        .args(["check", "--config"])
        .arg(files.config())
        .env("MCP_AUTH_GATEWAY__SERVER__PUBLIC_ULR", "https://gw.example")
        .env("MCP_AUTH_GATEWAY__SEVRER__WORKERS", "1")
        .output()
        .unwrap();
    assert_eq!(misspelt.status.code(), Some(1));
    let said = String::from_utf8(misspelt.stderr).unwrap();
    for wanted in [
        "environment variable `MCP_AUTH_GATEWAY__SERVER__PUBLIC_ULR`: unknown key `public_ulr`; did you mean `public_url`?",
        "environment variable `MCP_AUTH_GATEWAY__SEVRER__WORKERS`: unknown key `sevrer`; did you mean `server`?",
    ] {
        assert!(said.lines().any(|line| line == wanted), "{said}");
    }
}

#[test]
fn it_says_what_it_was_built_from() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(run(&["-V"]), (0, format!("mcp-auth-gateway {version}\n"), String::new()));
    let (code, out, err) = run(&["--version"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[0], format!("mcp-auth-gateway {version}"));
    let values: Vec<_> = lines[1..].iter().map(|line| line.split_once(": ").unwrap()).collect();
    assert_eq!(
        values.iter().map(|(key, _)| *key).collect::<Vec<_>>(),
        ["commit", "date", "rustc", "target", "profile"]
    );
    let values: Vec<_> = values.into_iter().map(|(_, value)| value.trim()).collect();
    let commit = values[0].trim_end_matches("-dirty");
    let is_hash = (7..=12).contains(&commit.len()) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_hash || commit == "unknown", "{out}");
    assert!(values[1] == "unknown" || (values[1].len() == 20 && values[1].ends_with('Z')), "{out}");
    assert!(values[2].starts_with("rustc 1.") && values[3].contains(std::env::consts::ARCH), "{out}");
    assert!(["debug", "release"].contains(&values[4]), "{out}");
}

#[test]
fn it_says_what_a_configuration_may_hold_and_what_its_exit_codes_mean() {
    let (code, out, err) = run(&["config", "schema"]);
    assert_eq!((code, err.as_str()), (0, ""));
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/gateway.schema.json");
    assert!(out == std::fs::read_to_string(committed).unwrap(), "see the test of the schema");
    let (code, out, _) = run(&["--help"]);
    assert!(code == 0 && out.contains("Exit codes:\n  0  ") && out.contains("\n  2  "), "{out}");
    assert_eq!(run(&["config"]).0, 2);
}

#[test]
fn a_command_line_without_sense_is_refused() {
    for args in [&[][..], &["run"], &["check"], &["serve"], &["run", "--config"], &["run", "--confg", "x"]] {
        assert_eq!(run(args).0, 2, "{args:?}");
    }
    let (code, _, err) = run(&["run", "--config", "/nonexistent/gateway.toml"]);
    assert_eq!(code, 1);
    assert!(err.starts_with("/nonexistent/gateway.toml: cannot be read: "), "{err}");
}
