//! Requests that two parties could read in two ways (RFC 9112 §11.2): for each, what the client gets, and that nothing but
//! what was judged reaches the upstream.

use crate::harness::{Gateway, POLICY};
use crate::raw::{Header, Outcome, RawUpstream, exchange, frame, hpack, outcome, statuses};

/// A call that anybody may make.
const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"open"}}"#;
/// What an attacker would like to be taken for a request of its own; its host is none of ours, so that it gets 403.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n";

async fn started() -> (RawUpstream, Gateway) {
    let upstream = RawUpstream::start().await;
    let gateway = Gateway::with(&upstream.url(), POLICY, "", "").await;
    (upstream, gateway)
}

/// A request with these header lines (each with its line break) and this body.
fn post(gateway: &Gateway, lines: &str, body: &str) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\n{lines}\r\n{body}",
        gateway.addr
    )
}

fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// Sends it and checks the statuses, that the connection is closed where it must be, and how much reached the upstream.
async fn check(upstream: &RawUpstream, gateway: &Gateway, request: &str, expected: &[u16], closes: bool) {
    let before = upstream.requests();
    let (answer, ended) = exchange(gateway.addr, request.as_bytes()).await;
    assert_eq!(statuses(&answer), expected, "{request:?}");
    assert_eq!(ended, closes, "{request:?}: {}", String::from_utf8_lossy(&answer));
    let forwarded = expected.iter().filter(|status| **status == 200).count();
    assert_eq!(upstream.requests() - before, forwarded, "{request:?}");
    let seen = upstream.seen();
    assert!(!seen.contains("smuggled"), "{request:?} put this through: {seen}");
    assert!(!seen.to_ascii_lowercase().contains("transfer-encoding"), "{seen}");
}

#[tokio::test]
async fn a_plain_call_goes_through_once_and_two_go_through_twice() {
    let (upstream, gateway) = started().await;
    let call = post(&gateway, &format!("content-length: {}\r\n", CALL.len()), CALL);
    check(&upstream, &gateway, &call, &[200], false).await;
    check(&upstream, &gateway, &format!("{call}{call}"), &[200, 200], false).await;
    let call = post(&gateway, "transfer-encoding: chunked\r\n", &chunked(CALL));
    check(&upstream, &gateway, &format!("{call}{SMUGGLED}"), &[200, 403], false).await;
}

/// CL.TE and TE.CL: with both, the coding counts, and whatever follows is no request (RFC 9112 §6.3).
#[tokio::test]
async fn with_a_coding_and_a_length_the_connection_ends() {
    let (upstream, gateway) = started().await;
    let body = chunked(CALL);
    for lengths in [body.len(), body.len() + SMUGGLED.len(), 4, 0] {
        for lines in [
            format!("content-length: {lengths}\r\ntransfer-encoding: chunked\r\n"),
            format!("transfer-encoding: chunked\r\ncontent-length: {lengths}\r\n"),
        ] {
            let request = post(&gateway, &lines, &format!("{body}{SMUGGLED}"));
            check(&upstream, &gateway, &request, &[200], true).await;
        }
    }
}

/// TE.TE: one that is not `chunked` alone, or is hidden from one of the two.
#[tokio::test]
async fn other_codings_are_refused() {
    let (upstream, gateway) = started().await;
    for coding in [
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: x",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding: chunked;a=b",
        "transfer-encoding:\u{b}chunked",
        "transfer-encoding: \u{b}chunked",
        "transfer-encoding: chunked\u{0}",
        "transfer-encoding : chunked",
        " transfer-encoding: chunked",
        "transfer-encoding\n: chunked",
        "transfer-encoding:\n chunked",
        "x: y\r\n transfer-encoding: chunked",
        "x: y\rtransfer-encoding: chunked",
        "transfer_encoding\u{0}: chunked",
    ] {
        let request = post(&gateway, &format!("{coding}\r\n"), &format!("{}{SMUGGLED}", chunked(CALL)));
        check(&upstream, &gateway, &request, &[400], true).await;
        let lines = format!("content-length: {}\r\n{coding}\r\n", CALL.len());
        let request = post(&gateway, &lines, &format!("{CALL}{SMUGGLED}"));
        check(&upstream, &gateway, &request, &[400], true).await;
    }
}

