//! Routes to one server whose paths there lie one within the other: what one of them guards, the other must not open.
//!
//! Where a tree reaches around what a nearer route guards, it does not serve that; the nearer one counts, as it does among the
//! paths of clients. Where both lead to the same, neither is nearer, and that is a fault. Servers are told apart by their
//! addresses as they are written: of two names for one machine nobody here knows.

use std::net::IpAddr;

use http::Uri;
use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;

use super::{RouteConfig, RouteKind, RoutePath};

/// What belongs to a route that asks for more than nothing, however leniently a path is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guarded {
    /// As the most lenient of servers reads it: decoded, in lower case, without a slash at its end.
    pub(crate) base: String,
    /// Whether all below it belongs to it as well. Servers of MCP are often mounted like that.
    pub(crate) below: bool,
}

impl Guarded {
    /// Whether a path, read like the base, belongs to it.
    pub(crate) fn owns(&self, read: &str) -> bool {
        let rest = read.strip_prefix(self.base.as_str());
        rest.is_some_and(|rest| rest.is_empty() || (self.below && rest.starts_with('/')))
    }
}

/// How the paths of two routes lie at a server that both have.
#[derive(Debug, PartialEq, Eq)]
enum Overlap {
    /// They are the same, and only one of them is guarded, or each in another way.
    Same,
    /// The tree reaches around what the other guards, which is this of what is below the tree.
    Within(Guarded),
    /// One leads to a path that many servers take for another one's: below an MCP server, or the root of a tree.
    Beside,
}

/// Notes in each tree what it must not serve, and as a fault what two routes open that one of them guards.
pub(super) fn withhold(routes: &mut [RouteConfig], report: &mut Report) {
    let at = |index| KeyPath::from("routes").index(index).key("upstream");
    let mut found = Vec::new();
    for (index, opens) in routes.iter().enumerate() {
        let mut withheld: Vec<Guarded> = Vec::new();
        for (other, guards) in routes.iter().enumerate().filter(|(other, _)| *other != index) {
            for overlap in overlaps(opens, guards) {
                match overlap {
                    Overlap::Same => {
                        let message = format!(
                            "expected another path than that of `{}` (`{}`): what it guards would be open to whoever comes by `{}`",
                            at(other),
                            guards.name,
                            opens.name
                        );
                        report.fault(&at(index), message);
                        break;
                    }
                    Overlap::Beside => {
                        let message = format!(
                            "many servers take this path for a part of what `{}` (`{}`) guards; here it is open to whoever comes by `{}`",
                            at(other),
                            guards.name,
                            opens.name
                        );
                        report.warning(&at(index), message);
                    }
                    Overlap::Within(guarded) if withheld.contains(&guarded) => {}
                    Overlap::Within(guarded) => {
                        if !is_expected(opens, guards, &guarded) {
                            let message = format!(
                                "`{}` below it belongs to `{}` (`{}`), and is not served here",
                                guarded.base,
                                at(other),
                                guards.name
                            );
                            report.warning(&at(index), message);
                        }
                        withheld.push(guarded);
                    }
                }
            }
        }
        found.push(withheld);
    }
    for (route, withheld) in routes.iter_mut().zip(found) {
        route.withheld = withheld;
    }
}

/// Whether clients find what is withheld at the same place, where the nearer route has it.
fn is_expected(opens: &RouteConfig, guards: &RouteConfig, guarded: &Guarded) -> bool {
    let here = format!("{}{}", opens.path.base().to_lowercase(), guarded.base);
    opens.place.hosts == guards.place.hosts && here == guards.path.base().to_lowercase()
}

fn overlaps(opens: &RouteConfig, guards: &RouteConfig) -> Vec<Overlap> {
    let pairs = opens.upstreams.iter().flat_map(|one| guards.upstreams.iter().map(move |other| (one, other)));
    pairs.filter_map(|(one, other)| overlap((opens, one), (guards, other))).collect()
}

