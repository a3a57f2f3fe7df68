//! Streams: nothing is held back, and an end on one side is an end on the other.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use crate::harness::{DEADLINE, Gateway};
use crate::upstream::{Upstream, respond};

/// Tells when it is dropped: the server's side of an exchange has ended.
pub struct Ended(pub Arc<Notify>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// An upstream whose answer is whatever events are sent, and which tells when nobody listens any more.
pub async fn events() -> (Upstream, mpsc::Sender<&'static str>, Arc<Notify>) {
    let (sender, receiver) = mpsc::channel::<&'static str>(8);
    let receiver = Arc::new(std::sync::Mutex::new(Some(receiver)));
    let ended = Arc::new(Notify::new());
    let told = Arc::clone(&ended);
    let upstream = Upstream::start(move |_| {
        let receiver = receiver.lock().unwrap().take().expect("one stream");
        let ended = Ended(Arc::clone(&told));
        async move {
            let stream =
                futures_util::stream::unfold((receiver, ended), |(mut receiver, ended)| async move {
                    let event = receiver.recv().await?;
                    Some((Ok::<_, Infallible>(Bytes::from_static(event.as_bytes())), (receiver, ended)))
                });
            respond(200, &[("content-type", "text/event-stream")], Body::from_stream(stream))
        }
    })
    .await;
    (upstream, sender, ended)
}

pub async fn chunk(response: &mut reqwest::Response) -> Option<Bytes> {
    timeout(DEADLINE, response.chunk()).await.expect("an event was held back").unwrap()
}

#[tokio::test]
async fn an_event_is_passed_on_before_the_next_one_exists() {
    let (upstream, events, ended) = events().await;
    let gateway = Gateway::before(&upstream).await;
    events.send("data: one\n\n").await.unwrap();
    let mut response = gateway.call("open").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(chunk(&mut response).await.unwrap(), "data: one\n\n");
    // half an event, and a comment: not the gateway's to understand
    for event in [": still here\n", "data: tw", "o\n\n"] {
        events.send(event).await.unwrap();
        assert_eq!(chunk(&mut response).await.unwrap(), event);
    }
    drop(events);
    assert_eq!(chunk(&mut response).await, None);
    timeout(DEADLINE, ended.notified()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_ends_it_upstream() {
    let (upstream, events, ended) = events().await;
    let gateway = Gateway::before(&upstream).await;
    events.send("data: one\n\n").await.unwrap();
    let mut response = gateway.call("open").send().await.unwrap();
    chunk(&mut response).await.unwrap();
    drop(response);
    timeout(DEADLINE, ended.notified()).await.expect("the upstream goes on for nobody");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_ends_the_call_upstream() {
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
    let call = tokio::spawn(gateway.call("open").send());
    timeout(DEADLINE, entered.notified()).await.unwrap();
    call.abort();
    timeout(DEADLINE, ended.notified()).await.expect("the upstream works for nobody");
}

#[tokio::test]
async fn a_stream_that_breaks_off_upstream_breaks_off_here() {
    let seen = Arc::new(Notify::new());
    let wait = Arc::clone(&seen);
    let upstream = Upstream::start(move |_| {
        let wait = Arc::clone(&wait);
        async move {
            let first = futures_util::stream::iter([Ok(Bytes::from_static(b"data: one\n\n"))]);
            let then = futures_util::stream::once(async move {
                wait.notified().await;
                Err("broken")
            });
            respond(200, &[("content-type", "text/event-stream")], Body::from_stream(first.chain(then)))
        }
    })
    .await;
    let gateway = Gateway::before(&upstream).await;
    let mut response = gateway.call("open").send().await.unwrap();
    assert_eq!(chunk(&mut response).await.unwrap(), "data: one\n\n");
    seen.notify_one();
    // a clean end would tell the client that it has everything
    assert!(timeout(DEADLINE, response.chunk()).await.unwrap().is_err());
}
