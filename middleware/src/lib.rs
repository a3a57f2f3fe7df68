//! OAuth 2.1 per tool for Model Context Protocol servers, as a tower layer.
//!
//! [`McpAuthLayer`] stands in front of an MCP endpoint (Streamable HTTP, revisions 2025-03-26 to 2026-07-28). It reads
//! each JSON-RPC request, looks up in a [`policy`] what the tool, resource, prompt or method asks of its caller,
//! [verifies](verifier) the access token, and lets the request through with a [`Permit`], or answers with the
//! [`challenge`] that makes the client start its sign-in. What comes back says in `tools/list` what the policy
//! says.
//!
//! # The way of a request
//!
//! ```text
//! classify → verify → prove → decide → forward → rewrite
//!    |          |       |        |
//!    +----------+-------+--------+----> challenge
//! ```
//!
//! Each station is a function that can be called alone; the types between them are the levels of trust. An
//! [`UnverifiedToken`](request::UnverifiedToken) cannot reach a decision, nor can a verified one that nobody has proved to
//! be theirs: that takes a [`Caller`]. And only a decision makes a [`Permit`].
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use mcp_auth::clock::SystemClock;
//! use mcp_auth::policy::{Policy, PolicyHandle};
//! use mcp_auth::verifier::{InsecureSharedSecretVerifier, TokenVerifier};
//! use mcp_auth::{McpAuthLayer, Permit};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let policy = Policy::parse(r#"
//! version = 1
//! [tools.hello]
//! auth = "public"
//! [tools.secret]
//! auth = "oauth2"
//! scopes = ["secrets:read"]
//! "#)?;
//! let resource: mcp_auth::resource::ResourceUri = "https://tools.example/mcp".parse()?;
//! // A real server follows the keys of its issuer: see `verifier::JwtVerifier` and the `axum` example.
//! let verifier = InsecureSharedSecretVerifier::with_insecure_shared_secret(
//!     resource.clone(), "https://login.example", b"development only", Arc::new(SystemClock));
//! let auth = McpAuthLayer::builder(resource, PolicyHandle::new(policy), Arc::new(verifier))
//!     .authorization_server("https://login.example")
//!     .build()?;
//!
//! let server = auth.layer(service_fn(|request: Request<Full<bytes::Bytes>>| async move {
//!     let permit: &Permit = request.extensions().get().expect("only what is permitted gets here");
//!     assert!(permit.principal().is_none());
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::<bytes::Bytes>::from("{}")))
//! }));
//! let call = |tool: &str, token: &str| {
//!     let mut request = Request::post("/mcp").header("host", "tools.example").header("content-type", "application/json");
//!     if !token.is_empty() {
//!         request = request.header("authorization", format!("Bearer {token}"));
//!     }
//!     let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#);
//!     request.body(Full::<bytes::Bytes>::from(body)).expect("a valid request")
//! };
//!
//! let served = server.clone().oneshot(call("hello", "")).await?;
//! assert_eq!(served.status(), 200);
//!
//! let challenged = server.clone().oneshot(call("secret", "")).await?;
//! assert_eq!(challenged.status(), 401);
//! assert_eq!(
//!     challenged.headers()["www-authenticate"],
//!     "Bearer resource_metadata=\"https://tools.example/.well-known/oauth-protected-resource/mcp\", scope=\"secrets:read\"",
//! );
//!
//! # let claims = serde_json::json!({"iss": "https://login.example", "sub": "alex", "aud": "https://tools.example/mcp",
//! #     "exp": 99999999999_u64, "scope": "other"});
//! # let key = jsonwebtoken::EncodingKey::from_secret(b"development only");
//! let token_without_the_scope = // …
//! # jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key)?;
//! let stepped_up = server.oneshot(call("secret", &token_without_the_scope)).await?;
//! assert_eq!(stepped_up.status(), 403);
//! # Ok(()) }
//! ```
//!
//! Routes beside it that speak no JSON-RPC stand behind the same tokens with an [`HttpAuthLayer`](http).
//!
//! # Features
//!
//! | feature | default | what it adds |
//! | --- | --- | --- |
//! | `jwks` | yes | [`verifier::keys::HttpFetch`]: keys, introspection and status lists over HTTPS, with reqwest |
//! | `compression` | yes | request bodies and lists with a content coding are read; without it, they are refused and withheld |
//! | `status-list` | no | access tokens are looked up in their issuer's token status list |
//! | `cel` | no | [`when`](policy::condition) conditions in policies; without it, a policy that has one is not loaded |
//! | `metrics` | no | counters, gauges and histograms through the [`metrics`](https://docs.rs/metrics) facade: decisions by rule, the policy in force, what came of tokens, of their status and of asking for keys |
//! | `schema` | no | `policy::json_schema`: the JSON Schema of policy files |
//! | `test-util` | no | [`testing`]: fixed keys and a mint for tokens, for the tests of programs that embed the layer |
//!
//! Without any of them there is no HTTP client and no TLS in the dependencies, and with all of them no server framework.

#![forbid(unsafe_code)]

mod authenticate;
pub mod challenge;
pub mod clock;
mod coding;
mod counts;
pub mod document;
mod error;
pub mod http;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod judged;
mod layer;
pub mod net;
pub mod policy;
pub mod possession;
pub mod random;
pub mod request;
pub mod resource;
mod rewrite;
mod service;
pub mod session;
mod shared;
mod sparing;
pub mod state;
mod tasks;
#[cfg(feature = "test-util")]
pub mod testing;
pub mod verifier;

pub use self::http::{HttpAuth, HttpAuthLayer, HttpAuthLayerBuilder, HttpRule};
pub use error::ConfigError;
pub use judged::{Judged, JudgedArguments, JudgedMessage, TraceContext};
pub use layer::{McpAuthLayer, McpAuthLayerBuilder};
pub use policy::{Permit, Refusal};
pub use possession::{Caller, CallerToken};
pub use rewrite::ResponseBody;
pub use service::McpAuth;
