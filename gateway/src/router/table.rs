//! What lives where: hosts, and the paths of each.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::HashMap;
use http::uri::PathAndQuery;
use mcp_auth::resource::{ResourceUri, WELL_KNOWN_PREFIX};
use mcp_auth::{HttpAuth, McpAuth};

use super::host::Hosts;
use super::path::{is_plain, read_leniently};
use crate::config::{Guarded, Place, PublicUrl, RouteConfig, RouteKind, RoutePath};
use crate::credentials::PublishedKeys;
use crate::hop::Hop;
use crate::limits::Gate;
use crate::observe::RouteObserver;
use crate::server_metadata::ServerMetadata;
use crate::upstream::Forward;

/// Where authorization servers have their metadata (RFC 8414 §3, OpenID Connect Discovery §4).
const SERVER_METADATA: [&str; 2] =
    ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];
/// Where OpenAI looks for the sign that a host is its owner's.
const APPS_CHALLENGE: &str = "/.well-known/openai-apps-challenge";

/// One route, its guard in front.
pub(crate) struct Route {
    pub(crate) observer: Arc<RouteObserver>,
    /// What a request has to get past before it is read.
    pub(crate) gate: Gate,
    pub(crate) guard: Guard,
    pub(crate) hop: Hop,
    /// Bytes that the body of a request may have that nobody reads whole.
    pub(crate) max_body_bytes: usize,
}

/// What judges the requests of a route, and what is behind it.
pub(crate) enum Guard {
    Mcp(McpAuth<Forward>),
    Http(HttpAuth<Forward>),
}

/// Where a request goes.
#[derive(Clone)]
pub(super) enum Destination {
    Route(Arc<Route>),
    /// The metadata of a route, which its guard knows under this path.
    Metadata(Arc<Route>, PathAndQuery),
    /// A copy of the authorization server's own metadata.
    ServerMetadata(Arc<ServerMetadata>),
    /// A text that is the answer to `GET`.
    Text(Bytes),
    /// The keys that upstreams verify the gateway's assertions with.
    Keys(PublishedKeys),
}

/// What a request asks for.
pub(super) enum Found {
    Here(Destination),
    Nothing,
    /// The host is none of ours.
    ForeignHost,
}

/// Where each request goes, by its host and its path.
pub(crate) struct Table {
    hosts: Hosts,
    places: Vec<HostTable>,
}

/// The paths of one host.
#[derive(Default)]
struct HostTable {
    exact: HashMap<Box<str>, Destination>,
    /// The longest first, so that the nearest counts.
    below: Vec<Tree>,
    /// What no tree around it may serve, since the server behind may be the same, and may read a path so.
    guarded: Vec<Guarded>,
}

/// A route to all below a path.
struct Tree {
    path: RoutePath,
    route: Arc<Route>,
    /// What of the server behind it belongs to other routes.
    withheld: Vec<Guarded>,
}

/// A route, and what it needs of the configuration to be found.
pub(crate) struct Entry<'a> {
    pub(crate) config: &'a RouteConfig,
    pub(crate) route: Route,
    pub(crate) server_metadata: Option<Arc<ServerMetadata>>,
}

/// A route at one of its hosts.
struct Placed<'a> {
    host: usize,
    config: &'a RouteConfig,
    route: Arc<Route>,
    server_metadata: Option<Arc<ServerMetadata>>,
}

/// What of the server's own configuration says where things are.
pub(crate) struct Surroundings<'a> {
    pub(crate) public_url: &'a PublicUrl,
    /// More names of the host of `public_url`.
    pub(crate) allowed_hosts: &'a [String],
    /// Whether only this machine can reach the listeners.
    pub(crate) loopback: bool,
    /// By host.
    pub(crate) apps_challenges: &'a [(String, String)],
    /// The keys that upstreams verify the gateway's assertions with, and their path at the host of `public_url`.
    pub(crate) keys: Option<(&'a str, PublishedKeys)>,
}

impl Table {
    pub(crate) fn new(entries: Vec<Entry<'_>>, surroundings: &Surroundings<'_>) -> Self {
        let own = surroundings.public_url;
        let hosts = Hosts::new(surroundings.loopback.then_some(0));
        let mut table = Self { hosts, places: vec![HostTable::default()] };
        table.hosts.add(&own.authority, own, 0);
        let mut placed: Vec<Placed<'_>> = Vec::new();
        for Entry { config, route, server_metadata } in entries {
            let route = Arc::new(route);
            for host in table.of(&config.place) {
                table.add(host, config, &route);
                let (route, server_metadata) = (Arc::clone(&route), server_metadata.clone());
                placed.push(Placed { host, config, route, server_metadata });
            }
        }
        for name in surroundings.allowed_hosts {
            table.hosts.add(&name.to_ascii_lowercase(), own, 0);
        }
        if let Some((path, keys)) = &surroundings.keys {
            table.at(0, *path, Destination::Keys(keys.clone()));
        }
        table.publish(&placed);
        table.copy_server_metadata(&placed);
        for (host, challenge) in surroundings.apps_challenges {
            if let Some(index) = table.hosts.find(host) {
                table.at(index, APPS_CHALLENGE, Destination::Text(Bytes::from(challenge.clone())));
            }
        }
        for place in &mut table.places {
            place.below.sort_by_key(|tree| std::cmp::Reverse(tree.path.base().len()));
        }
        table
    }

