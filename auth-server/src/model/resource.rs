//! Protected resources and resource indicators (RFC 8707).

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::catalogue::ScopeCatalogue;

/// One resource that tokens are issued for.
#[derive(Debug)]
pub(crate) struct Resource {
    /// The canonical URL, which becomes `aud`.
    url: String,
    name: String,
    catalogue: ArcSwap<ScopeCatalogue>,
}

/// A `resource` parameter that names no resource of this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownResource;

impl Resource {
    pub(crate) fn new(url: String, name: String, catalogue: ScopeCatalogue) -> Self {
        Self { url, name, catalogue: ArcSwap::from_pointee(catalogue) }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The scopes as they stand now.
    pub(crate) fn catalogue(&self) -> Arc<ScopeCatalogue> {
        self.catalogue.load_full()
    }

    pub(crate) fn replace_catalogue(&self, catalogue: ScopeCatalogue) {
        self.catalogue.store(Arc::new(catalogue));
    }

    /// Whether a client that writes `requested` means this resource.
    pub(crate) fn is_named_by(&self, requested: &str) -> bool {
        match (Parts::split(&self.url), Parts::split(requested)) {
            (Some(own), Some(requested)) => own == requested,
            _ => false,
        }
    }
}

/// Finds what the `resource` parameters of a request name; every one must be known (RFC 8707 §2).
///
/// # Errors
/// [`UnknownResource`] when any is not ours.
pub(crate) fn find<'a, 'r>(
    resources: &'r [Arc<Resource>],
    requested: impl Iterator<Item = &'a str>,
) -> Result<Vec<&'r Arc<Resource>>, UnknownResource> {
    requested
        .map(|text| {
            resources.iter().find(|resource| resource.is_named_by(text)).ok_or_else(|| {
                // the client gets no list of what there is; the operator, who has to mend one of the two, does
                let known: Vec<_> = resources.iter().map(|resource| resource.url()).collect();
                let asked: String = text.chars().take(200).collect();
                tracing::info!(?asked, ?known, "a resource was asked for that is not configured");
                UnknownResource
            })
        })
        .collect()
}

/// What is compared: scheme and host without case (RFC 3986 §6.2.2.1), the default port left out, and the empty path
/// equal to `/` (§6.2.3). Nothing else is equal to anything else: a trailing slash elsewhere, dot segments, queries and
/// percent-encoding would let one resource's tokens pass at another.
#[derive(PartialEq, Eq)]
struct Parts {
    scheme: String,
    authority: String,
    rest: String,
}

impl Parts {
    fn split(text: &str) -> Option<Self> {
        if text.len() > 2048
            || !text.bytes().all(|byte| matches!(byte, 0x21..=0x7E) && byte != b'#' && byte != b'\\')
        {
            return None;
        }
        let (scheme, after) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "https" => ":443",
            "http" => ":80",
            _ => return None,
        };
        let end = after.find(['/', '?']).unwrap_or(after.len());
        let (authority, rest) = after.split_at_checked(end)?;
        if authority.is_empty() || authority.contains('@') {
            return None;
        }
        let authority = authority.to_ascii_lowercase();
        let authority = authority.strip_suffix(default_port).unwrap_or(&authority).to_owned();
        Some(Self { scheme, authority, rest: if rest == "/" { String::new() } else { rest.to_owned() } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(url: &str) -> Resource {
        Resource::new(url.to_owned(), "R".to_owned(), ScopeCatalogue::default())
    }

    #[test]
    fn other_resources_are_not_taken_for_ours() {
        let long = format!("https://gw.test/mcp{}", "/".repeat(3000));
        for requested in [
            "https://gw.test/mcp/",
            "https://gw.test/MCP",
            "https://gw.test/mcp?x",
            "https://gw.test/mcp?",
            "https://gw.test/mcp#f",
            "https://gw.test/mcp/../mcp",
            "https://gw.test/x/../mcp",
            "https://gw.test/%6dcp",
            "https://gw.test:8443/mcp",
            "https://gw.test@evil.test/mcp",
            "https://gw.test.evil.test/mcp",
            "http://gw.test/mcp",
            "//gw.test/mcp",
            "/mcp",
            "",
            "javascript:x",
            &long,
        ] {
            assert!(!resource("https://gw.test/mcp").is_named_by(requested), "{requested}");
        }
    }

    #[test]
    fn equal_spellings_are_accepted() {
        for (own, requested) in [
            ("https://gw.test/mcp", "https://gw.test/mcp"),
            ("https://gw.test/mcp", "HTTPS://GW.TEST/mcp"),
            ("https://gw.test/mcp", "https://gw.test:443/mcp"),
            ("https://gw2.test", "https://gw2.test/"),
            ("https://gw2.test/", "https://gw2.test"),
        ] {
            assert!(resource(own).is_named_by(requested), "{own} {requested}");
        }
    }

    #[test]
    fn one_unknown_resource_among_known_ones_refuses_all() {
        let known = [Arc::new(resource("https://gw.test/mcp"))];
        assert!(find(&known, ["https://gw.test/mcp", "https://gw.test/other"].into_iter()).is_err());
        assert_eq!(find(&known, ["https://gw.test/mcp"; 2].into_iter()).unwrap().len(), 2);
    }
}
