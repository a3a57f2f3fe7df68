//! What one client may take: each limit, met by a client that goes beyond it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::harness::{DEADLINE, Gateway, POLICY};
use crate::raw::{Outcome, exchange, frame, hpack, outcome, statuses};
use crate::streams::Ended;
use crate::upstream::{Upstream, respond};

const LIVEZ: &str = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";

async fn limited(upstream: &Upstream, limits: &str) -> Gateway {
    Gateway::with(&upstream.url(), POLICY, &format!("[server.limits]\n{limits}"), "").await
}

/// A connection that is served.
async fn served(gateway: &Gateway) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    assert!(asked(&mut stream).await, "not served");
    stream
}

/// Whether a request on it is answered.
async fn asked(stream: &mut TcpStream) -> bool {
    let _ = stream.write_all(LIVEZ.as_bytes()).await;
    let mut answer = [0; 1024];
    matches!(timeout(DEADLINE, stream.read(&mut answer)).await, Ok(Ok(1..)))
}

/// How long the gateway keeps the connection.
async fn kept(stream: &mut TcpStream) -> f32 {
    let started = Instant::now();
    timeout(Duration::from_mins(10), stream.read_to_end(&mut Vec::new())).await.expect("it is kept").ok();
    started.elapsed().as_secs_f32()
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let upstream = Upstream::plain().await;
    let gateway = limited(&upstream, "max_connections_per_address = 2").await;
    let (first, _second) = (served(&gateway).await, served(&gateway).await);
    for _ in 0..3 {
        let mut third = TcpStream::connect(gateway.addr).await.unwrap();
        assert!(!asked(&mut third).await, "a third connection is served");
    }
    drop(first);
    // as soon as the gateway has noticed
    let again = async { while !asked(&mut TcpStream::connect(gateway.addr).await.unwrap()).await {} };
    timeout(DEADLINE, again).await.expect("the place is free again");
}

#[tokio::test]
async fn listed_proxies_have_as_many_as_there_are() {
    let upstream = Upstream::plain().await;
    let server = "trusted_proxies = [\"127.0.0.1\"]\n[server.limits]\nmax_connections_per_address = 1";
    let gateway = Gateway::with(&upstream.url(), POLICY, server, "").await;
    let _both = (served(&gateway).await, served(&gateway).await);
}

#[tokio::test]
async fn connections_too_many_wait_for_their_turn() {
    let upstream = Upstream::plain().await;
    let gateway = limited(&upstream, "max_connections = 1").await;
    let first = served(&gateway).await;
    let mut second = TcpStream::connect(gateway.addr).await.unwrap();
    second.write_all(LIVEZ.as_bytes()).await.unwrap();
    let mut answer = [0; 1024];
    assert!(
        timeout(Duration::from_millis(200), second.read(&mut answer)).await.is_err(),
        "it is served at once"
    );
    drop(first);
    assert!(timeout(DEADLINE, second.read(&mut answer)).await.unwrap().unwrap() > 0);
}

fn with_headers(count: usize, value: &str) -> String {
    let headers: Vec<_> = (0..count).map(|index| format!("x-{index}: {value}\r\n")).collect();
    LIVEZ.replace("\r\n\r\n", &format!("\r\n{}\r\n", headers.concat()))
}

#[tokio::test]
async fn heads_have_a_size() {
    let upstream = Upstream::plain().await;
    for (limits, most, bytes) in [
        ("", 100, 65536),
        ("max_headers = 10\nmax_header_bytes = 8192", 10, 8192),
        ("max_headers = 150", 150, 65536),
    ] {
        let gateway = limited(&upstream, limits).await;
        for (head, refused) in [
            // with `host`
            (with_headers(most - 1, "a"), false),
            (with_headers(most, "a"), true),
            (with_headers(1, &"a".repeat(bytes - 200)), false),
            (with_headers(1, &"a".repeat(bytes)), true),
            (with_headers(1, &"a".repeat(bytes * 10)), true),
            (LIVEZ.replace("/livez", &format!("/livez?{}", "a".repeat(bytes))), true),
        ] {
            let (answer, _) = exchange(gateway.addr, head.as_bytes()).await;
            let found = statuses(&answer);
            assert_eq!(found == [431], refused, "{limits:?}, {} bytes: {found:?}", head.len());
        }
    }
}

