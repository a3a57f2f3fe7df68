//! How much one peer may take of the server.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{Answer, Server, Setup};

/// Every endpoint with a limit, how it is asked, and whether people see its answers.
const ENDPOINTS: [(Method, &str, bool); 14] = [
    (Method::GET, "/oauth2/authorize", true),
    (Method::GET, "/login", true),
    (Method::POST, "/consent", true),
    (Method::GET, "/account", true),
    (Method::GET, "/account/password", true),
    (Method::GET, "/device", true),
    (Method::POST, "/oauth2/token", false),
    (Method::POST, "/oauth2/introspect", false),
    (Method::POST, "/oauth2/revoke", false),
    (Method::POST, "/oauth2/par", false),
    (Method::POST, "/oauth2/device", false),
    (Method::GET, "/oauth2/userinfo", false),
    (Method::GET, "/oauth2/register/x", false),
    (Method::POST, "/oauth2/register", false),
];

fn three_a_minute(more: &str) -> Setup {
    Setup {
        server: "trusted_proxies = [\"127.0.0.1\"]".to_owned(),
        clients: "registrations_per_minute = 3".to_owned(),
        more: format!(
            "[limits]\nauthorizations_per_minute = 3\npages_per_minute = 3\ntoken_requests_per_minute = 3\n\
             introspections_per_minute = 3\nrevocations_per_minute = 3\npushed_requests_per_minute = 3\n\
             device_requests_per_minute = 3\nuserinfo_requests_per_minute = 3\nregistration_management_per_minute = 3\n{more}"
        ),
        ..Setup::default()
    }
}

async fn ask(server: &Server, (method, path, _): &(Method, &str, bool), address: &str) -> Answer {
    server.request(method.clone(), path, &[("x-forwarded-for", address)], Vec::new()).await
}

#[tokio::test]
async fn each_endpoint_turns_away_who_comes_too_often() {
    let server = three_a_minute("").start().await;
    for endpoint in &ENDPOINTS {
        let (_, path, for_people) = endpoint;
        // of an IPv6 network, each address is the same customer's
        for (index, address) in ["2001:db8::1", "2001:db8::2", "2001:db8::3"].iter().enumerate() {
            let answer = ask(&server, endpoint, address).await;
            assert_ne!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{path} {index}");
        }
        let refused = ask(&server, endpoint, "2001:db8::4").await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
        let wait: i64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{path}: {wait}");
        assert_eq!(refused.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(refused.header("cache-control"), Some("no-store"), "{path}");
        if *for_people {
            assert!(refused.header("content-type").unwrap().starts_with("text/html"), "{path}");
            assert!(refused.body.contains("Too many requests"), "{path}: {}", refused.body);
            assert_eq!(refused.header("x-frame-options"), Some("DENY"), "{path}");
            assert_eq!(refused.header("access-control-allow-origin"), None, "{path}");
        } else {
            assert_eq!(refused.json()["error"], "temporarily_unavailable", "{path}");
            assert_eq!(refused.header("access-control-allow-origin"), Some("*"), "{path}");
        }
        for other in ["2001:db8:0:1::1", "203.0.113.7"] {
            let answer = ask(&server, endpoint, other).await;
            assert_ne!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{path} {other}");
        }
        server.clock.advance_seconds(59);
        assert_eq!(
            ask(&server, endpoint, "2001:db8::1").await.status,
            StatusCode::TOO_MANY_REQUESTS,
            "{path}"
        );
        server.clock.advance_seconds(1);
        assert_ne!(
            ask(&server, endpoint, "2001:db8::1").await.status,
            StatusCode::TOO_MANY_REQUESTS,
            "{path}"
        );
        server.clock.advance_seconds(60);
    }
}

/// The questions of browsers before a request are none.
#[tokio::test]
async fn preflights_and_what_is_cached_have_no_limit() {
    let server = three_a_minute("").start().await;
    let headers = [
        ("origin", "https://app.test"),
        ("access-control-request-method", "POST"),
        ("x-forwarded-for", "192.0.2.1"),
    ];
    for _ in 0..10 {
        let answer = server.request(Method::OPTIONS, "/oauth2/token", &headers, Vec::new()).await;
        assert_eq!(answer.status, StatusCode::OK);
        for path in ["/oauth2/jwks", "/.well-known/oauth-authorization-server", "/assets/style.css"] {
            assert_eq!(server.get(path).await.status, StatusCode::OK, "{path}");
        }
    }
    let token = (Method::POST, "/oauth2/token", false);
    assert_ne!(ask(&server, &token, "192.0.2.1").await.status, StatusCode::TOO_MANY_REQUESTS);
}

/// A hosted client comes by the same few addresses for everybody.
#[tokio::test]
async fn for_a_trusted_egress_no_rate_counts() {
    let mut setup = three_a_minute("");
    setup
        .clients
        .push_str("\ntrusted_egress = [{ addresses = [\"198.51.100.0/24\"], registrations_per_minute = 9 }]");
    let server = setup.start().await;
    for endpoint in &ENDPOINTS {
        for _ in 0..6 {
            let answer = ask(&server, endpoint, "198.51.100.7").await;
            assert_ne!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{}", endpoint.1);
        }
        let outside = [0; 4].map(|_| ask(&server, endpoint, "198.51.101.7"));
        let outside = futures_util::future::join_all(outside).await;
        assert!(
            outside.iter().any(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS),
            "{}",
            endpoint.1
        );
    }
}

/// Whoever comes too often is in the audit once for each window, and of all there are no more than sixty events a minute.
#[tokio::test]
async fn the_audit_says_once_that_a_limit_was_reached() {
    let server = three_a_minute("").start().await;
    let token = (Method::POST, "/oauth2/token", false);
    for _ in 0..10 {
        ask(&server, &token, "192.0.2.1").await;
    }
    let of = |events: &[serde_json::Value]| -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        events
            .iter()
            .filter(|event| event["kind"] == "limit.reached")
            .map(|event| (text(&event["detail"]["limit"]), text(&event["address"])))
            .collect()
    };
    let event = |limit: &str, address: &str| (limit.to_owned(), address.to_owned());
    let first = event("token requests", "192.0.2.1");
    assert_eq!(of(&server.audit().await), std::slice::from_ref(&first));
    server.clock.advance_seconds(60);
    for _ in 0..10 {
        ask(&server, &token, "192.0.2.1").await;
        ask(&server, &ENDPOINTS[13], "2001:db8::1").await;
    }
    let wanted = [first.clone(), first, event("registrations", "2001:db8::1")];
    assert_eq!(of(&server.audit().await), wanted);
    server.clock.advance_seconds(60);
    for last in 0..100 {
        for _ in 0..4 {
            ask(&server, &token, &format!("203.0.113.{last}")).await;
        }
    }
    assert_eq!(of(&server.audit().await).len(), 3 + 60);
}

