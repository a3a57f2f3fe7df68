//! CLASSIFY: from the bytes of a request to what it wants, without I/O and without trust.
//!
//! A body is read once, strictly: what two parsers could understand differently is refused, because the gap between
//! what was judged and what the upstream does is where tools get called that nobody allowed.
//!
//! ```
//! use mcp_auth::request::{Classified, Era, Operation, ObjectKind};
//!
//! let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo"}}"#;
//! let request = http::Request::post("/mcp").body(())?;
//! let classified = Classified::from_body(request.headers(), body).expect("a well-formed call");
//! assert_eq!(classified.era, Era::Legacy);
//! assert!(matches!(classified.operation, Operation::Object { kind: ObjectKind::Tool, ref name } if name == "echo"));
//! # Ok::<(), http::Error>(())
//! ```

pub(crate) mod body;
mod classify;
pub(crate) mod credentials;
mod detached;
pub(crate) mod headers;
mod incoming;
mod json;
mod malformed;
mod message;
pub(crate) mod origin;
mod params;
mod records;
mod request_body;

pub use classify::{Classified, ObjectKind, Operation};
pub use credentials::{CredentialsError, Scheme, UnverifiedToken};
pub(crate) use detached::Unread;
pub use headers::{Era, UpstreamEra, UpstreamEraHandle};
pub use incoming::Incoming;
pub use malformed::Malformed;
pub use message::RequestId;
pub use request_body::RequestBody;
