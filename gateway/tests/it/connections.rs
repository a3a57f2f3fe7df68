//! HTTP/1 towards upstreams: what is sent again and what never, and answers that break every rule.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::harness::{DEADLINE, Gateway, POLICY, body};
use crate::stub::{OK, Stub};

async fn before(stub: &Stub, route: &str) -> Gateway {
    Gateway::with(&stub.url(), POLICY, "", route).await
}

/// What one call comes to: the status, and the body where it is whole.
async fn call(gateway: &Gateway) -> (u16, Option<String>) {
    let response = timeout(DEADLINE, gateway.call("open").send()).await.unwrap().unwrap();
    let status = response.status().as_u16();
    (status, timeout(DEADLINE, response.text()).await.expect("the answer never ends").ok())
}

#[tokio::test]
async fn calls_one_after_the_other_share_a_connection() {
    let stub = Stub::start(|_, mut peer| async move {
        while peer.request().await.is_some() {
            peer.say(OK).await;
        }
    })
    .await;
    let gateway = before(&stub, "").await;
    for _ in 0..5 {
        assert_eq!(call(&gateway).await, (200, Some("{}".to_owned())));
    }
    assert_eq!((stub.requests(), stub.connections()), (5, 1));
}

#[tokio::test]
async fn a_connection_that_ended_while_idle_costs_no_call() {
    // closed in silence; with words that nobody asked for; with a whole answer that nobody asked for
    for last_words in ["", "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n", OK] {
        let ended = Arc::new(Notify::new());
        let told = Arc::clone(&ended);
        let stub = Stub::start(move |_, mut peer| {
            let told = Arc::clone(&told);
            async move {
                peer.request().await;
                peer.say(OK).await;
                peer.say(last_words).await;
                if last_words.is_empty() || last_words == OK {
                    peer.stream.shutdown().await.unwrap();
                }
                told.notify_one();
                peer.gone().await;
            }
        })
        .await;
        let gateway = before(&stub, "").await;
        for calls in 1..=3 {
            assert_eq!(call(&gateway).await.0, 200, "{last_words:?}");
            timeout(DEADLINE, ended.notified()).await.unwrap();
            assert_eq!((stub.requests(), stub.connections()), (calls, calls), "{last_words:?}");
        }
    }
}

/// The upstream may have done what it was asked for.
#[tokio::test]
async fn what_was_written_is_never_sent_again() {
    let stub = Stub::start(|before, mut peer| async move {
        peer.request().await;
        if before == 0 {
            peer.say(OK).await;
            peer.request().await;
        }
    })
    .await;
    let gateway = before(&stub, "").await;
    assert_eq!(call(&gateway).await.0, 200);
    // on a connection that was used before
    assert_eq!(call(&gateway).await.0, 502);
    assert_eq!((stub.requests(), stub.connections()), (2, 1));
    // and on a new one
    assert_eq!(call(&gateway).await.0, 502);
    assert_eq!((stub.requests(), stub.connections()), (3, 2));
}

#[tokio::test]
async fn an_idle_connection_is_closed_before_the_upstream_does() {
    tokio::time::pause();
    let closed = Arc::new(Notify::new());
    let told = Arc::clone(&closed);
    let stub = Stub::start(move |_, mut peer| {
        let told = Arc::clone(&told);
        async move {
            peer.request().await;
            peer.say(OK).await;
            peer.gone().await;
            told.notify_one();
        }
    })
    .await;
    let gateway = before(&stub, "").await;
    assert_eq!(call(&gateway).await.0, 200);
    timeout(Duration::from_millis(4600), closed.notified()).await.expect("it is kept for longer than 4 s");
}

