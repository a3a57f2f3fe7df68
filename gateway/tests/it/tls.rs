//! https towards clients: certificates by name, renewed while connections stand, and clients that have some of their own.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::harness::{DEADLINE, Gateway, POLICY, body, until};
use crate::logs;
use crate::upstream::Upstream;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for these names, and its key, in PEM; and the certificate as it is.
fn certificate(authority: &Authority, names: &[&str]) -> (String, String, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem(), certificate.der().clone())
}

/// A file of its own, which outlives the test.
fn write(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// `[server.tls]` with these pairs of files, and more lines.
fn table(pairs: &[(&str, &str)], more: &str) -> String {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(certificate, key)| format!("{{ certificate_file = \"{certificate}\", key_file = \"{key}\" }}"))
        .collect();
    format!("[server.tls]\ncertificates = [{}]\n{more}", pairs.join(", "))
}

async fn connect(
    addr: SocketAddr,
    authority: &Authority,
    name: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(addr).await?;
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn shown(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

async fn livez(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 1024];
    let count = timeout(DEADLINE, stream.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..count]).into_owned()
}

#[tokio::test]
async fn the_name_chooses_the_certificate_and_the_first_is_for_all_others() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), authority());
    let first = certificate(&authority, &["localhost", "one.example"]);
    let second = certificate(&authority, &["*.two.example"]);
    let files = [("1.pem", &first.0), ("1.key", &first.1), ("2.pem", &second.0), ("2.key", &second.1)]
        .map(|(name, text)| write(dir.path(), name, text));
    let tls = table(&[(&files[0], &files[1]), (&files[2], &files[3])], "");
    let upstream = Upstream::plain().await;
    let gateway = Gateway::with(&upstream.url(), POLICY, &tls, "").await;
    for (name, expected) in [("localhost", &first.2), ("one.example", &first.2), ("a.two.example", &second.2)]
    {
        let mut stream = connect(gateway.addr, &authority, name).await.unwrap();
        assert_eq!(&shown(&stream), expected, "{name}");
        assert!(livez(&mut stream).await.starts_with("HTTP/1.1 "), "{name}");
    }
    // the first one is shown, and is not for that name
    for name in ["two.example", "a.b.two.example", "other.example"] {
        let error = connect(gateway.addr, &authority, name).await.unwrap_err();
        assert!(error.to_string().contains("not valid for name"), "{name}: {error}");
    }
    // whoever speaks http to it is not understood
    let (answer, closed) =
        crate::raw::exchange(gateway.addr, b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(closed && !answer.starts_with(b"HTTP"), "{answer:?}");
}

#[tokio::test]
async fn a_renewed_certificate_counts_with_its_key_and_drops_nobody() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), authority());
    let (old, new) = (certificate(&authority, &["localhost"]), certificate(&authority, &["localhost"]));
    let (pem, key) = (write(dir.path(), "c.pem", &old.0), write(dir.path(), "c.key", &old.1));
    let upstream = Upstream::plain().await;
    let gateway = Gateway::with(&upstream.url(), POLICY, &table(&[(&pem, &key)], ""), "").await;
    let mut standing = connect(gateway.addr, &authority, "localhost").await.unwrap();
    assert!(livez(&mut standing).await.starts_with("HTTP/1.1 "));

    // without its key it is of no use
    write(dir.path(), "c.pem", &new.0);
    until("the pair is refused", || !logs::with(&format!("is not the key of `{pem}`")).is_empty()).await;
    assert_eq!(shown(&connect(gateway.addr, &authority, "localhost").await.unwrap()), old.2);
    write(dir.path(), "c.key", "rubbish");
    until("the key is refused", || !logs::with(&format!("`{key}` holds none that can be read")).is_empty())
        .await;
    assert_eq!(shown(&connect(gateway.addr, &authority, "localhost").await.unwrap()), old.2);

    write(dir.path(), "c.key", &new.1);
    let taken = async {
        while shown(&connect(gateway.addr, &authority, "localhost").await.unwrap()) != new.2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, taken).await.expect("the new pair is taken over");
    assert!(livez(&mut standing).await.starts_with("HTTP/1.1 "), "the connection that stood was dropped");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), authority());
    let own = certificate(&authority, &["localhost"]);
    let (pem, key) = (write(dir.path(), "c.pem", &own.0), write(dir.path(), "c.key", &own.1));
    let tls = format!("{}\n[server.limits]\nhandshake_seconds = 7", table(&[(&pem, &key)], ""));
    let upstream = Upstream::plain().await;
    let gateway = Gateway::with(&upstream.url(), POLICY, &tls, "").await;
    for beginning in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"] {
        let mut stream = TcpStream::connect(gateway.addr).await.unwrap();
        stream.write_all(beginning).await.unwrap();
        let started = tokio::time::Instant::now();
        let ended = timeout(Duration::from_mins(1), stream.read_to_end(&mut Vec::new())).await;
        assert!(ended.is_ok(), "{beginning:?} keeps a connection open");
        let waited = started.elapsed().as_secs_f32();
        assert!((6.9..8.0).contains(&waited), "{beginning:?}: {waited} s");
    }
}

