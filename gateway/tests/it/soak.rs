//! Mixed load beside many open streams: memory and descriptors must not grow.
//!
//! | variable | default | `./test --full` |
//! |---|---|---|
//! | `MCP_AUTH_SOAK_SECONDS` | 6 | 1800 |
//! | `MCP_AUTH_SOAK_STREAMS` | 60 | 2000 |

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::binary::Process;
use crate::harness::{DEADLINE, Files};
use crate::upstream::{json, respond};

const POLICY: &str = "\
version = 1
[tools.open]
auth = \"public\"
[tools.events]
auth = \"public\"
[tools.closed]
auth = \"oauth2\"
scopes = [\"read\"]
";

/// How often each stream gets an event.
const EVENT_EVERY: Duration = Duration::from_millis(500);
/// Loops of mixed load at once.
const CALLERS: usize = 8;
/// Ids that make one mixed round.
const ROUND: [&str; 6] =
    ["open", "closed", "closed without a token", "denied", "garbage", "an aborted stream"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how long the test runs is for whoever runs it")]
async fn neither_memory_nor_descriptors_grow_under_mixed_load() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
    };
    let seconds = number("MCP_AUTH_SOAK_SECONDS", 6);
    let streams = number("MCP_AUTH_SOAK_STREAMS", 60);
    let long = seconds >= 600;

    let upstream = upstream().await;
    let files = Files::new(POLICY);
    let limits = "[server.limits]\nmax_connections_per_address = 8192\n";
    files.configure("127.0.0.1:0".parse().unwrap(), "http://localhost:3000", &upstream, limits, "");
    let token = Arc::new(files.token(
        "http://localhost:3000/mcp",
        "alex",
        "read",
        &json!({"exp": 99_999_999_999_u64}),
    ));
    let (process, _files) =
        tokio::task::spawn_blocking(move || (Process::start(&files), files)).await.unwrap();
    let usage = Usage(process.id());
    let url = Arc::<str>::from(format!("http://{}/mcp", process.addr));
    let at_rest = usage.descriptors();

    let open = Arc::new(Streams::default());
    let mut tasks = JoinSet::new();
    let client = reqwest::Client::new();
    for _ in 0..streams {
        tasks.spawn(listen(client.clone(), Arc::clone(&url), Arc::clone(&open)));
    }
    eventually("every stream is open", || open.opened.load(Ordering::Relaxed) == streams).await;

    let rounds = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let caller =
            Caller { client: reqwest::Client::new(), url: Arc::clone(&url), token: Arc::clone(&token) };
        let (rounds, ended) = (Arc::clone(&rounds), Arc::clone(&ended));
        callers.spawn(async move {
            while !ended.load(Ordering::Relaxed) {
                caller.round().await;
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    let started = Instant::now();
    let mut samples = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(seconds * 1000 / 120));
    while started.elapsed() < Duration::from_secs(seconds) {
        ticks.tick().await;
        samples.push((usage.resident_kib(), usage.descriptors()));
    }
    ended.store(true, Ordering::Relaxed);
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
    assert_eq!(open.ended.load(Ordering::Relaxed), 0, "streams ended by themselves");
    let events = open.events.load(Ordering::Relaxed);
    let due = streams * seconds * 1000 / u64::try_from(EVENT_EVERY.as_millis()).unwrap();
    assert!(events > due / 2, "{events} events on {streams} streams in {seconds} s, of about {due}");

    // the first sixth, five minutes of thirty, is for caches and pools to fill
    let settled = &samples[samples.len() / 6..];
    let window = settled.len() / 5;
    let mean = |samples: &[(u64, u64)], of: fn(&(u64, u64)) -> u64| {
        samples.iter().map(of).sum::<u64>() / u64::try_from(samples.len()).unwrap()
    };
    let (first, last) = (&settled[..window], &settled[settled.len() - window..]);
    let memory = [mean(first, |sample| sample.0), mean(last, |sample| sample.0)];
    let descriptors = [mean(first, |sample| sample.1), mean(last, |sample| sample.1)];
    println!(
        "{seconds} s, {streams} streams, {events} events, {} rounds of {} requests; memory {} -> {} KiB, descriptors {} -> {}",
        rounds.load(Ordering::Relaxed),
        ROUND.len(),
        memory[0],
        memory[1],
        descriptors[0],
        descriptors[1],
    );
    // seconds say nothing of a few per cent; a leak of every request would show all the same
    let allowed = if long { memory[0] * 105 / 100 } else { memory[0] * 3 / 2 };
    assert!(memory[1] <= allowed, "memory grew from {} to {} KiB", memory[0], memory[1]);
    assert!(
        descriptors[1] <= descriptors[0] + 40,
        "descriptors grew from {} to {}",
        descriptors[0],
        descriptors[1]
    );

    tasks.shutdown().await;
    drop(client);
    // what idle connections to the upstream are kept is bounded, whatever there was before
    eventually("descriptors are given back", || usage.descriptors() <= at_rest + 40).await;
}

#[derive(Default)]
struct Streams {
    opened: AtomicU64,
    events: AtomicU64,
    ended: AtomicU64,
}

/// Opens a stream and stays.
async fn listen(client: reqwest::Client, url: Arc<str>, streams: Arc<Streams>) {
    let mut response = post(&client, &url, &call("events")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    streams.opened.fetch_add(1, Ordering::Relaxed);
    while let Ok(Some(_)) = response.chunk().await {
        streams.events.fetch_add(1, Ordering::Relaxed);
    }
    streams.ended.fetch_add(1, Ordering::Relaxed);
}

struct Caller {
    client: reqwest::Client,
    url: Arc<str>,
    token: Arc<String>,
}

impl Caller {
    /// One of each of [`ROUND`].
    async fn round(&self) {
        let Self { client, url, token } = self;
        let sent = async |request: reqwest::RequestBuilder| {
            let response = request.send().await.unwrap();
            let status = response.status().as_u16();
            response.bytes().await.unwrap();
            status
        };
        assert_eq!(sent(post(client, url, &call("open"))).await, 200);
        assert_eq!(sent(post(client, url, &call("closed")).bearer_auth(token)).await, 200);
        assert_eq!(sent(post(client, url, &call("closed"))).await, 401);
        assert_eq!(sent(post(client, url, &call("denied"))).await, 200);
        assert_eq!(sent(post(client, url, "{\"jsonrpc\":")).await, 400);
        let mut stream = post(client, url, &call("events")).send().await.unwrap();
        stream.chunk().await.unwrap().unwrap();
    }
}

fn call(tool: &str) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": {}}})
        .to_string()
}

fn post(client: &reqwest::Client, url: &str, body: &str) -> reqwest::RequestBuilder {
    client
        .post(url)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(body.to_owned())
}

/// Answers `events` with a stream that has no end, and everything else at once.
async fn upstream() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let answer = async |body: Bytes| -> Response {
        if !body.windows(8).any(|part| part == b"\"events\"") {
            return json(r#"{"jsonrpc":"2.0","id":1,"result":{"content":[]}}"#);
        }
        let events = stream::unfold(false, |later| async move {
            if later {
                tokio::time::sleep(EVENT_EVERY).await;
            }
            Some((Ok::<_, Infallible>(Bytes::from_static(b"data: {}\n\n")), true))
        });
        respond(200, &[("content-type", "text/event-stream")], Body::from_stream(events))
    };
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

/// What a process uses.
struct Usage(u32);

impl Usage {
    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn descriptors(&self) -> u64 {
        std::fs::read_dir(format!("/proc/{}/fd", self.0)).unwrap().count().try_into().unwrap()
    }
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
