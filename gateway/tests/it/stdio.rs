//! MCP servers that are processes: whatever they do, and whoever asks.

use std::path::Path;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Gateway, body, until};
use crate::logs;

const POLICY: &str = "version = 1\n[defaults]\ntools = \"public\"\nmethods = \"public\"\n";

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stdio/server.py");

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}"#;

/// A gateway before the server, with arguments for it and more keys of its table; answers wait three seconds.
async fn gateway(arguments: &str, keys: &str) -> Gateway {
    let upstream = format!("{{ command = [\"python3\", \"{SERVER}\"{arguments}]{keys} }}");
    let route = "upstream_era = \"legacy\"\nresponse_timeout_seconds = 3";
    Gateway::with(&upstream, POLICY, "", route).await
}

/// A session with the server.
struct Session<'a> {
    gateway: &'a Gateway,
    id: String,
}

impl<'a> Session<'a> {
    async fn open(gateway: &'a Gateway) -> Self {
        let response = initialize(gateway).await;
        assert_eq!(response.status(), 200);
        let id = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        let answer = body(response).await;
        assert_eq!((&answer["id"], &answer["result"]["serverInfo"]["name"]), (&json!("i"), &json!("test")));
        Self { gateway, id }
    }

    fn send(&self, message: &Value) -> reqwest::RequestBuilder {
        self.gateway.post(&message.to_string()).header("mcp-session-id", &self.id)
    }

    fn call(&self, id: &Value, tool: &str, arguments: &Value) -> reqwest::RequestBuilder {
        let params = json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": "p" } });
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }))
    }

    /// The text that a tool gives.
    async fn text(&self, tool: &str) -> String {
        let answer = body(self.call(&json!(1), tool, &json!({})).send().await.unwrap()).await;
        assert_eq!(answer["id"], 1, "{answer}");
        answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    fn request(&self, method: reqwest::Method) -> reqwest::RequestBuilder {
        let request = self.gateway.client.request(method, self.gateway.url("/mcp"));
        request.header("mcp-session-id", &self.id).header("accept", "text/event-stream")
    }

    async fn delete(&self) {
        assert_eq!(self.request(reqwest::Method::DELETE).send().await.unwrap().status(), 204);
    }
}

async fn initialize(gateway: &Gateway) -> reqwest::Response {
    gateway.post(INITIALIZE).send().await.unwrap()
}

async fn is_gone(pid: &str) {
    let path = format!("/proc/{pid}/stat");
    // a process that was killed stays as a zombie until its parent has looked
    let gone = || std::fs::read_to_string(&path).map_or(true, |stat| stat.contains(") Z "));
    until("the process is gone", gone).await;
}

