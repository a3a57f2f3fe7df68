//! HTTP/2 towards upstreams.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response, Version};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, Notify};
use tokio::time::timeout;

use crate::harness::{DEADLINE, Gateway, POLICY};

type Served = Connection<TcpStream, Bytes>;

/// Every connection is served by `serve`; gives the address, and how many there were.
async fn server<F, S>(builder: Builder, serve: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(Served) -> S + Send + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let connection = builder.handshake(stream).await.unwrap();
            tokio::spawn(serve(connection));
        }
    });
    (addr, connections)
}

async fn before(addr: SocketAddr) -> Gateway {
    Gateway::with(&format!("http://{addr}/up"), POLICY, "", "upstream_http2 = true").await
}

fn json(respond: &mut SendResponse<Bytes>) {
    let head = Response::builder().header("content-type", "application/json").body(()).unwrap();
    let mut body = respond.send_response(head, false).unwrap();
    body.send_data(Bytes::from_static(b"{}"), true).unwrap();
}

async fn ok(gateway: &Gateway) {
    let response = timeout(DEADLINE, gateway.call("open").send()).await.unwrap().unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.text().await.unwrap(), "{}");
}

/// Answers every request once `answer` lets it.
async fn serve<A: Future<Output = ()> + Send + 'static>(
    mut connection: Served,
    answer: impl Fn(&Request<RecvStream>) -> A,
) {
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let may = answer(&request);
        tokio::spawn(async move {
            may.await;
            json(&mut respond);
            drop(request);
        });
    }
}

#[tokio::test]
async fn calls_share_a_connection() {
    let (addr, connections) = server(Builder::new(), |connection| {
        serve(connection, |request| {
            assert_eq!(request.version(), Version::HTTP_2);
            assert_eq!(request.uri().path(), "/up");
            assert_eq!(request.uri().scheme_str(), Some("http"));
            assert!(!request.headers().contains_key("host"), "{request:?}");
            std::future::ready(())
        })
    })
    .await;
    let gateway = before(addr).await;
    futures_util::future::join_all((0..20).map(|_| ok(&gateway))).await;
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn where_streams_run_out_there_are_more_connections() {
    let together = Arc::new(Barrier::new(4));
    let first = Arc::new(AtomicUsize::new(0));
    let mut builder = Builder::new();
    builder.max_concurrent_streams(2);
    let (addr, connections) = server(builder, move |connection| {
        let (together, first) = (Arc::clone(&together), Arc::clone(&first));
        serve(connection, move |_| {
            let (together, number) = (Arc::clone(&together), first.fetch_add(1, Ordering::SeqCst));
            async move {
                // those after the first are answered when all four of them are there
                if number > 0 {
                    together.wait().await;
                }
            }
        })
    })
    .await;
    let gateway = before(addr).await;
    ok(&gateway).await;
    futures_util::future::join_all((0..4).map(|_| ok(&gateway))).await;
    assert!(connections.load(Ordering::SeqCst) >= 2);
}

#[tokio::test]
async fn a_connection_that_says_goodbye_loses_no_call() {
    let (addr, connections) = server(Builder::new(), |mut connection: Served| async move {
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            // the goodbye overtakes the answer
            connection.graceful_shutdown();
            json(&mut respond);
        }
    })
    .await;
    let gateway = before(addr).await;
    for calls in 1..=3 {
        ok(&gateway).await;
        assert_eq!(connections.load(Ordering::SeqCst), calls);
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_is_no_end() {
    for reason in [Reason::NO_ERROR, Reason::CANCEL, Reason::INTERNAL_ERROR] {
        let (addr, _) = server(Builder::new(), move |mut connection: Served| async move {
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                let head = Response::builder().header("content-type", "text/event-stream").body(()).unwrap();
                let mut body = respond.send_response(head, false).unwrap();
                body.send_data(Bytes::from_static(b"data: 1\n\n"), false).unwrap();
                tokio::spawn(async move {
                    // behind what was sent
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    body.send_reset(reason);
                });
            }
        })
        .await;
        let gateway = before(addr).await;
        let response = gateway.call("open").send().await.unwrap();
        let end = timeout(DEADLINE, response.text()).await.expect("it never ends");
        assert!(end.is_err(), "a clean end after {reason:?}: {end:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_resets_its_stream_and_no_other() {
    let left = Arc::new(Notify::new());
    let told = Arc::clone(&left);
    let (addr, connections) = server(Builder::new(), move |mut connection: Served| {
        let told = Arc::clone(&told);
        async move {
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                if !request.headers().contains_key("x-stream") {
                    json(&mut respond);
                    continue;
                }
                let told = Arc::clone(&told);
                tokio::spawn(async move {
                    let head =
                        Response::builder().header("content-type", "text/event-stream").body(()).unwrap();
                    let mut body = respond.send_response(head, false).unwrap();
                    body.send_data(Bytes::from_static(b"data: 1\n\n"), false).unwrap();
                    let reason = std::future::poll_fn(|cx| body.poll_reset(cx)).await.unwrap();
                    assert_eq!(reason, Reason::CANCEL);
                    told.notify_one();
                });
            }
        }
    })
    .await;
    let gateway = before(addr).await;
    let mut stream = gateway.call("open").header("x-stream", "1").send().await.unwrap();
    assert_eq!(stream.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    ok(&gateway).await;
    drop(stream);
    timeout(DEADLINE, left.notified()).await.expect("the upstream goes on for nobody");
    ok(&gateway).await;
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_upstream_that_speaks_http_1_alone_is_a_502() {
    let stub = crate::stub::Stub::saying(crate::stub::OK).await;
    let gateway = before(stub.addr).await;
    assert_eq!(gateway.call("open").send().await.unwrap().status(), 502);
}
