use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A resolver that knows one answer, and counts.
#[derive(Debug)]
struct Answers(Vec<IpAddr>, AtomicUsize);

impl Answers {
    fn new(addresses: &[&str]) -> Arc<Self> {
        Arc::new(Self(addresses.iter().map(|text| text.parse().unwrap()).collect(), AtomicUsize::new(0)))
    }
    fn asked(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl Resolve for Answers {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

/// A server on loopback that answers everyone with the same bytes, then keeps the connection open.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn start(answer: impl Into<Vec<u8>>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (connections, answer) = (Arc::new(AtomicUsize::new(0)), answer.into());
        tokio::spawn({
            let connections = connections.clone();
            async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::Relaxed);
                    let answer = answer.clone();
                    tokio::spawn(async move {
                        let _ = stream.read(&mut [0; 4096]).await;
                        let _ = stream.write_all(&answer).await;
                        let _ = stream.read(&mut [0; 4096]).await;
                    });
                }
            }
        });
        Self { port, connections }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/jwks", self.port)
    }
    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn get(fetch: HttpFetchBuilder, url: &str) -> Result<Bytes, String> {
    let url = Url::parse(url).unwrap();
    fetch.build().unwrap().get(&url).await.map_err(|error| error.to_string())
}

fn guarded() -> HttpFetchBuilder {
    HttpFetch::builder().timeout(Duration::from_millis(500))
}

