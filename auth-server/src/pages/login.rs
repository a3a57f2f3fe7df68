//! The page that a user signs in on.

use askama::Template;

use super::{
    Frame, Page,
    parts::{Destination, Provenance, ShownClient},
};
use crate::model::redirect::Target;

#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct LoginPage {
    pub(crate) frame: Frame,
    pub(crate) action: String,
    /// What the user signs in for, as the form says it: name and value of a field.
    pub(crate) field: (&'static str, String),
    pub(crate) csrf: String,
    pub(crate) purpose: SignInFor,
    pub(crate) username: String,
    pub(crate) problem: Option<String>,
}

/// What the user signs in for, as the page says it: a page that is shown for another reason than the user thinks gives
/// itself away.
#[derive(Debug)]
pub(crate) enum SignInFor {
    App {
        client: ShownClient,
        destination: Destination,
    },
    Account,
    /// To let a device in.
    Device,
}

/// After signing in, a consent of earlier days may send the user on to the client at once.
impl Page for LoginPage {
    const FORMS_END_AT_CLIENTS: bool = true;
}
