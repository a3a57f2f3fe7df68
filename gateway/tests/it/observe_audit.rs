//! The audit: what a line says, that none is lost in silence, and what happens while none can be written.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::binary::Process;
use crate::harness::{DEADLINE, Files, Gateway, POLICY, body, until};
use crate::logs;
use crate::raw::until_quiet;
use crate::upstream::{Upstream, respond};

const AUDIT: &str = "[audit]\nfile = \"audit.jsonl\"\n";

/// The whole lines so far. What follows the last line end is being written, or taken back because the disk is full.
fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let read = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    whole.lines().map(read).collect()
}

fn sha256(text: &str) -> String {
    digest(&SHA256, text.as_bytes())
        .as_ref()
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[tokio::test]
async fn a_line_says_who_asked_for_what_and_what_became_of_it() {
    let upstream = Upstream::plain().await;
    let policy = format!(
        "{POLICY}[tools.named]\nauth = \"oauth2\"\nscopes = [\"read\"]\naudit_arguments = [\"repo\", \"absent\"]\n"
    );
    let gateway = Gateway::with(&upstream.url(), &policy, "", AUDIT).await;
    let file = gateway.files.dir.path().join("audit.jsonl");
    let token = gateway.token_with("alex", "read other", &json!({ "jti": "the-token" }));
    let arguments = r#"{ "repo": "a/b", "password": "hunter2" }"#;
    let call = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"named","arguments":{arguments}}}}}"#
    );
    let response = gateway.post(&call).bearer_auth(&token).send().await.unwrap();
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    until("the line is written", || lines(&file).len() == 1).await;
    let mut line = lines(&file).remove(0);
    let fields = line.as_object_mut().unwrap();
    let time = fields.remove("time").unwrap();
    let time = time.as_str().unwrap();
    assert!(time.len() == "2026-11-21T16:00:00.000Z".len() && time.ends_with('Z'), "{time}");
    let latency = fields.remove("latency_us").unwrap().as_u64().unwrap();
    assert!(fields.remove("own_us").unwrap().as_u64().unwrap() <= latency);
    assert_eq!(fields.remove("policy_version").unwrap().as_str().unwrap(), &sha256(&policy)[..16]);
    let expected = json!({
        "request_id": id, "route": "/mcp", "client_address": "127.0.0.1", "http_method": "POST", "era": "legacy",
        "method": "tools/call", "object": "named", "rule": "tools.named", "decision": "as-user", "enforced": true,
        "issuer": "https://as.example", "subject": "alex", "client_id": "the-client",
        "token_id_sha256": sha256("the-token"), "scopes_asked": ["read"], "scopes_held": ["other", "read"],
        "arguments_sha256": sha256(arguments), "arguments": { "repo": "a/b" }, "status": 200, "upstream_status": 200,
    });
    assert_eq!(line, expected);
    let text = std::fs::read_to_string(&file).unwrap();
    for secret in ["hunter2", "the-token", &token] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn refusals_and_batches_are_on_record_and_what_nobody_decided_is_not() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::with(&upstream.url(), POLICY, "", AUDIT).await;
    let file = gateway.files.dir.path().join("audit.jsonl");
    let poor = gateway.token("poor", "other");
    gateway.call("closed").send().await.unwrap();
    gateway.call("closed").bearer_auth(&poor).send().await.unwrap();
    gateway.call("teaser").bearer_auth(&poor).send().await.unwrap();
    gateway.call("closed").bearer_auth("not.a.token").send().await.unwrap();
    gateway.call("nothing\nlike \"it\"").send().await.unwrap();
    gateway.post("{").send().await.unwrap();
    let one = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open","arguments":{}}}"#;
    let batch = format!("[{one},{}]", one.replace(":1,", ":2,"));
    gateway.post(&batch).send().await.unwrap();
    // nothing to decide
    gateway.client.get(gateway.url("/nowhere")).send().await.unwrap();
    gateway.call("open").header("host", "evil.example").send().await.unwrap();
    gateway.client.get(gateway.url("/.well-known/oauth-protected-resource/mcp")).send().await.unwrap();
    until("the lines are written", || lines(&file).len() >= 8).await;
    let seen: Vec<_> = lines(&file)
        .iter()
        .map(|line| {
            let text = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
            format!(
                "{} {} {} {} {}",
                text("decision"),
                text("rule"),
                text("subject"),
                line["status"],
                line["upstream_status"].as_u64().unwrap_or_default()
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            "sign-in tools.closed - 401 0",
            "insufficient-scope tools.closed poor 403 0",
            // served as nobody, but it is known who asked
            "anonymously tools.teaser poor 200 200",
            "invalid-token - - 401 0",
            "unknown defaults.tools - 200 0",
            "malformed - - 400 0",
            "anonymously tools.open - 200 200",
            "anonymously tools.open - 200 200",
        ]
    );
    // the client is told less
    assert_eq!(lines(&file)[3]["reason"], "no JWT with an algorithm that we know");
    assert_eq!(lines(&file)[4]["object"], "nothing\nlike \"it\"");
    let batch = &lines(&file)[6..];
    assert_eq!(batch[0]["request_id"], batch[1]["request_id"]);
}

