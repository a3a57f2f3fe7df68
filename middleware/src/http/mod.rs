//! Plain HTTP beside MCP, behind the same tokens: [`HttpAuthLayer`].
//!
//! A server often has more than its MCP endpoint: a widget's assets, a page that says how it is, a few REST routes. For
//! those there is no JSON-RPC to read and no policy file: one [`HttpRule`] says what all requests of a route ask of their
//! caller. Verifier, proof of possession, challenges and guards against foreign hosts and origins are those of
//! [`McpAuthLayer`](crate::McpAuthLayer).
//!
//! ```
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use mcp_auth::verifier::{InsecureSharedSecretVerifier, TokenVerifier};
//! use mcp_auth::{HttpAuthLayer, HttpRule, Permit};
//! # use std::sync::Arc;
//! # use mcp_auth::clock::SystemClock;
//! # use tower::{Layer, ServiceExt, service_fn};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!
//! let resource: mcp_auth::resource::ResourceUri = "https://tools.example/reports".parse()?;
//! # let verifier = InsecureSharedSecretVerifier::with_insecure_shared_secret(
//! #     resource.clone(), "https://login.example", b"development only", Arc::new(SystemClock));
//! let rule = HttpRule::oauth2(["reports:read"])?;
//! let auth = HttpAuthLayer::builder(resource, rule, Arc::new(verifier))
//!     .authorization_server("https://login.example")
//!     .build()?;
//!
//! let reports = auth.layer(service_fn(|request: Request<Full<Bytes>>| async move {
//!     let permit: &Permit = request.extensions().get().expect("only what is permitted gets here");
//!     assert!(permit.principal().is_some());
//!     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from("twelve")))
//! }));
//! let request = Request::get("/reports/today").header("host", "tools.example").body(Full::<Bytes>::default())?;
//! let challenged = reports.oneshot(request).await?;
//! assert_eq!(challenged.status(), 401);
//! assert_eq!(
//!     challenged.headers()["www-authenticate"],
//!     "Bearer resource_metadata=\"https://tools.example/.well-known/oauth-protected-resource/reports\", scope=\"reports:read\"",
//! );
//! # Ok(()) }
//! ```
//!
//! | rule | no token | invalid token | valid, scopes held | valid, scopes missing |
//! |---|---|---|---|---|
//! | [`HttpRule::public`] | served, anonymous | 401 | served, as the user | – |
//! | [`HttpRule::oauth2`] | 401 | 401 | served, as the user | 403 `insufficient_scope` |
//!
//! Bodies pass in both directions as they come; nothing is read. The body of a refusal is
//! `{"error":…,"error_description":…}`.

mod answer;
mod layer;
mod service;

pub use layer::{HttpAuthLayer, HttpAuthLayerBuilder};
pub use service::HttpAuth;

pub use crate::policy::HttpRule;
