//! The pages on which a user signs out because an app asks for it.

use askama::Template;

use super::{
    Frame, Page,
    parts::{Provenance, ShownClient},
};
use crate::model::redirect::Target;

/// Asks whether the user wants it.
#[derive(Template)]
#[template(path = "logout.html")]
pub(crate) struct LogoutPage {
    pub(crate) frame: Frame,
    pub(crate) action: String,
    pub(crate) csrf: String,
    /// What the app sent, to be sent again with the answer.
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) username: String,
    /// Where apps are removed.
    pub(crate) account: String,
    pub(crate) back: Option<GoBack>,
}

/// Signing out may send the user on to the client.
impl Page for LogoutPage {
    const FORMS_END_AT_CLIENTS: bool = true;
}

/// Says that it is done.
#[derive(Template)]
#[template(path = "signed_out.html")]
pub(crate) struct SignedOutPage {
    pub(crate) frame: Frame,
    pub(crate) account: String,
    pub(crate) back: Option<GoBack>,
}

impl Page for SignedOutPage {}

/// The way back to the app.
#[derive(Debug)]
pub(crate) struct GoBack {
    pub(crate) client: ShownClient,
    pub(crate) target: Target,
    pub(crate) href: String,
}

impl GoBack {
    /// Where it leads, in a word.
    fn place(&self) -> String {
        match &self.target {
            Target::Web(host) => host.clone(),
            Target::Loopback { host, port: _ } => format!("an app on this computer ({host})"),
            Target::App { scheme } => format!("an app on this device ({scheme}:)"),
        }
    }

    /// Whether nobody vouches for it.
    const fn is_unchecked(&self) -> bool {
        matches!(self.client.origin, Provenance::Registration { .. })
    }
}
