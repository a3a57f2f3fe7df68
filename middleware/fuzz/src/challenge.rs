//! Writing `WWW-Authenticate`.

use mcp_auth::challenge::Challenge;
use mcp_auth::policy::ScopeSet;
use mcp_auth::request::Scheme;

/// The lines are a URL, scopes, an error and its description: what is printed parses as one challenge with exactly these
/// parameters (RFC 9110 §11.6.1), whatever is in them.
pub fn challenge(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split('\u{1F}');
    let mut next = || parts.next().unwrap_or_default();
    let (url, scopes, error, description) = (next(), next(), next(), next());
    let scopes = ScopeSet::from_space_separated(scopes);
    for scheme in [Scheme::Bearer, Scheme::DPoP] {
        holds(scheme, url, &scopes, error, description);
    }
}

fn holds(scheme: Scheme, url: &str, scopes: &ScopeSet, error: &str, description: &str) {
    let challenge = Challenge::new(scheme).resource_metadata(url).scope(scopes).error(error, description);
    let challenge = challenge.algs(&["ES256", error]);

    let mut expected = vec![("resource_metadata", shown(url))];
    if !scopes.is_empty() {
        expected.push(("scope", shown(&scopes.to_string())));
    }
    expected.extend([("error", shown(error)), ("error_description", shown(description))]);
    expected.push(("algs", shown(&format!("ES256 {error}"))));

    let header = challenge.to_header_value();
    let printed = header.to_str().unwrap_or_default();
    assert_eq!(printed, challenge.to_string());
    let parsed = parse(printed);
    let expected: Vec<(String, String)> =
        expected.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    assert_eq!(parsed, Some((scheme.name().to_owned(), expected)), "{printed}");
}

/// What may stand in a value stays, the rest is hidden.
fn shown(value: &str) -> String {
    let allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    value.chars().map(|c| if allowed(c) { c } else { '?' }).collect()
}

/// One challenge: a scheme, and parameters that are quoted strings.
fn parse(header: &str) -> Option<(String, Vec<(String, String)>)> {
    let (scheme, mut rest) = header.split_once(' ')?;
    let mut parameters = Vec::new();
    loop {
        let (name, behind) = rest.split_once("=\"")?;
        let (value, behind) = behind.split_once('"')?;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return None;
        }
        parameters.push((name.to_owned(), value.to_owned()));
        match behind.strip_prefix(", ") {
            Some(more) => rest = more,
            None if behind.is_empty() => return Some((scheme.to_owned(), parameters)),
            None => return None,
        }
    }
}