/// A connection of HTTP/2, with one request for each list of headers besides the usual ones.
fn http2(gateway: &Gateway, requests: &[Vec<(String, String)>]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    let host = gateway.addr.to_string();
    for (index, more) in requests.iter().enumerate() {
        let mut headers: Vec<(&[u8], &[u8])> = vec![
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":path", b"/livez"),
            (b":authority", host.as_bytes()),
        ];
        headers.extend(more.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        bytes.extend(frame(1, 5, u32::try_from(2 * index + 1).unwrap(), &hpack(&headers)));
    }
    bytes
}

#[tokio::test]
async fn heads_have_a_size_in_http_2() {
    let upstream = Upstream::plain().await;
    let gateway = limited(&upstream, "max_headers = 70\nmax_header_bytes = 8192").await;
    let headers = |count: usize, value: &str| {
        vec![(0..count).map(|index| (format!("x-{index}"), value.to_owned())).collect::<Vec<_>>()]
    };
    for (requests, refused) in [
        (headers(70, "a"), false),
        (headers(71, "a"), true),
        (headers(45, &"a".repeat(126)), false),
        (headers(60, &"a".repeat(126)), true),
    ] {
        let found = outcome(gateway.addr, &http2(&gateway, &requests)).await;
        assert_eq!(found == Outcome::Status(431), refused, "{found:?}");
    }
}

#[tokio::test]
async fn streams_have_a_number() {
    const REFUSED_STREAM: u32 = 7;
    let entered = Arc::new(Notify::new());
    let upstream = Upstream::start(move |_| {
        entered.notify_one();
        std::future::pending()
    })
    .await;
    let gateway = limited(&upstream, "max_streams_per_connection = 2").await;
    // three calls that are not answered
    let call = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"}}"#;
    let host = gateway.addr.to_string();
    let headers: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/mcp"),
        (b":authority", host.as_bytes()),
        (b"content-type", b"application/json"),
        (b"accept", b"application/json, text/event-stream"),
    ];
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    for number in [1, 3, 5] {
        bytes.extend(frame(1, 4, number, &hpack(&headers)));
        bytes.extend(frame(0, 1, number, call));
    }
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let (frames, _) = crate::raw::until_quiet(&mut stream).await;
    let resets = crate::raw::resets(&frames);
    assert_eq!(resets.first(), Some(&(5, REFUSED_STREAM)), "{resets:?}");
    assert!(resets.iter().all(|(stream, _)| *stream == 5), "{resets:?}");
}

/// CVE-2023-44487: requests that are taken back at once cost the client nothing.
#[tokio::test]
async fn requests_that_are_taken_back_at_once_end_the_connection() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    const CANCEL: u32 = 8;
    let upstream = Upstream::plain().await;
    let gateway = limited(&upstream, "").await;
    let attack = |requests: u32| {
        let mut bytes = http2(&gateway, &[]);
        let one = http2(&gateway, &[Vec::new()]);
        let head = one[bytes.len()..].to_vec();
        let numbered = |index: u32| {
            let mut request = head.clone();
            request[5..9].copy_from_slice(&(2 * index + 1).to_be_bytes());
            request
        };
        // the first one is meant
        bytes.extend(numbered(0));
        for index in 1..=requests {
            bytes.extend(numbered(index));
            bytes.extend(frame(3, 0, 2 * index + 1, &CANCEL.to_be_bytes()));
        }
        bytes
    };
    let outcomes = async |requests| {
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        let _ = stream.write_all(&attack(requests)).await;
        let (frames, _) = crate::raw::until_quiet(&mut stream).await;
        crate::raw::goodbye(&frames)
    };
    // a page that is left takes back what it asked for
    assert_eq!(outcomes(16).await, None);
    assert_eq!(outcomes(17).await, Some(ENHANCE_YOUR_CALM));
    assert_eq!(outcomes(1000).await, Some(ENHANCE_YOUR_CALM));
}

/// Requests that we have to reset cost the client nothing either.
#[tokio::test]
async fn requests_that_are_no_requests_end_the_connection() {
    const ENHANCE_YOUR_CALM: u32 = 11;
    let upstream = Upstream::plain().await;
    let gateway = limited(&upstream, "").await;
    let outcomes = async |requests: usize| {
        let bad = vec![("te".to_owned(), "gzip".to_owned())];
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        let _ = stream.write_all(&http2(&gateway, &vec![bad; requests])).await;
        let (frames, _) = crate::raw::until_quiet(&mut stream).await;
        crate::raw::goodbye(&frames)
    };
    assert_eq!(outcomes(128).await, None);
    assert_eq!(outcomes(129).await, Some(ENHANCE_YOUR_CALM));
}