/// The messages of an event stream.
fn events(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_session_has_a_process_of_its_own_which_ends_with_it() {
    let gateway = gateway("", "").await;
    let (one, other) = (Session::open(&gateway).await, Session::open(&gateway).await);
    assert_ne!(one.id, other.id);
    let (pid, other_pid) = (one.text("pid").await, other.text("pid").await);
    assert_ne!(pid, other_pid);
    assert_eq!(one.text("pid").await, pid);
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    one.delete().await;
    is_gone(&pid).await;
    assert_eq!(one.call(&json!(1), "pid", &json!({})).send().await.unwrap().status(), 404);
    assert_eq!(one.request(reqwest::Method::GET).send().await.unwrap().status(), 404);
    assert_eq!(other.text("pid").await, other_pid);
    drop(gateway);
    is_gone(&other_pid).await;
}

#[tokio::test]
async fn without_a_session_there_is_no_process() {
    let gateway = gateway("", "").await;
    let call = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": "pid" } });
    let refused = gateway.post(&call.to_string()).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert_eq!(body(refused).await["id"], 7);
    let unknown = gateway.post(&call.to_string()).header("mcp-session-id", "guessed").send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    let batch = format!("[{call}]");
    let refused = gateway.post(&batch).header("mcp-protocol-version", "2025-03-26").send().await.unwrap();
    assert_eq!(refused.status(), 400);
}

#[tokio::test]
async fn what_the_server_says_goes_on_byte_for_byte_with_the_clients_own_id() {
    let gateway = gateway("", "").await;
    let session = Session::open(&gateway).await;
    for id in [json!(1), json!("1"), json!("a\"b\u{e9}"), json!(-5)] {
        let response = session.call(&id, "echo", &json!({ "text": "line\nbreak" })).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/json");
        let text = response.text().await.unwrap();
        // a number is spelled as the server spelled it
        assert!(text.contains("\"unknown\": 1.5"), "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&id, &json!("line\nbreak")));
    }
    // over several lines
    let pretty = "{\n \"jsonrpc\":\"2.0\",\r\n \"id\":1, \"method\":\"tools/call\",\n\"params\":{\"name\":\"echo\",\n\"arguments\":{\"text\":\"x\"}}}\n";
    let response = gateway.post(pretty).header("mcp-session-id", &session.id).send().await.unwrap();
    assert_eq!(body(response).await["result"]["content"][0]["text"], "x");
}

#[tokio::test]
async fn clients_of_one_process_never_get_each_others_answers() {
    let gateway = gateway("", ", sessions = \"shared\"").await;
    let sessions =
        [Session::open(&gateway).await, Session::open(&gateway).await, Session::open(&gateway).await];
    let pids = join_all(sessions.iter().map(|session| session.text("pid"))).await;
    assert!(pids.iter().all(|pid| *pid == pids[0]), "{pids:?}");
    let calls = (0..60).map(|number| {
        let session = &sessions[number % 3];
        async move {
            // all with the same id and the same token, the later the sooner
            let seconds = f64::from(u8::try_from(60 - number).unwrap()) / 200.0;
            let arguments = json!({ "text": number.to_string(), "seconds": seconds });
            let answer = body(session.call(&json!(1), "echo", &arguments).send().await.unwrap()).await;
            assert_eq!(answer["result"]["content"][0]["text"], number.to_string());
            let progress =
                session.call(&json!(1), "progress", &json!({})).send().await.unwrap().text().await.unwrap();
            let events = events(&progress);
            assert_eq!(events.len(), 3, "{progress}");
            assert!(events[..2].iter().all(|event| event["params"]["progressToken"] == "p"), "{progress}");
        }
    });
    join_all(calls).await;
    // one client's end is not that of the others
    sessions[0].delete().await;
    assert_eq!(sessions[1].text("pid").await, pids[0]);
    // nor can it cancel what is not its own
    let hanging = sessions[1].call(&json!(9), "hang", &json!({})).send();
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 9 } });
    let cancelling = async {
        assert_eq!(sessions[2].send(&cancel).send().await.unwrap().status(), 202);
    };
    let (response, ()) = tokio::join!(hanging, cancelling);
    assert_eq!(response.unwrap().status(), 504);
}

#[tokio::test]
async fn progress_comes_before_the_answer_and_a_client_that_takes_no_stream_gets_the_answer_alone() {
    let gateway = gateway("", "").await;
    let session = Session::open(&gateway).await;
    let response = session.call(&json!("x"), "progress", &json!({})).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let events = events(&response.text().await.unwrap());
    let progress: Vec<_> = events.iter().map(|event| &event["params"]["progress"]).collect();
    assert_eq!(progress, [&json!(1), &json!(2), &Value::Null]);
    assert!(events[..2].iter().all(|event| event["params"]["progressToken"] == "p"));
    assert_eq!((&events[2]["id"], &events[2]["result"]["content"][0]["text"]), (&json!("x"), &json!("done")));
    let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "progress", "_meta": { "progressToken": 5 } } });
    let response = gateway
        .client
        .post(gateway.url("/mcp"))
        .header("content-type", "application/json")
        .header("accept", "application/json")
        .header("mcp-session-id", &session.id)
        .body(message.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(body(response).await["result"]["content"][0]["text"], "done");
}

