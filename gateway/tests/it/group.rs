//! Several addresses for one upstream: who gets what, where sessions live, how much is under way.

use std::time::Duration;

use mcp_auth_gateway::config::Config;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::backend::{Backend, Mode};
use crate::harness::{DEADLINE, Files, Gateway, POLICY, body, until};

/// A gateway in front of these servers; `route` are more lines for the route.
pub async fn before(servers: &[&Backend], route: &str) -> Gateway {
    Gateway::with(&list(servers), POLICY, "", route).await
}

fn list(servers: &[&Backend]) -> String {
    json!(servers.iter().map(|server| server.url()).collect::<Vec<_>>()).to_string()
}

/// Lets time pass for all that waits, without waiting.
pub async fn skip(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

/// Who answered.
pub async fn server(response: Response) -> String {
    assert_eq!(response.status(), 200);
    body(response).await["result"]["server"].as_str().unwrap().to_owned()
}

async fn counts(gateway: &Gateway, calls: usize) -> [usize; 2] {
    let mut counts = [0; 2];
    for _ in 0..calls {
        let server = server(gateway.call("open").send().await.unwrap()).await;
        counts[usize::from(server == "b")] += 1;
    }
    counts
}

pub fn initialize(gateway: &Gateway) -> reqwest::RequestBuilder {
    gateway.post(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#)
}

/// A new session: its id, and who keeps it.
pub async fn open(gateway: &Gateway) -> (String, String) {
    let response = initialize(gateway).send().await.unwrap();
    let id = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    (id, server(response).await)
}

/// The JSON-RPC error of a refusal, and after how many seconds to try again.
async fn refused(response: Response, status: u16) -> (String, Option<u64>) {
    assert_eq!(response.status(), status);
    let after = response.headers().get("retry-after").map(|after| after.to_str().unwrap().parse().unwrap());
    let answer = body(response).await;
    assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(status), &json!(1)), "{answer}");
    (answer["error"]["message"].as_str().unwrap().to_owned(), after)
}

#[tokio::test]
async fn calls_are_spread_evenly_while_all_are_quiet() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], "").await;
    assert_eq!(counts(&gateway, 20).await, [10, 10]);
}

#[tokio::test]
async fn a_server_that_works_gets_no_more_until_the_others_do() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], "").await;
    a.set(Mode::Hangs);
    let mut hanging = tokio::spawn(gateway.call("open").send());
    until("a call arrives", || a.count() + b.count() == 1).await;
    if a.count() == 0 {
        hanging.await.unwrap().unwrap();
        hanging = tokio::spawn(gateway.call("open").send());
        until("another one arrives", || a.count() == 1).await;
    }
    assert_eq!(counts(&gateway, 20).await, [0, 20]);
    assert_eq!(a.count(), 1);
    a.set(Mode::Well);
    hanging.abort();
    // who went away is no load, as soon as that is known
    timeout(DEADLINE, async { while counts(&gateway, 2).await != [1, 1] {} }).await.expect("load for ever");
    assert_eq!(counts(&gateway, 20).await, [10, 10]);
}

#[tokio::test]
async fn silent_streams_are_spread_among_themselves_and_starve_nobody() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], "").await;
    let mut streams = Vec::new();
    for _ in 0..6 {
        let get = gateway.client.get(gateway.url("/mcp")).header("accept", "text/event-stream");
        let mut stream = get.send().await.unwrap();
        assert_eq!(timeout(DEADLINE, stream.chunk()).await.unwrap().unwrap().unwrap(), "data: 1\n\n");
        streams.push(stream);
    }
    assert_eq!((a.count(), b.count()), (3, 3));
    assert_eq!(counts(&gateway, 20).await, [10, 10]);
}

#[tokio::test]
async fn a_session_stays_where_it_was_opened() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], "").await;
    for _ in 0..4 {
        let (session, keeper) = open(&gateway).await;
        for _ in 0..5 {
            let call = gateway.call("open").header("mcp-session-id", &session);
            assert_eq!(server(call.send().await.unwrap()).await, keeper);
        }
        let stream = gateway.client.get(gateway.url("/mcp")).header("mcp-session-id", &session);
        assert_eq!(stream.send().await.unwrap().status(), 200);
        let end = gateway.client.delete(gateway.url("/mcp")).header("mcp-session-id", &session);
        assert_eq!(end.send().await.unwrap().status(), 200);
    }
    for (name, heard) in [("a", a.heard()), ("b", b.heard())] {
        assert!(heard.iter().any(|heard| heard.method == "DELETE"), "{name} had no session");
        for heard in heard {
            let session = heard.headers.get("mcp-session-id");
            assert!(session.is_none_or(|session| session.starts_with(&format!("{name}-1-"))), "{heard:?}");
        }
    }
}