/// RFC 9112 §6.1: a coding is no part of HTTP/1.0, and a server that took it for one would wait at another place.
#[tokio::test]
async fn http_1_0_has_no_codings_and_keeps_alive_only_when_asked() {
    let (upstream, gateway) = started().await;
    let old = |lines: &str, body: &str| post(&gateway, lines, body).replacen("HTTP/1.1", "HTTP/1.0", 1);
    let request = old("transfer-encoding: chunked\r\n", &format!("{}{SMUGGLED}", chunked(CALL)));
    check(&upstream, &gateway, &request, &[400], true).await;
    let length = format!("content-length: {}\r\n", CALL.len());
    let request = old(&length, &format!("{CALL}{SMUGGLED}"));
    check(&upstream, &gateway, &request, &[200], true).await;
    let request = old(&format!("{length}connection: keep-alive\r\n"), &format!("{CALL}{SMUGGLED}"));
    check(&upstream, &gateway, &request, &[200, 403], false).await;
    // without a length there is no body, and what follows is a request
    let request = old("connection: keep-alive\r\n", SMUGGLED);
    check(&upstream, &gateway, &request, &[400, 403], false).await;
}

#[tokio::test]
async fn a_length_is_digits_and_the_same_wherever_it_stands() {
    let (upstream, gateway) = started().await;
    let length = CALL.len();
    for lines in [
        format!("content-length: +{length}"),
        format!("content-length: -{length}"),
        format!("content-length: 0x{length:x}"),
        format!("content-length: {length}.0"),
        format!("content-length: {length} {length}"),
        format!("content-length: {length},{length}"),
        format!("content-length: {length}, 0"),
        format!("content-length: {length}a"),
        "content-length:".to_owned(),
        "content-length: ".to_owned(),
        "content-length: 18446744073709551616".to_owned(),
        "content-length: 99999999999999999999999999".to_owned(),
        format!("content-length: {length}\r\ncontent-length: 0"),
        format!("content-length: 0\r\ncontent-length: {length}"),
        format!("content-length : {length}"),
        format!("content-length\t: {length}"),
        format!("content-length: {length}\u{0}"),
        format!("content-length: {length}\r\n 0"),
        format!("content-length: \r\n {length}"),
        format!("content_length\u{1}: {length}"),
    ] {
        let request = post(&gateway, &format!("{lines}\r\n"), &format!("{CALL}{SMUGGLED}"));
        check(&upstream, &gateway, &request, &[400], true).await;
    }
    for (length, status) in [("18446744073709551615", 431), ("18446744073709551613", 413), ("4194305", 413)] {
        let request = post(&gateway, &format!("content-length: {length}\r\n"), &format!("{CALL}{SMUGGLED}"));
        check(&upstream, &gateway, &request, &[status], true).await;
    }
    // the same twice is one (RFC 9110 §8.6), and goes on as one
    let lines = format!("content-length: {length}\r\ncontent-length: {length}\r\n");
    check(&upstream, &gateway, &post(&gateway, &lines, CALL), &[200], false).await;
    assert_eq!(upstream.seen().matches("content-length").count(), 1);
    // a name that only looks like it means nothing, here or there
    let lines = format!("content_length: 0\r\ncontent-length: {length}\r\n");
    check(&upstream, &gateway, &post(&gateway, &lines, CALL), &[200], false).await;
}

#[tokio::test]
async fn chunks_are_read_in_one_way() {
    let (upstream, gateway) = started().await;
    let length = CALL.len();
    for body in [
        format!("+{length:x}\r\n{CALL}\r\n0\r\n\r\n"),
        format!("-{length:x}\r\n{CALL}\r\n0\r\n\r\n"),
        format!("0x{length:x}\r\n{CALL}\r\n0\r\n\r\n"),
        format!("{length:x}\n{CALL}\n0\n\n"),
        format!("{length:x}\r\n{CALL}\n0\r\n\r\n"),
        format!("{length:x}\r\n{CALL}0\r\n\r\n"),
        format!("{length:x}\r{CALL}\r\n0\r\n\r\n"),
        format!("{length:x};a\n{CALL}\r\n0\r\n\r\n"),
        format!("ffffffffffffffffff\r\n{CALL}\r\n0\r\n\r\n"),
        format!("10000000000000000\r\n{CALL}\r\n0\r\n\r\n"),
        format!("\r\n{CALL}\r\n0\r\n\r\n"),
        format!("{length:x}\u{0}\r\n{CALL}\r\n0\r\n\r\n"),
    ] {
        let request = post(&gateway, "transfer-encoding: chunked\r\n", &format!("{body}{SMUGGLED}"));
        check(&upstream, &gateway, &request, &[400], true).await;
    }
    // trailers are not headers, and an extension is nobody's business
    let body = format!("{length:x};a=b\r\n{CALL}\r\n0\r\nx-auth-subject: admin\r\nhost: smuggled\r\n\r\n");
    let request = post(&gateway, "transfer-encoding: chunked\r\n", &body);
    check(&upstream, &gateway, &request, &[200], false).await;
    assert!(!upstream.seen().contains("admin"), "{}", upstream.seen());
}

