//! `[openai]`

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;

use super::place::authority;
use super::raw::OpenAiTable;
use super::{PublicUrl, RouteConfig};

/// The texts of `/.well-known/openai-apps-challenge`, by host.
pub(super) fn understand(
    raw: &OpenAiTable,
    public_url: Option<&PublicUrl>,
    routes: &[RouteConfig],
    report: &mut Report,
) -> Vec<(String, String)> {
    let table = KeyPath::from("openai");
    let is_text = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let mut all = Vec::new();
    if let Some(text) = &raw.apps_challenge {
        if !is_text(text) {
            report
                .unexpected(&table.key("apps_challenge"), "the token that OpenAI shows, without white space");
        }
        all.extend(public_url.map(|url| (url.authority.clone(), text.clone())));
    }
    for (host, text) in &raw.apps_challenges {
        let at = table.key("apps_challenges").key(host);
        if !is_text(text) {
            report.unexpected(&at, "the token that OpenAI shows, without white space");
        }
        let mut named = routes.iter().filter_map(|route| {
            let scheme = &route.place.public_url.scheme;
            authority(scheme, host).filter(|host| route.place.hosts.contains(host))
        });
        match named.next() {
            Some(host) => all.push((host, text.clone())),
            None => report.fault(&at, format!("expected a host of a route, but found `{host}`")),
        }
    }
    all
}
