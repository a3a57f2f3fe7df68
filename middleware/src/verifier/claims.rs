//! [`VerifiedToken`]: the claims of a token that a verifier vouches for.

use std::any::Any;
use std::fmt;
use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::policy::ScopeSet;
use crate::session::Principal;

/// Who calls, through which client, with which scopes. The principal is the pair of issuer and subject.
///
/// `Debug` shows the principal and the scopes, not the other claims.
#[derive(Clone, PartialEq)]
pub struct VerifiedToken {
    issuer: Box<str>,
    subject: Box<str>,
    /// Made once for all the requests that come with the token.
    principal: Principal,
    client_id: Option<Box<str>>,
    scopes: ScopeSet,
    expires_at: u64,
    claims: Map<String, Value>,
    kept: Kept,
}

impl VerifiedToken {
    /// For a verifier that has checked the token: this constructor *is* the statement that it has.
    ///
    /// `expires_at` is in seconds since 1970; `claims` are all the claims, these included. Whoever leaves out a `cnf` claim
    /// makes of a token that is bound to a key one that anyone may use.
    pub fn assert_verified(
        issuer: impl Into<Box<str>>,
        subject: impl Into<Box<str>>,
        client_id: Option<Box<str>>,
        scopes: ScopeSet,
        expires_at: u64,
        claims: Map<String, Value>,
    ) -> Self {
        let (issuer, subject) = (issuer.into(), subject.into());
        let principal = Principal::new(&issuer, &subject);
        Self { issuer, subject, principal, client_id, scopes, expires_at, claims, kept: Kept::default() }
    }

    /// `iss`, as configured.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// `sub`, unique within the issuer.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Issuer and subject as one.
    pub(crate) fn principal(&self) -> Principal {
        self.principal
    }

    /// `client_id`, where the issuer says it (RFC 9068 §2.2).
    pub fn client_id(&self) -> Option<&str> {
        self.client_id.as_deref()
    }

    /// The scopes as granted; what they imply is the policy's to say.
    pub fn scopes(&self) -> &ScopeSet {
        &self.scopes
    }

    /// `exp`, in seconds since 1970.
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }

    /// All claims.
    pub(crate) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// What a program that embeds the layer keeps with a token, such as headers that say whose it is: made when it is first
    /// asked for, and gone with the token. `None` where something of another type is kept.
    pub fn kept<T: Any + Send + Sync>(&self, make: impl FnOnce() -> T) -> Option<&T> {
        self.kept.0.get_or_init(|| Box::new(make())).downcast_ref()
    }

    /// Any claim by its name.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }
}

/// What is kept with one token: no part of what the token says, and not kept with its copies.
#[derive(Default)]
struct Kept(OnceLock<Box<dyn Any + Send + Sync>>);

impl Clone for Kept {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Kept {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl fmt::Debug for VerifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("issuer", &self.issuer)
            .field("subject", &self.subject)
            .field("client_id", &self.client_id)
            .field("scopes", &self.scopes)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