#[tokio::test]
async fn lines_end_as_they_must_and_hold_no_controls() {
    let (upstream, gateway) = started().await;
    let length = format!("content-length: {}\r\n", CALL.len());
    for lines in [
        // obs-fold
        "x: a\r\n b\r\n",
        "x: a\r\n\tcontent-length: 0\r\n",
        "x: a\rb\r\n",
        "x: a\u{0}b\r\n",
        "x: a\u{1}b\r\n",
        "x\u{0}: a\r\n",
        "x : a\r\n",
        "x\t: a\r\n",
        ": a\r\n",
        "x\r\n",
        "x y: a\r\n",
        "(x): a\r\n",
        "x\r: a\r\n",
    ] {
        let request = post(&gateway, &format!("{length}{lines}"), &format!("{CALL}{SMUGGLED}"));
        check(&upstream, &gateway, &request, &[400], true).await;
    }
    // a bare line feed ends a line, as it may (RFC 9112 §2.2), and is none any more behind the gateway
    let request = post(&gateway, &format!("{length}x: a\ny: b\r\n"), CALL);
    check(&upstream, &gateway, &request, &[200], false).await;
    assert!(!upstream.seen().replace("\r\n", "").contains('\n'), "{:?}", upstream.seen());
}

#[tokio::test]
async fn request_lines_are_read_in_one_way() {
    let (upstream, gateway) = started().await;
    let body = format!("content-length: {}\r\n", CALL.len());
    let call = post(&gateway, &body, CALL);
    for line in [
        "POST  /mcp HTTP/1.1",
        "POST /mcp  HTTP/1.1",
        "POST\t/mcp HTTP/1.1",
        "POST /mcp\tHTTP/1.1",
        "POST /mcp HTTP/1.1 ",
        "POST /mcp",
        "POST /mcp HTTP/0.9",
        "POST /mcp HTTP/2.0",
        "POST /mcp HTTP/3.0",
        "POST /mcp http/1.1",
        "POST /mcp HTTP/1.10",
        "POST /mcp HTTP/11",
        "POST /m\u{0}cp HTTP/1.1",
        "POST /m cp HTTP/1.1",
        "POST /m\rcp HTTP/1.1",
        "P(ST /mcp HTTP/1.1",
        "POST mcp HTTP/1.1",
        "POST * HTTP/1.1",
        "CONNECT /mcp HTTP/1.1",
        "CONNECT upstream:80 HTTP/1.1",
        "POST http:///mcp HTTP/1.1",
        "POST ftp://x/mcp HTTP/1.1",
        "POST http://evil.example/mcp HTTP/1.1",
        "POST http://user@HOST/mcp HTTP/1.1",
        "POST http://HOST@evil.example/mcp HTTP/1.1",
    ] {
        let line = line.replace("HOST", &gateway.addr.to_string());
        let request = format!("{}{SMUGGLED}", call.replacen("POST /mcp HTTP/1.1", &line, 1));
        check(&upstream, &gateway, &request, &[400], true).await;
    }
    // other paths than the route's, which nobody makes into it
    for path in [
        "//mcp",
        "/mcp/",
        "/%6dcp",
        "/x/%2e%2e/mcp",
        "/x/../mcp",
        "/mcp%2f",
        "/mcp;a",
        "/mcp%00",
        "/MCP",
        "/\\mcp",
    ] {
        let request = call.replacen("/mcp", path, 1);
        let (answer, _) = exchange(gateway.addr, request.as_bytes()).await;
        assert!(matches!(statuses(&answer)[..], [400 | 404]), "{path}: {}", String::from_utf8_lossy(&answer));
    }
    let absolute = call.replacen("/mcp", &format!("http://{}/mcp", gateway.addr), 1);
    check(&upstream, &gateway, &absolute, &[200], false).await;
    assert!(upstream.seen().contains("POST /upstream/mcp HTTP/1.1"), "{}", upstream.seen());
}

