//! One of several servers fails: what clients see, that nothing is sent twice, and that nothing reaches a server that was
//! not permitted.

use std::convert::Infallible;

use axum::body::Bytes;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::json;

use crate::backend::{Backend, Mode};
use crate::group::{before, initialize, open, server, skip};
use crate::harness::{Gateway, POLICY, body, until};
use crate::logs;

/// The statuses of so many calls in a row.
async fn statuses(gateway: &Gateway, calls: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..calls {
        statuses.push(gateway.call("open").send().await.unwrap().status().as_u16());
    }
    statuses
}

/// Requests that no policy permits, while whatever happens happens.
pub async fn intrude(gateway: &Gateway) {
    for (call, status) in [
        (gateway.call("closed"), 401),
        (gateway.call("closed").bearer_auth("garbage"), 401),
        (gateway.call("closed").bearer_auth(gateway.token("alex", "other")), 403),
        (gateway.call("absent"), 200),
        (gateway.post("{"), 400),
    ] {
        assert_eq!(call.send().await.unwrap().status(), status);
    }
}

/// Whatever the servers heard was permitted.
fn assert_permitted(servers: &[&Backend]) {
    for heard in servers.iter().flat_map(|server| server.heard()) {
        let name = &heard.body["params"]["name"];
        assert!(
            heard.body["method"] == "initialize" || name == "open" || heard.path == "/healthz",
            "{heard:?}"
        );
        assert!(!heard.headers.contains_key("authorization"), "{heard:?}");
    }
}

#[tokio::test]
async fn nobody_notices_that_a_server_is_killed_between_calls() {
    let (a, mut b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], "").await;
    assert_eq!(statuses(&gateway, 4).await, [200; 4]);
    b.kill().await;
    intrude(&gateway).await;
    assert_eq!(statuses(&gateway, 20).await, [200; 20]);
    assert_eq!(a.count(), 22);
    b.revive().await;
    // out for at most 4 seconds, then a slow start
    skip(15).await;
    assert_eq!(statuses(&gateway, 20).await, [200; 20]);
    intrude(&gateway).await;
    assert!(b.count() > 8, "{}", b.count());
    assert_permitted(&[&a, &b]);
}

#[tokio::test]
async fn a_connection_that_breaks_after_the_request_is_an_error_and_no_second_request() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], "").await;
    a.set(Mode::Resets);
    b.set(Mode::Resets);
    for calls in 1..=8 {
        assert_eq!(statuses(&gateway, 1).await, [502]);
        assert_eq!(a.count() + b.count(), calls, "a request was sent twice");
        intrude(&gateway).await;
    }
    assert_permitted(&[&a, &b]);
}

#[tokio::test]
async fn a_server_that_breaks_every_connection_is_out_after_five_calls() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], "").await;
    a.set(Mode::Resets);
    let seen = statuses(&gateway, 40).await;
    assert_eq!(seen.iter().filter(|status| **status == 502).count(), 5, "{seen:?}");
    assert_eq!(a.count(), 5);
    assert!(seen[10..].iter().all(|status| *status == 200), "{seen:?}");
    intrude(&gateway).await;
    assert_eq!(a.count() + b.count(), 40);
    assert_permitted(&[&a, &b]);
}

#[tokio::test]
async fn a_server_that_says_that_it_cannot_serve_is_out_and_its_words_pass() {
    for status in [502, 503, 504] {
        let (a, b) = (Backend::start("a").await, Backend::start("b").await);
        let gateway = before(&[&a, &b], "").await;
        a.set(Mode::Says(status));
        let seen = statuses(&gateway, 40).await;
        assert_eq!(seen.iter().filter(|seen| **seen == status).count(), 5, "{seen:?}");
    }
    // an error of its own is no reason to ask somebody else
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], "").await;
    a.set(Mode::Says(500));
    let seen = statuses(&gateway, 40).await;
    assert_eq!(seen.iter().filter(|seen| **seen == 500).count(), 20, "{seen:?}");
}

#[tokio::test]
async fn a_server_that_hangs_costs_few_calls_their_answer() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], "response_timeout_seconds = 1").await;
    a.set(Mode::Hangs);
    let calls: Vec<_> = (0..10).map(|_| tokio::spawn(gateway.call("open").send())).collect();
    let mut seen = Vec::new();
    for call in calls {
        let response = call.await.unwrap().unwrap();
        seen.push(response.status().as_u16());
        if response.status() == 504 {
            let answer = body(response).await;
            assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(504), &json!(1)));
        }
    }
    assert!(seen.iter().all(|status| matches!(status, 200 | 504)), "{seen:?}");
    // the calls that hang are load: nobody gets more than the least loaded
    assert!(a.count() <= 5, "{}", a.count());
    assert_eq!(a.count() + b.count(), 10, "a request was sent twice");
    intrude(&gateway).await;
    assert_permitted(&[&a, &b]);
}

#[tokio::test]
async fn a_server_that_is_slow_byte_by_byte_is_slow_and_nothing_else() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], "").await;
    a.set(Mode::Slow);
    assert_eq!(statuses(&gateway, 10).await, [200; 10]);
    intrude(&gateway).await;
    assert!(a.count() > 0);
    assert_eq!(a.count() + b.count(), 10);
    assert_permitted(&[&a, &b]);
}

