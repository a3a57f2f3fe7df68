//! The endpoints, a file each.

pub(crate) mod account;
pub(crate) mod authorize;
mod browser;
mod client;
pub(crate) mod consent;
mod form;
pub(crate) mod jwks;
pub(crate) mod login;
pub(crate) mod metadata;
pub(crate) mod register;
pub(crate) mod revoke;
pub(crate) mod token;
mod transaction;

/// Paths of the endpoints, below the issuer.
pub(crate) mod paths {
    pub(crate) const AUTHORIZE: &str = "/oauth2/authorize";
    pub(crate) const TOKEN: &str = "/oauth2/token";
    pub(crate) const REGISTER: &str = "/oauth2/register";
    pub(crate) const REVOKE: &str = "/oauth2/revoke";
    pub(crate) const JWKS: &str = "/oauth2/jwks";
    pub(crate) const LOGIN: &str = "/login";
    pub(crate) const CONSENT: &str = "/consent";
    /// At the root of the host, wherever the issuer is.
    pub(crate) const CHANGE_PASSWORD: &str = "/.well-known/change-password";
}
