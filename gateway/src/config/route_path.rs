//! `path` of a route.

use std::fmt;

use mcp_auth::document::KeyPath;
use mcp_auth_runtime::config::Report;

/// Which paths a route answers at, compared byte for byte with what clients send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RoutePath {
    /// This one: `/mcp`.
    Exact(String),
    /// All that begin with this and have a slash after it: `/assets` for `/assets/**`, nothing for `/**`.
    Below(String),
}

impl RoutePath {
    /// The path without what a pattern has at its end; empty for the whole host.
    pub(crate) fn base(&self) -> &str {
        match self {
            Self::Exact(path) if path == "/" => "",
            Self::Exact(path) | Self::Below(path) => path,
        }
    }

    /// What of a path lies below the route's own, with its slash; `None` where the route is this one path.
    pub(crate) fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        match self {
            Self::Exact(_) => None,
            Self::Below(base) => path.strip_prefix(base.as_str()).filter(|rest| rest.starts_with('/')),
        }
    }
}

impl fmt::Display for RoutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Below(base) => write!(f, "{base}/**"),
        }
    }
}

/// A path is matched byte for byte, so that whatever two parties could read in two ways is refused here; `below` says
/// whether a route may take a whole tree.
pub(super) fn understand(
    value: Option<&str>,
    below: bool,
    at: &KeyPath,
    report: &mut Report,
) -> Option<RoutePath> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_' | b'~');
    let tree = value.and_then(|path| path.strip_suffix("/**"));
    let exact = tree.or(value);
    let wanted = match exact {
        None => "a path, such as `/mcp`",
        Some(_) if tree.is_some() && !below => "a path alone: only `kind = \"http\"` can have all below it",
        Some("") if tree.is_some() => return Some(RoutePath::Below(String::new())),
        Some(path) if !path.starts_with('/') => "a path that begins with a slash, such as `/mcp`",
        Some(path) if path.len() > 1 && path.ends_with('/') => "a path without a slash at the end",
        Some(path) if !path.bytes().all(plain) => "a path of letters, digits, `/`, `-`, `.`, `_` and `~`",
        Some(path) if path.contains("//") || path.split('/').any(|part| matches!(part, "." | "..")) => {
            "a path without empty, `.` and `..` segments"
        }
        Some(path) if path.starts_with("/.well-known") => {
            "a path other than the gateway's own: `/.well-known/…`"
        }
        Some(path) if tree.is_some() => return Some(RoutePath::Below(path.to_owned())),
        Some(path) => return Some(RoutePath::Exact(path.to_owned())),
    };
    report.unexpected(at, wanted);
    None
}

#[cfg(test)]
mod tests {
    use super::RoutePath;

    #[test]
    fn only_what_lies_below_has_a_rest() {
        let assets = RoutePath::Below("/assets".to_owned());
        assert_eq!(assets.rest("/assets/a/b"), Some("/a/b"));
        assert_eq!(assets.rest("/assets/"), Some("/"));
        for other in ["/assets", "/assetsx/a", "/ASSETS/a", "/", "/x/assets/a"] {
            assert_eq!(assets.rest(other), None, "{other}");
        }
        let all = RoutePath::Below(String::new());
        assert_eq!(all.rest("/a"), Some("/a"));
        assert_eq!(RoutePath::Exact("/a".to_owned()).rest("/a/b"), None);
    }
}
