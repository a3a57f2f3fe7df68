//! The pages on which a user lets a device in that has no browser (RFC 8628 §3.3).

use askama::Template;

use super::{
    Frame, Page,
    consent::{ShownGroup, ShownResource},
    parts::{Provenance, ShownClient},
};

/// Asks for the code.
#[derive(Template)]
#[template(path = "device_code.html")]
pub(crate) struct CodePage {
    pub(crate) frame: Frame,
    pub(crate) action: String,
    pub(crate) username: String,
    pub(crate) typed: String,
    pub(crate) notice: Option<&'static str>,
    pub(crate) problem: Option<String>,
}

impl Page for CodePage {}

/// Shows what the device asks for.
#[derive(Template)]
#[template(path = "device.html")]
pub(crate) struct DevicePage {
    pub(crate) frame: Frame,
    pub(crate) action: String,
    pub(crate) csrf: String,
    pub(crate) user_code: String,
    pub(crate) client: ShownClient,
    pub(crate) resources: Vec<ShownResource>,
    pub(crate) groups: Vec<ShownGroup>,
    /// How long it stays signed in, where it does.
    pub(crate) stays_signed_in: Option<String>,
    pub(crate) asked_at: String,
    pub(crate) asked_from: String,
    pub(crate) username: String,
    pub(crate) problem: Option<&'static str>,
}

impl Page for DevicePage {}
