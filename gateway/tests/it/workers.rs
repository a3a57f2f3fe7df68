//! Connections on several threads.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::timeout;

use crate::harness::{DEADLINE, Gateway, POLICY};
use crate::streams::{Ended, chunk, events};
use crate::upstream::{Upstream, respond};

#[tokio::test]
async fn every_worker_serves() {
    let upstream = Upstream::plain().await;
    for workers in [1, 2, 5] {
        let server = format!("workers = {workers}");
        let gateway = Gateway::with(&upstream.url(), POLICY, &server, "").await;
        // connections that stay, so that each worker gets some
        let clients: Vec<_> = (0..2 * workers).map(|_| reqwest::Client::new()).collect();
        for round in 0..3 {
            for client in &clients {
                let call = gateway.call("closed").bearer_auth(gateway.token("alex", "read")).build().unwrap();
                let status = client.execute(call).await.unwrap().status();
                assert_eq!(status, 200, "{workers} workers, round {round}");
            }
        }
        let threads = threads();
        for index in 1..workers {
            assert!(threads.contains(&format!("worker-{index}")), "{threads:?}");
        }
        // the first is the thread of the test
        gateway.running.shutdown();
        drop(clients);
        timeout(DEADLINE, gateway.running.stopped()).await.unwrap().unwrap();
    }
}

/// The names of this process's threads.
fn threads() -> HashSet<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    // one may have ended in between
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).collect()
}

#[tokio::test]
async fn a_stream_on_any_worker_flows_and_ends_with_its_client() {
    for http2 in [false, true] {
        for worker in 0..3 {
            let (upstream, events, ended) = events().await;
            let gateway = Gateway::with(&upstream.url(), POLICY, "workers = 3", "").await;
            // those before it get the connections before it
            let mut others = Vec::new();
            for _ in 0..worker {
                others.push(tokio::net::TcpStream::connect(gateway.addr).await.unwrap());
            }
            let client = reqwest::Client::builder();
            let client = if http2 { client.http2_prior_knowledge() } else { client }.build().unwrap();
            events.send("data: one\n\n").await.unwrap();
            let mut response = client.execute(gateway.call("open").build().unwrap()).await.unwrap();
            assert_eq!(chunk(&mut response).await.unwrap(), "data: one\n\n");
            events.send("data: two\n\n").await.unwrap();
            assert_eq!(chunk(&mut response).await.unwrap(), "data: two\n\n");
            // the connection of HTTP/2 stays; the stream is reset
            drop(response);
            timeout(DEADLINE, ended.notified()).await.expect("the upstream goes on for nobody");
        }
    }
}

/// A client that leaves before the answer, on a connection that others still use.
#[tokio::test]
async fn a_request_that_is_taken_back_in_http_2_ends_upstream() {
    let (entered, ended) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell_entered, tell_ended) = (Arc::clone(&entered), Arc::clone(&ended));
    let upstream = Upstream::start(move |_| {
        let ended = Ended(Arc::clone(&tell_ended));
        tell_entered.notify_one();
        async move {
            std::future::pending::<()>().await;
            drop(ended);
            respond(200, &[], "")
        }
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let call = tokio::spawn(client.execute(gateway.call("open").build().unwrap()));
    timeout(DEADLINE, entered.notified()).await.unwrap();
    call.abort();
    timeout(DEADLINE, ended.notified()).await.expect("the upstream works for nobody");
}
