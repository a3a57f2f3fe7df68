//! What several pages show: who asks, and where the answer goes.

use crate::{
    model::{
        client::{Client, Links, Origin, WebLink},
        redirect::{RedirectUri, Target},
    },
    outside::Timestamp,
};

/// Characters of a client's id that tell two of the same name apart.
const SHORT_ID_CHARS: usize = 8;

/// A client as pages show it.
#[derive(Debug)]
pub(crate) struct ShownClient {
    pub(crate) name: String,
    pub(crate) origin: Provenance,
    pub(crate) links: Vec<Link>,
}

/// Where a client came from, in words that fit the page.
#[derive(Debug)]
pub(crate) enum Provenance {
    Administrator,
    Document { host: String },
    Registration { date: Option<String>, short_id: String },
}

/// A page that the client names about itself.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) words: &'static str,
    pub(crate) url: String,
    pub(crate) host: String,
}

/// Where the answer to a request goes.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) target: Target,
    /// The whole URI, for who wants to see it.
    pub(crate) uri: String,
    /// The host that the client is known by, where the answer goes to another web host.
    pub(crate) not_of: Option<String>,
}

impl ShownClient {
    /// What was proven of the client is its origin alone; the name is what it says.
    pub(crate) fn new(client: &Client) -> Self {
        let origin = Provenance::of(&client.origin, &client.id, Some(client.registered_at));
        Self { name: client.name.clone(), origin, links: links(&client.links) }
    }
}

impl Provenance {
    /// `registered_at`: where that is known and to be shown.
    pub(crate) fn of(origin: &Origin, client_id: &str, registered_at: Option<Timestamp>) -> Self {
        match origin {
            Origin::Administrator => Self::Administrator,
            Origin::Document { host } => Self::Document { host: host.clone() },
            Origin::Registration => Self::Registration {
                date: registered_at.map(super::date),
                short_id: client_id.chars().take(SHORT_ID_CHARS).collect(),
            },
        }
    }
}

impl Destination {
    pub(crate) fn new(client: &Client, redirect_uri: &RedirectUri) -> Self {
        let target = redirect_uri.target();
        let not_of = match (&client.origin, &target) {
            (Origin::Document { host: own }, Target::Web(host)) if own != host => Some(own.clone()),
            _ => None,
        };
        Self { target, uri: redirect_uri.as_str().to_owned(), not_of }
    }
}

fn links(links: &Links) -> Vec<Link> {
    let link = |words: &'static str, link: &Option<WebLink>| {
        link.as_ref().map(|link| Link { words, url: link.as_str().to_owned(), host: link.host().to_owned() })
    };
    [link("Web site", &links.home), link("Privacy policy", &links.policy), link("Terms", &links.terms)]
        .into_iter()
        .flatten()
        .collect()
}
