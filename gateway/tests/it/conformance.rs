//! The MCP conformance runner, against a server that passes and against the same server behind the gateway: the gateway
//! must change the outcome of no check, whether the policy leaves everything open or asks for a token everywhere.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use crate::harness::Gateway;

const OPEN: &str = "\
version = 1
[defaults]
tools = \"public\"
resources = \"public\"
prompts = \"public\"
methods = \"public\"
";

/// With every method that has no object spelled out, since those are open as soon as one object is.
const CLOSED: &str = "\
version = 1
[defaults]
methods = \"oauth2\"
[tools.\"*\"]
auth = \"oauth2\"
scopes = [\"everything\"]
[resources.\"**\"]
auth = \"oauth2\"
scopes = [\"everything\"]
[prompts.\"*\"]
auth = \"oauth2\"
scopes = [\"everything\"]
[scopes.everything]
description = \"Everything\"
";

/// How each check of each scenario ended: `scenario/check` and the status, once for each time that it was made.
type Outcome = BTreeMap<String, Vec<String>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revision_2026_07_28() {
    same_behind_the_gateway(&["--requirements", "2026-07-28"], 152).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revision_2025_11_25() {
    same_behind_the_gateway(&["--requirements", "2025-11-25"], 84).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revision_2025_06_18() {
    // The runner has no frozen list for it.
    same_behind_the_gateway(&["--spec-version", "2025-06-18"], 56).await;
}

/// `checks` are those that the table in `README.md` says pass.
async fn same_behind_the_gateway(revision: &[&str], checks: usize) {
    let fixture = Fixture::start();
    let direct = run(&fixture.url(), revision).await;
    let scored = ["SUCCESS", "FAILURE", "WARNING"];
    let count =
        |outcome: &Outcome, status: &str| outcome.values().flatten().filter(|one| *one == status).count();
    assert_eq!(scored.map(|status| count(&direct, status)), [checks, 0, 0], "directly: {direct:#?}");

    let open = Gateway::with(&fixture.url(), OPEN, "", "").await;
    let through_open = run(&format!("http://{}/mcp", open.addr), revision).await;
    assert_same(&direct, &through_open, "behind a policy that leaves everything open");

    let closed = Gateway::with(&fixture.url(), CLOSED, "", "").await;
    let refused = closed.call("test_simple_text").send().await.unwrap();
    assert_eq!(refused.status(), 401, "this policy is meant to ask for tokens");
    let shim = Shim::before(closed.addr, &closed.token("alex", "everything")).await;
    let through_closed = run(&format!("http://{shim}/mcp"), revision).await;
    assert_same(&direct, &through_closed, "behind a policy that asks for a token everywhere");

    for (name, outcome) in [("direct", &direct), ("open", &through_open), ("oauth2", &through_closed)] {
        let counts = scored.map(|status| format!("{status} {}", count(outcome, status)));
        println!("{} {name}: {}", revision.join(" "), counts.join(", "));
    }
}

fn assert_same(direct: &Outcome, behind: &Outcome, where_: &str) {
    let differences = differences(direct, behind, where_);
    assert!(differences.is_empty(), "{differences:#?}");
}

/// The checks that did not end in the same way as often.
fn differences(direct: &Outcome, behind: &Outcome, where_: &str) -> Vec<String> {
    let differs = |(check, statuses): (&String, &Vec<String>)| {
        let other = behind.get(check);
        (other != Some(statuses)).then(|| format!("{check}: {statuses:?} directly, {other:?} {where_}"))
    };
    let mut differences: Vec<String> = direct.iter().filter_map(differs).collect();
    let new = behind.keys().filter(|check| !direct.contains_key(*check));
    differences.extend(new.map(|check| format!("{check}: only {where_}")));
    differences
}

#[test]
fn one_check_that_ends_otherwise_is_a_difference() {
    let outcome = |checks: &[(&str, &[&str])]| -> Outcome {
        let owned = |statuses: &[&str]| statuses.iter().map(|status| (*status).to_owned()).collect();
        checks.iter().map(|(check, statuses)| ((*check).to_owned(), owned(statuses))).collect()
    };
    let direct = outcome(&[("a/1", &["SUCCESS", "SUCCESS"]), ("a/2", &["INFO"])]);
    assert_eq!(differences(&direct, &direct, "there"), [] as [&str; 0]);
    for behind in [
        &[("a/1", &["FAILURE", "SUCCESS"][..]), ("a/2", &["INFO"])][..],
        &[("a/1", &["SUCCESS"]), ("a/2", &["INFO"])],
        &[("a/1", &["SUCCESS", "SUCCESS"])],
        &[("a/1", &["SUCCESS", "SUCCESS"]), ("a/2", &["INFO"]), ("a/3", &["SUCCESS"])],
    ] {
        assert_eq!(differences(&direct, &outcome(behind), "there").len(), 1, "{behind:?}");
    }
}

/// Runs the scenarios against `url`.
async fn run(url: &str, revision: &[&str]) -> Outcome {
    let results = tempfile::tempdir().unwrap();
    let runner = folder().join("node_modules/@modelcontextprotocol/conformance/dist/index.js");
    let mut command = tokio::process::Command::new(node());
    command.arg(runner).args(["server", "--url", url]).args(revision).arg("-o").arg(results.path());
    let ran = command.kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let mut outcome = Outcome::new();
    for scenario in std::fs::read_dir(results.path()).unwrap().map(Result::unwrap) {
        let name = scenario.file_name().into_string().unwrap();
        // `server-ping-2026-11-21T15-45-28-555Z`: without the time
        let name = name.rsplitn(7, '-').last().unwrap();
        // An extension that the server does not have, and that is not scored: the runner asks for tasks that nobody made.
        // To an anonymous caller those may be somebody's, so that the gateway asks for a token where the server says 404.
        if name.starts_with("server-tasks-") {
            continue;
        }
        let checks = std::fs::read_to_string(scenario.path().join("checks.json"))
            .unwrap_or_else(|reason| panic!("{name}: {reason}\n{said}"));
        let checks: Vec<Value> = serde_json::from_str(&checks).unwrap();
        for check in checks {
            let key = format!("{name}/{}", check["id"].as_str().unwrap());
            outcome.entry(key).or_default().push(check["status"].as_str().unwrap().to_owned());
        }
    }
    for statuses in outcome.values_mut() {
        statuses.sort();
    }
    assert!(
        !outcome.is_empty(),
        "the runner wrote no results: {said}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    outcome
}

/// The server of the scenarios.
struct Fixture {
    process: Child,
    port: u16,
}

impl Fixture {
    fn start() -> Self {
        let mut process = Command::new(node())
            .arg(folder().join("fixture.mjs"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("the fixture did not start: run ./test, or gateway/tests/setup"));
        Self { process, port }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.port)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

/// The Node.js that `gateway/tests/setup` left beside what was built.
fn node() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let installed = test.ancestors().map(|folder| folder.join("e2e/bin/node")).find(|node| node.exists());
    installed.expect("Node.js is not there: run ./test, or gateway/tests/setup")
}

/// Adds a token to every request, and changes nothing else.
struct Shim;

impl Shim {
    async fn before(gateway: SocketAddr, token: &str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let token = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let token = token.clone();
                let service = service_fn(move |request| add(token.clone(), gateway, request));
                tokio::spawn(async move {
                    auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        addr
    }
}

async fn add(
    token: HeaderValue,
    gateway: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, Infallible> {
    request.headers_mut().insert(AUTHORIZATION, token);
    let stream = TcpStream::connect(gateway).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    Ok(sender.send_request(request).await.unwrap())
}
