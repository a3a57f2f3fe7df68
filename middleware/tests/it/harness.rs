//! A layer around a recording server, and tokens for it.

use std::convert::Infallible;
use std::future::Ready;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcp_auth::clock::ManualClock;
use mcp_auth::policy::{Policy, PolicyHandle};
use mcp_auth::verifier::keys::FixedKeys;
use mcp_auth::verifier::{Issuer, JwtVerifier, TokenVerifier};
use mcp_auth::{McpAuth, McpAuthLayer, McpAuthLayerBuilder};
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://as.test";
pub(crate) const RESOURCE: &str = "https://gw.test/mcp";
pub(crate) const METADATA: &str = "https://gw.test/.well-known/oauth-protected-resource/mcp";

pub(crate) const POLICY: &str = r#"
version = 1
baseline_scopes = ["profile:read"]
[tools.open]
auth = "public"
[tools.closed]
auth = "oauth2"
scopes = ["notes:read"]
[tools.teaser]
auth = "optional"
scopes = ["notes:read"]
[resources."ui://**"]
auth = "public"
"#;

static KEY: LazyLock<EncodingKey> = LazyLock::new(|| {
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap()
});

/// The private key of the issuer.
pub(crate) fn key() -> &'static EncodingKey {
    &KEY
}

pub(crate) fn jwks() -> String {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&KEY, Algorithm::ES256).unwrap()).unwrap();
    jwk["kid"] = "1".into();
    json!({ "keys": [jwk] }).to_string()
}

/// A token of the issuer, good but for `changes`.
pub(crate) fn mint(changes: &Value) -> String {
    let mut claims = json!({"iss": ISSUER, "sub": "alex", "aud": RESOURCE, "exp": NOW + 60, "client_id": "c", "scope": "notes:read"});
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    mint_exactly(&claims)
}

/// A token of the issuer with these claims and no others.
pub(crate) fn mint_exactly(claims: &Value) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some("at+jwt".to_owned());
    header.kid = Some("1".to_owned());
    jsonwebtoken::encode(&header, claims, &KEY).unwrap()
}

pub(crate) fn bearer(scope: &str) -> String {
    format!("Bearer {}", mint(&json!({ "scope": scope })))
}

/// What accepts the issuer's tokens for a resource.
pub(crate) fn verifier(resource: &str) -> Arc<dyn TokenVerifier> {
    let keys = Arc::new(FixedKeys::from_jwks(&jwks()).unwrap());
    let verifier = JwtVerifier::builder(resource.parse().unwrap(), Arc::new(ManualClock::at(NOW)));
    Arc::new(verifier.issuer(Issuer::new(ISSUER, keys)).build().unwrap())
}

/// What reached the server.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) head: http::request::Parts,
    pub(crate) body: Bytes,
}

impl Seen {
    /// Who it is served as.
    pub(crate) fn subject(&self) -> Option<String> {
        let permit: &mcp_auth::Permit =
            self.head.extensions.get().expect("a permit on every request that gets through");
        permit.principal().map(|user| user.subject().to_owned())
    }
}

/// A server that answers every request alike, and is called only after it was polled ready.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) answer: (&'static str, String),
    ready: bool,
}

impl Service<Request<Full<Bytes>>> for Recorder {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without having been polled ready");
        let (head, body) = request.into_parts();
        let body = futures_util::FutureExt::now_or_never(body.collect()).unwrap().unwrap().to_bytes();
        self.seen.lock().unwrap().push(Seen { head, body });
        let (content_type, text) = self.answer.clone();
        std::future::ready(Ok(Response::builder()
            .header("content-type", content_type)
            .header("etag", "x")
            .body(text.into())
            .unwrap()))
    }
}

pub(crate) struct Harness {
    pub(crate) service: McpAuth<Recorder>,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) policy: PolicyHandle,
}

/// One answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) text: String,
    pub(crate) refusal: Option<&'static str>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl Harness {
    pub(crate) fn new() -> Self {
        Self::with(
            |builder| builder,
            ("application/json", r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned()),
        )
    }

    pub(crate) fn with(
        build: impl FnOnce(McpAuthLayerBuilder) -> McpAuthLayerBuilder,
        answer: (&'static str, String),
    ) -> Self {
        let keys = FixedKeys::from_jwks(&jwks()).unwrap();
        let verifier = JwtVerifier::builder(RESOURCE.parse().unwrap(), Arc::new(ManualClock::at(NOW)))
            .issuer(Issuer::new(ISSUER, Arc::new(keys)))
            .build()
            .unwrap();
        Self::with_verifier(Arc::new(verifier), build, answer)
    }

    pub(crate) fn with_verifier(
        verifier: Arc<dyn TokenVerifier>,
        build: impl FnOnce(McpAuthLayerBuilder) -> McpAuthLayerBuilder,
        answer: (&'static str, String),
    ) -> Self {
        let policy = PolicyHandle::new(Policy::parse(POLICY).unwrap());
        let builder = McpAuthLayer::builder(RESOURCE.parse().unwrap(), policy.clone(), verifier)
            .authorization_server(ISSUER);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let recorder = Recorder { seen: seen.clone(), answer, ready: false };
        Self { service: build(builder).build().unwrap().layer(recorder), seen, policy }
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.service.clone().oneshot(request).await.unwrap();
        let refusal = response.extensions().get::<mcp_auth::Refusal>().map(mcp_auth::Refusal::code);
        let (head, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer { status: head.status.as_u16(), headers: head.headers, text, refusal }
    }

    /// POSTs a body, with more headers.
    pub(crate) async fn post(&self, body: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request =
            Request::post("/mcp").header("host", "gw.test").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.to_owned().into()).unwrap()).await
    }

    pub(crate) async fn call(&self, tool: &str, headers: &[(&str, &str)]) -> Answer {
        self.post(&call(tool), headers).await
    }

    pub(crate) fn reached(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

pub(crate) fn call(tool: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}"}}}}"#)
}
