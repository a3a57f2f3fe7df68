//! What a line of the audit says.
//!
//! A line is put together of pieces: what it says of the rule and of the token is the same in every line about them, and
//! is kept with them. Serialized field by field, a line took as many instructions as all else in a call.

use std::borrow::Cow;
use std::cell::RefCell;
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use mcp_auth::policy::{Mode, Rule};
use mcp_auth::request::Era;
use mcp_auth::verifier::VerifiedToken;
use mcp_auth::{Judged, JudgedArguments, JudgedMessage, Permit, Refusal};
use serde_json::Value;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::of_rule::OfRule;
use crate::of_token::OfToken;

/// The longest text that a line takes from a request or a token, in characters; what is longer is cut, and ends with `…`.
const LONGEST: usize = 256;
/// The most scopes that a line lists.
const MOST_SCOPES: usize = 64;
/// As long as lines mostly are, in bytes: room for one is made at once.
const ORDINARY: usize = 1024;

/// What became of one request.
#[derive(Debug)]
pub(in crate::observe) struct Entry<'a> {
    pub(in crate::observe) request_id: &'a str,
    pub(in crate::observe) route: &'a str,
    pub(in crate::observe) client_address: Option<IpAddr>,
    pub(in crate::observe) http_method: &'a str,
    pub(in crate::observe) judged: &'a Judged,
    pub(in crate::observe) refusal: Option<&'a Refusal>,
    pub(in crate::observe) decision: &'static str,
    /// What the client got; `None` where it did not wait for it.
    pub(in crate::observe) status: Option<u16>,
    pub(in crate::observe) upstream_status: Option<u16>,
    pub(in crate::observe) total: Duration,
    pub(in crate::observe) waited: Duration,
}

