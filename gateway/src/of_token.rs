//! [`OfToken`]: what is made once of a token, for all requests that come with it.

use std::sync::OnceLock;

use mcp_auth::verifier::VerifiedToken;

use crate::upstream::Identity;

/// What is kept with a token as long as it is remembered. The layer keeps one thing for the gateway, and this is it.
#[derive(Debug, Default)]
pub(crate) struct OfToken {
    /// What its upstreams are told; `None` where no header can carry it.
    pub(crate) identity: OnceLock<Option<Identity>>,
    /// What each line of the audit says of it.
    pub(crate) audit: OnceLock<Box<[u8]>>,
}

impl OfToken {
    /// `None` where something else is kept, which nothing here does.
    pub(crate) fn of(token: &VerifiedToken) -> Option<&Self> {
        token.kept(Self::default)
    }
}
