//! Rewriting a stream of events.

use std::sync::{Arc, LazyLock};

use mcp_auth::internals::{read_events, rewrite_events};
use mcp_auth::policy::Policy;

static POLICY: LazyLock<Option<Arc<Policy>>> = LazyLock::new(|| {
    let policy = Policy::parse(
        "version = 1\n[tools.a]\nauth = \"public\"\n[tools.b]\nauth = \"oauth2\"\nscopes = [\"s\"]\n",
    );
    policy.ok().map(Arc::new)
});

/// The first two bytes say how the rest comes in chunks: however it comes, the same goes out; and an event that has no
/// list in it goes out byte for byte. What is only read while it passes is what the events have as data.
pub fn events(data: &[u8]) {
    let Some(policy) = &*POLICY else { panic!("the policy has no faults") };
    let Some((sizes, stream)) = data.split_at_checked(2) else { return };
    reads(stream, &chunks(stream, sizes));
    let whole = rewrite_events(Arc::clone(policy), [stream]);
    let pieces = chunks(stream, sizes);
    let in_pieces = rewrite_events(Arc::clone(policy), pieces);
    // Which bytes went out before the fault is for the chunks to say; whether there is one is not.
    assert_eq!(whole.is_ok(), in_pieces.is_ok());
    let Ok(whole) = whole else { return };
    assert_eq!(Some(&whole), in_pieces.as_ref().ok());

    let events = split(stream);
    let mut of_each = Vec::new();
    for (at, event) in events.into_iter().enumerate() {
        // A byte order mark is one in front of the first event only.
        let before: &[u8] = if at == 0 { b"" } else { b":\n\n" };
        let Ok(out) = rewrite_events(Arc::clone(policy), [before, event]) else {
            panic!("readable in a stream, and not alone: {}", event.escape_ascii());
        };
        let out = out.strip_prefix(before).unwrap_or_default();
        let listless =
            !has(event, b"tools") && !has(event, b"\\") && !has(event, b"\n") && !has(event, b"\r");
        assert!(!listless || out == event, "changed: {}", event.escape_ascii());
        of_each.extend_from_slice(out);
    }
    assert_eq!(whole, of_each);
    if !has(stream, b"tools") && !has(stream, b"\\") {
        assert_eq!(whole, stream);
    }
}

/// The reader of passing events, with room for everything and with little.
fn reads(stream: &[u8], pieces: &[&[u8]]) {
    let all = read_events(usize::MAX, pieces.iter().copied());
    assert_eq!(all, read_events(usize::MAX, [stream]));
    let stream = stream.strip_prefix("\u{feff}".as_bytes()).unwrap_or(stream);
    let expected: Vec<_> = split(stream).into_iter().filter_map(data).map(Some).collect();
    assert_eq!(all, expected);
    for max_bytes in [8, 64] {
        let little = read_events(max_bytes, pieces.iter().copied());
        assert!(
            little.iter().flatten().all(|data| data.len() <= max_bytes && all.contains(&Some(data.clone())))
        );
        // Nothing goes by unseen: what was not read was too long.
        assert!(little.len() >= all.len());
    }
}

/// The lines of data of one event, joined (WHATWG HTML §9.2.6).
fn data(event: &[u8]) -> Option<Vec<u8>> {
    let lines = event.split(|byte| matches!(byte, b'\r' | b'\n'));
    let values = lines.filter_map(|line| match line.strip_prefix(b"data")? {
        [] => Some(&[][..]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    });
    let values: Vec<&[u8]> = values.collect();
    (!values.is_empty()).then(|| values.join(&b'\n'))
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn chunks<'a>(stream: &'a [u8], sizes: &[u8]) -> Vec<&'a [u8]> {
    let mut rest = stream;
    let mut sizes = sizes.iter().cycle();
    let mut chunks = Vec::new();
    while !rest.is_empty() {
        let size = usize::from(sizes.next().copied().unwrap_or(1) % 16) + 1;
        let (chunk, behind) = rest.split_at(size.min(rest.len()));
        chunks.push(chunk);
        rest = behind;
    }
    chunks
}

/// Cuts behind each empty line (WHATWG HTML §9.2.5), a line ending with CRLF, LF or CR.
fn split(stream: &[u8]) -> Vec<&[u8]> {
    let (mut events, mut start, mut at, mut line) = (Vec::new(), 0, 0, 0);
    while let Some(byte) = stream.get(at) {
        let end = match (byte, stream.get(at + 1)) {
            (b'\r', Some(b'\n')) => at + 2,
            (b'\r' | b'\n', _) => at + 1,
            _ => {
                at += 1;
                continue;
            }
        };
        if line == at {
            events.extend(stream.get(start..end));
            start = end;
        }
        (at, line) = (end, end);
    }
    events.extend(stream.get(start..).filter(|rest| !rest.is_empty()));
    events
}