    /// The hosts of a route, made where they are new.
    fn of(&mut self, place: &Place) -> Vec<usize> {
        let mut indices = Vec::new();
        for name in &place.hosts {
            let index = self.hosts.find(name).unwrap_or_else(|| {
                self.places.push(HostTable::default());
                self.places.len() - 1
            });
            self.hosts.add(name, &place.public_url, index);
            if !indices.contains(&index) {
                indices.push(index);
            }
        }
        indices
    }

    fn at(&mut self, host: usize, path: impl Into<Box<str>>, destination: Destination) {
        if let Some(place) = self.places.get_mut(host) {
            place.exact.entry(path.into()).or_insert(destination);
        }
    }

    fn add(&mut self, host: usize, config: &RouteConfig, route: &Arc<Route>) {
        if let Some(place) = self.places.get_mut(host).filter(|_| config.kind != RouteKind::Public) {
            let below = config.kind.is_mcp() || matches!(config.path, RoutePath::Below(_));
            place.guarded.push(Guarded { base: config.path.base().to_lowercase(), below });
        }
        match (&config.path, self.places.get_mut(host)) {
            (RoutePath::Exact(path), Some(place)) => {
                place.exact.insert(path.as_str().into(), Destination::Route(Arc::clone(route)));
            }
            (path @ RoutePath::Below(_), Some(place)) => {
                let (path, withheld) = (path.clone(), config.withheld.clone());
                place.below.push(Tree { path, route: Arc::clone(route), withheld });
            }
            (_, None) => {}
        }
    }

    /// The metadata of each resource: at its well-known URL; at that of the route's path, since which of the two is asked for
    /// depends on how a proxy in front maps paths; and at the root where the host has one resource, for clients that know no
    /// path.
    fn publish(&mut self, placed: &[Placed<'_>]) {
        let metadata = |placed: &Placed<'_>| {
            let known = metadata_path(&placed.config.place.resource)?;
            Some((known.path().to_owned(), Destination::Metadata(Arc::clone(&placed.route), known)))
        };
        // MCP first: plain HTTP may be of a resource that an MCP route says more about
        let (mcp, http): (Vec<_>, Vec<_>) = placed.iter().partition(|placed| placed.config.kind.is_mcp());
        let in_order = || mcp.iter().chain(&http);
        for placed in in_order() {
            if let Some((path, destination)) = metadata(placed) {
                self.at(placed.host, path, destination);
            }
        }
        for placed in in_order() {
            let base = placed.config.path.base();
            if let Some((_, destination)) = metadata(placed).filter(|_| !base.is_empty()) {
                self.at(placed.host, format!("{WELL_KNOWN_PREFIX}{base}"), destination);
            }
        }
        let protects = |placed: &&&Placed<'_>| placed.config.kind != RouteKind::Public;
        for placed in in_order().filter(protects) {
            let resource = &placed.config.place.resource;
            let alone = in_order()
                .filter(protects)
                .all(|other| other.host != placed.host || other.config.place.resource == *resource);
            if let Some((_, destination)) = metadata(placed).filter(|_| alone) {
                self.at(placed.host, WELL_KNOWN_PREFIX, destination);
            }
        }
    }

    /// The copies of authorization servers' metadata, in each form that clients try; at the root where there is one only.
    fn copy_server_metadata(&mut self, placed: &[Placed<'_>]) {
        for Placed { host, config, server_metadata, .. } in placed {
            let Some(copy) = server_metadata else { continue };
            let base = config.path.base();
            let alone = placed
                .iter()
                .filter(|other| other.host == *host)
                .all(|other| other.server_metadata.as_ref().is_none_or(|another| Arc::ptr_eq(copy, another)));
            for prefix in SERVER_METADATA {
                let destination = Destination::ServerMetadata(Arc::clone(copy));
                if !base.is_empty() {
                    self.at(*host, format!("{prefix}{base}"), destination.clone());
                    self.at(*host, format!("{base}{prefix}"), destination.clone());
                }
                if alone {
                    self.at(*host, prefix, destination);
                }
            }
        }
    }

    pub(super) fn find(&self, host: &str, path: &str) -> Found {
        let Some(place) = self.hosts.find(host).and_then(|index| self.places.get(index)) else {
            return Found::ForeignHost;
        };
        if let Some(destination) = place.exact.get(path) {
            return Found::Here(destination.clone());
        }
        // the gateway's own, of which nothing is left to anybody
        if place.below.is_empty() || !is_plain(path) || is_reserved(path) {
            return Found::Nothing;
        }
        let tree = place.below.iter().find(|tree| tree.path.rest(path).is_some());
        let (Some(tree), Some(read)) = (tree, read_leniently(path)) else { return Found::Nothing };
        let base = tree.path.base();
        let mut nearer = place.guarded.iter().filter(|guarded| guarded.base.len() > base.len());
        // the base is plain letters, which every reading leaves as many
        let below = read.get(base.len()..).unwrap_or_default();
        if nearer.any(|guarded| guarded.owns(&read)) || tree.withheld.iter().any(|other| other.owns(below)) {
            return Found::Nothing;
        }
        Found::Here(Destination::Route(Arc::clone(&tree.route)))
    }
}

fn is_reserved(path: &str) -> bool {
    path == "/.well-known" || path.starts_with("/.well-known/")
}

fn metadata_path(resource: &ResourceUri) -> Option<PathAndQuery> {
    // made of a path that is valid already
    PathAndQuery::try_from(format!("{WELL_KNOWN_PREFIX}{}", resource.path())).ok()
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = self.places.iter().map(|place| place.exact.keys().collect::<Vec<_>>());
        f.debug_list().entries(paths).finish()
    }
}
