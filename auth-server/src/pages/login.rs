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
    pub(crate) transaction: String,
    pub(crate) csrf: String,
    pub(crate) client: ShownClient,
    pub(crate) destination: Destination,
    pub(crate) username: String,
    pub(crate) problem: Option<String>,
}

/// After signing in, a consent of earlier days may send the user on to the client at once.
impl Page for LoginPage {
    const FORMS_END_AT_CLIENTS: bool = true;
}