#[tokio::test]
async fn a_request_is_cancelled_by_its_own_client() {
    let gateway = gateway("", "").await;
    let session = Session::open(&gateway).await;
    let cancel =
        json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": "h" } });
    let hanging = session.call(&json!("h"), "hang", &json!({})).send();
    let cancelling = async {
        // the request may not have been sent yet
        loop {
            assert_eq!(session.send(&cancel).send().await.unwrap().status(), 202);
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        response = hanging => {
            assert_eq!(body(response.unwrap()).await["result"]["content"][0]["text"], "cancelled");
        }
        () = cancelling => {}
    }
}

#[tokio::test]
async fn a_server_that_dies_ends_its_requests_and_its_session() {
    let gateway = gateway("", "").await;
    let session = Session::open(&gateway).await;
    let hanging = session.call(&json!(1), "hang", &json!({})).send();
    let dying = session.call(&json!("d"), "die", &json!({})).send();
    let (hung, died) = tokio::join!(hanging, dying);
    for (response, id) in [(hung, json!(1)), (died, json!("d"))] {
        let response = response.unwrap();
        let status = response.status().as_u16();
        let answer = body(response).await;
        // whichever came first: no answer, or no session any more
        assert!(matches!(status, 502 | 404), "{answer}");
        assert_eq!(answer["id"], id);
    }
    assert_eq!(session.call(&json!(1), "pid", &json!({})).send().await.unwrap().status(), 404);
    // what it said is in the log, with nothing that a terminal would obey
    let said = || logs::with("dying").iter().any(|line| line["line"] == "dying \\u{1b}[31mred");
    until("standard error is logged", said).await;

    let session = Session::open(&gateway).await;
    let response = session.call(&json!(2), "progress_and_die", &json!({})).send().await.unwrap();
    let events = events(&response.text().await.unwrap());
    assert_eq!((&events[1]["id"], &events[1]["error"]["code"]), (&json!(2), &json!(502)));
    // one that all share is started anew
    let shared = self::gateway("", ", sessions = \"shared\"").await;
    let session = Session::open(&shared).await;
    assert_eq!(session.call(&json!(1), "die", &json!({})).send().await.unwrap().status(), 502);
    let session = Session::open(&shared).await;
    assert!(!session.text("pid").await.is_empty());
}

#[tokio::test]
async fn what_is_no_message_disturbs_nobody_and_a_flood_is_bounded() {
    let gateway = gateway("", "").await;
    let session = Session::open(&gateway).await;
    assert_eq!(session.text("garbage").await, "after garbage");
    let response = session.call(&json!(1), "flood", &json!({})).send().await.unwrap();
    let events = events(&response.text().await.unwrap());
    assert_eq!(events.last().unwrap()["result"]["content"][0]["text"], "after the flood");
    assert_eq!(session.text("echo").await, "");
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_server() {
    let gateway = gateway("", ", max_message_bytes = 100000").await;
    let session = Session::open(&gateway).await;
    let pid = session.text("pid").await;
    let response = session.call(&json!(1), "huge", &json!({})).send().await.unwrap();
    assert_eq!(response.status(), 502);
    is_gone(&pid).await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_not_waited_for_for_ever() {
    let gateway = gateway("", "").await;
    let session = Session::open(&gateway).await;
    let response = session.call(&json!(1), "hang", &json!({})).send().await.unwrap();
    assert_eq!(response.status(), 504);
    assert_eq!(body(response).await["error"]["code"], 504);
    assert_eq!(session.text("echo").await, "");

    let silent = self::gateway(", \"silent\"", ", start_timeout_seconds = 1").await;
    assert_eq!(initialize(&silent).await.status(), 504);
    let paused = initialize(&silent).await;
    assert_eq!(paused.status(), 503);
    assert!(paused.headers().contains_key("retry-after"));
    // one that says no has no session either
    let unwilling = self::gateway(", \"unwilling\"", "").await;
    let refused = initialize(&unwilling).await;
    assert!(!refused.headers().contains_key("mcp-session-id"));
    assert_eq!(body(refused).await["error"]["code"], -32601);
}

#[tokio::test]
async fn a_server_that_ends_for_no_one_is_killed_with_all_that_it_started() {
    let gateway = gateway(", \"stubborn\"", "").await;
    let session = Session::open(&gateway).await;
    let pid = session.text("pid").await;
    session.delete().await;
    is_gone(&pid).await;
    // a shell that waits for a child of its own, and one that leaves behind a child of its own when it ends in order
    for last in ["; wait", ""] {
        leaves_nothing_behind(&format!("sleep 1000 & echo $! >&2; python3 {SERVER}{last}")).await;
    }
}

async fn leaves_nothing_behind(script: &str) {
    let upstream = format!("{{ command = [\"sh\", \"-c\", \"{script}\"] }}");
    let nested = Gateway::with(&upstream, POLICY, "", "upstream_era = \"legacy\"").await;
    let before = logs::with("an MCP server says").len();
    let session = Session::open(&nested).await;
    let said = || {
        logs::with("an MCP server says").into_iter().skip(before).find_map(|line| {
            line["line"].as_str().filter(|line| line.parse::<u32>().is_ok()).map(str::to_owned)
        })
    };
    until("the shell says which", || said().is_some()).await;
    session.delete().await;
    is_gone(&said().unwrap()).await;
}

#[tokio::test]
async fn sessions_are_so_many_and_end_when_nobody_uses_them() {
    let gateway = gateway("", ", max_sessions = 1, idle_seconds = 1").await;
    let session = Session::open(&gateway).await;
    let pid = session.text("pid").await;
    let full = initialize(&gateway).await;
    assert_eq!(full.status(), 503);
    assert!(full.headers().contains_key("retry-after"));
    is_gone(&pid).await;
    assert_eq!(session.call(&json!(1), "pid", &json!({})).send().await.unwrap().status(), 404);
    Session::open(&gateway).await;
}

/// A session of somebody who signed in; nothing where there is no place for it.
async fn open_as(gateway: &Gateway, subject: &str) -> Option<String> {
    let request = gateway.post(INITIALIZE).bearer_auth(gateway.token(subject, "read"));
    let response = request.send().await.unwrap();
    let id = response.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
    assert_eq!(response.status(), if id.is_some() { 200 } else { 503 });
    id
}

#[tokio::test]
async fn strangers_keep_no_user_out() {
    for sessions in ["per_session", "shared"] {
        let gateway = gateway("", &format!(", sessions = \"{sessions}\", max_sessions = 4")).await;
        let (used, unused) = (Session::open(&gateway).await, Session::open(&gateway).await);
        let pid = used.text("pid").await;
        let stream = unused.request(reqwest::Method::GET).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        // half of them are for those who sign in
        assert_eq!(initialize(&gateway).await.status(), 503);
        let mut ids = Vec::new();
        for subject in ["alex", "blake", "casey"] {
            ids.push(open_as(&gateway, subject).await.unwrap());
        }
        let status = async |session: &Session<'_>| {
            session.call(&json!(1), "pid", &json!({})).send().await.unwrap().status().as_u16()
        };
        assert_eq!((status(&unused).await, status(&used).await), (404, 200));
        assert_eq!(stream.text().await.unwrap(), "", "its stream ends as well");
        ids.push(open_as(&gateway, "drew").await.unwrap());
        assert_eq!(status(&used).await, 404);
        if sessions == "per_session" {
            is_gone(&pid).await;
        }
        assert_eq!(open_as(&gateway, "emery").await, None);
        for (subject, id) in ["alex", "blake", "casey", "drew"].iter().zip(&ids) {
            let call = gateway.call("pid").bearer_auth(gateway.token(subject, "read"));
            assert_eq!(call.header("mcp-session-id", id).send().await.unwrap().status(), 200, "{subject}");
        }
    }
}

#[tokio::test]
async fn whom_a_server_does_not_survive_keeps_no_user_out() {
    let gateway = gateway("", "").await;
    let fatal = INITIALIZE.replace(r#""name":"c""#, r#""name":"fatal""#);
    assert_eq!(gateway.post(&fatal).send().await.unwrap().status(), 502);
    assert!(open_as(&gateway, "alex").await.is_some());
}

/// Each is ended at once, however little it wants to.
#[tokio::test]
async fn who_opens_one_session_after_the_other_leaves_no_processes_behind() {
    let limits = ", max_sessions = 2, max_anonymous_sessions = 1, max_anonymous_sessions_per_address = 1";
    let mark = "one-session-after-the-other";
    let gateway = gateway(&format!(", \"stubborn\", \"{mark}\""), limits).await;
    let running = || {
        let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let commands = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        commands.filter(|command| command.ends_with(format!("{mark}\0").as_bytes())).count()
    };
    for session in 0..20 {
        // one that is not served comes back later
        let opened = async || initialize(&gateway).await.status() == 200;
        while !opened().await {
            tokio::task::yield_now().await;
        }
        assert!(running() <= 5, "{} after {session}", running());
    }
    until("all but the last one are gone", || running() <= 1).await;
}

/// The first question may come before there is anybody to answer it.
#[tokio::test]
async fn a_server_that_is_there_later_is_asked_again_what_it_speaks() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("server.sh");
    let upstream = format!("{{ command = [\"{}\"] }}", program.display());
    let gateway = Gateway::with(&upstream, POLICY, "", "").await;
    until("it could not be asked", || !logs::with("did not start in time to be asked").is_empty()).await;
    let script = folder.path().join("script");
    std::fs::write(&script, format!("#!/bin/sh\nexec python3 {SERVER} modern\n")).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&script, executable).unwrap();
    // at once, because nobody can run a file that is being written
    std::fs::rename(&script, &program).unwrap();
    let known = || logs::with("it is known which revisions").iter().any(|line| line["era"] == "Modern");
    until("the server has said what it speaks", known).await;
    drop(gateway);
}

#[tokio::test]
async fn an_address_has_a_share_of_what_strangers_have() {
    let gateway = gateway("", ", max_anonymous_sessions_per_address = 1").await;
    let first = Session::open(&gateway).await;
    let second = Session::open(&gateway).await;
    let call = first.call(&json!(1), "pid", &json!({}));
    assert_eq!(call.send().await.unwrap().status(), 404, "one in which nothing was asked gives way");
    let pid = second.text("pid").await;
    assert_eq!(initialize(&gateway).await.status(), 503);
    // once somebody signs in in it, it is no stranger's
    let call = second.call(&json!(1), "pid", &json!({})).bearer_auth(gateway.token("alex", "read"));
    assert_eq!(body(call.send().await.unwrap()).await["result"]["content"][0]["text"], pid);
    Session::open(&gateway).await;
}

#[tokio::test]
async fn a_server_has_the_environment_that_it_is_given() {
    let gateway = gateway("", ", env = { TOKEN = \"s3cret-env\" }, pass_env = [\"CARGO_PKG_NAME\"]").await;
    let session = Session::open(&gateway).await;
    let env: Value = serde_json::from_str(&session.text("env").await).unwrap();
    assert_eq!((&env["TOKEN"], &env["CARGO_PKG_NAME"]), (&json!("s3cret-env"), &json!("mcp-auth-gateway")));
    // where `python3` is a script, it sets some of its own, but none of these
    let ours = |name: &String| name.starts_with("CARGO") && name != "CARGO_PKG_NAME";
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        assert_eq!(env[&name], Value::Null, "{name}");
    }
    assert!(
        std::env::vars().any(|(name, _)| name == "CARGO_MANIFEST_DIR"),
        "there is one that is not passed"
    );
    assert!(logs::with("s3cret-env").is_empty());
}

