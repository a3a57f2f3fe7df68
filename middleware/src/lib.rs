//! OAuth 2.1 per tool for Model Context Protocol servers, as a tower layer.

pub mod challenge;
pub mod clock;
pub mod document;
mod error;
mod layer;
pub mod policy;
pub mod request;
pub mod resource;
mod rewrite;
mod service;
pub mod verifier;

pub use error::ConfigError;
pub use layer::{McpAuthLayer, McpAuthLayerBuilder};
pub use policy::{Permit, Refusal};
pub use rewrite::ResponseBody;
pub use service::{Judged, McpAuth};