#[tokio::test]
async fn a_call_whose_client_left_is_on_record() {
    let entered = Arc::new(Notify::new());
    let tell = Arc::clone(&entered);
    let upstream = Upstream::start(move |_| {
        tell.notify_one();
        std::future::pending()
    })
    .await;
    let gateway = Gateway::with(&upstream.url(), POLICY, "", AUDIT).await;
    let file = gateway.files.dir.path().join("audit.jsonl");
    let call = tokio::spawn(gateway.call("open").send());
    timeout(DEADLINE, entered.notified()).await.unwrap();
    call.abort();
    until("the line is written", || lines(&file).len() == 1).await;
    let line = &lines(&file)[0];
    assert_eq!((&line["decision"], &line["object"]), (&"anonymously".into(), &"open".into()));
    assert!(line.get("status").is_none() && line.get("upstream_status").is_none(), "{line}");
}

/// A client that sends the head of a request at once, and its body in two pieces after a while each.
#[tokio::test]
async fn the_time_that_a_client_takes_for_its_body_is_not_the_gateways_own() {
    const WHILE: Duration = Duration::from_millis(200);
    let upstream = Upstream::plain().await;
    let plain = format!(
        "{AUDIT}[[routes]]\npath = \"/plain\"\nkind = \"http\"\nauth = \"public\"\nupstream = \"http://{}/\"\n",
        upstream.addr
    );
    let gateway = Gateway::with(&upstream.url(), POLICY, "", &plain).await;
    let file = gateway.files.dir.path().join("audit.jsonl");
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"}}"#;
    for (index, path) in ["/mcp", "/plain"].into_iter().enumerate() {
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: application/json, \
             text/event-stream\r\ncontent-length: {}\r\n\r\n",
            gateway.addr,
            body.len()
        );
        let (first, second) = body.split_at(20);
        for piece in [head.as_str(), first, second] {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::time::sleep(WHILE).await;
        }
        let (answer, _) = until_quiet(&mut stream).await;
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
        until("the line is written", || lines(&file).len() == index + 1).await;
        let line = &lines(&file)[index];
        let (latency, own) = (line["latency_us"].as_u64().unwrap(), line["own_us"].as_u64().unwrap());
        // on a busy machine the gateway sees a piece later than it was sent
        assert!(u128::from(latency) >= WHILE.as_micros(), "{line}");
        assert!(u128::from(own) < WHILE.as_micros(), "{path}: {line}");
        // the wait for a body that goes on as it comes is part of that for the upstream, and counts once
        assert!(own > 0, "{path}: {line}");
    }
}

#[tokio::test]
async fn an_end_in_order_writes_every_line() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::with(&upstream.url(), POLICY, "", AUDIT).await;
    for _ in 0..20 {
        gateway.call("open").send().await.unwrap();
    }
    let files = gateway.stop().await;
    assert_eq!(lines(&files.dir.path().join("audit.jsonl")).len(), 20);
}

#[tokio::test]
async fn a_gateway_whose_audit_has_no_place_does_not_start() {
    let files = Files::new(POLICY);
    let audit = "[audit]\nfile = \"absent/audit.jsonl\"\n";
    files.configure("127.0.0.1:0".parse().unwrap(), "http://localhost", "http://127.0.0.1:1/", "", audit);
    let config = mcp_auth_gateway::config::Config::load(&files.config()).unwrap();
    let error = format!("{:#}", mcp_auth_gateway::start(config, Vec::new()).await.unwrap_err());
    assert!(error.starts_with("cannot write the audit to /") && error.contains("No such file"), "{error}");
}