/// Clients with the first certificate, with the second, and without; and the gateway's own answer to each.
struct Clients {
    gateway: Gateway,
    with_own: reqwest::Client,
    with_other: reqwest::Client,
    with_foreign: reqwest::Client,
    without: reqwest::Client,
    thumbprint: String,
}

async fn clients(upstream: &Upstream, required: &str) -> Clients {
    use aws_lc_rs::digest::{SHA256, digest};
    use base64::Engine as _;
    let (dir, servers, users) = (tempfile::tempdir().unwrap().keep(), authority(), authority());
    let own = certificate(&servers, &["localhost"]);
    let (pem, key) = (write(&dir, "c.pem", &own.0), write(&dir, "c.key", &own.1));
    let ca = write(&dir, "ca.pem", &users.pem());
    let more = format!("client_ca_file = \"{ca}\"\n{required}");
    let gateway = Gateway::with(&upstream.url(), POLICY, &table(&[(&pem, &key)], &more), "").await;
    let (one, other) = (certificate(&users, &["alex"]), certificate(&users, &["blake"]));
    let foreign = certificate(&authority(), &["alex"]);
    let client = |identity: Option<&(String, String, CertificateDer<'static>)>| {
        let root = reqwest::Certificate::from_pem(servers.pem().as_bytes()).unwrap();
        let builder = reqwest::Client::builder().tls_certs_only([root]).resolve("localhost", gateway.addr);
        match identity {
            Some((certificate, key, _)) => {
                let pem = format!("{certificate}{key}");
                builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap())
            }
            None => builder,
        }
        .build()
        .unwrap()
    };
    let thumbprint = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest(&SHA256, &one.2));
    Clients {
        with_own: client(Some(&one)),
        with_other: client(Some(&other)),
        with_foreign: client(Some(&foreign)),
        without: client(None),
        thumbprint,
        gateway,
    }
}

/// RFC 8705 §3: a token that is bound to a certificate counts on connections of that certificate alone.
#[tokio::test]
async fn a_token_counts_with_the_certificate_that_it_is_bound_to() {
    let upstream = Upstream::plain().await;
    let clients = clients(&upstream, "").await;
    let gateway = &clients.gateway;
    let url = format!("https://localhost:{}/mcp", gateway.addr.port());
    let bound = gateway.token_with("alex", "read", &json!({ "cnf": { "x5t#S256": clients.thumbprint } }));
    let call = async |client: &reqwest::Client, token: &str| {
        let mut request = gateway.call("closed").bearer_auth(token).build().unwrap();
        *request.url_mut() = url.parse().unwrap();
        client.execute(request).await.map(|response| response.status().as_u16())
    };
    assert_eq!(call(&clients.with_other, &bound).await.unwrap(), 401);
    assert_eq!(call(&clients.without, &bound).await.unwrap(), 401);
    // who asks with a certificate that nobody vouches for does not even get in
    assert!(call(&clients.with_foreign, &bound).await.is_err());
    assert!(upstream.got().is_empty());
    assert_eq!(call(&clients.with_own, &bound).await.unwrap(), 200);
    let free = gateway.token("alex", "read");
    for client in [&clients.with_own, &clients.with_other, &clients.without] {
        assert_eq!(call(client, &free).await.unwrap(), 200, "a token that is bound to nothing");
    }
    let metadata =
        format!("https://localhost:{}/.well-known/oauth-protected-resource/mcp", gateway.addr.port());
    let metadata = body(clients.without.get(metadata).send().await.unwrap()).await;
    assert_eq!(metadata["tls_client_certificate_bound_access_tokens"], true);
}

#[tokio::test]
async fn where_certificates_are_required_nobody_comes_in_without() {
    let upstream = Upstream::plain().await;
    let clients = clients(&upstream, "client_certificates = \"required\"").await;
    let url = format!("https://localhost:{}/livez", clients.gateway.addr.port());
    assert!(clients.without.get(&url).send().await.is_err());
    assert!(clients.with_foreign.get(&url).send().await.is_err());
    assert!(clients.with_own.get(&url).send().await.is_ok());
}
