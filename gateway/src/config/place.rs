//! `host`, `public_url` and `resource` of a route: where clients find it.

use mcp_auth::document::KeyPath;
use mcp_auth::resource::ResourceUri;
use mcp_auth_runtime::config::Report;

use super::raw::RouteTable;
use super::{PublicUrl, RoutePath, http_url, public_url};

/// Where clients find a route.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    /// What is published of it, and what the upstream is told.
    pub(crate) public_url: PublicUrl,
    /// What `Host` or `:authority` may say, as [`authority`] writes it; the first is the route's own.
    pub(crate) hosts: Vec<String>,
    pub(crate) resource: ResourceUri,
}

/// Everything but the path, which may be at fault already.
pub(super) fn understand(
    raw: &RouteTable,
    path: Option<&RoutePath>,
    server: Option<&PublicUrl>,
    at: &KeyPath,
    report: &mut Report,
) -> Option<Place> {
    let public_url = match &raw.public_url {
        Some(own) => public_url(Some(own), &at.key("public_url"), report),
        None => server.cloned(),
    };
    let host = match &raw.host {
        None => Some(None),
        Some(host) => own_host(host, public_url.as_ref(), &at.key("host"), report).map(Some),
    };
    let resource = resource(raw, path, public_url.as_ref(), &at.key("resource"), report);
    let (public_url, resource) = (public_url?, resource?);
    let own = host?.unwrap_or_else(|| public_url.authority.clone());
    let mut hosts = vec![own];
    // a resource of another host is asked for there, whatever the proxy in front makes of the name
    if raw.resource.is_some() && !hosts.iter().any(|host| host == resource.authority()) {
        hosts.push(resource.authority().to_owned());
    }
    Some(Place { public_url, hosts, resource })
}

fn own_host(text: &str, public_url: Option<&PublicUrl>, at: &KeyPath, report: &mut Report) -> Option<String> {
    let scheme = public_url.map_or("https", |url| url.scheme.as_str());
    let host = authority(scheme, text);
    if host.is_none() {
        report.unexpected(at, "a host and, where there is one, a port, such as `tools.example`");
    }
    host
}

/// Host and port as a URL of this scheme has them: in lower case, and without the scheme's own port. `None` for what is
/// anything besides.
pub(crate) fn authority(scheme: &str, text: &str) -> Option<String> {
    let url = http_url(&format!("{scheme}://{text}/"))?;
    let origin = url.origin().ascii_serialization();
    let (_, canonical) = origin.split_once("://")?;
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    let without = text.strip_suffix(default_port).unwrap_or(text);
    // the parser would read `0x7f.1` as an address, and a path or a query as what they are
    without.eq_ignore_ascii_case(canonical).then(|| canonical.to_owned())
}

fn resource(
    raw: &RouteTable,
    path: Option<&RoutePath>,
    public_url: Option<&PublicUrl>,
    at: &KeyPath,
    report: &mut Report,
) -> Option<ResourceUri> {
    let text = match &raw.resource {
        Some(resource) => resource.clone(),
        None => format!("{}{}", public_url?.origin, path?.base()),
    };
    match text.parse() {
        Ok(resource) => Some(resource),
        Err(reason) => {
            report.fault(at, format!("{reason}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::authority;

    #[test]
    fn case_and_the_default_port_are_all_that_is_normalised() {
        for (scheme, text, expected) in [
            ("https", "Tools.Example", Some("tools.example")),
            ("https", "tools.example:443", Some("tools.example")),
            ("http", "tools.example:80", Some("tools.example")),
            ("http", "tools.example:443", Some("tools.example:443")),
            ("https", "tools.example:80", Some("tools.example:80")),
            ("http", "[::1]:3000", Some("[::1]:3000")),
            ("https", "tools.example.", Some("tools.example.")),
            ("https", "", None),
            ("https", "tools.example:", None),
            ("https", "tools.example:0443", None),
            ("https", "a@tools.example", None),
            ("https", "tools.example/x", None),
            ("https", "tools.example?x", None),
            ("https", "tools.example#x", None),
            ("https", "tools .example", None),
            ("http", "0x7f.1", None),
            ("http", "tools%2eexample", None),
        ] {
            assert_eq!(authority(scheme, text).as_deref(), expected, "{scheme} {text}");
        }
    }
}
