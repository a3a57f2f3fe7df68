//! [`CallerToken`]: the token that a request came with, for the one who may have to show it elsewhere.

use std::fmt;

use secrecy::{ExposeSecret as _, SecretString};

use super::Caller;
use crate::request::Scheme;
use crate::request::credentials::Credentials;

/// The access token of the user whom a request is served as; in the extensions of the request, where
/// [`McpAuthLayerBuilder::hand_on_caller_token`](crate::McpAuthLayerBuilder::hand_on_caller_token) asks for it.
///
/// Never there:
/// - for a request that is served as nobody, whatever token it came with
/// - for a token that is bound to a key or a certificate (RFC 7800 §3): what is behind cannot prove that it is its own
///
/// `Debug` does not print it, and its memory is wiped.
///
/// Deployment: the token was issued for the resource in front. To present it to any other server is what MCP forbids as
/// token passthrough: that server could use it here, as the user. It is meant to be exchanged (RFC 8693).
#[derive(Clone)]
pub struct CallerToken(SecretString);

impl CallerToken {
    /// The token itself.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Of credentials that have proved to be `caller`'s.
    pub(crate) fn of(credentials: Credentials, caller: &Caller) -> Option<Self> {
        let unbound = credentials.scheme == Scheme::Bearer && caller.token().confirmation().is_none();
        unbound.then(|| Self(SecretString::new(credentials.token.into_inner())))
    }
}

impl fmt::Debug for CallerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerToken(…)")
    }
}
