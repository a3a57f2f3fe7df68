//! Streams: whose end is whose.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, stream};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use mcp_auth::clock::ManualClock;
use mcp_auth::policy::{Policy, PolicyHandle};
use mcp_auth::verifier::keys::FixedKeys;
use mcp_auth::verifier::{Issuer, JwtVerifier};
use mcp_auth::{McpAuthLayer, McpAuthLayerBuilder, ResponseBody};
use serde_json::json;
use tower::{Layer, ServiceExt, service_fn};

use crate::harness::{ISSUER, NOW, POLICY, RESOURCE, jwks, mint};

/// Says when the server's end of a stream is dropped.
struct Guard(Arc<AtomicBool>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn endless(
    first: &'static str,
    dropped: Arc<AtomicBool>,
) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
    let guard = Guard(dropped);
    stream::unfold((Some(first), guard), |(first, guard)| async move {
        match first {
            Some(first) => Some((Ok(Frame::data(Bytes::from(first))), (None, guard))),
            None => std::future::pending().await,
        }
    })
}

struct World {
    clock: Arc<ManualClock>,
    dropped: Arc<AtomicBool>,
}

impl World {
    fn new() -> Self {
        Self { clock: Arc::new(ManualClock::at(NOW)), dropped: Arc::default() }
    }

    /// The body of an answer that begins with `first` and does not end.
    async fn stream(
        &self,
        request: http::request::Builder,
        body: &str,
        answer: (&'static str, &'static str),
        build: impl FnOnce(McpAuthLayerBuilder) -> McpAuthLayerBuilder,
    ) -> std::pin::Pin<Box<dyn Body<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>>>> {
        let keys = FixedKeys::from_jwks(&jwks()).unwrap();
        let verifier = JwtVerifier::builder(RESOURCE.parse().unwrap(), self.clock.clone())
            .issuer(Issuer::new(ISSUER, Arc::new(keys)))
            .build()
            .unwrap();
        let policy = PolicyHandle::new(Policy::parse(POLICY).unwrap());
        let builder = McpAuthLayer::builder(RESOURCE.parse().unwrap(), policy, Arc::new(verifier))
            .authorization_server(ISSUER)
            .clock(self.clock.clone());
        let dropped = self.dropped.clone();
        let server = service_fn(move |_: Request<Full<Bytes>>| {
            let body = StreamBody::new(endless(answer.1, dropped.clone()));
            let response =
                Response::builder().header("content-type", answer.0).header("content-length", "999");
            std::future::ready(Ok::<_, Infallible>(response.body(body).unwrap()))
        });
        let request =
            request.uri("/mcp").header("host", "gw.test").header("content-type", "application/json");
        let request = request.body(Full::<Bytes>::from(body.to_owned())).unwrap();
        let response: Response<ResponseBody<_>> =
            build(builder).build().unwrap().layer(server).oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        let ends = answer.0.starts_with("text") && response.headers().get("content-length").is_none();
        assert!(ends || response.headers().contains_key("content-length"));
        Box::pin(response.into_body())
    }

    fn is_dropped(&self) -> bool {
        self.dropped.load(Ordering::SeqCst)
    }
}

fn post() -> http::request::Builder {
    Request::builder().method("POST")
}

fn as_user(request: http::request::Builder) -> http::request::Builder {
    request.header("authorization", format!("Bearer {}", mint(&json!({"exp": NOW + 60}))))
}

const EVENTS: (&str, &str) = ("text/event-stream", ": hi\n\ndata: {\"method\":\"x\"}\n\n");

#[tokio::test]
async fn the_clients_disconnect_closes_the_servers_stream() {
    let call = crate::harness::call("closed");
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    for (request, body, answer) in [
        (as_user(post()), &*call, EVENTS),
        (as_user(post()), &*call, ("application/json", "{\"half\":")),
        (as_user(post()), list, EVENTS),
        (Request::builder().method("GET"), "", EVENTS),
    ] {
        let world = World::new();
        let mut stream = world.stream(request, body, answer, |builder| builder).await;
        assert!(stream.frame().await.is_some());
        assert!(!world.is_dropped(), "{body}");
        drop(stream);
        assert!(world.is_dropped(), "{body}");
    }
}

#[tokio::test]
async fn an_event_stream_ends_with_the_token_that_opened_it() {
    for (request, body) in [
        (as_user(post()), crate::harness::call("closed")),
        (as_user(post()), crate::harness::call("open")),
        (as_user(post()), r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#.to_owned()),
        (as_user(Request::builder().method("GET")), String::new()),
    ] {
        let world = World::new();
        let mut stream = world.stream(request, &body, EVENTS, |builder| builder).await;
        assert!(stream.frame().await.unwrap().unwrap().is_data());
        world.clock.advance(Duration::from_secs(59));
        assert!(stream.frame().now_or_never().is_none(), "{body}");
        assert!(!world.is_dropped());
        world.clock.advance(Duration::from_secs(1));
        let end = stream.frame().now_or_never().expect("the stream is over");
        assert!(end.is_none(), "{body}: it ends without an error and with nothing made up");
        assert!(world.is_dropped(), "the server's end is closed as well");
        assert!(stream.is_end_stream());
    }
}

#[tokio::test]
async fn a_reader_that_waits_is_woken_by_the_end_of_the_token() {
    let world = World::new();
    let call = crate::harness::call("closed");
    let mut stream = world.stream(as_user(post()), &call, EVENTS, |builder| builder).await;
    stream.frame().await.unwrap().unwrap();
    let (end, ()) = futures_util::future::join(stream.frame(), async {
        world.clock.advance(Duration::from_mins(1));
    })
    .await;
    assert!(end.is_none());
}

#[tokio::test]
async fn what_is_no_event_stream_or_nobodys_or_so_configured_does_not_end_with_a_token() {
    let (closed, open) = (crate::harness::call("closed"), crate::harness::call("open"));
    let keep: fn(McpAuthLayerBuilder) -> McpAuthLayerBuilder = |builder| builder;
    let endless: fn(McpAuthLayerBuilder) -> McpAuthLayerBuilder =
        |builder| builder.end_streams_with_token(false);
    for (request, body, answer, build) in [
        (as_user(post()), &closed, ("application/json", "{\"half\":"), keep),
        (post(), &open, EVENTS, keep),
        (as_user(post()), &closed, EVENTS, endless),
    ] {
        let world = World::new();
        let mut stream = world.stream(request, body, answer, build).await;
        stream.frame().await.unwrap().unwrap();
        world.clock.advance(Duration::from_hours(1));
        assert!(stream.frame().now_or_never().is_none(), "{body}");
        assert!(!world.is_dropped());
    }
}