/// What comes back on a connection on which this is sent, until it is closed.
async fn sent(server: &Server, text: &str) -> String {
    let mut stream = TcpStream::connect(server.at.trim_start_matches("http://")).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // a reset is as good as an end
    let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let more = "[limits]\nbody_timeout_seconds = 1".to_owned();
    let server = Setup { more, ..Setup::default() }.start().await;
    for (path, kind, status) in [
        ("/oauth2/token", "application/x-www-form-urlencoded", "HTTP/1.1 408"),
        ("/oauth2/register", "application/json", "HTTP/1.1 408"),
        ("/login", "application/x-www-form-urlencoded", "HTTP/1.1 408"),
        ("/consent", "application/x-www-form-urlencoded", "HTTP/1.1 408"),
        ("/oauth2/logout", "application/x-www-form-urlencoded", "HTTP/1.1 408"),
    ] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: 100\r\n\r\ngrant"
        );
        let answer = sent(&server, &head).await;
        assert!(answer.starts_with(status), "{path}: {answer}");
    }
}

/// The next request would meet a connection that ends.
#[tokio::test]
async fn whoever_is_answered_before_the_body_was_read_is_told_that_the_connection_ends() {
    let server = Server::start().await;
    let form = "content-type: application/x-www-form-urlencoded";
    for (path, kind, length, ends) in [
        ("/oauth2/jwks", form, 4, true),
        ("/nowhere", form, 4, true),
        ("/oauth2/token", "content-type: text/plain", 4, true),
        ("/oauth2/token", form, 4, false),
        ("/oauth2/jwks", form, 0, false),
    ] {
        let mut stream = TcpStream::connect(server.at.trim_start_matches("http://")).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{kind}\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &b"a=bc"[..length]].concat()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "{path}");
        }
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(answer.contains("\r\nconnection: close\r\n"), ends, "{path} {length}: {answer}");
    }
}

#[tokio::test]
async fn an_address_has_so_many_connections() {
    for (server, wanted) in [("", false), ("trusted_proxies = [\"127.0.0.1\"]", true)] {
        let more = "[limits]\nmax_connections_per_address = 2".to_owned();
        let server = Setup { server: server.to_owned(), more, ..Setup::default() }.start().await;
        let mut open = Vec::new();
        for _ in 0..2 {
            open.push(TcpStream::connect(server.at.trim_start_matches("http://")).await.unwrap());
        }
        let answer = sent(&server, "GET /oauth2/jwks HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
        assert_eq!(answer.starts_with("HTTP/1.1 200"), wanted, "{answer}");
    }
}
