//! An MCP server that notes what it gets and answers as it is told.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use http::{HeaderMap, Method, Uri};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One request as the server got it.
#[derive(Clone, Debug)]
pub struct Got {
    /// The gateway's end of the connection.
    pub peer: SocketAddr,
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Got {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

pub struct Upstream {
    pub addr: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    task: JoinHandle<()>,
}

impl Upstream {
    pub async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(Got) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&got);
        let handler = move |request: Request| -> Answer {
            let (notes, answer) = (Arc::clone(&notes), answer.clone());
            Box::pin(async move {
                let (parts, body) = request.into_parts();
                // one that breaks off is no request
                let Ok(body) = to_bytes(body, usize::MAX).await else { return respond(400, &[], "") };
                let body = body.to_vec();
                let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().unwrap().0;
                let got = Got { peer, method: parts.method, uri: parts.uri, headers: parts.headers, body };
                notes.lock().unwrap().push(got.clone());
                answer(got).await
            })
        };
        let router = axum::Router::new().fallback(handler);
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { addr, got, task }
    }

    /// One that answers every request with an empty JSON-RPC result.
    pub async fn plain() -> Self {
        Self::start(|_| async { json(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#) }).await
    }

    pub fn url(&self) -> String {
        format!("http://{}/upstream/mcp", self.addr)
    }

    /// All requests so far.
    pub fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// The only request so far.
    pub fn got_one(&self) -> Got {
        let got = self.got();
        assert_eq!(got.len(), 1, "{got:#?}");
        got[0].clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub fn json(body: &'static str) -> Response {
    respond(200, &[("content-type", "application/json")], body)
}

pub fn respond(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}