#[tokio::test]
async fn on_a_full_disk_calls_go_on_and_the_log_says_so() {
    let upstream = Upstream::plain().await;
    let admin = "[admin]\nlisten = [\"127.0.0.1:0\"]\n[audit]\nfile = \"/dev/full\"\n";
    let gateway = Gateway::with(&upstream.url(), POLICY, "", admin).await;
    for _ in 0..5 {
        assert_eq!(gateway.call("open").send().await.unwrap().status(), StatusCode::OK);
    }
    until("the log says so", || {
        logs::with("the audit cannot be written").iter().any(|event| event["level"] == "ERROR")
    })
    .await;
    assert_eq!(gateway.call("open").send().await.unwrap().status(), StatusCode::OK);
    crate::faults_upstreams::intrude(&gateway).await;
    assert_eq!(upstream.got().len(), 6, "only what is permitted goes on");
    let ready = gateway.client.get(gateway.admin_url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK);
    let client = gateway.client.clone();
    let metrics = gateway.admin_url("/metrics");
    let text = client.get(metrics).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("mcp_gateway_audit_failing{to=\"file\"}"), "{text}");
    // what was never written is counted at the end, and said
    gateway.stop().await;
    until("the end says so", || !logs::with("lines of the audit are lost").is_empty()).await;
}