#[tokio::test]
async fn an_address_that_is_not_public_is_refused_in_every_spelling() {
    let server = Server::start("").await;
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "0.0.0.0",
        "0",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "2852039166",
        "168.63.129.16",
        "224.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::169.254.169.254]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2002:a9fe:a9fe::]",
        "[fe80::1]",
        "[fd00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
    ] {
        let error = get(guarded(), &format!("https://{host}:{}/jwks", server.port)).await.unwrap_err();
        assert!(error.contains("expected a public address"), "{host}: {error}");
        // Nor with what is allowed for this machine alone, where it is another one.
        if !["127", "2130706433", "0x7f", "017", "[::1]"].iter().any(|local| host.starts_with(local)) {
            let error = get(guarded().allow_loopback(true), &format!("https://{host}/")).await.unwrap_err();
            assert!(error.contains("expected a public address"), "{host}: {error}");
        }
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_with_any_answer_inside_is_not_connected_to() {
    let server = Server::start("").await;
    for answers in [
        &["127.0.0.1"][..],
        &["8.8.8.8", "127.0.0.1"],
        &["127.0.0.1", "8.8.8.8"],
        &["2606:4700::1111", "::ffff:127.0.0.1"],
        &["8.8.8.8", "169.254.169.254"],
        &[],
    ] {
        for fetch in [guarded(), guarded().allow_loopback(true), guarded().allow_private_host("other.test")] {
            let resolver = Answers::new(answers);
            let url = format!("https://idp.test:{}/jwks", server.port);
            let error = get(fetch.resolver(resolver.clone()), &url).await.unwrap_err();
            assert!(error.contains("may be connected to"), "{answers:?}: {error}");
            assert_eq!(resolver.asked(), 1, "{answers:?}");
        }
    }
    // `localhost` is this machine only if its addresses say so.
    let elsewhere = guarded().allow_loopback(true).resolver(Answers::new(&["10.0.0.1"]));
    let error = get(elsewhere, "http://localhost/").await.unwrap_err();
    assert!(error.contains("may be connected to"), "{error}");
    assert_eq!(server.connections(), 0);
}

/// A second look-up could have another answer; there is none.
#[tokio::test]
async fn the_addresses_that_were_judged_are_the_ones_connected_to() {
    let server = Server::start("no TLS").await;
    for fetch in [guarded().allow_private_host("IDP.test"), guarded().allow_private_addresses(true)] {
        let (resolver, before) = (Answers::new(&["127.0.0.1"]), server.connections());
        let url = format!("https://idp.test:{}/jwks", server.port);
        assert!(get(fetch.resolver(resolver.clone()), &url).await.is_err(), "it is no TLS server");
        assert_eq!((resolver.asked(), server.connections()), (1, before + 1));
    }
}

#[tokio::test]
async fn this_machine_is_reached_where_that_is_allowed_and_by_its_own_names_alone() {
    let server = Server::start("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    let by_name = format!("http://localhost:{}/jwks", server.port);
    for url in [server.url(), by_name.clone()] {
        let fetch = guarded().allow_loopback(true).resolver(Answers::new(&["127.0.0.1"]));
        assert_eq!(get(fetch, &url).await.unwrap(), "{}");
        assert!(get(guarded(), &url).await.unwrap_err().contains("expected an https URL"));
    }
    assert_eq!(server.connections(), 2);
    for url in ["http://idp.test/", "http://8.8.8.8/", "http://localhost.idp.test/", "ftp://localhost/"] {
        let fetch = guarded()
            .allow_loopback(true)
            .allow_private_host("idp.test")
            .resolver(Answers::new(&["127.0.0.1"]));
        assert!(get(fetch, url).await.unwrap_err().contains("expected an https URL"), "{url}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let inside = Server::start("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    for status in ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let answer =
            format!("HTTP/1.1 {status}\r\nlocation: {}\r\ncontent-length: 2\r\n\r\n{{}}", inside.url());
        let server = Server::start(answer).await;
        let error = get(guarded().allow_loopback(true), &server.url()).await.unwrap_err();
        assert!(error.contains("expected 200"), "{error}");
    }
    assert_eq!(inside.connections(), 0);
}

/// What asks an authorization server is guarded alike, and reads answers of any status.
#[tokio::test]
async fn an_exchange_has_the_same_guards() {
    use crate::verifier::Exchange as _;
    let server = Server::start("HTTP/1.1 401 Unauthorized\r\nx-a: b\r\ncontent-length: 2\r\n\r\n{}").await;
    let request = || http::Request::post(server.url()).body(Bytes::from_static(b"token=secret")).unwrap();
    let answer = guarded().allow_loopback(true).build().unwrap().send(request()).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-a"], &answer.body()[..]),
        (401, &"b".parse().unwrap(), &b"{}"[..])
    );
    let error = guarded().build().unwrap().send(request()).await.unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn long_slow_and_compressed_answers_are_refused() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunk = format!("400\r\n{}\r\n", "x".repeat(1024));
    for (answer, expected) in [
        (format!("{ok}content-length: 1025\r\n\r\n"), "at most 1024 bytes"),
        (format!("{ok}content-length: 999999999999999\r\n\r\n"), "at most 1024 bytes"),
        (format!("{ok}transfer-encoding: chunked\r\n\r\n{chunk}{chunk}"), "at most 1024 bytes"),
        (format!("{ok}\r\n{}", "x".repeat(5000)), "at most 1024 bytes"),
        // A body that does not end, a head that does not end, and nothing at all.
        (format!("{ok}content-length: 10\r\n\r\n{{"), "timed out"),
        (format!("{ok}x: y"), "timed out"),
        (String::new(), "timed out"),
        // What could become any size.
        (format!("{ok}content-encoding: gzip\r\ncontent-length: 2\r\n\r\n\u{1f}\u{8b}"), "a content coding"),
        (format!("{ok}content-encoding: br\r\ncontent-length: 2\r\n\r\n{{}}"), "a content coding"),
        (format!("{ok}content-encoding: zstd, gzip\r\ncontent-length: 2\r\n\r\n{{}}"), "a content coding"),
    ] {
        let server = Server::start(answer.clone()).await;
        let fetch = guarded().allow_loopback(true).max_bytes(1024);
        let error = get(fetch, &server.url()).await.unwrap_err();
        assert!(error.contains(expected), "{answer:.80}: {error}");
    }
    let server = Server::start(format!("{ok}content-length: 1024\r\n\r\n{}", "x".repeat(1024))).await;
    let body = get(guarded().allow_loopback(true).max_bytes(1024), &server.url()).await.unwrap();
    assert_eq!(body.len(), 1024);
}
