//! The protected resource: its identifier, and the metadata document that tells clients where to sign in (RFC 9728).

pub(crate) mod metadata;
mod uri;

pub use metadata::ResourceMetadata;
pub use uri::{InvalidResourceUri, ResourceUri, WELL_KNOWN_PREFIX};