#[tokio::test]
async fn failing_closed_nothing_is_forwarded_that_cannot_be_put_on_record() {
    let upstream = Upstream::plain().await;
    let lines = "[admin]\nlisten = [\"127.0.0.1:0\"]\n[audit]\nfile = \"/dev/full\"\nfail_closed = true\n";
    let gateway = Gateway::with(&upstream.url(), POLICY, "", lines).await;
    // that the disk is full shows with the first line
    let begun = Instant::now();
    let refused = loop {
        assert!(begun.elapsed() < DEADLINE, "nothing is refused");
        let response = gateway.call("open").send().await.unwrap();
        if response.status() != StatusCode::OK {
            break response;
        }
    };
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    let answer = body(refused).await;
    assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(1), &json!(503)), "{answer}");
    let forwarded = upstream.got().len();
    for _ in 0..5 {
        assert_eq!(gateway.call("open").send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(gateway.call("closed").send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(upstream.got().len(), forwarded, "something was forwarded");
    let ready = gateway.client.get(gateway.admin_url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// The program under a limit to the size of files, which ends a write halfway as a full disk does.
#[tokio::test]
async fn after_a_full_disk_every_forwarded_call_is_on_record_once_and_whole() {
    let upstream = Upstream::plain().await;
    let files = Files::new(POLICY);
    let audit = "[audit]\nfile = \"audit.jsonl\"\nfail_closed = true\n";
    files.configure("127.0.0.1:0".parse().unwrap(), "http://localhost", &upstream.url(), "", audit);
    // in blocks of 512 bytes; without the trap, the system would end the program
    let command = format!(
        "trap '' XFSZ; ulimit -f 128; exec {} run --config {}",
        env!("CARGO_BIN_EXE_mcp-auth-gateway"),
        files.config().display()
    );
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command).stderr(Stdio::piped());
    let process = tokio::task::spawn_blocking(move || Process::spawn(shell)).await.unwrap();
    let client = reqwest::Client::new();
    let call = async || {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"}}"#;
        let request = client.post(format!("http://{}/mcp", process.addr)).body(body);
        let request = request
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        request.send().await.unwrap().status().as_u16()
    };
    let file = files.dir.path().join("audit.jsonl");
    let moved = files.dir.path().join("audit.moved");
    let begun = Instant::now();
    while call().await == 200 {
        assert!(begun.elapsed() < DEADLINE, "nothing is refused");
    }
    assert!(lines(&file).len() > 3);
    // a file in its place has room again
    std::fs::rename(&file, &moved).unwrap();
    let begun = Instant::now();
    while call().await != 200 {
        assert!(begun.elapsed() < DEADLINE, "it does not recover");
        // what is refused meanwhile is on record too, and must not fill the next file
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let all = || lines(&moved).into_iter().chain(lines(&file)).collect::<Vec<_>>();
    let forwarded = |lines: &[Value]| lines.iter().filter(|line| line["decision"] == "anonymously").count();
    until("every call is on record", || forwarded(&all()) == upstream.got().len()).await;
    let mut ids: Vec<_> = all().iter().map(|line| line["request_id"].to_string()).collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count, "a line is there twice");
}

#[tokio::test]
async fn a_collector_gets_every_line_once_however_often_it_refuses() {
    let (requests, got) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(Vec::new())));
    let (count, keep) = (Arc::clone(&requests), Arc::clone(&got));
    let collector = Upstream::start(move |request| {
        let fails = count.fetch_add(1, Ordering::Relaxed) < 2;
        assert_eq!(request.uri.path(), "/v1/logs");
        if !fails {
            let logs: Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(
                logs["resourceLogs"][0]["resource"]["attributes"][0]["value"]["stringValue"],
                "the-gateway"
            );
            for record in logs["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap() {
                let line: Value =
                    serde_json::from_str(record["body"]["stringValue"].as_str().unwrap()).unwrap();
                keep.lock().unwrap().push(line["request_id"].to_string());
            }
        }
        async move { respond(if fails { 503 } else { 200 }, &[], "{}") }
    })
    .await;
    let upstream = Upstream::plain().await;
    let lines = format!(
        "[audit]\notlp = \"http://{}\"\n[telemetry]\nservice_name = \"the-gateway\"\n",
        collector.addr
    );
    let gateway = Gateway::with(&upstream.url(), POLICY, "", &lines).await;
    let mut expected = Vec::new();
    for _ in 0..5 {
        let response = gateway.call("open").send().await.unwrap();
        expected.push(format!("\"{}\"", response.headers()["x-request-id"].to_str().unwrap()));
    }
    until("every line has come", || got.lock().unwrap().len() >= 5).await;
    assert_eq!(*got.lock().unwrap(), expected);
    assert!(requests.load(Ordering::Relaxed) >= 3);
}

/// A success in which lines were thrown away (OTLP, "Partial Success").
#[tokio::test]
async fn lines_that_a_collector_throws_away_are_counted_and_said() {
    let collector = Upstream::start(|_| async {
        let said = r#"{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"no room at this inn"}}"#;
        respond(200, &[("content-type", "application/json")], said)
    })
    .await;
    let upstream = Upstream::plain().await;
    let lines =
        format!("[admin]\nlisten = [\"127.0.0.1:0\"]\n[audit]\notlp = \"http://{}\"\n", collector.addr);
    let gateway = Gateway::with(&upstream.url(), POLICY, "", &lines).await;
    gateway.call("open").send().await.unwrap();
    until("the log says so", || !logs::with("no room at this inn").is_empty()).await;
    let said = &logs::with("no room at this inn")[0];
    assert_eq!((&said["level"], &said["message"]), (&"ERROR".into(), &"lines of the audit are lost".into()));
    // not again for each batch
    for _ in 0..3 {
        gateway.call("open").send().await.unwrap();
    }
    let client = gateway.client.clone();
    let url = gateway.admin_url("/metrics");
    let text = client.get(url).send().await.unwrap().text().await.unwrap();
    let lost = text.lines().find_map(|line| line.strip_prefix("mcp_gateway_audit_lost_total{to=\"otlp\"} "));
    assert!(lost.unwrap().parse::<u64>().unwrap() >= 1, "{text}");
    gateway.stop().await;
    // it was not sent again: what a collector took is done with
    let sent: Vec<_> = collector.got().iter().flat_map(|got| ids(&got.body)).collect();
    assert_eq!(sent.len(), 4, "{sent:?}");
    assert_eq!(logs::with("no room at this inn").len(), 1);
}

/// A page to sign in at, where a collector should be, would answer 200 to whoever is sent there.
#[tokio::test]
async fn a_collector_that_leads_elsewhere_has_taken_nothing() {
    let elsewhere =
        Upstream::start(|_| async { respond(200, &[("content-type", "text/html")], "sign in") }).await;
    let page = elsewhere.url();
    let collector = Upstream::start(move |_| {
        let page = page.clone();
        async move { respond(302, &[("location", &page)], "") }
    })
    .await;
    let upstream = Upstream::plain().await;
    let lines = format!("[audit]\notlp = \"http://{}\"\n", collector.addr);
    let gateway = Gateway::with(&upstream.url(), POLICY, "", &lines).await;
    gateway.call("open").send().await.unwrap();
    until("the log says so", || !logs::with("302 Found").is_empty()).await;
    assert!(elsewhere.got().is_empty());
}

/// The requests that the lines in the body of an export are of.
fn ids(body: &[u8]) -> Vec<String> {
    let logs: Value = serde_json::from_slice(body).unwrap();
    let records = logs["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap().clone();
    let line = |record: &Value| record["body"]["stringValue"].as_str().map(serde_json::from_str::<Value>);
    records.iter().map(|record| line(record).unwrap().unwrap()["request_id"].to_string()).collect()
}
