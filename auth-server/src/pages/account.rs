//! The pages on which users look after their account.

use askama::Template;

use super::{Frame, Page, consent::ShownResource, parts::Provenance};
use crate::model::redirect::Target;

#[derive(Template)]
#[template(path = "account.html")]
pub(crate) struct AccountPage {
    pub(crate) frame: Frame,
    pub(crate) action: String,
    /// Where the password is changed.
    pub(crate) password: String,
    pub(crate) csrf: String,
    pub(crate) username: String,
    pub(crate) notice: Option<Notice>,
    pub(crate) apps: Vec<ConnectedApp>,
    /// How many accesses were not used for long.
    pub(crate) unused: usize,
    pub(crate) sessions: Vec<ShownSession>,
}

/// A client, as its user saw it when it was last allowed something.
#[derive(Debug)]
pub(crate) struct ConnectedApp {
    pub(crate) client_id: String,
    pub(crate) name: String,
    pub(crate) origin: Provenance,
    pub(crate) accesses: Vec<GivenAccess>,
}

/// What a client was given at one time: one for each installation of it.
#[derive(Debug)]
pub(crate) struct GivenAccess {
    pub(crate) id: String,
    pub(crate) resources: Vec<ShownResource>,
    pub(crate) permissions: Vec<String>,
    pub(crate) given: String,
    pub(crate) until: String,
    pub(crate) last_used: Option<String>,
    pub(crate) last_address: Option<String>,
    pub(crate) answered_to: Option<Target>,
    /// Whether it was given to a device by its code.
    pub(crate) is_device: bool,
}

/// A browser in which the user is signed in.
#[derive(Debug)]
pub(crate) struct ShownSession {
    pub(crate) name: String,
    pub(crate) browser: String,
    pub(crate) address: String,
    pub(crate) since: String,
    pub(crate) is_this: bool,
}

/// What was just done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    Removed,
    RemovedUnused,
    SessionEnded,
    PasswordChanged,
}

impl Page for AccountPage {}

impl Notice {
    const ALL: [Self; 4] = [Self::Removed, Self::RemovedUnused, Self::SessionEnded, Self::PasswordChanged];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::RemovedUnused => "removed-unused",
            Self::SessionEnded => "session-ended",
            Self::PasswordChanged => "password-changed",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|notice| notice.as_str() == text)
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Removed => "The app was removed. What it still holds stops within seconds.",
            Self::RemovedUnused => {
                "Apps that were not used for more than 90 days were removed. What they still hold stops within seconds."
            }
            Self::SessionEnded => "That browser is signed out.",
            Self::PasswordChanged => {
                "Your password was changed. Every other browser is signed out, and every app must ask you again."
            }
        }
    }
}

#[derive(Template)]
#[template(path = "password.html")]
pub(crate) struct PasswordPage {
    pub(crate) frame: Frame,
    pub(crate) action: String,
    pub(crate) account: String,
    pub(crate) csrf: String,
    pub(crate) username: String,
    pub(crate) min_chars: usize,
    pub(crate) max_chars: usize,
    pub(crate) problem: Option<String>,
}

impl Page for PasswordPage {}
