//! Sessions of the revisions up to 2025-11-25: an id is worth something to its owner only.
//!
//! The `Mcp-Session-Id` that a client gets is the server's own, sealed together with who opened the session, for this
//! resource alone. Nobody else can use it: not with a token of their own, not without one, not at another resource;
//! they get 404, at which a client opens a new session (MCP 2025-11-25, Session Management). `POST`, `GET`, resuming with
//! `Last-Event-ID` and `DELETE` are all held to it, and so are notifications and answers to the server.
//!
//! - A session that was opened with a token belongs to its principal, the pair of issuer and subject; any token of the
//!   same principal may use it. Nothing is remembered for it: every instance that has the keys can tell.
//! - A session that was opened without one belongs to nobody, until the first request with a token in it claims it for
//!   that principal, for good. This is remembered in the layer's [`State`](crate::state::State), for 24 hours, and from the
//!   claim on for 24 hours since the last use. A session that is no longer remembered is gone: 404.
//!
//! The caller counts as who the token says, also where an `optional` rule serves the request anonymously.
//! An id is never a credential: the policy decides first, as if there were no session.
//!
//! Deployment: several instances share [`SessionKeys`], and for sessions that are opened without a token a state too.
//! Keys are random unless they are given, so that sessions end with the process.
//!
//! ```
//! use mcp_auth::session::SessionKeys;
//!
//! let (current, previous) = ([7; 32], [6; 32]); // from where the deployment keeps its secrets
//! let keys = SessionKeys::from_secrets([current, previous])?;
//! assert_eq!(format!("{keys:?}"), "SessionKeys(2)");
//! # Ok::<(), mcp_auth::ConfigError>(())
//! ```

mod binding;
mod keys;
mod owner;
mod station;

pub(crate) use binding::Session;
pub use keys::SessionKeys;
pub(crate) use owner::Principal;
