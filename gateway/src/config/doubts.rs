//! What loads and is perhaps not meant. `check` shows it, and `run` has an event for each.

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;

use super::raw::Raw;
use super::{CredentialsConfig, IssuerConfig, RouteConfig, http_url, is_https_or_local};

/// Only of a configuration without faults: then routes and issuers are in the order of the file, and all there.
pub(super) fn note(raw: &Raw, issuers: &[IssuerConfig], routes: &[RouteConfig], report: &mut Report) {
    let at_routes = KeyPath::from("routes");
    let in_clear = |url: &str| http_url(url).is_some_and(|url| !is_https_or_local(&url));
    let own = raw
        .routes
        .iter()
        .enumerate()
        .map(|(index, route)| (at_routes.index(index).key("public_url"), route.public_url.as_deref()));
    let server = (KeyPath::from("server").key("public_url"), raw.server.public_url.as_deref());
    let has_tls = raw.server.tls.is_some();
    for (at, url) in std::iter::once(server).chain(own) {
        if has_tls && url.and_then(http_url).is_some_and(|url| url.scheme() == "http") {
            report.warning(&at, "nobody is served there: `server.tls` leaves nothing that speaks http");
        }
        if url.is_some_and(in_clear) {
            report.warning(
                &at,
                "clients send their tokens in clear, since this is http and not of this machine alone",
            );
        }
    }
    for (index, issuer) in issuers.iter().enumerate() {
        let is_used = |route: &RouteConfig| route.issuers.iter().any(|used| used.issuer == issuer.issuer);
        if !routes.iter().any(is_used) {
            let at = KeyPath::from("issuers").index(index).key("issuer");
            report.warning(&at, "no route accepts tokens of this issuer");
        }
    }
    for (index, (raw, route)) in raw.routes.iter().zip(routes).enumerate() {
        let what = sent(route);
        let at = at_routes.index(index).key("upstream");
        let urls = raw.upstream.iter().flat_map(|upstream| upstream.urls(&at));
        for (at, _) in urls.filter(|(_, url)| in_clear(url)) {
            report.warning(&at, format!("{what} in clear, since this is http and not of this machine"));
        }
    }
}

/// What an upstream gets that others must neither read nor write.
fn sent(route: &RouteConfig) -> &'static str {
    match route.credentials {
        // on public routes as well, of whoever has a token
        CredentialsConfig::None => "who the user is (`X-Auth-…`) goes there, and is believed,",
        _ => "the credentials of this route go there",
    }
}