impl Entry<'_> {
    /// Appends the lines: one a message, so that one a request but for batches. Says how many.
    pub(super) fn write(&self, unix_milliseconds: u64, lines: &mut Vec<u8>) -> u64 {
        TIME.with_borrow_mut(|time| {
            time.set(unix_milliseconds);
            let mut count = 0;
            let messages = self.judged.messages();
            let none = messages.is_empty().then_some(None);
            for message in messages.iter().map(Some).chain(none) {
                lines.reserve(ORDINARY);
                self.line(message, &time.text, lines);
                lines.push(b'\n');
                count += 1;
            }
            count
        })
    }

    /// Fields are never renamed; what is not known is left out.
    fn line(&self, message: Option<&JudgedMessage>, time: &[u8], line: &mut Vec<u8>) {
        let judged = self.judged;
        put(line, br#"{"time":""#);
        put(line, time);
        // ours, and no text of others
        put(line, br#"","request_id":""#);
        put(line, self.request_id.as_bytes());
        put(line, br#"","decision":""#);
        put(line, self.decision.as_bytes());
        put(line, br#"","policy_version":""#);
        put(line, judged.policy_version().as_str().as_bytes());
        put(
            line,
            match judged.era() {
                Era::Modern => br#"","era":"modern","route":"#,
                Era::Legacy => br#"","era":"legacy","route":"#,
            },
        );
        text(line, self.route);
        if let Some(address) = self.client_address {
            put(line, br#","client_address":""#);
            put_address(line, address);
            put(line, br#"""#);
        }
        put(line, br#","http_method":"#);
        text(line, self.http_method);
        if let Some(method) = message.and_then(JudgedMessage::method) {
            put(line, br#","method":"#);
            text(line, method);
        }
        if let Some(object) = message.and_then(JudgedMessage::object) {
            put(line, br#","object":"#);
            text(line, object);
        }
        match judged.rule() {
            Some(rule) => {
                put_kept(line, OfRule::of(rule).map(|kept| &kept.audit), |line| of_rule(line, rule));
            }
            None => put(line, br#","enforced":true"#),
        }
        if let Some(refusal) = judged.permit().and_then(Permit::shadowed) {
            put(line, br#","would_refuse":""#);
            put(line, refusal.code().as_bytes());
            put(line, br#"""#);
        }
        if let Some(refusal) = self.refusal {
            // the words for the operator
            put(line, br#","reason":"#);
            text(line, &refusal.to_string());
        }
        if let Some(token) = judged.caller() {
            put_kept(line, OfToken::of(token).map(|kept| &kept.audit), |line| of_token(line, token));
        }
        if let Some(arguments) = message.and_then(JudgedMessage::arguments) {
            put(line, br#","arguments_sha256":""#);
            put_hexadecimal(line, arguments.sha256());
            put(line, br#"""#);
            named(line, arguments);
        }
        for (key, status) in
            [(&br#","status":"#[..], self.status), (br#","upstream_status":"#, self.upstream_status)]
        {
            if let Some(status) = status {
                put(line, key);
                put_number(line, status.into());
            }
        }
        put(line, br#","latency_us":"#);
        put_number(line, micros(self.total));
        put(line, br#","own_us":"#);
        put_number(line, micros(self.total.saturating_sub(self.waited)));
        put(line, b"}");
    }
}

/// What a line says of a rule, the same in each.
fn of_rule(line: &mut Vec<u8>, rule: &Rule) {
    put(line, br#","rule":"#);
    text(line, rule.label());
    put(
        line,
        match rule.mode() {
            Mode::Enforce => br#","enforced":true,"scopes_asked":"#,
            Mode::Shadow => br#","enforced":false,"scopes_asked":"#,
        },
    );
    // all of `scopes`, and one of `any_scopes`
    scopes(line, rule.scopes().chain(rule.any_scopes()));
}

/// What a line says of who asked, the same in each.
fn of_token(line: &mut Vec<u8>, token: &VerifiedToken) {
    put(line, br#","issuer":"#);
    text(line, token.issuer());
    put(line, br#","subject":"#);
    text(line, token.subject());
    if let Some(client) = token.client_id() {
        put(line, br#","client_id":"#);
        text(line, client);
    }
    // hashed, so that a token that was found somewhere can be told, and none made of a line
    if let Some(id) = token.claim("jti").and_then(Value::as_str) {
        put(line, br#","token_id_sha256":""#);
        put_hexadecimal(line, digest(&SHA256, id.as_bytes()).as_ref());
        put(line, br#"""#);
    }
    put(line, br#","scopes_held":"#);
    scopes(line, token.scopes().iter());
}

fn scopes<'a>(line: &mut Vec<u8>, scopes: impl Iterator<Item = &'a str>) {
    put(line, b"[");
    for (index, scope) in scopes.take(MOST_SCOPES).enumerate() {
        if index > 0 {
            put(line, b",");
        }
        text(line, scope);
    }
    put(line, b"]");
}

/// The arguments that the rule names.
fn named(line: &mut Vec<u8>, arguments: &JudgedArguments) {
    let mut any = false;
    for (name, value) in arguments.named() {
        put(line, if any { b"," } else { br#","arguments":{"# });
        any = true;
        text(line, name);
        put(line, b":");
        // read as JSON before, and short; as text, no line end in it can break the line
        match serde_json::from_str::<&RawValue>(value) {
            Ok(raw) if !raw.get().contains(['\n', '\r']) => put(line, raw.get().as_bytes()),
            _ => text(line, value),
        }
    }
    if any {
        put(line, b"}");
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// What is the same in many lines, made once where it can be kept.
fn put_kept(line: &mut Vec<u8>, kept: Option<&OnceLock<Box<[u8]>>>, make: impl Fn(&mut Vec<u8>)) {
    match kept {
        None => make(line),
        Some(kept) => {
            let piece = kept.get_or_init(|| {
                let mut piece = Vec::new();
                make(&mut piece);
                piece.into()
            });
            put(line, piece);
        }
    }
}

fn put(line: &mut Vec<u8>, piece: &[u8]) {
    line.extend_from_slice(piece);
}

/// A text of somebody else as JSON, cut where it is long.
fn text(line: &mut Vec<u8>, text: &str) {
    // nearly all texts are short and plain
    if text.len() <= LONGEST
        && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\')
    {
        put(line, br#"""#);
        put(line, text.as_bytes());
        put(line, br#"""#);
        return;
    }
    let cut = match text.char_indices().nth(LONGEST) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
        None => Cow::Borrowed(text),
    };
    let before = line.len();
    // writing a string into memory cannot fail; if it did, the line would still have to be one
    if serde_json::to_writer(&mut *line, &cut).is_err() {
        line.truncate(before);
        put(line, b"null");
    }
}

fn put_number(line: &mut Vec<u8>, number: u64) {
    put(line, itoa::Buffer::new().format(number).as_bytes());
}

fn put_address(line: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    put(line, b".");
                }
                put_number(line, octet.into());
            }
        }
        // memory takes whatever is written to it
        IpAddr::V6(address) => drop(write!(line, "{address}")),
    }
}

fn put_hexadecimal(line: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' - 10 + half };
    // digests are as long, and what has a fixed size is turned into digits several bytes at a time
    let mut digits = [0; 64];
    for piece in bytes.chunks(32) {
        for (pair, byte) in digits.chunks_exact_mut(2).zip(piece) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        put(line, digits.get(..2 * piece.len()).unwrap_or_default());
    }
}

thread_local! {
    static TIME: RefCell<Time> = const { RefCell::new(Time::new()) };
}

/// The time as a line has it; the part that is the same for a second is made once.
struct Time {
    second: u64,
    text: Vec<u8>,
    until_second: usize,
}

impl Time {
    const fn new() -> Self {
        Self { second: u64::MAX, text: Vec::new(), until_second: 0 }
    }

    fn set(&mut self, unix_milliseconds: u64) {
        let (second, milliseconds) = (unix_milliseconds / 1000, unix_milliseconds % 1000);
        if second != self.second {
            let time = i64::try_from(second)
                .ok()
                .and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok());
            // a clock beyond the year 9999 is shown as the beginning of time
            let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH).format(&Rfc3339).unwrap_or_default();
            self.text.clear();
            put(&mut self.text, time.trim_end_matches('Z').as_bytes());
            self.until_second = self.text.len();
            self.second = second;
        }
        self.text.truncate(self.until_second);
        put(&mut self.text, b".");
        for unit in [100, 10, 1] {
            let digit = u8::try_from(milliseconds / unit % 10).unwrap_or_default();
            self.text.push(b'0' + digit);
        }
        self.text.push(b'Z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_as_rfc_3339_has_it() {
        let mut time = Time::new();
        for (milliseconds, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_276_799_007, "2026-11-21T15:59:59.007Z"),
            (1_795_276_799_999, "2026-11-21T15:59:59.999Z"),
            (1_795_276_800_000, "2026-11-21T16:00:00.000Z"),
            (951_782_400_120, "2000-02-29T00:00:00.120Z"),
        ] {
            time.set(milliseconds);
            assert_eq!(String::from_utf8(time.text.clone()).unwrap(), expected);
        }
    }

    #[test]
    fn texts_of_others_are_cut_and_escaped() {
        let written = |given: &str| {
            let mut line = Vec::new();
            text(&mut line, given);
            String::from_utf8(line).unwrap()
        };
        assert_eq!(written("a b"), r#""a b""#);
        assert_eq!(written("a\n\"b\u{1b}"), r#""a\n\"b\u001b""#);
        assert_eq!(written("a\\"), r#""a\\""#);
        assert_eq!(written("\u{7f}é"), "\"\u{7f}é\"");
        for letter in ["→", "x"] {
            assert_eq!(written(&letter.repeat(LONGEST)).chars().count(), LONGEST + 2);
            assert_eq!(written(&letter.repeat(LONGEST + 1)).chars().count(), LONGEST + 3);
        }
    }

    #[test]
    fn addresses_and_digests_are_as_everybody_writes_them() {
        for address in ["127.0.0.1", "255.255.255.255", "0.0.0.0", "2001:db8::1", "::1"] {
            let mut line = Vec::new();
            put_address(&mut line, address.parse().unwrap());
            assert_eq!(String::from_utf8(line).unwrap(), address);
        }
        let mut line = Vec::new();
        put_hexadecimal(&mut line, &[0x00, 0x9f, 0xa0, 0xff]);
        assert_eq!(line, b"009fa0ff");
    }
}