fn overlap((opens, one): (&RouteConfig, &Uri), (guards, other): (&RouteConfig, &Uri)) -> Option<Overlap> {
    // an MCP route has a policy of its own, whatever it shares
    if opens.kind.is_mcp() || guards.kind == RouteKind::Public || Server::of(one)? != Server::of(other)? {
        return None;
    }
    let is_tree = |route: &RouteConfig| matches!(route.path, RoutePath::Below(_));
    let (around, within) = (read(one.path()), read(other.path()));
    // servers of MCP are often mounted with all that is below, such as `/mcp/messages`
    if guards.kind.is_mcp() && around.strip_prefix(within.as_str()).is_some_and(|rest| rest.starts_with('/'))
    {
        return Some(Overlap::Beside);
    }
    let rest = within.strip_prefix(around.as_str())?;
    let below = guards.kind.is_mcp() || is_tree(guards);
    if !rest.is_empty() {
        let guarded = Guarded { base: rest.to_owned(), below };
        return (is_tree(opens) && rest.starts_with('/')).then_some(Overlap::Within(guarded));
    }
    match (is_tree(opens), is_tree(guards)) {
        // each asks for a token, as somebody has said
        _ if !guards.kind.is_mcp() && opens.kind != RouteKind::Public => None,
        // the one path that the tree itself begins with
        (false, true) if one.path().ends_with('/') => Some(Overlap::Same),
        (false, true) => Some(Overlap::Beside),
        // the tree has more than the one path
        (true, false) if !below => Some(Overlap::Within(Guarded { base: String::new(), below })),
        _ => Some(Overlap::Same),
    }
}

/// Whom one reaches at an address, whatever words it is written in.
#[derive(Debug, PartialEq, Eq)]
struct Server {
    host: Host,
    /// https and http at their own ports are one server.
    port: u16,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    /// A server may listen at any of its addresses, or at all.
    ThisMachine,
    Address(IpAddr),
    Name(String),
}

impl Server {
    fn of(uri: &Uri) -> Option<Self> {
        let name = uri.host()?.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let name = name.to_ascii_lowercase();
        let host = match name.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(address) if address.is_loopback() || address.is_unspecified() => Host::ThisMachine,
            Ok(address) => Host::Address(address),
            Err(_) if name == "localhost" || name.ends_with(".localhost") => Host::ThisMachine,
            Err(_) => Host::Name(name),
        };
        let port = uri.port_u16().unwrap_or(80);
        Some(Self { host, port: if port == 443 { 80 } else { port } })
    }
}

/// A path as the most lenient of servers reads it. That of a configuration may be any that a URL can have.
fn read(path: &str) -> String {
    let mut decoded = path.to_owned();
    loop {
        let once = percent_encoding::percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
        if once == decoded {
            break;
        }
        decoded = once;
    }
    let decoded = decoded.to_lowercase().replace('\\', "/");
    let mut segments = Vec::new();
    // parameters of a segment (RFC 3986 §3.3) are no part of its name to some
    for segment in decoded.split('/').map(|segment| segment.split(';').next().unwrap_or_default()) {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    segments.iter().flat_map(|segment| ["/", segment]).collect()
}

#[cfg(test)]
mod tests {
    use super::{Server, read};

    #[test]
    fn a_server_is_known_by_whatever_words() {
        let same = |one: &str, other: &str| {
            let of = |text: &str| Server::of(&text.parse().unwrap()).unwrap();
            of(one) == of(other)
        };
        for (one, other) in [
            ("http://u/", "http://U:80/a"),
            ("http://u/", "http://u./a"),
            ("http://u/", "https://u/a"),
            ("https://u:443/", "http://u:80/"),
            ("http://localhost:5000/", "http://127.0.0.1:5000/"),
            ("http://localhost:5000/", "http://[::1]:5000/"),
            ("http://localhost:5000/", "http://LocalHost.:5000/"),
            ("http://a.localhost:5000/", "http://127.0.0.9:5000/"),
            ("http://[::ffff:127.0.0.1]:5000/", "http://0.0.0.0:5000/"),
            ("http://[::ffff:10.0.0.1]:5000/", "http://10.0.0.1:5000/"),
            ("http://[2001:db8:0::1]/", "http://[2001:DB8::1]/"),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("http://u/", "http://v/"),
            ("http://u:5000/", "http://u/"),
            ("http://localhost:5000/", "http://localhost:5001/"),
            ("http://10.0.0.1/", "http://10.0.0.2/"),
            ("http://localhost/", "http://localhost.example/"),
        ] {
            assert!(!same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_path_is_read_as_leniently_as_any_server_does() {
        for (path, expected) in [
            ("/", ""),
            ("", ""),
            ("/v1/mcp", "/v1/mcp"),
            ("/V1/mcp/", "/v1/mcp"),
            ("//v1//mcp//", "/v1/mcp"),
            ("/v1/./x/../mcp", "/v1/mcp"),
            ("/../v1/mcp", "/v1/mcp"),
            ("/v1/%6dcp", "/v1/mcp"),
            ("/v1%2fmcp", "/v1/mcp"),
            ("/v1%252Fmcp", "/v1/mcp"),
            ("/v1%5cmcp", "/v1/mcp"),
            ("/v1;a=b/mcp;c", "/v1/mcp"),
            ("/%E2%84%AAeys", "/keys"),
        ] {
            assert_eq!(read(path), expected, "{path}");
        }
    }
}
