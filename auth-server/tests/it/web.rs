//! A web server that publishes metadata documents, over real TLS, and misbehaves on request.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use mcp_auth_server::outside::Resolver;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::Notify,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};

use crate::harness::{Server, Setup};

pub(crate) const HOST: &str = "client.test";

/// What the server does with a request.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Sends this, and keeps the connection for the next request.
    Bytes(Vec<u8>),
    /// Sends this as soon as it is told to.
    Told(Arc<Notify>, Vec<u8>),
    /// Sends the first once and the second over and over.
    Endless(Vec<u8>, Vec<u8>),
    /// Sends this, then nothing more.
    Stall(Vec<u8>),
    /// Does not even answer the TLS handshake.
    NoTls,
}

/// The server's side.
pub(crate) struct Web {
    pub(crate) port: u16,
    pub(crate) ca: String,
    pub(crate) connections: Arc<AtomicUsize>,
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    reply: Arc<Mutex<Reply>>,
    at: Arc<Mutex<HashMap<String, Reply>>>,
}

impl Web {
    pub(crate) async fn start() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = vec![HOST.to_owned(), "localhost".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &ca).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let web = Self {
            port: listener.local_addr().unwrap().port(),
            ca: ca.pem(),
            connections: Arc::default(),
            requests: Arc::default(),
            reply: Arc::new(Mutex::new(Reply::NoTls)),
            at: Arc::default(),
        };
        let (connections, requests, reply, at) = (
            Arc::clone(&web.connections),
            Arc::clone(&web.requests),
            Arc::clone(&web.reply),
            Arc::clone(&web.at),
        );
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, requests, reply, at) =
                    (acceptor.clone(), Arc::clone(&requests), reply.lock().unwrap().clone(), Arc::clone(&at));
                tokio::spawn(async move {
                    if matches!(reply, Reply::NoTls) && at.lock().unwrap().is_empty() {
                        std::future::pending::<()>().await;
                    }
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    loop {
                        let mut head = Vec::new();
                        while !head.ends_with(b"\r\n\r\n") {
                            match stream.read_u8().await {
                                Ok(byte) => head.push(byte),
                                Err(_) => return,
                            }
                        }
                        let head = String::from_utf8(head).unwrap();
                        let path = head.split(' ').nth(1).unwrap().to_owned();
                        requests.lock().unwrap().push(head);
                        let reply = at.lock().unwrap().get(&path).cloned().unwrap_or_else(|| reply.clone());
                        answer(&mut stream, reply).await;
                    }
                });
            }
        });
        web
    }

    /// The URL of a document.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{HOST}:{}{path}", self.port)
    }

    pub(crate) fn reply(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    /// Replies with JSON at one path, whatever is replied elsewhere.
    pub(crate) fn publish_at(&self, path: &str, document: &str) {
        let reply = Reply::Bytes(ok("application/json", "", document));
        self.at.lock().unwrap().insert(path.to_owned(), reply);
    }

    /// Replies with a document and headers beside its type and length.
    pub(crate) fn publish(&self, document: &str, headers: &str) {
        self.reply(Reply::Bytes(ok("application/json", headers, document)));
    }

    pub(crate) fn fetches(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// The keys of `[clients]` that let an authorization server fetch from here.
    fn clients(&self) -> String {
        format!("insecure_document_hosts = [\"{HOST}:{}\"]\nextra_ca_file = \"ca.pem\"\n", self.port)
    }

    /// One with more keys in `[clients]`.
    pub(crate) async fn authorization_server_with_clients(
        &self,
        addresses: Arc<Addresses>,
        more: &str,
    ) -> Server {
        let clients = self.clients() + more;
        let files = vec![("ca.pem", self.ca.clone())];
        Setup { clients, files, resolver: Some(addresses), ..Setup::default() }.start().await
    }

    /// An authorization server that may fetch from here.
    pub(crate) async fn authorization_server(&self, addresses: Arc<Addresses>) -> Server {
        self.authorization_server_with(addresses, "").await
    }

    /// One with more in its configuration.
    pub(crate) async fn authorization_server_with(&self, addresses: Arc<Addresses>, more: &str) -> Server {
        let clients = self.clients();
        let files = vec![("ca.pem", self.ca.clone())];
        let more = more.to_owned();
        Setup { clients, files, more, resolver: Some(addresses), ..Setup::default() }.start().await
    }
}

async fn answer(stream: &mut (impl tokio::io::AsyncWrite + Unpin), reply: Reply) {
    match reply {
        Reply::Bytes(bytes) => {
            // a client that refuses early closes early
            let _ = stream.write_all(&bytes).await;
            let _ = stream.flush().await;
        }
        Reply::Endless(head, piece) => {
            stream.write_all(&head).await.unwrap();
            while stream.write_all(&piece).await.is_ok() {}
        }
        Reply::Stall(bytes) => {
            stream.write_all(&bytes).await.unwrap();
            stream.flush().await.unwrap();
            std::future::pending::<()>().await;
        }
        Reply::Told(told, bytes) => {
            told.notified().await;
            stream.write_all(&bytes).await.unwrap();
            stream.flush().await.unwrap();
        }
        Reply::NoTls => {}
    }
}

/// A response with status 200.
pub(crate) fn ok(kind: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
        .into_bytes()
}

/// DNS under the test's control: the first answer, then the next, the last one for ever.
#[derive(Debug)]
pub(crate) struct Addresses {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    pub(crate) asked: AtomicUsize,
}

impl Addresses {
    pub(crate) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|text| text.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }

    pub(crate) fn loopback() -> Arc<Self> {
        Self::new(&[&["127.0.0.1"]])
    }

    pub(crate) fn set(&self, answer: &[&str]) {
        *self.answers.lock().unwrap() = vec![answer.iter().map(|text| text.parse().unwrap()).collect()];
    }
}

#[async_trait]
impl Resolver for Addresses {
    async fn resolve(&self, _host: &str) -> std::io::Result<Vec<IpAddr>> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        let answers = self.answers.lock().unwrap();
        Ok(answers[asked.min(answers.len() - 1)].clone())
    }
}
