//! Which paths may be matched by their beginning.

/// Whether everyone reads a path in the same way: no empty, `.` or `..` segment, nothing encoded that would make one or
/// part a path, no parameters (RFC 3986 §3.3), no back slash.
///
/// The path is never decoded here, and goes to the upstream as it came. One that a server might read as another is nobody's.
pub(super) fn is_plain(path: &str) -> bool {
    let mut bytes = path.as_bytes();
    while let [byte, rest @ ..] = bytes {
        bytes = rest;
        match byte {
            b'%' => {
                let [high, low, rest @ ..] = bytes else { return false };
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { return false };
                let decoded = high * 16 + low;
                // `%25` would be decoded once more by a server that decodes twice
                if decoded < 0x20
                    || decoded == 0x7F
                    || matches!(decoded, b'/' | b'\\' | b'.' | b';' | b'%' | b'?' | b'#')
                {
                    return false;
                }
                bytes = rest;
            }
            b'\\' | b';' | b'?' | b'#' => return false,
            byte if !byte.is_ascii_graphic() => return false,
            _ => {}
        }
    }
    let Some(segments) = path.strip_prefix('/') else { return false };
    let mut segments = segments.split('/').peekable();
    while let Some(segment) = segments.next() {
        // a slash at the end is a directory's
        let is_last = segments.peek().is_none();
        if matches!(segment, "." | "..") || (segment.is_empty() && !is_last) {
            return false;
        }
    }
    true
}

/// A path as the most lenient of servers reads it: decoded, in lower case, without a slash at its end. `None` where it
/// decodes to no UTF-8: there are servers that take the bytes `C0 AF` for a slash.
///
/// For a [plain](is_plain) one, of which this makes no more and no fewer segments. Only to find out whose it may be taken
/// for: what is forwarded is the path as it came.
pub(super) fn read_leniently(path: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.as_bytes();
    while let [byte, rest @ ..] = bytes {
        bytes = rest;
        decoded.push(match (byte, rest) {
            (b'%', [high, low, rest @ ..]) => {
                bytes = rest;
                digit(*high)? * 16 + digit(*low)?
            }
            _ => *byte,
        });
    }
    let mut read = String::from_utf8(decoded).ok()?.to_lowercase();
    if read.ends_with('/') {
        read.pop();
    }
    Some(read)
}

/// Whether it is under the root of well-known URIs (RFC 8615 §3), in whichever of the forms that clients try.
pub(super) fn is_well_known(path: &str) -> bool {
    path.contains("/.well-known/")
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::{is_plain, read_leniently};

    #[test]
    fn a_lenient_reading_is_decoded_lower_and_without_a_last_slash() {
        for (path, read) in [
            ("/", Some("")),
            ("/mcp", Some("/mcp")),
            ("/MCP/", Some("/mcp")),
            ("/%6dc%50", Some("/mcp")),
            // the Kelvin sign
            ("/%E2%84%AAeys", Some("/keys")),
            ("/%C3%89", Some("/é")),
            ("/a%20b", Some("/a b")),
            ("/%C0%AF", None),
            ("/%E9", None),
            ("/%ff/a", None),
        ] {
            assert!(is_plain(path), "{path}");
            assert_eq!(read_leniently(path).as_deref(), read, "{path}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_not_plain() {
        for path in [
            "",
            "a",
            "*",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/a/./b",
            "/a/../b",
            "/a/..",
            "/%2e",
            "/%2E%2e/a",
            "/a/.%2e/b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a;b",
            "/a;b=c/d",
            "/a%3bb",
            "/a%00",
            "/a%0a",
            "/a%7f",
            "/a%252fb",
            "/a%25",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "/a b",
            "/a\tb",
            "/a#b",
            "/a?b",
            "/é",
            "/a%23",
            "/a%3f",
        ] {
            assert!(!is_plain(path), "{path}");
        }
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/b.js",
            "/a/...",
            "/a/..b",
            "/a%20b",
            "/%C3%A9",
            "/a:b@c,d+e!$&'()*=",
            "/~a_-",
        ] {
            assert!(is_plain(path), "{path}");
        }
    }
}