#[tokio::test]
async fn where_all_are_killed_clients_are_told_and_the_first_to_come_back_serves_at_once() {
    let (mut a, mut b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], "").await;
    a.kill().await;
    b.kill().await;
    assert_eq!(statuses(&gateway, 20).await, [502; 20]);
    intrude(&gateway).await;
    // both are out now, and no time passes
    b.revive().await;
    assert_eq!(statuses(&gateway, 10).await, [200; 10]);
    a.revive().await;
    skip(15).await;
    assert_eq!(statuses(&gateway, 20).await, [200; 20]);
    assert!(a.count() > 0);
    assert_permitted(&[&a, &b]);
}

/// The other server knows nothing of the session, and would say 400, at which a client gives up.
#[tokio::test]
async fn a_session_whose_server_is_out_is_not_found_and_a_new_one_opens_elsewhere() {
    let (mut a, mut b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], "").await;
    let (session, keeper) = open(&gateway).await;
    let (lost, other) = if keeper == "a" { (&mut a, &mut b) } else { (&mut b, &mut a) };
    lost.kill().await;
    other.heard();
    let call = || gateway.call("open").header("mcp-session-id", &session).send();
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(call().await.unwrap().status().as_u16());
    }
    assert_eq!(seen, [502, 502, 502, 404, 404]);
    assert_eq!(other.count(), 0, "another server got a request of the session");
    let (anew, keeper_now) = open(&gateway).await;
    assert_ne!(keeper_now, keeper);
    let call = gateway.call("open").header("mcp-session-id", &anew);
    assert_eq!(server(call.send().await.unwrap()).await, keeper_now);
    assert_permitted(&[&a, &b]);
}

const CHECKED: &str = "health = { path = \"/healthz\", interval_seconds = 1, timeout_seconds = 1, healthy_after = 2, \
                       unhealthy_after = 2, slow_start_seconds = 0 }";

#[tokio::test]
async fn a_server_whose_checks_fail_gets_nothing_until_they_succeed() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], CHECKED).await;
    // also one that would answer calls
    a.set(Mode::Says(418));
    until("two checks", || a.count() >= 2).await;
    skip(1).await;
    until("the second result is in", || a.count() >= 3).await;
    a.heard();
    assert_eq!(statuses(&gateway, 10).await, [200; 10]);
    assert!(a.heard().iter().all(|heard| heard.path == "/healthz" && heard.method == "GET"));

    a.set(Mode::Well);
    until("it is back", || a.count() >= 3).await;
    a.heard();
    b.heard();
    assert_eq!(statuses(&gateway, 10).await, [200; 10]);
    assert!(a.heard().iter().filter(|heard| heard.path == "/mcp").count() >= 4);
    intrude(&gateway).await;
    assert_permitted(&[&a, &b]);
}

#[tokio::test]
async fn where_all_checks_fail_clients_are_told_at_once_when_to_come_back() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let gateway = before(&[&a, &b], CHECKED).await;
    let (session, _) = open(&gateway).await;
    a.set(Mode::Hangs);
    b.set(Mode::Hangs);
    until("three checks", || {
        let checks = |server: &Backend| server.count() >= 4;
        checks(&a) && checks(&b)
    })
    .await;
    a.heard();
    b.heard();
    for request in [
        gateway.call("open"),
        initialize(&gateway),
        // its server may still know it when it is back
        gateway.call("open").header("mcp-session-id", &session),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        let answer = body(response).await;
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(503), &json!(1)));
    }
    let calls = [a.heard(), b.heard()].concat();
    assert!(calls.iter().all(|heard| heard.path == "/healthz"), "{calls:?}");
}

#[tokio::test]
async fn checks_may_ask_the_mcp_endpoint_itself() {
    let server = Backend::start("a").await;
    let route = "health = { ping = true, interval_seconds = 1, timeout_seconds = 1 }";
    let gateway = Gateway::with(&server.url(), POLICY, "", route).await;
    until("two checks", || server.count() >= 2).await;
    assert!(server.heard().iter().all(|heard| heard.body["method"] == "server/discover"));
    assert_eq!(statuses(&gateway, 1).await, [200], "a refusal is an answer");
}

/// What a client does to its own request is nobody else's fault.
#[tokio::test]
async fn clients_whose_bodies_break_take_no_server_out() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let urls = json!([format!("{}/plain", a.url()), format!("{}/plain", b.url())]);
    let more = format!(
        "[[routes]]\npath = \"/plain\"\nkind = \"http\"\nauth = \"public\"\nupstream = {urls}\nmax_body_bytes = 9\n"
    );
    let gateway = Gateway::with(&a.url(), POLICY, "", &more).await;
    a.set(Mode::Hangs);
    let plain = || gateway.client.get(gateway.url("/plain")).send();
    let mut broken = 0;
    while broken < 30 {
        let pieces = ["123456", "789012"]
            .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::from_static(piece.as_bytes()))));
        let body = reqwest::Body::wrap(StreamBody::new(futures_util::stream::iter(pieces)));
        let post = gateway.client.post(gateway.url("/plain")).body(body);
        broken += usize::from(post.send().await.unwrap().status() == 413);
    }
    // were both of them out, they would still be chosen in turn
    for server in [&a, &b] {
        let events = logs::with(&server.addr.to_string());
        let out = events.iter().filter(|event| event.to_string().contains("failed several times"));
        assert_eq!(out.count(), 0, "{events:?}");
    }
    a.set(Mode::Well);
    a.heard();
    for _ in 0..10 {
        assert_eq!(plain().await.unwrap().status(), 200);
    }
    assert_eq!(a.count(), 5);
}