#[tokio::test]
async fn what_is_no_answer_is_a_502() {
    let long = format!("HTTP/1.1 200 OK\r\nx-long: {}\r\ncontent-length: 0\r\n\r\n", "a".repeat(70_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "x-many: 1\r\n".repeat(200));
    let answers = [
        "220 mail.example ESMTP\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\n folded: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nx-null: \0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconte",
        "",
        "\u{1}\u{2}\u{3}\r\n\r\n",
        &long,
        &many,
    ];
    for answer in answers {
        let stub = Stub::saying(answer).await;
        let gateway = before(&stub, "").await;
        let response = gateway.call("open").send().await.unwrap();
        assert_eq!(response.status(), 502, "{answer:.80}");
        let said = body(response).await;
        assert_eq!((&said["id"], &said["error"]["code"]), (&json!(1), &json!(502)), "{answer:.80}");
        assert_eq!(stub.requests(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_here() {
    let answers = [
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff1\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n20\r\ndata: 1\n\n",
    ];
    for answer in answers {
        let stub = Stub::saying(answer).await;
        let gateway = before(&stub, "").await;
        match timeout(DEADLINE, gateway.call("open").send()).await.unwrap() {
            Ok(response) => {
                let end = timeout(DEADLINE, response.text()).await.expect("it never ends");
                assert!(end.is_err(), "a clean end after {answer:?}: {end:?}");
            }
            // cut before the head went out
            Err(cut) => assert!(!cut.is_timeout(), "{cut}"),
        }
    }
}

#[tokio::test]
async fn an_answer_that_comes_byte_by_byte_is_whole() {
    let stub = Stub::start(|_, mut peer| async move {
        while peer.request().await.is_some() {
            let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\
                          trailer: x-auth-subject\r\n\r\n1\r\n{\r\n1;ext=\"}\"\r\n}\r\n0\r\nx-auth-subject: root\r\n\r\n";
            for byte in answer.bytes() {
                peer.say([byte]).await;
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    let gateway = before(&stub, "").await;
    for _ in 0..2 {
        assert_eq!(call(&gateway).await, (200, Some("{}".to_owned())));
    }
    assert_eq!(stub.connections(), 1);
}

#[tokio::test]
async fn informational_answers_do_not_pass_and_do_not_end_the_wait() {
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let stub = Stub::saying(early.repeat(2000) + OK).await;
    let gateway = before(&stub, "").await;
    assert_eq!(call(&gateway).await, (200, Some("{}".to_owned())));

    let endless = Stub::start(move |_, mut peer| async move {
        peer.request().await;
        while peer.stream.write_all(early.as_bytes()).await.is_ok() {}
    })
    .await;
    let gateway = before(&endless, "response_timeout_seconds = 1").await;
    assert_eq!(call(&gateway).await.0, 504);
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_is_done() {
    let stub = Stub::start(|_, mut peer| async move {
        // reads nothing at all
        peer.say("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    // more than the buffers of sockets hold
    let limits = "limits = { max_body_bytes = 33554432 }";
    let gateway = Gateway::with(&stub.url(), POLICY, limits, "").await;
    let filler = "a".repeat(16_000_000);
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "open", "arguments": { "x": filler } } });
    for connections in 1..=2 {
        let sent = gateway.post(&call.to_string()).send();
        let response = timeout(DEADLINE, sent).await.expect("it waits for the upstream to read").unwrap();
        assert_eq!(response.status(), 413);
        // half of a request is still on its way there
        assert_eq!(stub.connections(), connections);
    }
}

/// 100 MB for a client that takes its time: the upstream has to wait, not the gateway's memory to grow.
#[tokio::test]
async fn a_slow_client_slows_the_upstream_down() {
    const ALL: usize = 100 * 1024 * 1024;
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let stub = Stub::start(move |_, mut peer| {
        let count = Arc::clone(&count);
        async move {
            peer.request().await;
            peer.say(format!("HTTP/1.1 200 OK\r\ncontent-length: {ALL}\r\n\r\n")).await;
            let piece = vec![b'a'; 64 * 1024];
            for _ in 0..ALL / piece.len() {
                if peer.stream.write_all(&piece).await.is_err() {
                    return;
                }
                count.fetch_add(piece.len(), Ordering::SeqCst);
            }
            peer.gone().await;
        }
    })
    .await;
    let gateway = before(&stub, "").await;
    let mut response = gateway.call("open").send().await.unwrap();
    // until nothing moves any more
    let mut still = (0, 0);
    while still.1 < 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let now = written.load(Ordering::SeqCst);
        still = if now == still.0 { (now, still.1 + 1) } else { (now, 0) };
    }
    // buffers of four sockets and the gateway's own
    assert!(still.0 < 24 * 1024 * 1024, "{} bytes were read for nobody", still.0);
    let mut got = 0;
    while let Some(piece) = timeout(DEADLINE, response.chunk()).await.unwrap().unwrap() {
        got += piece.len();
    }
    assert_eq!(got, ALL);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stops_is_given_up() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n";
    let stub = Stub::start(move |_, mut peer| async move {
        peer.request().await;
        peer.say(head).await;
        peer.say("{").await;
        peer.gone().await;
    })
    .await;
    let gateway = before(&stub, "idle_timeout_seconds = 3").await;
    let response = gateway.call("open").send().await.unwrap();
    let end = timeout(Duration::from_secs(4), response.bytes()).await;
    assert!(end.expect("the gateway waits for longer than 3 s").is_err());

    // always something, and never all of it
    let drip = Stub::start(move |_, mut peer| async move {
        peer.request().await;
        peer.say(head).await;
        while peer.stream.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let gateway = before(&drip, "idle_timeout_seconds = 3\ntotal_timeout_seconds = 20").await;
    let response = gateway.call("open").send().await.unwrap();
    let end = timeout(Duration::from_secs(22), response.bytes()).await;
    assert!(end.expect("the gateway waits for longer than 20 s").is_err());
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_may_be_silent_unless_the_route_says_otherwise() {
    let stub = Stub::start(move |_, mut peer| async move {
        peer.request().await;
        peer.say("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        tokio::select! {
            () = peer.gone() => return,
            () = tokio::time::sleep(Duration::from_hours(1)) => {}
        }
        peer.say("9\r\ndata: 1\n\n\r\n0\r\n\r\n").await;
        peer.gone().await;
    })
    .await;
    let limits = "idle_timeout_seconds = 3\ntotal_timeout_seconds = 20";
    let gateway = before(&stub, limits).await;
    let response = gateway.call("open").send().await.unwrap();
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    assert_eq!(response.text().await.unwrap(), "data: 1\n\n");

    let gateway = before(&stub, &format!("{limits}\nstream_idle_timeout_seconds = 5")).await;
    let response = gateway.call("open").send().await.unwrap();
    let end = timeout(Duration::from_secs(6), response.text()).await;
    assert!(end.expect("the gateway waits for longer than 5 s").is_err());
}

#[tokio::test]
async fn refusals_pass_without_a_challenge_where_the_route_says_so() {
    for status in [401, 403] {
        let answer = format!(
            "HTTP/1.1 {status} No\r\nwww-authenticate: Bearer scope=\"x\"\r\nwww_authenticate: Bearer\r\nserver: x\r\ncontent-length: 2\r\n\r\nno"
        );
        let stub = Stub::saying(answer).await;
        let gateway = before(&stub, "upstream_refusals = \"pass\"").await;
        let response = gateway.call("open").send().await.unwrap();
        // which is for streams of events
        assert!(!response.headers().contains_key("x-accel-buffering"));
        assert_eq!(response.status(), status);
        for gone in ["www-authenticate", "www_authenticate", "server"] {
            assert!(!response.headers().contains_key(gone), "{gone}");
        }
        assert_eq!(response.text().await.unwrap(), "no");
    }
}

#[tokio::test]
async fn via_is_said_where_it_is_asked_for() {
    for (server, said) in [("", None), ("via = true", Some("1.1 mcp-auth-gateway"))] {
        let (sender, mut heads) = tokio::sync::mpsc::channel(1);
        let stub = Stub::start(move |_, mut peer| {
            let sender = sender.clone();
            async move {
                let head = peer.request().await.unwrap();
                sender.send(head).await.unwrap();
                peer.say(OK).await;
                peer.gone().await;
            }
        })
        .await;
        let gateway = Gateway::with(&stub.url(), POLICY, server, "").await;
        let response = gateway.call("open").send().await.unwrap();
        assert_eq!(response.headers().get("via").map(|value| value.to_str().unwrap()), said);
        let head = heads.recv().await.unwrap();
        assert_eq!(head.lines().find_map(|line| line.strip_prefix("via: ")), said, "{head}");
    }
}
