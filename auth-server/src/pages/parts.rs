//! What several pages show: who asks, and where the answer goes.

use crate::model::{
    client::{Client, Links, Origin, WebLink},
    redirect::{RedirectUri, Target},
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
    Registration { date: String, short_id: String },
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
        let origin = match &client.origin {
            Origin::Administrator => Provenance::Administrator,
            Origin::Document { host } => Provenance::Document { host: host.clone() },
            Origin::Registration => Provenance::Registration {
                date: super::date(client.registered_at),
                short_id: client.id.chars().take(SHORT_ID_CHARS).collect(),
            },
        };
        Self { name: client.name.clone(), origin, links: links(&client.links) }
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
