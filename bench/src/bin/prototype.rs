//! The floor of our stack: what a gateway costs that does the same job naively, on hyper and hyper-util with nothing
//! around them. No limits, no time-outs, no log, nothing that protects: not to be used.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Parser;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    upstream: String,
    /// The issuer's public key, in PEM.
    #[arg(long)]
    key: PathBuf,
    #[arg(long)]
    audience: String,
}

struct Gateway {
    client: Client<HttpConnector, Full<Bytes>>,
    upstream: String,
    key: DecodingKey,
    validation: Validation,
    /// The scopes of tokens that were seen before.
    tokens: RefCell<HashMap<String, String>>,
    /// What a tool needs.
    policy: HashMap<String, String>,
}

#[derive(Clone, Deserialize)]
struct Claims {
    scope: String,
}

#[derive(Deserialize)]
struct Call<'a> {
    method: &'a str,
    params: Params<'a>,
}

#[derive(Deserialize)]
struct Params<'a> {
    name: &'a str,
}

type Answer = Response<Either<Incoming, Full<Bytes>>>;

fn refuse(status: StatusCode, why: &'static str) -> Answer {
    let mut response = Response::new(Either::Right(Full::new(Bytes::from_static(why.as_bytes()))));
    *response.status_mut() = status;
    let challenge = http::HeaderValue::from_static("Bearer resource_metadata=\"https://tools.test/\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

impl Gateway {
    fn scopes(&self, token: &str) -> Option<String> {
        if let Some(scope) = self.tokens.borrow().get(token) {
            return Some(scope.clone());
        }
        let scope = decode::<Claims>(token, &self.key, &self.validation).ok()?.claims.scope;
        self.tokens.borrow_mut().insert(token.to_owned(), scope.clone());
        Some(scope)
    }

    async fn serve(&self, request: Request<Incoming>) -> anyhow::Result<Answer> {
        let (mut parts, body) = request.into_parts();
        let token =
            parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let Some(scopes) = token.and_then(|token| self.scopes(token)) else {
            return Ok(refuse(StatusCode::UNAUTHORIZED, "sign in"));
        };
        let body = body.collect().await?.to_bytes();
        let call = serde_json::from_slice::<Call<'_>>(&body)?;
        let needed = self.policy.get(call.params.name).filter(|_| call.method == "tools/call");
        if !needed.is_some_and(|needed| scopes.split(' ').any(|scope| scope == needed)) {
            return Ok(refuse(StatusCode::FORBIDDEN, "not allowed"));
        }
        for name in [AUTHORIZATION, CONNECTION, HOST] {
            parts.headers.remove(name);
        }
        parts.uri = format!("{}{}", self.upstream, parts.uri.path()).parse::<Uri>()?;
        let mut answer = self.client.request(Request::from_parts(parts, Full::new(body))).await?;
        answer.headers_mut().remove(CONNECTION);
        if answer.headers().get(CONTENT_TYPE).is_none() {
            return Ok(refuse(StatusCode::BAD_GATEWAY, "the upstream answers nonsense"));
        }
        Ok(answer.map(Either::Left))
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[&arguments.audience]);
    let gateway = Rc::new(Gateway {
        client: Client::builder(TokioExecutor::new()).build(connector),
        upstream: arguments.upstream,
        key: DecodingKey::from_ec_pem(&std::fs::read(&arguments.key).context("no key")?)?,
        validation,
        tokens: RefCell::default(),
        policy: (0..50).map(|tool| (format!("tool_{tool:02}"), format!("scope:{}", tool % 5))).collect(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = tokio::net::TcpListener::bind(arguments.listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let gateway = Rc::clone(&gateway);
            tokio::task::spawn_local(async move {
                let service = service_fn(|request| gateway.serve(request));
                // a client that goes away is no fault
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}
