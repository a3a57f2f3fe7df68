//! Places in traces as others write them (W3C Trace Context, the Recommendation), read strictly.
//!
//! What breaks the form is no place at all: it is neither repaired nor passed on.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use mcp_auth::TraceContext;

pub(in crate::observe) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(in crate::observe) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The most members of a `tracestate` (§3.3.1.1).
const MOST_MEMBERS: usize = 32;
/// The longest `tracestate` that is passed on: as much as has to be (§3.3.1.5).
const LONGEST_STATE: usize = 512;
/// The longest key, the longest tenant and system of one, and the longest value (§3.3.1.3).
const LONGEST_KEY: usize = 256;
const LONGEST_TENANT: usize = 241;
const LONGEST_SYSTEM: usize = 14;
const LONGEST_VALUE: usize = 256;

/// Bytes that are written as hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id<const N: usize>(pub(super) [u8; N]);

pub(super) type TraceId = Id<16>;
pub(super) type SpanId = Id<8>;

impl<const N: usize> Id<N> {
    /// One of zeros alone is none (§3.2.2.3).
    fn read(digits: &[u8]) -> Option<Self> {
        Some(Self(bytes(digits)?)).filter(|id| id.0 != [0; N])
    }
}

impl<const N: usize> fmt::Display for Id<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A span of somebody else, and whether they record it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) sampled: bool,
}

impl Parent {
    /// Reads a `traceparent` (§3.2). One of a version to come is read as far as it is known (§3.2.4).
    fn read(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_at_checked(55)?;
        let field = |from, until| known.get(from..until);
        let [version] = bytes(field(0, 2)?)?;
        let fits = match version {
            0xff => false,
            0 => more.is_empty(),
            _ => more.is_empty() || more.starts_with(b"-"),
        };
        let dashes = [2, 35, 52].iter().all(|at| known.get(*at) == Some(&b'-'));
        let [flags] = bytes(field(53, 55)?)?;
        let parent = Self {
            trace_id: Id::read(field(3, 35)?)?,
            span_id: Id::read(field(36, 52)?)?,
            sampled: flags & 1 == 1,
        };
        (fits && dashes).then_some(parent)
    }
}

impl fmt::Display for Parent {
    /// As a `traceparent` of version 00. Flags that the Recommendation does not know are zero (§3.2.2.5.2).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// Lower-case digits, two a byte.
fn bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut read = [0; N];
    for (byte, pair) in read.iter_mut().zip(digits.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = value(high)? << 4 | value(low)?;
    }
    Some(read)
}

/// A place in a trace: whose child a request is, and what its tracing systems say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Context {
    pub(super) parent: Parent,
    pub(super) state: Option<HeaderValue>,
}

impl Context {
    /// The place that the headers name. Two `traceparent`s are none: nobody knows which of them is meant.
    pub(super) fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(TRACEPARENT).iter();
        let (parent, None) = (parents.next()?, parents.next()) else { return None };
        let parent = Parent::read(parent.as_bytes())?;
        let states = headers.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes);
        Some(Self { parent, state: state(states) })
    }

    /// The place that a message names in its `_meta`.
    pub(super) fn of_message(named: &TraceContext) -> Option<Self> {
        let parent = Parent::read(named.traceparent.as_bytes())?;
        Some(Self { parent, state: state(named.tracestate.iter().map(|state| state.as_bytes())) })
    }
}

/// Reads `tracestate`, which may come in several headers (§3.3). One that breaks the form is left out as a whole; the place
/// is one without it (§4.3).
fn state<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<HeaderValue> {
    let mut members: Vec<(&[u8], &[u8])> = Vec::new();
    let mut text = Vec::new();
    for member in values.flat_map(|value| value.split(|byte| *byte == b',')) {
        let member = trimmed(member);
        if member.is_empty() {
            continue;
        }
        let at = member.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (member.get(..at)?, member.get(at + 1..)?);
        let twice = members.iter().any(|(known, _)| *known == key);
        if twice || !is_key(key) || !is_value(value) || members.len() == MOST_MEMBERS {
            return None;
        }
        members.push((key, value));
        if text.len() + member.len() + 1 > LONGEST_STATE {
            return None;
        }
        if !text.is_empty() {
            text.push(b',');
        }
        text.extend_from_slice(member);
    }
    if text.is_empty() { None } else { HeaderValue::from_bytes(&text).ok() }
}

/// Without the spaces and tabs around it.
fn trimmed(mut member: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = member {
        member = rest;
    }
    member
}

fn is_key(key: &[u8]) -> bool {
    let begins = |part: &[u8], digit: bool| {
        part.first().is_some_and(|first| first.is_ascii_lowercase() || (digit && first.is_ascii_digit()))
    };
    let goes_on = |part: &[u8]| {
        part.iter().all(|byte| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'*' | b'/')
        })
    };
    match key.iter().position(|byte| *byte == b'@') {
        None => key.len() <= LONGEST_KEY && begins(key, false) && goes_on(key),
        Some(at) => {
            let (tenant, system) = (key.get(..at).unwrap_or_default(), key.get(at + 1..).unwrap_or_default());
            tenant.len() <= LONGEST_TENANT
                && begins(tenant, true)
                && goes_on(tenant)
                && system.len() <= LONGEST_SYSTEM
                && begins(system, false)
                && goes_on(system)
        }
    }
}

fn is_value(value: &[u8]) -> bool {
    let printable = |byte: &u8| matches!(byte, 0x20..=0x7e) && !matches!(byte, b',' | b'=');
    (1..=LONGEST_VALUE).contains(&value.len())
        && value.iter().all(printable)
        && value.last().is_some_and(|last| *last != b' ')
}

#[cfg(test)]
mod tests;
