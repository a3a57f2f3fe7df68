//! The operator's lists of redirect URIs that clients may register.

use super::redirect::{RedirectUri, Target, Unacceptable};

/// What clients that nobody vouches for may register.
#[derive(Debug, Default)]
pub(crate) struct AllowedRedirectUris {
    listed: Vec<RedirectUri>,
    native: Vec<NativeRedirectUri>,
}

/// A redirect URI of a native app, or those that differ in one path segment.
///
/// Any app on a device may claim any scheme, so that only what is listed here is ever answered to. Some apps put the
/// user's own name for a server into the path, which nobody can list; the rest of the URI still names the app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NativeRedirectUri {
    Exact(RedirectUri),
    Segment { before: String, after: String },
}

impl AllowedRedirectUris {
    /// An empty list allows every https and loopback URI.
    pub(crate) const fn new(listed: Vec<RedirectUri>, native: Vec<NativeRedirectUri>) -> Self {
        Self { listed, native }
    }

    /// Checks `text` against the rules that hold for every client, and against the lists.
    pub(crate) fn admit(&self, text: &str) -> Result<RedirectUri, Unacceptable> {
        let uri = RedirectUri::parse(text)?;
        if self.listed.iter().any(|entry| entry.accepts(text)) {
            return Ok(uri);
        }
        match uri.target() {
            Target::Web(_) | Target::Loopback { .. } if self.listed.is_empty() => Ok(uri),
            Target::Web(_) | Target::Loopback { .. } => Err(Unacceptable::NotListed),
            Target::App { .. } if self.native.iter().any(|entry| entry.allows(text)) => Ok(uri),
            Target::App { .. } => Err(Unacceptable::SchemeNotListed),
        }
    }
}

impl NativeRedirectUri {
    /// Reads an entry of the list: a URI, with at most one `*` in place of a whole path segment.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // what a `*` stands for is as good as a letter to every rule
        let sample = RedirectUri::parse(&text.replacen('*', "x", 1)).ok()?;
        if !matches!(sample.target(), Target::App { .. }) {
            return None;
        }
        let Some((before, after)) = text.split_once('*') else { return Some(Self::Exact(sample)) };
        let (_, path) = before.split_once("://")?;
        let whole =
            path.contains('/') && before.ends_with('/') && (after.is_empty() || after.starts_with('/'));
        let in_path = !before.contains('?');
        (whole && in_path).then(|| Self::Segment { before: before.to_owned(), after: after.to_owned() })
    }

    fn allows(&self, text: &str) -> bool {
        match self {
            Self::Exact(uri) => uri.as_str() == text,
            Self::Segment { before, after } => text
                .strip_prefix(before.as_str())
                .and_then(|rest| rest.strip_suffix(after.as_str()))
                .is_some_and(is_plain_segment),
        }
    }
}