#[tokio::test]
async fn there_is_one_host() {
    let (upstream, gateway) = started().await;
    let call = post(&gateway, &format!("content-length: {}\r\n", CALL.len()), CALL);
    let own = format!("host: {}\r\n", gateway.addr);
    for (hosts, status) in [
        (String::new(), 400),
        (format!("{own}{own}"), 400),
        (format!("{own}host: evil.example\r\n"), 400),
        (format!("host: evil.example\r\n{own}"), 400),
        (format!("host : {}\r\n", gateway.addr), 400),
        (format!(" {own}"), 400),
        ("host: evil.example\r\n".to_owned(), 403),
        (format!("host: {0}, {0}\r\n", gateway.addr), 403),
        (format!("host: user@{}\r\n", gateway.addr), 403),
        (format!("host: {}/x\r\n", gateway.addr), 403),
        ("host:\r\n".to_owned(), 400),
    ] {
        let (answer, _) = exchange(gateway.addr, call.replacen(&own, &hosts, 1).as_bytes()).await;
        assert_eq!(statuses(&answer), [status], "{hosts:?}");
    }
    assert_eq!(upstream.requests(), 0);
}

#[tokio::test]
async fn nobody_changes_the_protocol() {
    let (upstream, gateway) = started().await;
    let length = format!("content-length: {}\r\n", CALL.len());
    for lines in [
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ] {
        let before = upstream.requests();
        let request = post(&gateway, &format!("{length}{lines}"), &format!("{CALL}{SMUGGLED}"));
        let (answer, _) = exchange(gateway.addr, request.as_bytes()).await;
        assert_eq!(statuses(&answer), [200, 403], "{lines}");
        assert_eq!(upstream.requests(), before + 1);
        let seen = upstream.seen().to_ascii_lowercase();
        for gone in ["upgrade", "http2-settings", "sec-websocket", "h2c", "smuggled"] {
            assert!(!seen.contains(gone) || gone == "sec-websocket", "{gone}: {seen}");
        }
    }
}

/// What `Connection` names is for the next hop only, and must not take away what the gateway says itself.
#[tokio::test]
async fn connection_takes_no_header_of_ours_away() {
    let (upstream, gateway) = started().await;
    let length = format!("content-length: {}\r\n", CALL.len());
    let lines = format!("{length}connection: x-secret, x-forwarded-for, x-auth-subject\r\nx-secret: 1\r\n");
    check(&upstream, &gateway, &post(&gateway, &lines, CALL), &[200], false).await;
    let seen = upstream.seen();
    assert!(!seen.contains("x-secret"), "{seen}");
    for kept in
        [length.clone(), format!("host: {}\r\n", upstream.addr), "x-forwarded-for: 127.0.0.1\r\n".to_owned()]
    {
        assert!(seen.contains(&kept), "{seen}");
    }
    // what the request was judged by is refused
    for name in ["content-length", "host", "content-type"] {
        let request = post(&gateway, &format!("{length}connection: {name}\r\n"), CALL);
        let (answer, _) = exchange(gateway.addr, request.as_bytes()).await;
        assert_eq!((name, &statuses(&answer)[..]), (name, &[400][..]));
    }
    assert_eq!(upstream.requests(), 1);
}