/// The same secrets and the same servers, in another order: nothing else is shared, and no Redis.
#[tokio::test]
async fn a_session_that_one_gateway_opened_goes_on_at_the_other() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let files = Files::new(POLICY);
    std::fs::write(files.dir.path().join("secrets"), "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n")
        .unwrap();
    let mut gateways = Vec::new();
    for servers in [[&a, &b], [&b, &a]] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        files.configure(addr, "http://localhost:3000", &list(&servers), "", "");
        let text = std::fs::read_to_string(files.config()).unwrap();
        std::fs::write(files.config(), format!("{text}[state]\nsession_secrets_file = \"secrets\"\n"))
            .unwrap();
        let config = Config::load(&files.config()).unwrap_or_else(|error| panic!("{error}"));
        let running = mcp_auth_gateway::start(config, vec![listener]).await.unwrap();
        gateways.push((format!("http://{addr}/mcp"), running));
    }
    let token = files.token("http://localhost:3000/mcp", "alex", "read", &json!({}));
    let client = reqwest::Client::new();
    let call = |gateway: usize, body: &str, session: Option<&str>| {
        let request = client.post(&gateways[gateway].0).bearer_auth(&token).body(body.to_owned());
        let request = request.header("content-type", "application/json");
        match session {
            Some(session) => request.header("mcp-session-id", session),
            None => request,
        }
        .send()
    };
    let opening = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;
    let tool = r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"closed"}}"#;
    for round in 0..8 {
        let (here, there) = (round % 2, 1 - round % 2);
        let opened = call(here, opening, None).await.unwrap();
        let session = opened.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        let keeper = server(opened).await;
        for gateway in [here, there, there, here, there] {
            assert_eq!(server(call(gateway, tool, Some(&session)).await.unwrap()).await, keeper);
        }
    }
    assert!(a.count() > 0 && b.count() > 0);
}

