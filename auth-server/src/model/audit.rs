//! What is kept of every act that matters to security: who, through which client, from where. Never a secret.

use std::collections::BTreeMap;

use super::grant::Grant;
use crate::outside::Timestamp;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuditKind {
    LoginSucceeded,
    LoginFailed,
    LoginThrottled,
    LimitReached,
    SignedOut,
    PasswordChanged,
    UserCreated,
    UserChanged,
    UserDisabled,
    UserEnabled,
    UserDeleted,
    UserExported,
    ConsentGiven,
    ConsentAutomatic,
    ConsentDenied,
    GrantIssued,
    GrantRevoked,
    CodeReused,
    RefreshReused,
    ClientRegistered,
    ClientChanged,
    ClientDeleted,
    ClientApproved,
    RegistrationTokenCreated,
    RegistrationTokenRevoked,
    DeviceApproved,
    DeviceDenied,
    IdentityLinked,
    KeyCreated,
    KeyRemoved,
}

impl AuditKind {
    /// As stored and logged.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::LoginSucceeded => "login.succeeded",
            Self::LoginFailed => "login.failed",
            Self::LoginThrottled => "login.throttled",
            Self::LimitReached => "limit.reached",
            Self::SignedOut => "login.ended",
            Self::PasswordChanged => "password.changed",
            Self::UserCreated => "user.created",
            Self::UserChanged => "user.changed",
            Self::UserDisabled => "user.disabled",
            Self::UserEnabled => "user.enabled",
            Self::UserDeleted => "user.deleted",
            Self::UserExported => "user.exported",
            Self::ConsentGiven => "consent.given",
            Self::ConsentAutomatic => "consent.automatic",
            Self::ConsentDenied => "consent.denied",
            Self::GrantIssued => "grant.issued",
            Self::GrantRevoked => "grant.revoked",
            Self::CodeReused => "code.reused",
            Self::RefreshReused => "refresh.reused",
            Self::ClientRegistered => "client.registered",
            Self::ClientChanged => "client.changed",
            Self::ClientDeleted => "client.deleted",
            Self::ClientApproved => "client.approved",
            Self::RegistrationTokenCreated => "registration-token.created",
            Self::RegistrationTokenRevoked => "registration-token.revoked",
            Self::DeviceApproved => "device.approved",
            Self::DeviceDenied => "device.denied",
            Self::IdentityLinked => "identity.linked",
            Self::KeyCreated => "key.created",
            Self::KeyRemoved => "key.removed",
        }
    }
}

/// One event. What does not apply stays empty.
#[derive(Clone, Debug)]
pub(crate) struct AuditEvent {
    pub(crate) at: Timestamp,
    pub(crate) kind: AuditKind,
    pub(crate) user_id: Option<String>,
    pub(crate) client_id: Option<String>,
    pub(crate) grant_id: Option<String>,
    pub(crate) address: Option<String>,
    /// In words of ours: scopes, a reason, the resource.
    pub(crate) detail: BTreeMap<&'static str, String>,
}

impl AuditEvent {
    pub(crate) const fn new(kind: AuditKind, at: Timestamp) -> Self {
        Self {
            at,
            kind,
            user_id: None,
            client_id: None,
            grant_id: None,
            address: None,
            detail: BTreeMap::new(),
        }
    }

    #[must_use]
    pub(crate) fn user(mut self, id: &str) -> Self {
        self.user_id = Some(id.to_owned());
        self
    }

    #[must_use]
    pub(crate) fn client(mut self, id: &str) -> Self {
        self.client_id = Some(id.to_owned());
        self
    }

    #[must_use]
    pub(crate) fn grant(mut self, id: &str) -> Self {
        self.grant_id = Some(id.to_owned());
        self
    }

    /// Whose grant it is about.
    #[must_use]
    pub(crate) fn of_grant(mut self, grant: &Grant) -> Self {
        self.user_id.clone_from(&grant.user_id);
        self.client(&grant.client_id).grant(&grant.id)
    }

    #[must_use]
    pub(crate) fn address(mut self, address: &(impl ToString + ?Sized)) -> Self {
        self.address = Some(address.to_string());
        self
    }

    #[must_use]
    pub(crate) fn detail(mut self, name: &'static str, words: &(impl ToString + ?Sized)) -> Self {
        self.detail.insert(name, words.to_string());
        self
    }
}

/// An event as it was stored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct StoredEvent {
    pub(crate) sequence: i64,
    pub(crate) at: i64,
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    pub(crate) detail: serde_json::Value,
}
