//! What a line of the audit says.

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use mcp_auth::policy::{Mode, PolicyVersion, Rule, ScopeSet};
use mcp_auth::request::Era;
use mcp_auth::verifier::VerifiedToken;
use mcp_auth::{Judged, JudgedMessage, Permit, Refusal};
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The longest text that a line takes from a request or a token, in characters; what is longer is cut, and ends with `…`.
const LONGEST: usize = 256;
/// The most scopes that a line lists.
const MOST_SCOPES: usize = 64;

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
                let before = lines.len();
                let line = self.line(message, &time.text);
                // nothing in it can fail; a line that did would be half of one
                if serde_json::to_writer(&mut *lines, &line).is_err() {
                    lines.truncate(before);
                    tracing::error!(request.id = self.request_id, "a line of the audit cannot be made");
                    continue;
                }
                lines.push(b'\n');
                count += 1;
            }
            count
        })
    }

    fn line<'a>(&'a self, message: Option<&'a JudgedMessage>, time: &'a str) -> Line<'a> {
        let caller = self.judged.caller();
        let rule = self.judged.rule();
        let permit = self.judged.permit();
        Line {
            time,
            request_id: self.request_id,
            route: self.route,
            client_address: self.client_address,
            http_method: Short(self.http_method),
            era: match self.judged.era() {
                Era::Modern => "modern",
                Era::Legacy => "legacy",
            },
            method: message.and_then(JudgedMessage::method).map(Short),
            object: message.and_then(JudgedMessage::object).map(Short),
            rule: rule.map(|rule| Short(rule.label())),
            decision: self.decision,
            enforced: rule.is_none_or(|rule| rule.mode() == Mode::Enforce),
            would_refuse: permit.and_then(Permit::shadowed).map(Refusal::code),
            reason: self.refusal.map(Said),
            issuer: caller.map(|token| Short(token.issuer())),
            subject: caller.map(|token| Short(token.subject())),
            client_id: caller.and_then(VerifiedToken::client_id).map(Short),
            token_id_sha256: caller.and_then(|token| token.claim("jti")?.as_str()).map(TokenId),
            scopes_asked: rule.map(Asked),
            scopes_held: caller.map(|token| Held(token.scopes())),
            policy_version: Version(self.judged.policy_version()),
            arguments_sha256: message.and_then(JudgedMessage::arguments).map(|all| Hexadecimal(all.sha256())),
            arguments: message.filter(|message| has_named(message)).map(Named),
            status: self.status,
            upstream_status: self.upstream_status,
            latency_us: micros(self.total),
            own_us: micros(self.total.saturating_sub(self.waited)),
        }
    }
}

fn has_named(message: &JudgedMessage) -> bool {
    message.arguments().is_some_and(|arguments| arguments.named().next().is_some())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// One line. Fields are never renamed; what is not known is left out.
#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    request_id: &'a str,
    route: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_address: Option<IpAddr>,
    http_method: Short<'a>,
    era: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<Short<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Short<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<Short<'a>>,
    decision: &'static str,
    enforced: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_refuse: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Said<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<Short<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Short<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<Short<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_id_sha256: Option<TokenId<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes_asked: Option<Asked<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes_held: Option<Held<'a>>,
    policy_version: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments_sha256: Option<Hexadecimal<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<u16>,
    latency_us: u64,
    own_us: u64,
}

/// A text of somebody else, cut where it is long.
struct Short<'a>(&'a str);

impl Serialize for Short<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.char_indices().nth(LONGEST) {
            Some((end, _)) => {
                serializer.collect_str(&format_args!("{}…", self.0.get(..end).unwrap_or_default()))
            }
            None => serializer.serialize_str(self.0),
        }
    }
}

struct Version(PolicyVersion);

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// The words for the operator.
struct Said<'a>(&'a Refusal);

impl Serialize for Said<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Short(&self.0.to_string()).serialize(serializer)
    }
}

/// A token's `jti`, so that a token that was found somewhere can be told, and none made of a line.
struct TokenId<'a>(&'a str);

impl Serialize for TokenId<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Hexadecimal(digest(&SHA256, self.0.as_bytes()).as_ref()).serialize(serializer)
    }
}

struct Hexadecimal<'a>(&'a [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Hexadecimal<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The scopes that a rule asks for: all of `scopes`, and one of `any_scopes`.
struct Asked<'a>(&'a Rule);

impl Serialize for Asked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        scopes(self.0.scopes().chain(self.0.any_scopes()), serializer)
    }
}

struct Held<'a>(&'a ScopeSet);

impl Serialize for Held<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        scopes(self.0.iter(), serializer)
    }
}

fn scopes<'a, S: Serializer>(
    scopes: impl Iterator<Item = &'a str>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(None)?;
    for scope in scopes.take(MOST_SCOPES) {
        list.serialize_element(&Short(scope))?;
    }
    list.end()
}

/// The arguments that the rule names.
struct Named<'a>(&'a JudgedMessage);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.0.arguments().into_iter().flat_map(mcp_auth::JudgedArguments::named) {
            // read as JSON before, and short; as text, no line end in it can break the line
            match serde_json::from_str::<&RawValue>(value) {
                Ok(raw) if !raw.get().contains(['\n', '\r']) => map.serialize_entry(name, raw)?,
                _ => map.serialize_entry(name, value)?,
            }
        }
        map.end()
    }
}

thread_local! {
    static TIME: RefCell<Time> = const { RefCell::new(Time::new()) };
}

/// The time as a line has it; the part that is the same for a second is made once.
struct Time {
    second: u64,
    text: String,
    until_second: usize,
}

impl Time {
    const fn new() -> Self {
        Self { second: u64::MAX, text: String::new(), until_second: 0 }
    }

    fn set(&mut self, unix_milliseconds: u64) {
        let (second, milliseconds) = (unix_milliseconds / 1000, unix_milliseconds % 1000);
        if second != self.second {
            let time = i64::try_from(second)
                .ok()
                .and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok());
            // a clock beyond the year 9999 is shown as the beginning of time
            let time = time.unwrap_or(OffsetDateTime::UNIX_EPOCH).format(&Rfc3339).unwrap_or_default();
            time.trim_end_matches('Z').clone_into(&mut self.text);
            self.until_second = self.text.len();
            self.second = second;
        }
        self.text.truncate(self.until_second);
        // a string takes whatever is written to it
        let _ = fmt::Write::write_fmt(&mut self.text, format_args!(".{milliseconds:03}Z"));
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
            assert_eq!(time.text, expected);
        }
    }

    #[test]
    fn texts_of_others_are_cut_and_escaped() {
        let text = |text: &str| serde_json::to_string(&Short(text)).unwrap();
        assert_eq!(text("a\n\"b\u{1b}"), r#""a\n\"b\u001b""#);
        assert_eq!(text(&"→".repeat(LONGEST)).chars().count(), LONGEST + 2);
        assert_eq!(text(&"→".repeat(LONGEST + 1)).chars().count(), LONGEST + 3);
    }
}
