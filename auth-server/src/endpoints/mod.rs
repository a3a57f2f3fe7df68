//! The endpoints, a file each.

pub(crate) mod account;
pub(crate) mod authorize;
mod browser;
mod client;
pub(crate) mod consent;
pub(crate) mod device;
pub(crate) mod device_page;
mod form;
pub(crate) mod introspect;
pub(crate) mod jwks;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod metadata;
pub(crate) mod par;
mod posted;
mod proof;
pub(crate) mod register;
pub(crate) mod revoke;
pub(crate) mod status;
pub(crate) mod token;
mod transaction;
pub(crate) mod userinfo;

/// Paths of the endpoints, below the issuer.
pub(crate) mod paths {
    pub(crate) const AUTHORIZE: &str = "/oauth2/authorize";
    pub(crate) const TOKEN: &str = "/oauth2/token";
    pub(crate) const REGISTER: &str = "/oauth2/register";
    pub(crate) const REVOKE: &str = "/oauth2/revoke";
    pub(crate) const INTROSPECT: &str = "/oauth2/introspect";
    pub(crate) const DEVICE: &str = "/oauth2/device";
    pub(crate) const PAR: &str = "/oauth2/par";
    pub(crate) const USERINFO: &str = "/oauth2/userinfo";
    pub(crate) const LOGOUT: &str = "/oauth2/logout";
    pub(crate) const JWKS: &str = "/oauth2/jwks";
    /// Followed by the number of a list.
    pub(crate) const STATUS: &str = "/oauth2/status/";
    pub(crate) const LOGIN: &str = "/login";
    pub(crate) const CONSENT: &str = "/consent";
    /// At the root of the host, wherever the issuer is.
    pub(crate) const CHANGE_PASSWORD: &str = "/.well-known/change-password";
}
