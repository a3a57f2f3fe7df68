//! The consent page, and the page for an error that only the user's own click sends to a client.

use askama::Template;

use super::{
    Frame, Page,
    parts::{Destination, Provenance, ShownClient},
};
use crate::model::{
    claims::Claim,
    consent::{Effect, Group, Permission},
    redirect::Target,
    resource::Resource,
};

/// The fields of the consent form that carry the user's choice of permissions.
pub(crate) mod fields {
    /// Set where the form has boxes, and sent by every browser. It tells a person who emptied all of them from a program
    /// that fills in only the fields that it knows.
    pub(crate) const BOXES: &str = "boxes";
    /// What the name of a box begins with; the scope follows.
    pub(crate) const BOX_PREFIX: &str = "scope:";
}

#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct ConsentPage {
    pub(crate) frame: Frame,
    pub(crate) action: String,
    pub(crate) transaction: String,
    pub(crate) csrf: String,
    pub(crate) client: ShownClient,
    pub(crate) destination: Destination,
    pub(crate) resources: Vec<ShownResource>,
    pub(crate) groups: Vec<ShownGroup>,
    /// How long the client may stay signed in, if it does.
    pub(crate) stays_signed_in: Option<String>,
    pub(crate) username: String,
    /// Where the user can take it back.
    pub(crate) account: String,
    pub(crate) problem: Option<&'static str>,
}

#[derive(Debug)]
pub(crate) struct ShownResource {
    pub(crate) name: String,
    pub(crate) url: String,
    /// What it is told about the user.
    pub(crate) learns: Vec<String>,
}

impl ShownResource {
    pub(crate) fn new(resource: &Resource) -> Self {
        Self {
            name: resource.name().to_owned(),
            url: resource.url().to_owned(),
            learns: resource.terms().claims.iter().map(Claim::words).collect(),
        }
    }
}

/// Permissions under a heading.
#[derive(Debug)]
pub(crate) struct ShownGroup {
    pub(super) heading: Option<&'static str>,
    pub(super) is_dangerous: bool,
    pub(super) permissions: Vec<Permission>,
}

impl Page for ConsentPage {
    const FORMS_END_AT_CLIENTS: bool = true;
}

impl ConsentPage {
    /// The resources in a sentence.
    fn resources_in_words(&self) -> String {
        self.resources.iter().map(|resource| resource.name.as_str()).collect::<Vec<_>>().join(" and ")
    }

    /// Whether something is marked as new.
    fn is_step_up(&self) -> bool {
        self.groups.iter().flat_map(|group| &group.permissions).any(|permission| permission.is_new)
    }

    fn has_boxes(&self) -> bool {
        self.groups.iter().flat_map(|group| &group.permissions).any(|permission| permission.is_optional)
    }
}

/// The groups with their headings; none where the only group has nothing to say.
pub(crate) fn shown_groups(groups: Vec<Group>) -> Vec<ShownGroup> {
    let alone = groups.len() == 1;
    groups
        .into_iter()
        .map(|group| ShownGroup {
            heading: match group.effect {
                Effect::Read => Some("See"),
                Effect::Change => Some("Change"),
                Effect::Administer => Some("Administer"),
                Effect::Other => (!alone).then_some("Other"),
            },
            is_dangerous: group.effect == Effect::Administer,
            permissions: group.permissions,
        })
        .collect()
}

/// An error that only the user's own click sends to the client.
#[derive(Template)]
#[template(path = "leave.html")]
pub(crate) struct LeavePage {
    pub(crate) frame: Frame,
    pub(crate) client: ShownClient,
    pub(crate) description: &'static str,
    pub(crate) error: &'static str,
    pub(crate) target: Target,
    pub(crate) href: String,
}

impl Page for LeavePage {}