/// Whether the text is one segment to every parser: no separator, not even an encoded one.
fn is_plain_segment(text: &str) -> bool {
    let legal =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'%');
    let encoded = text.to_ascii_lowercase();
    !text.is_empty()
        && text.bytes().all(legal)
        && ["%2f", "%5c", "%3f", "%23", "%00"].iter().all(|separator| !encoded.contains(separator))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURSOR: &str = "cursor://anysphere.cursor-mcp/oauth/callback";
    const CURSOR_NAMED: &str = "cursor://anysphere.cursor-mcp/oauth/*/callback";

    fn lists(listed: &[&str], native: &[&str]) -> AllowedRedirectUris {
        AllowedRedirectUris::new(
            listed.iter().map(|text| RedirectUri::parse(text).unwrap()).collect(),
            native.iter().map(|text| NativeRedirectUri::parse(text).unwrap()).collect(),
        )
    }

    #[test]
    fn without_lists_https_and_loopback_are_open_and_other_schemes_closed() {
        let open = lists(&[], &[]);
        for text in ["https://a.test/cb", "http://localhost:5/cb", "http://127.0.0.1/", "http://[::1]:1/cb"] {
            assert!(open.admit(text).is_ok(), "{text}");
        }
        for text in ["myapp:/cb", "com.example.app://host/cb", CURSOR] {
            assert_eq!(open.admit(text), Err(Unacceptable::SchemeNotListed), "{text}");
        }
    }

    #[test]
    fn a_list_opens_schemes_and_closes_the_rest() {
        let closed = lists(&[CURSOR, "http://localhost/cb"], &[]);
        assert!(closed.admit(CURSOR).is_ok());
        assert!(closed.admit("http://localhost:5/cb").is_ok());
        for (text, wanted) in [
            ("cursor://other/oauth/callback", Unacceptable::SchemeNotListed),
            ("https://a.test/cb", Unacceptable::NotListed),
            ("http://127.0.0.1/cb", Unacceptable::NotListed),
        ] {
            assert_eq!(closed.admit(text), Err(wanted), "{text}");
        }
    }

    #[test]
    fn native_apps_are_listed_without_closing_the_rest() {
        let allowed = lists(&[], &[CURSOR, CURSOR_NAMED, "vscode://a.b/mcp-auth/callback/*"]);
        for text in [
            CURSOR,
            "cursor://anysphere.cursor-mcp/oauth/user-My.Server_1~x/callback",
            "cursor://anysphere.cursor-mcp/oauth/user-My%20Server/callback",
            "vscode://a.b/mcp-auth/callback/0f3a",
            "https://a.test/cb",
            "http://localhost:5/cb",
        ] {
            assert!(allowed.admit(text).is_ok(), "{text}");
        }
        for text in [
            "cursor://anysphere.cursor-mcp/oauth//callback",
            "cursor://anysphere.cursor-mcp/oauth/a/b/callback",
            "cursor://anysphere.cursor-mcp/oauth/a%2Fb/callback",
            "cursor://anysphere.cursor-mcp/oauth/a%5cb/callback",
            "cursor://anysphere.cursor-mcp/oauth/a?x/callback",
            "cursor://anysphere.cursor-mcp/oauth/a%3fx/callback",
            "cursor://anysphere.cursor-mcp/oauth/a/callback/",
            "cursor://anysphere.cursor-mcp/oauth/a/callback?x=1",
            "cursor://anysphere.cursor-mcp/oauth/callback?x=1",
            "cursor://anysphere.cursor-mcp/oauth/Callback",
            "cursor://anysphere.cursor-mcp.evil/oauth/callback",
            "cursor://evil@anysphere.cursor-mcp/oauth/callback",
            "vscode://a.b/mcp-auth/callback/",
            "vscode://a.b/mcp-auth/callback/x/y",
            "vscode://a.c/mcp-auth/callback/x",
            "vscode-insiders://a.b/mcp-auth/callback/x",
        ] {
            assert!(allowed.admit(text).is_err(), "{text}");
        }
        for text in [
            "cursor://anysphere.cursor-mcp/oauth/../callback",
            "cursor://anysphere.cursor-mcp/oauth/%2e%2E/callback",
            "cursor://anysphere.cursor-mcp/oauth/*/callback",
        ] {
            assert!(allowed.admit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_one_whole_segment_of_a_native_uri_may_be_left_open() {
        for text in [
            "",
            "*",
            "cursor://*",
            "cursor://*/oauth/callback",
            "cursor:*",
            "*://host/path",
            "cursor://host/oauth-*/callback",
            "cursor://host/oauth/*x/callback",
            "cursor://host/*/oauth/*",
            "cursor://host/oauth?name=*",
            "cursor://host/oauth?name=/*/",
            "https://a.test/*",
            "https://a.test/cb",
            "http://localhost/cb",
            "javascript://host/*",
            "cursor://host/oauth/*#f",
        ] {
            assert_eq!(NativeRedirectUri::parse(text), None, "{text}");
        }
    }
}