#[tokio::test]
async fn a_server_asks_its_own_client_and_nobody_else_answers() {
    let gateway = gateway("", "").await;
    let (session, other) = (Session::open(&gateway).await, Session::open(&gateway).await);
    let mut stream = session.request(reqwest::Method::GET).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let asking = session.call(&json!(1), "ask", &json!({})).send();
    let answering = async {
        let event = stream.chunk().await.unwrap().unwrap();
        let asked = events(std::str::from_utf8(&event).unwrap());
        assert_eq!((&asked[0]["id"], &asked[0]["method"]), (&json!("s-1"), &json!("roots/list")));
        let answer = |text: &str| json!({ "jsonrpc": "2.0", "id": "s-1", "result": text });
        assert_eq!(other.send(&answer("of another")).send().await.unwrap().status(), 202);
        for text in ["of the client", "once more"] {
            assert_eq!(session.send(&answer(text)).send().await.unwrap().status(), 202);
        }
    };
    let (response, ()) = tokio::join!(asking, answering);
    let answered = events(&response.unwrap().text().await.unwrap());
    assert_eq!(answered[0]["result"]["content"][0]["text"], "\"of the client\"");
    // what the server gets besides could answer a later request of its own
    assert_eq!(session.text("answers").await, "1");
}

/// The Python SDK sends nothing while the head of an answer is out, when it has somebody to sign in: what the server asks
/// during a call would wait for the call, and the call for it.
#[tokio::test]
async fn the_answer_to_a_call_begins_when_its_server_asks_back() {
    let gateway = gateway("", "").await;
    let session = Session::open(&gateway).await;
    let mut stream = session.request(reqwest::Method::GET).send().await.unwrap();
    let response = session.call(&json!(1), "ask", &json!({})).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let asked = events(std::str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
    assert_eq!(asked[0]["method"], "roots/list");
    let answer = json!({ "jsonrpc": "2.0", "id": "s-1", "result": "late" });
    assert_eq!(session.send(&answer).send().await.unwrap().status(), 202);
    let text = response.text().await.unwrap();
    assert!(text.starts_with(":\n\n"), "{text}");
    assert_eq!(events(&text)[0]["result"]["content"][0]["text"], "\"late\"");
}

#[tokio::test]
async fn a_command_that_cannot_be_run_is_not_run_again_at_once() {
    let upstream = "{ command = [\"/nowhere/to/be/found\"] }";
    let gateway = Gateway::with(upstream, POLICY, "", "upstream_era = \"legacy\"").await;
    for _ in 0..2 {
        let response = initialize(&gateway).await;
        assert_eq!(response.status(), 503);
        assert!(response.headers().contains_key("retry-after"));
        assert!(!response.text().await.unwrap().contains("nowhere"), "nothing internal leaks");
    }
    assert_eq!(logs::with("an MCP server cannot be started").len(), 1);
}

#[tokio::test]
async fn a_server_of_the_modern_revision_is_found_out_and_has_no_sessions() {
    let upstream = format!("{{ command = [\"python3\", \"{SERVER}\", \"modern\"] }}");
    let gateway = Gateway::with(&upstream, POLICY, "", "").await;
    let known = || logs::with("it is known which revisions").iter().any(|line| line["era"] == "Modern");
    until("the server has said what it speaks", known).await;
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
    });
    let message = json!({
        "jsonrpc": "2.0", "id": 4, "method": "tools/call", "params": { "name": "pid", "_meta": meta },
    });
    let call = || {
        gateway
            .post(&message.to_string())
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", "pid")
            .send()
    };
    let (one, other) = (call().await.unwrap(), call().await.unwrap());
    assert_eq!(one.status(), 200);
    assert!(!one.headers().contains_key("mcp-session-id"));
    let (one, other) = (body(one).await, body(other).await);
    assert_eq!(one["id"], 4);
    assert_eq!(one["result"], other["result"], "one process serves all");
}
