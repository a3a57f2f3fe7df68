//! The rules of the authorization server, without HTTP and without a database.

pub(crate) mod arrival;
pub(crate) mod assertion;
pub(crate) mod audit;
pub(crate) mod claims;
pub(crate) mod client;
pub(crate) mod consent;
pub(crate) mod consent_rules;
pub(crate) mod device;
pub(crate) mod grant;
pub(crate) mod grant_type;
pub(crate) mod id_jag;
pub(crate) mod jwks;
pub(crate) mod jws;
pub(crate) mod pkce;
pub(crate) mod place;
pub(crate) mod redirect;
pub(crate) mod redirect_list;
pub(crate) mod registration;
pub(crate) mod request;
pub(crate) mod resource;
pub(crate) mod resources;
pub(crate) mod scope;
pub(crate) mod secret;
pub(crate) mod session;
pub(crate) mod text;
pub(crate) mod user_agent;
