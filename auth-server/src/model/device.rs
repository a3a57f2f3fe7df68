//! Requests of devices that have no browser (RFC 8628), as stored.

use super::{grant::Grant, secret::Digest};
use crate::outside::Timestamp;

/// Seconds that are added to the wait of a device which asks too often (RFC 8628 §3.5).
pub(crate) const SLOW_DOWN_SECONDS: i64 = 5;

/// A device that waits for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// Of the device code.
    pub(crate) digest: Digest,
    /// Of the user code, in the one spelling that is compared.
    pub(crate) user_code: Digest,
    pub(crate) client_id: String,
    /// What it asked for, as JSON.
    pub(crate) content: String,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// Seconds between two questions.
    pub(crate) poll_seconds: i64,
    pub(crate) state: DeviceState,
}

/// How far a device has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceState {
    Waiting,
    Denied,
    Approved,
    Redeemed,
}

impl DeviceState {
    const ALL: [Self; 4] = [Self::Waiting, Self::Denied, Self::Approved, Self::Redeemed];

    /// As stored.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Denied => "denied",
            Self::Approved => "approved",
            Self::Redeemed => "redeemed",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// What a device that asks is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Polled {
    pub(crate) device: Device,
    /// It asked before its wait was over, which has become longer.
    pub(crate) too_soon: bool,
    /// What the user gave it.
    pub(crate) grant: Option<Grant>,
}
