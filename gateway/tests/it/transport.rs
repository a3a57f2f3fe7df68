//! TLS towards the upstream, HTTP/2 from clients, and clients that dawdle.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::harness::{Gateway, POLICY};
use crate::upstream::Upstream;

/// An authority, and an https server for `localhost` that it vouches for; the server gives each connection this answer, and
/// says when it has closed it.
async fn https_upstream(answer: &'static str) -> (String, u16, UnboundedReceiver<()>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (closed, until_closed) = unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // a client that does not trust the certificate hangs up
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
            drop(stream);
            let _ = closed.send(());
        }
    });
    (authority.pem(), port, until_closed)
}

/// A server that is asked for HTTP/2 and speaks HTTP/1 may close a connection that the gateway keeps.
#[tokio::test]
async fn a_connection_of_the_older_kind_that_ended_while_idle_is_replaced_as_well() {
    let (authority, port, mut closed) = https_upstream(crate::stub::OK).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority).unwrap();
    let route = format!("upstream_ca_file = \"{}\"\nupstream_http2 = true", file.path().display());
    let gateway = Gateway::with(&format!("https://localhost:{port}/"), POLICY, "", &route).await;
    for call in 0..4 {
        assert_eq!(gateway.call("open").send().await.unwrap().status(), 200, "{call}");
        closed.recv().await.unwrap();
    }
}

#[tokio::test]
async fn an_https_upstream_must_be_vouched_for() {
    let closing = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
    let (authority, port, _closed) = https_upstream(closing).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority).unwrap();
    let trusting = format!("upstream_ca_file = \"{}\"", file.path().display());
    for (url, route, status) in [
        (format!("https://localhost:{port}/"), trusting.as_str(), 200),
        // the name in the certificate is another one
        (format!("https://127.0.0.1:{port}/"), trusting.as_str(), 502),
        // the system does not know the authority
        (format!("https://localhost:{port}/"), "", 502),
    ] {
        let gateway = Gateway::with(&url, POLICY, "", route).await;
        assert_eq!(gateway.call("open").send().await.unwrap().status(), status, "{url} {route}");
    }
}

/// An upstream that asks who the gateway is; gives its URL, and the lines of a route that show the right certificate and
/// another authority's.
async fn asking_upstream(dir: &std::path::Path) -> (String, String, String) {
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let [ours, other] = [(), ()].map(|()| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    });
    let issue = |name: &str, authority: &CertifiedIssuer<'_, KeyPair>| {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, authority).unwrap(), key)
    };
    let mut roots = tokio_rustls::rustls::RootCertStore::empty();
    roots.add(ours.der().clone()).unwrap();
    let verifier = tokio_rustls::rustls::server::WebPkiClientVerifier::builder_with_provider(
        Arc::new(roots),
        Arc::clone(&provider),
    );
    let (certificate, key) = issue("localhost", &ours);
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(crate::stub::OK.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    std::fs::write(dir.join("ca.pem"), ours.pem()).unwrap();
    let shown = |file: &str, authority: &CertifiedIssuer<'_, KeyPair>| {
        let (certificate, key) = issue("gateway", authority);
        std::fs::write(dir.join(format!("{file}.pem")), certificate.pem()).unwrap();
        std::fs::write(dir.join(format!("{file}.key")), key.serialize_pem()).unwrap();
        let dir = dir.display();
        format!(
            "upstream_client_certificate_file = \"{dir}/{file}.pem\"\nupstream_client_key_file = \"{dir}/{file}.key\""
        )
    };
    (url, shown("right", &ours), shown("wrong", &other))
}

#[tokio::test]
async fn an_upstream_that_asks_for_a_certificate_gets_the_configured_one() {
    let dir = tempfile::tempdir().unwrap();
    let (url, right, wrong) = asking_upstream(dir.path()).await;
    let trusting = format!("upstream_ca_file = \"{}/ca.pem\"", dir.path().display());
    for (shown, status) in [(right.as_str(), 200), ("", 502), (wrong.as_str(), 502)] {
        // asked for by HTTP/2 as well, which the server does not speak
        for http2 in [false, true] {
            let route = format!("{trusting}\n{shown}\nupstream_http2 = {http2}");
            let gateway = Gateway::with(&url, POLICY, "", &route).await;
            assert_eq!(gateway.call("open").send().await.unwrap().status(), status, "{route}");
        }
    }
}

#[tokio::test]
async fn clients_may_speak_http_2() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let call = gateway.call("closed").bearer_auth(gateway.token("alex", "read")).build().unwrap();
    let response = client.execute(call).await.unwrap();
    assert_eq!((response.version(), response.status().as_u16()), (http::Version::HTTP_2, 200));
    let got = upstream.got_one();
    assert_eq!(got.header("x-auth-subject"), Some("alex"));
    assert_eq!(got.header("host"), Some(upstream.addr.to_string().as_str()));

    let mut foreign = gateway.call("open").build().unwrap();
    foreign.headers_mut().insert("host", "evil.example".parse().unwrap());
    // it is another one than `:authority`
    assert_eq!(client.execute(foreign).await.unwrap().status(), 400);
    assert_eq!(upstream.got().len(), 1);
}

/// A connection that has announced a hundred bytes and sent one.
async fn begun(gateway: &Gateway) -> TcpStream {
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         accept: application/json, text/event-stream\r\ncontent-length: 100\r\n\r\n{{",
        gateway.addr
    );
    let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Whoever sends a byte now and then would otherwise hold the rest of it in memory for as long as he likes.
#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_in_is_not_waited_for() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let (mut read, mut write) = begun(&gateway).await.into_split();
    let trickle = async {
        // seventy seconds for fifty of the hundred bytes
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(1400)).await;
            if write.write_all(b" ").await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut first = [0; 13];
    tokio::select! {
        answer = read.read_exact(&mut first) => { answer.unwrap(); }
        () = trickle => {}
        () = tokio::time::sleep(Duration::from_mins(1)) => panic!("the gateway waits"),
    }
    assert_eq!(&first, b"HTTP/1.1 408 ");
    assert!(upstream.got().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_not_waited_for() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let mut stream = begun(&gateway).await;
    // the clock runs ahead while everybody waits
    let mut answer = String::new();
    timeout(Duration::from_mins(1), stream.read_to_string(&mut answer))
        .await
        .expect("the gateway gives up")
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(upstream.got().is_empty());
}
