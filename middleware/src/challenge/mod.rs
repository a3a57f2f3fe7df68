//! CHALLENGE: from a [`Refusal`](crate::Refusal) to the response that tells the client what to do.
//!
//! The one place that knows the status codes 400, 401 and 403, and the three forms in which a client is asked to sign
//! in: HTTP 401 and 403 with `WWW-Authenticate` (RFC 6750 §3, RFC 9449 §7), and a tool result that carries the same challenge in
//! `_meta["mcp/www_authenticate"]`.
//!
//! ```
//! use mcp_auth::challenge::Challenge;
//! use mcp_auth::policy::ScopeSet;
//! use mcp_auth::request::Scheme;
//!
//! let challenge = Challenge::new(Scheme::Bearer)
//!     .resource_metadata("https://tools.example/.well-known/oauth-protected-resource/mcp")
//!     .scope(&ScopeSet::from_space_separated("notes:read"));
//! assert_eq!(
//!     challenge.to_string(),
//!     "Bearer resource_metadata=\"https://tools.example/.well-known/oauth-protected-resource/mcp\", scope=\"notes:read\"",
//! );
//! ```

pub(crate) mod cors;
mod custom;
mod reply;
pub(crate) mod response;
pub(crate) mod wire;
mod www_authenticate;

pub use custom::{ChallengeResponse, DefaultChallenge};
pub use reply::ReplyTo;
pub use www_authenticate::Challenge;
