//! The end of a gateway: what has an end of its own gets there, and the rest is ended in order.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::harness::{DEADLINE, Gateway, POLICY};
use crate::streams::{chunk, events};
use crate::upstream::Upstream;

const LIVEZ: &str = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";

async fn draining(upstream: &Upstream, server: &str) -> Gateway {
    Gateway::with(&upstream.url(), POLICY, server, "").await
}

/// What comes at once.
async fn read(stream: &mut TcpStream) -> String {
    let mut answer = vec![0; 4096];
    let count = timeout(DEADLINE, stream.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

/// A stream that stands until somebody ends it.
fn standing(gateway: &Gateway) -> reqwest::RequestBuilder {
    gateway
        .client
        .get(gateway.url("/mcp"))
        .header("accept", "text/event-stream")
        .bearer_auth(gateway.token("alex", "base read"))
}

/// A request that is on its way when the drain begins would be lost with its connection.
#[tokio::test]
async fn an_idle_connection_has_one_more_request() {
    let upstream = Upstream::plain().await;
    let gateway = draining(&upstream, "shutdown_streams_seconds = 9").await;
    let mut idle = TcpStream::connect(gateway.addr).await.unwrap();
    idle.write_all(LIVEZ.as_bytes()).await.unwrap();
    assert!(!read(&mut idle).await.contains("connection: close"));
    gateway.running.shutdown();
    // nobody is let in any more
    let refused = async {
        while TcpStream::connect(gateway.addr).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, refused).await.unwrap();
    idle.write_all(LIVEZ.as_bytes()).await.unwrap();
    let answer = read(&mut idle).await;
    assert!(answer.starts_with("HTTP/1.1 ") && answer.contains("connection: close"), "{answer}");
    assert_eq!(timeout(DEADLINE, idle.read(&mut [0])).await.unwrap().unwrap(), 0);
    timeout(DEADLINE, gateway.running.stopped()).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn idle_connections_do_not_hold_up_the_end() {
    let upstream = Upstream::plain().await;
    let gateway = draining(&upstream, "shutdown_grace_seconds = 60\nshutdown_streams_seconds = 3").await;
    let mut idle = TcpStream::connect(gateway.addr).await.unwrap();
    idle.write_all(LIVEZ.as_bytes()).await.unwrap();
    read(&mut idle).await;
    let mut silent = TcpStream::connect(gateway.addr).await.unwrap();
    let began = Instant::now();
    gateway.running.shutdown();
    for stream in [&mut idle, &mut silent] {
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        let waited = began.elapsed().as_secs_f32();
        assert!((2.9..4.0).contains(&waited), "{waited} s");
    }
    drop((idle, silent));
    gateway.running.stopped().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_standing_stream_ends_soon_with_a_hint_when_to_come_back() {
    for http2 in [false, true] {
        let (upstream, events, ended) = events().await;
        let gateway = draining(&upstream, "shutdown_grace_seconds = 60\nshutdown_streams_seconds = 1").await;
        let client = reqwest::Client::builder();
        let client = if http2 { client.http2_prior_knowledge() } else { client }.build().unwrap();
        events.send("data: one\n\n").await.unwrap();
        let mut response = client.execute(standing(&gateway).build().unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(chunk(&mut response).await.unwrap(), "data: one\n\n");
        let began = Instant::now();
        gateway.running.shutdown();
        assert_eq!(chunk(&mut response).await.unwrap(), "retry: 1000\n\n");
        assert_eq!(chunk(&mut response).await, None, "a clean end");
        timeout(DEADLINE, ended.notified()).await.expect("the upstream goes on for nobody");
        drop((response, client));
        timeout(DEADLINE, gateway.running.stopped()).await.expect("it waits for the whole grace").unwrap();
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}

#[tokio::test]
async fn nothing_is_said_within_an_event() {
    let (upstream, events, _ended) = events().await;
    let gateway = draining(&upstream, "shutdown_grace_seconds = 1").await;
    events.send("data: on").await.unwrap();
    let mut response = gateway.call("open").send().await.unwrap();
    assert_eq!(chunk(&mut response).await.unwrap(), "data: on");
    gateway.running.shutdown();
    assert_eq!(chunk(&mut response).await, None);
}

/// A stream that answers a call has an end: it gets the time that calls get.
#[tokio::test]
async fn a_stream_that_answers_a_call_has_the_whole_grace() {
    let (upstream, events, _ended) = events().await;
    let gateway = draining(&upstream, "shutdown_grace_seconds = 3\nshutdown_streams_seconds = 1").await;
    events.send("data: one\n\n").await.unwrap();
    let mut response = gateway.call("open").send().await.unwrap();
    chunk(&mut response).await.unwrap();
    let began = Instant::now();
    gateway.running.shutdown();
    tokio::time::sleep(Duration::from_secs(2)).await;
    events.send("data: two\n\n").await.unwrap();
    assert_eq!(chunk(&mut response).await.unwrap(), "data: two\n\n");
    // and then it is ended in order as well
    assert_eq!(chunk(&mut response).await.unwrap(), "retry: 1000\n\n");
    assert_eq!(chunk(&mut response).await, None);
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    drop(response);
    timeout(DEADLINE, gateway.running.stopped()).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_outlasts_the_grace_is_cut() {
    let upstream = Upstream::start(|_| std::future::pending()).await;
    let gateway = draining(&upstream, "shutdown_grace_seconds = 1").await;
    let call = tokio::spawn(gateway.call("open").send());
    crate::harness::until("the call is under way", || upstream.got().len() == 1).await;
    gateway.running.shutdown();
    assert!(timeout(DEADLINE, call).await.unwrap().unwrap().is_err());
    timeout(DEADLINE, gateway.running.stopped()).await.unwrap().unwrap();
}