/// HTTP/2 with these headers, and the call as its body.
async fn http2(gateway: &Gateway, headers: &[Header<'_>], body: &str) -> Outcome {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    bytes.extend(frame(1, 4, 1, &hpack(headers)));
    bytes.extend(frame(0, 1, 1, body.as_bytes()));
    outcome(gateway.addr, &bytes).await
}

#[tokio::test]
async fn nothing_of_http_1_comes_in_by_http_2() {
    const PROTOCOL_ERROR: u32 = 1;
    let (upstream, gateway) = started().await;
    let host = gateway.addr.to_string();
    let usual: Vec<Header<'_>> = vec![
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/mcp"),
        (b":authority", host.as_bytes()),
        (b"content-type", b"application/json"),
        (b"accept", b"application/json, text/event-stream"),
    ];
    let with = |more: &[(&'static [u8], &'static [u8])]| [usual.clone(), more.to_vec()].concat();
    let instead = |name: &[u8], value: &'static [u8]| {
        let mut headers = usual.clone();
        headers.iter_mut().filter(|(known, _)| *known == name).for_each(|header| header.1 = value);
        headers
    };
    let without = |name: &[u8]| usual.iter().filter(|(known, _)| *known != name).copied().collect::<Vec<_>>();
    assert_eq!(http2(&gateway, &usual, CALL).await, Outcome::Status(200));
    assert_eq!(upstream.requests(), 1);

    let reset = Outcome::Reset(PROTOCOL_ERROR);
    // no header at all: the state of the compression is lost with it
    let gone = Outcome::GoAway(PROTOCOL_ERROR);
    let bad = Outcome::Status(400);
    let cases: Vec<(Vec<Header<'_>>, Outcome)> = vec![
        (with(&[(b"transfer-encoding", b"chunked")]), reset),
        (with(&[(b"connection", b"close")]), reset),
        (with(&[(b"connection", b"x-forwarded-for")]), reset),
        (with(&[(b"keep-alive", b"timeout=5")]), reset),
        (with(&[(b"proxy-connection", b"close")]), reset),
        (with(&[(b"upgrade", b"websocket")]), reset),
        (with(&[(b"te", b"gzip")]), reset),
        (with(&[(b"X-Upper", b"1")]), gone),
        (with(&[(b"x bad", b"1")]), gone),
        (with(&[(b"x:bad", b"1")]), gone),
        (with(&[(b"", b"1")]), gone),
        // downgraded byte for byte, these would be lines of their own
        (with(&[(b"x", b"a\r\nx-smuggled: 1")]), gone),
        (with(&[(b"x", b"a\nx-smuggled: 1")]), gone),
        (with(&[(b"x", b"a\rb")]), gone),
        (with(&[(b"x", b"a\0b")]), gone),
        (with(&[(b"x\r\ny", b"1")]), gone),
        (with(&[(b"x: 1\r\ny", b"1")]), gone),
        (with(&[(b"content-length", b"1")]), reset),
        (with(&[(b"content-length", b"99999")]), reset),
        (with(&[(b"content-length", b"+1")]), reset),
        (with(&[(b":path", b"/smuggled")]), reset),
        (with(&[(b":method", b"GET")]), reset),
        (with(&[(b":status", b"200")]), reset),
        (with(&[(b":smuggled", b"1")]), gone),
        (without(b":method"), reset),
        (without(b":path"), reset),
        (without(b":scheme"), reset),
        (without(b":authority"), bad),
        (instead(b":method", b"POST /smuggled HTTP/1.1\r\nx: "), gone),
        (instead(b":method", b"PO ST"), gone),
        (instead(b":method", b"CONNECT"), reset),
        (instead(b":path", b"/mcp HTTP/1.1\r\nx: y"), reset),
        (instead(b":path", b"/mcp\0"), reset),
        (instead(b":path", b"/m cp"), reset),
        (instead(b":path", b""), reset),
        (instead(b":path", b"mcp"), reset),
        (instead(b":path", b"*"), bad),
        (instead(b":path", b"http://evil.example/mcp"), reset),
        (instead(b":path", b"//evil.example/mcp"), Outcome::Status(404)),
        (instead(b":scheme", b"ftp"), bad),
        (instead(b":scheme", b"http://evil.example/?"), reset),
        (instead(b":authority", b"evil.example"), Outcome::Status(403)),
        (instead(b":authority", b"evil.example\r\nx: y"), reset),
        (instead(b":authority", b"user@localhost"), bad),
        (with(&[(b"host", b"evil.example")]), bad),
        (with(&[(b"host", b"a"), (b"host", b"b")]), bad),
    ];
    let mut wrong = Vec::new();
    for (headers, expected) in cases {
        let found = http2(&gateway, &headers, CALL).await;
        if found != expected {
            let odd = headers.iter().filter(|header| !usual.contains(header));
            let odd: Vec<_> = odd
                .map(|(name, value)| format!("{}: {}", name.escape_ascii(), value.escape_ascii()))
                .collect();
            wrong.push(format!("{odd:?} of {}: {found:?}, not {expected:?}", headers.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(upstream.requests(), 1);
    assert!(!upstream.seen().contains("smuggled"), "{}", upstream.seen());
}
