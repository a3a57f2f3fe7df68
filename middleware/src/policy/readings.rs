//! The ways in which a server may read a resource URI.
//!
//! A policy compares text; a server may decode it, resolve its dot segments, drop its fragment or its query, strip line
//! ends, and only then look the resource up (WHATWG URL §4.4 does much of that). A URI that would fall under another
//! rule when read so is nobody's: otherwise the spelling would choose the rule.

use std::borrow::Cow;

use url::Url;

/// Whether no server reads the URI as another one: lower case up to the path, nothing encoded, no query or fragment, no
/// dot segments, no empty segments. Nearly all are, and none of the work below is done for them.
pub(super) fn is_plain(uri: &str) -> bool {
    let (scheme, rest) = uri.split_once("://").unwrap_or(("", uri));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let plain = |text: &str| {
        text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/{}".contains(&byte))
    };
    // A special scheme has a canonical host, which may differ from the one that is written.
    let special = matches!(scheme, "http" | "https" | "ws" | "wss" | "ftp" | "file");
    !special
        && plain(uri)
        && !scheme.bytes().chain(authority.bytes()).any(|byte| byte.is_ascii_uppercase())
        && !path.split('/').skip(1).any(|segment| matches!(segment, "" | "." | ".."))
}

/// The longest URI that is read in all ways, in bytes: the readings together are many times as long.
const LONGEST: usize = 8 * 1024;

/// Whether it is no URI at all, in any reading: white space and control characters must be encoded (RFC 3986 §2), and a
/// backslash is a slash to some. Nor is one that is longer than any server takes.
pub(super) fn is_hopeless(uri: &str) -> bool {
    uri.len() > LONGEST || uri.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\')
}

/// Other texts that a server may take the URI for.
pub(super) fn readings(uri: &str) -> Vec<String> {
    let mut readings = Vec::new();
    for text in [Cow::Borrowed(uri), decode(uri), decode(&decode(uri))] {
        // Decoding may have uncovered what a parser strips or turns into a slash.
        let text: String =
            text.chars().filter(|c| !c.is_control()).map(|c| if c == '\\' { '/' } else { c }).collect();
        let normal = Url::parse(&text).ok().map(|url| {
            let normal = url.to_string();
            // An origin without path gets a slash that nobody wrote.
            if url.path() == "/" && !text.ends_with('/') {
                normal.trim_end_matches('/').to_owned()
            } else {
                normal
            }
        });
        for spelled in [Some(text), normal].into_iter().flatten() {
            let decoded = decode(&spelled).into_owned();
            for spelled in [spelled, decoded] {
                let bare = spelled.split(['?', '#']).next().unwrap_or_default();
                readings.extend([bare.to_owned(), single_slashes(bare)]);
                readings.push(spelled);
            }
        }
    }
    readings.sort_unstable();
    readings.dedup();
    readings
}

fn decode(text: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}

/// Empty segments dropped, as some servers do.
fn single_slashes(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let kept: Vec<&str> = rest.split('/').filter(|segment| !segment.is_empty()).collect();
    let end = if rest.ends_with('/') { "/" } else { "" };
    let start = if rest.starts_with('/') { "/" } else { "" };
    format!("{scheme}://{start}{}{end}", kept.join("/"))
}
