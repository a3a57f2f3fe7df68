//! Opaque access tokens: the authorization server says what they are (RFC 7662).
//!
//! Such a token is a random text. [`IntrospectionVerifier`] asks the server that issued it, authenticated as a client
//! ([`ClientAuthentication`]), and believes the answer for as long as the operator allows, and never beyond the token's
//! own `exp`. A server that cannot be reached, or answers anything but a plain yes or no, is no access, and no verdict
//! on the token either: the client gets a 503 and keeps its token.
//!
//! ```
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use mcp_auth::clock::ManualClock;
//! use mcp_auth::request::UnverifiedToken;
//! use mcp_auth::verifier::introspection::{ClientAuthentication, IntrospectionVerifier};
//! use mcp_auth::verifier::keys::FetchError;
//! use mcp_auth::verifier::{BoxFuture, Exchange, TokenVerifier};
//!
//! /// An authorization server for the example; `keys::HttpFetch` asks a real one.
//! #[derive(Debug)]
//! struct Server;
//!
//! impl Exchange for Server {
//!     fn send(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, FetchError>> {
//!         assert_eq!(request.body(), "token=opaque&token_type_hint=access_token");
//!         let answer = r#"{"active":true,"sub":"alex","aud":"https://tools.example/mcp","exp":1300}"#;
//!         let answer = Response::builder().header("content-type", "application/json").body(answer.into());
//!         Box::pin(async { answer.map_err(|error| FetchError::new(error.to_string())) })
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let verifier = IntrospectionVerifier::builder(
//!     "https://tools.example/mcp".parse()?,
//!     "https://login.example",
//!     "https://login.example/introspect".parse()?,
//!     ClientAuthentication::basic("tools", "the client's secret"),
//!     Arc::new(Server),
//!     Arc::new(ManualClock::at(1_000)),
//! )
//! .build()?;
//! let token = verifier.verify(&UnverifiedToken::new("opaque")).await?;
//! assert_eq!((token.issuer(), token.subject()), ("https://login.example", "alex"));
//! # Ok(()) }
//! ```

mod answer;
mod client_authentication;
mod verifier;

pub use client_authentication::{ClientAuthentication, PrivateKeyJwt};
pub use verifier::{IntrospectionVerifier, IntrospectionVerifierBuilder};
