//! The bodies that are kept: the documents of JSONTestSuite, and tricks by hand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The places of an envelope into which a document is put. `~` is the document, alone the whole body.
const ENVELOPES: [&str; 14] = [
    "~",
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":~}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"vendor/x","params":~}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":~}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{"a":~},"name":"echo"}}"#,
    r#"{"jsonrpc":"2.0","id":~,"method":"tools/call","params":{"name":"echo"}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":~}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":~}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":~,"params":{"name":"echo"}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":~}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"resourceSubscriptions":~}}}"#,
    r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":~}}"#,
    r#"{"jsonrpc":"2.0","id":1,"result":~}"#,
    r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},~]"#,
];

/// The bytes of each document.
pub(crate) fn json_test_suite() -> Vec<Vec<u8>> {
    include_str!("json_test_suite.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let pieces = line.split_once(' ').map_or("", |(_, pieces)| pieces);
            let mut document = Vec::new();
            for piece in pieces.split(',') {
                let (times, encoded) = piece.split_once('*').unwrap_or(("1", piece));
                document.extend(STANDARD.decode(encoded).unwrap().repeat(times.parse().unwrap()));
            }
            document
        })
        .collect()
}

/// One body for each place into which the document is put.
pub(crate) fn envelopes_of(document: &[u8]) -> impl Iterator<Item = Vec<u8>> + use<'_> {
    ENVELOPES.iter().map(move |envelope| {
        let (before, behind) = envelope.split_once('~').unwrap();
        [before.as_bytes(), document, behind.as_bytes()].concat()
    })
}

/// A body by hand, and whether it may be accepted.
pub(crate) struct Trick {
    pub(crate) line: usize,
    pub(crate) accepted: bool,
    pub(crate) body: Vec<u8>,
}

/// What `tricks.txt` has; its head says how it is written.
pub(crate) fn tricks() -> Vec<Trick> {
    let mut tricks = Vec::new();
    for (at, line) in include_str!("tricks.txt").lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (verdict, body) = line.split_once(": ").unwrap_or_else(|| panic!("line {}: {line}", at + 1));
        let accepted = match verdict {
            "accept" => true,
            "refuse" => false,
            _ => panic!("line {}: expected `accept` or `refuse`, but found `{verdict}`", at + 1),
        };
        let call =
            |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        let body = body.strip_prefix("call ").map_or_else(|| body.to_owned(), call);
        tricks.push(Trick {
            line: at + 1,
            accepted,
            body: percent_encoding::percent_decode_str(&repeated(&body)).collect(),
        });
    }
    tricks
}

/// `«N*text»` is the text N times.
fn repeated(line: &str) -> String {
    let Some((before, rest)) = line.split_once('«') else { return line.to_owned() };
    let (times, rest) = rest.split_once('*').unwrap();
    let (text, behind) = rest.split_once('»').unwrap();
    format!("{before}{}{}", text.repeat(times.parse().unwrap()), repeated(behind))
}
