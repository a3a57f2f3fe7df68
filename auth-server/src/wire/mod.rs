//! What goes over the wire: parameters, documents and errors as the RFCs define them.

pub(crate) mod bearer;
pub(crate) mod client_auth;
pub(crate) mod error;
pub(crate) mod params;
pub(crate) mod registration;
pub(crate) mod token;