async fn until_status<F: Future<Output = reqwest::Result<Response>>>(call: impl Fn() -> F, status: u16) {
    timeout(DEADLINE, async {
        while call().await.unwrap().status() != status {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("never {status}"));
}

#[tokio::test]
async fn the_longest_id_with_room_for_its_address_passes_and_a_longer_one_is_withheld() {
    use crate::upstream::{Upstream, respond};

    for (length, status) in [(1015, 200), (1016, 502)] {
        let answer = move |_| async move {
            let id = "x".repeat(length);
            respond(200, &[("mcp-session-id", &id)], r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)
        };
        let (one, other) = (Upstream::start(answer).await, Upstream::start(answer).await);
        let gateway = Gateway::with(&json!([one.url(), other.url()]).to_string(), POLICY, "", "").await;
        let response = initialize(&gateway).send().await.unwrap();
        assert_eq!(response.status(), status, "{length}");
        if status == 200 {
            let session = &response.headers()["mcp-session-id"];
            gateway.call("open").header("mcp-session-id", session).send().await.unwrap();
            let got = [one.got(), other.got()].concat();
            assert_eq!(got[1].header("mcp-session-id"), Some(&*"x".repeat(length)));
        }
    }
}

#[tokio::test]
async fn what_is_more_than_the_upstream_can_take_waits_and_what_is_more_than_may_wait_is_refused() {
    let server = Backend::start("a").await;
    let limits = "concurrency = { max_requests = 1, max_queue = 1, queue_seconds = 7 }";
    let gateway = Gateway::with(&server.url(), POLICY, "", limits).await;
    server.set(Mode::Hangs);
    let first = tokio::spawn(gateway.call("open").send());
    until("the first arrives", || server.count() == 1).await;
    let second = tokio::spawn(gateway.call("open").send());
    // the queue is not seen from outside: one of the next two is the second in it
    let mut refusals = 0;
    while refusals == 0 {
        let third = gateway.call("open").send();
        if let Ok(response) = timeout(Duration::from_millis(100), third).await {
            let (message, after) = refused(response.unwrap(), 503).await;
            assert_eq!(after, Some(7));
            assert!(message.contains("too much to do"), "{message}");
            refusals += 1;
        }
    }
    assert_eq!(server.count(), 1, "more than one at a time");
    // who goes away makes room for who waits
    server.set(Mode::Well);
    first.abort();
    assert_eq!(timeout(DEADLINE, second).await.unwrap().unwrap().unwrap().status(), 200);
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn who_waits_for_too_long_is_told_when_to_come_back() {
    let server = Backend::start("a").await;
    let limits = "concurrency = { max_requests = 1, max_queue = 1, queue_seconds = 1 }";
    let gateway = Gateway::with(&server.url(), POLICY, "", limits).await;
    server.set(Mode::Hangs);
    let first = tokio::spawn(gateway.call("open").send());
    until("the first arrives", || server.count() == 1).await;
    let (_, after) = refused(gateway.call("open").send().await.unwrap(), 503).await;
    assert_eq!(after, Some(1));
    assert_eq!(server.count(), 1);
    first.abort();
}

/// More streams than slots, and still there is room.
#[tokio::test]
async fn streams_hold_no_slots() {
    let server = Backend::start("a").await;
    let gateway =
        Gateway::with(&server.url(), POLICY, "", "concurrency = { max_requests = 1, max_queue = 0 }").await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        let get = gateway.client.get(gateway.url("/mcp")).header("accept", "text/event-stream");
        let stream = get.send().await.unwrap();
        assert_eq!(stream.status(), 200);
        streams.push(stream);
    }
    assert_eq!(gateway.call("open").send().await.unwrap().status(), 200);
}

const MODERN: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;

/// A modern call without the header that repeats its method: the layer refuses it, but in front of a legacy server.
async fn unsound(gateway: &Gateway) -> reqwest::Result<Response> {
    gateway.post(MODERN).header("mcp-protocol-version", "2026-07-28").send().await
}

#[tokio::test]
async fn the_era_of_an_upstream_is_asked_and_asked_again_when_it_comes_back() {
    let mut server = Backend::start("a").await;
    let gateway = Gateway::with(&server.url(), POLICY, "", "upstream_era = \"auto\"").await;
    until_status(|| unsound(&gateway), 200).await;
    let question =
        server.heard().into_iter().find(|heard| heard.body["method"] == "server/discover").unwrap();
    assert_eq!(question.headers["mcp-method"], "server/discover");
    assert!(!question.headers.keys().any(|name| name == "authorization" || name.starts_with("x-auth-")));
    assert_eq!(question.body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");

    // another server, at the same address
    server.kill().await;
    server.discovers(
        200,
        r#"{"jsonrpc":"2.0","id":"gateway","result":{"supportedVersions":["2026-07-28"],"resultType":"complete"}}"#,
    );
    assert_eq!(gateway.call("open").send().await.unwrap().status(), 502);
    // nothing is known of a server that is down
    assert_eq!(unsound(&gateway).await.unwrap().status(), 400);
    server.revive().await;
    server.heard();
    assert_eq!(unsound(&gateway).await.unwrap().status(), 400);
    until("the server is asked again", || {
        server.heard().iter().any(|heard| heard.body["method"] == "server/discover")
    })
    .await;
    assert_eq!(unsound(&gateway).await.unwrap().status(), 400);
}

/// An answer that shows that a legacy server has become another one, without a failure in between.
#[tokio::test]
async fn an_era_that_is_doubtful_is_asked_for_again() {
    let server = Backend::start("a").await;
    let gateway = Gateway::with(&server.url(), POLICY, "", "upstream_era = \"auto\"").await;
    until_status(|| unsound(&gateway), 200).await;
    server.discovers(400, &json!({"jsonrpc": "2.0", "error": {"code": -32020, "message": ""}}).to_string());
    unsound(&gateway).await.unwrap();
    skip(10).await;
    until_status(|| unsound(&gateway), 400).await;
}

#[tokio::test]
async fn an_upstream_is_not_asked_for_its_era_unless_that_is_wanted() {
    let server = Backend::start("a").await;
    let gateway = Gateway::with(&server.url(), POLICY, "", "").await;
    assert_eq!(unsound(&gateway).await.unwrap().status(), 400);
    gateway.call("open").send().await.unwrap();
    let heard: Vec<Value> = server.heard().into_iter().map(|heard| heard.body["method"].clone()).collect();
    assert_eq!(heard, ["tools/call"]);
}