#[tokio::test(start_paused = true)]
async fn a_head_has_a_time_however_it_trickles_in() {
    let upstream = Upstream::plain().await;
    let gateway = limited(&upstream, "header_read_seconds = 5").await;
    let beginnings = [
        "",
        "P",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: x\r\nslow",
    ];
    for beginning in beginnings {
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let waited = kept(&mut stream).await;
        assert!((4.9..6.0).contains(&waited), "{beginning:?}: {waited} s");
    }
    // and the next one on a connection that has shown something
    let mut stream = served(&gateway).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (mut read, mut write) = stream.split();
    let trickle = async {
        for byte in LIVEZ.as_bytes() {
            let _ = write.write_all(&[*byte]).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        std::future::pending::<()>().await;
    };
    let started = Instant::now();
    let mut rest = Vec::new();
    tokio::select! {
        ended = timeout(Duration::from_mins(1), read.read_to_end(&mut rest)) => { ended.expect("it is kept").ok(); }
        () = trickle => {}
    }
    let waited = started.elapsed().as_secs_f32();
    assert!((4.9..6.5).contains(&waited), "{waited} s");
    assert!(rest.is_empty(), "half a request is answered");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_for_a_while() {
    let upstream = Upstream::plain().await;
    let gateway = limited(&upstream, "idle_seconds = 40").await;
    let mut stream = served(&gateway).await;
    tokio::time::sleep(Duration::from_secs(39)).await;
    assert!(asked(&mut stream).await, "closed before its time");
    let waited = kept(&mut stream).await;
    assert!((39.9..43.0).contains(&waited), "{waited} s");
}

/// Whoever does not read would keep what the upstream has for him, and the upstream, for as long as he likes.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_is_not_kept() {
    let ended = Arc::new(Notify::new());
    let told = Arc::clone(&ended);
    let upstream = Upstream::start(move |_| {
        let ended = Ended(Arc::clone(&told));
        async move {
            let endless = futures_util::stream::unfold(ended, |ended| async move {
                Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b'a'; 16384])), ended))
            });
            respond(200, &[("content-type", "application/json")], Body::from_stream(endless))
        }
    })
    .await;
    let gateway = limited(&upstream, "idle_seconds = 40").await;
    let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"}}"#;
    let request = format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: {}\r\n\r\n{call}",
        gateway.addr,
        call.len()
    );
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    let started = Instant::now();
    timeout(Duration::from_mins(10), ended.notified()).await.expect("the upstream is kept");
    let waited = started.elapsed().as_secs_f32();
    assert!((39.0..45.0).contains(&waited), "{waited} s");
}

