use std::convert::Infallible;
use std::sync::Mutex;

use axum::body::Body;
use axum::response::Response as Answer;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;

use super::*;
use crate::body::RequestBody;

/// A server whose answers are of this type, and consist of what is sent.
async fn server(content_type: &'static str) -> (String, mpsc::Sender<&'static str>) {
    let (sender, receiver) = mpsc::channel::<&'static str>(1);
    let receiver = Arc::new(Mutex::new(Some(receiver)));
    let answer = move || {
        let receiver = receiver.lock().unwrap().take().expect("one request");
        let pieces = futures_util::stream::unfold(receiver, |mut receiver| async move {
            let piece = receiver.recv().await?;
            Some((Ok::<_, Infallible>(Bytes::from_static(piece.as_bytes())), receiver))
        });
        let answer = Answer::builder().header("content-type", content_type);
        std::future::ready(answer.body(Body::from_stream(pieces)).unwrap())
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap() });
    (address, sender)
}

fn request(method: &str) -> Box<Request<CleanBody>> {
    let body = CleanBody(RequestBody::from(Bytes::from_static(b"{}")));
    Box::new(Request::builder().method(method).body(body).unwrap())
}

/// Calls, streams and slots.
fn counts(group: &Group) -> (u32, u32, usize) {
    let state = group.state();
    let [address] = &state.addresses[..] else { panic!("{state:?}") };
    assert_eq!((state.route, state.waiting), ("/mcp", 0));
    (address.calls, address.streams, state.running)
}

async fn group(content_type: &'static str) -> (Group, mpsc::Sender<&'static str>) {
    let (address, pieces) = server(content_type).await;
    (Group::new(&GroupConfig::for_tests(&[&address])).unwrap(), pieces)
}

#[tokio::test]
async fn an_answer_counts_until_it_has_been_read() {
    let (group, pieces) = group("application/json").await;
    assert_eq!(counts(&group), (0, 0, 0));
    let mut answer = group.send(request("POST")).await.unwrap();
    pieces.send("{").await.unwrap();
    answer.frame().await.unwrap().unwrap();
    assert_eq!(counts(&group), (1, 0, 1));
    drop(pieces);
    assert!(answer.frame().await.is_none());
    // although nobody has dropped it
    assert_eq!(counts(&group), (0, 0, 0));
}

#[tokio::test]
async fn an_answer_that_nobody_reads_any_more_counts_no_more() {
    let (group, pieces) = group("application/json").await;
    let mut answer = group.send(request("POST")).await.unwrap();
    pieces.send("{").await.unwrap();
    answer.frame().await.unwrap().unwrap();
    drop(answer);
    assert_eq!(counts(&group), (0, 0, 0));
}

#[tokio::test]
async fn a_stream_of_events_holds_no_slot_and_is_counted_by_what_it_is_for() {
    for (method, calls, streams) in [("POST", 1, 0), ("GET", 0, 1)] {
        let (group, pieces) = group("text/event-stream; charset=utf-8").await;
        let mut answer = group.send(request(method)).await.unwrap();
        assert_eq!(counts(&group), (calls, streams, 0), "{method}");
        pieces.send("data: 1\n\n").await.unwrap();
        answer.frame().await.unwrap().unwrap();
        assert_eq!(counts(&group), (calls, streams, 0), "{method}");
        drop(pieces);
        assert!(answer.frame().await.is_none());
        assert_eq!(counts(&group), (0, 0, 0), "{method}");
    }
}

/// Without anybody to talk to, it is the request that goes away.
#[tokio::test]
async fn a_request_that_goes_away_before_its_answer_counts_no_more() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let group = Arc::new(Group::new(&GroupConfig::for_tests(&[&address])).unwrap());
    let asking = Arc::clone(&group);
    let call = tokio::spawn(async move { asking.send(request("POST")).await });
    let _connection = listener.accept().await.unwrap();
    assert_eq!(counts(&group), (1, 0, 1));
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(counts(&group), (0, 0, 0));
}

/// A request of a session that says to live at this address.
fn of_session_at(address: &str) -> Box<Request<CleanBody>> {
    let mut request = request("POST");
    request.headers_mut().insert("mcp-session-id", http::HeaderValue::from_static("s-1"));
    Tag::of(&address.parse().unwrap()).mark(request.headers_mut());
    request
}

#[tokio::test]
async fn a_session_at_an_address_that_is_gone_is_not_found_and_nobody_is_asked() {
    let listeners = [
        tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
        tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
    ];
    let addresses =
        listeners.each_ref().map(|listener| format!("http://{}/", listener.local_addr().unwrap()));
    let group = Group::new(&GroupConfig::for_tests(&addresses.each_ref().map(String::as_str))).unwrap();
    let refused = group.send(of_session_at("http://127.0.0.1:1/")).await.unwrap_err();
    assert!(matches!(refused, Unserved::SessionGone), "{refused:?}");
    for listener in listeners {
        let knock = tokio::time::timeout(std::time::Duration::from_millis(100), listener.accept()).await;
        assert!(knock.is_err(), "somebody was asked");
    }
}

/// Where there was a list before, ids have tags; the one address that is left knows its own.
#[tokio::test]
async fn sessions_outlive_the_other_addresses_of_a_list() {
    let (address, pieces) = server("application/json").await;
    drop(pieces);
    let group = Group::new(&GroupConfig::for_tests(&[&address])).unwrap();
    let mut request = of_session_at(&address);
    assert_eq!(group.shared.take_session(request.headers_mut()), Bound::To(0));
    assert_eq!(request.headers()["mcp-session-id"], "s-1");
    // and an id that the address gave while it was alone goes as it is
    assert_eq!(group.shared.take_session(request.headers_mut()), Bound::Nowhere);
    assert_eq!(request.headers()["mcp-session-id"], "s-1");
}