/// The rest of what is refused is read for a moment: a reset would take the answer away before it is read.
#[tokio::test]
async fn a_body_that_is_refused_does_not_take_the_answer_with_it() {
    let upstream = Upstream::plain().await;
    let gateway = limited(&upstream, "max_body_bytes = 1000").await;
    for length in ["content-length: 8000000", "transfer-encoding: chunked"] {
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\n{length}\r\n\r\n",
            gateway.addr
        );
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        // all of it is sent before anything is read, as simple clients do
        let chunk = format!("f4240\r\n{}\r\n", " ".repeat(1_000_000));
        for _ in 0..8 {
            let piece = if length.starts_with('t') { chunk.as_str() } else { &chunk[7..1_000_007] };
            timeout(DEADLINE, stream.write_all(piece.as_bytes())).await.unwrap().unwrap();
        }
        let (answer, _) = crate::raw::until_quiet(&mut stream).await;
        assert_eq!(statuses(&answer), [413], "{length}");
    }
    assert!(upstream.got().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_time_for_a_body_is_the_one_configured() {
    let upstream = Upstream::plain().await;
    let gateway = limited(&upstream, "body_read_seconds = 3").await;
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: 100\r\n\r\n{{",
        gateway.addr
    );
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let started = Instant::now();
    let mut first = [0; 12];
    timeout(Duration::from_mins(1), stream.read_exact(&mut first)).await.unwrap().unwrap();
    assert_eq!(&first, b"HTTP/1.1 408");
    assert!((2.9..4.0).contains(&started.elapsed().as_secs_f32()), "{:?}", started.elapsed());
}

/// Where nobody reads the body whole, the upstream has begun to get it: that it never ends is the client's fault all the same,
/// and the upstream is asked as before.
#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_in_is_the_clients_fault_at_plain_http_too() {
    for http2 in [false, true] {
        let upstream = Upstream::plain().await;
        let route = format!(
            "[[routes]]\npath = \"/files/**\"\nkind = \"http\"\nauth = \"public\"\nupstream = \"http://{}/\"\n\
             upstream_http2 = {http2}\n[admin]\nlisten = [\"127.0.0.1:0\"]\n",
            upstream.addr
        );
        let limits = "[server.limits]\nbody_read_seconds = 3";
        let gateway = Gateway::with(&upstream.url(), POLICY, limits, &route).await;
        let head =
            format!("POST /files/a HTTP/1.1\r\nhost: {}\r\ncontent-length: 100\r\n\r\n{{", gateway.addr);
        for _ in 0..6 {
            let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let started = Instant::now();
            let mut first = [0; 12];
            timeout(Duration::from_mins(1), stream.read_exact(&mut first)).await.unwrap().unwrap();
            assert_eq!(std::str::from_utf8(&first).unwrap(), "HTTP/1.1 408", "http2: {http2}");
            assert!((2.9..4.0).contains(&started.elapsed().as_secs_f32()), "{:?}", started.elapsed());
        }
        // five failures of an upstream would have it out
        let url = gateway.url("/files/a");
        assert_eq!(gateway.client.get(url).send().await.unwrap().status(), 200);
        let metrics = gateway.client.get(gateway.admin_url("/metrics")).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let of_this = |line: &&str| {
            line.starts_with("mcp_gateway_upstream_failures_total")
                && line.contains(&upstream.addr.to_string())
        };
        assert_eq!(metrics.lines().find(of_this), None);
    }
}

/// Bodies that are read whole, as long as the server or the route allows and not a byte longer, however they come.
#[tokio::test]
async fn a_body_of_an_mcp_route_has_a_size() {
    let upstream = Upstream::plain().await;
    for (server, route) in [("[server.limits]\nmax_body_bytes = 300", ""), ("", "max_body_bytes = 300")] {
        let gateway = Gateway::with(&upstream.url(), POLICY, server, route).await;
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"}}"#;
        for (size, expected) in [(300, 200), (301, 413), (100_000, 413)] {
            let body = format!("{call}{}", " ".repeat(size - call.len()));
            let before = upstream.got().len();
            let response = gateway.post(&body).send().await.unwrap();
            assert_eq!(response.status(), expected, "{size} {server}{route}");
            // in pieces, without a length
            let mut request = format!(
                "POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
                 accept: application/json, text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
                gateway.addr
            );
            for piece in body.as_bytes().chunks(97) {
                let piece = std::str::from_utf8(piece).unwrap();
                request = format!("{request}{:x}\r\n{piece}\r\n", piece.len());
            }
            request += "0\r\n\r\n";
            let (answer, _) = exchange(gateway.addr, request.as_bytes()).await;
            assert_eq!(statuses(&answer), [expected], "{size} in pieces {server}{route}");
            let got = upstream.got().len() - before;
            assert_eq!(got, if expected == 200 { 2 } else { 0 }, "{size} {server}{route}");
        }
    }
}

/// What a client says about itself counts for nothing; what a listed proxy says about it, for the client.
#[tokio::test]
async fn the_client_is_who_a_listed_proxy_says() {
    let upstream = Upstream::plain().await;
    for (server, seen) in [("", "127.0.0.1"), ("trusted_proxies = [\"127.0.0.0/8\"]", "192.0.2.1")] {
        let gateway = Gateway::with(&upstream.url(), POLICY, server, "").await;
        let call = gateway.call("open").header("x-forwarded-for", "203.0.113.9, 192.0.2.1");
        assert_eq!(call.send().await.unwrap().status(), 200);
        let got = upstream.got();
        let said = got.last().unwrap().header("x-forwarded-for").unwrap();
        assert!(said.starts_with(seen), "{server}: {said}");
        assert!(!said.contains("203.0.113.9"), "{server}: {said}");
    }
}
