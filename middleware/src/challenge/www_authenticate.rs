//! Writing a `WWW-Authenticate` header that nothing in it can break out of.

use std::fmt;

use http::HeaderValue;

use crate::policy::ScopeSet;
use crate::request::Scheme;

/// Bytes that the parameters of most challenges fit in.
const USUAL_LENGTH: usize = 320;

/// A challenge (RFC 6750 §3, RFC 9449 §7.1, RFC 9728 §5.1). Its parameters appear in the order of the calls.
///
/// Whatever characters a value has, the header stays one header with these parameters: what RFC 6750 does not allow in a
/// value (quotes, backslashes, line ends, anything that is not ASCII) is replaced by `?`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Challenge {
    scheme: Scheme,
    parameters: String,
}

impl Challenge {
    /// A challenge without parameters.
    pub const fn new(scheme: Scheme) -> Self {
        Self { scheme, parameters: String::new() }
    }

    /// Where the metadata of the resource is (RFC 9728 §5.1).
    pub fn resource_metadata(self, url: &str) -> Self {
        self.parameter("resource_metadata", url)
    }

    /// The scopes to ask for; an empty set is left out.
    pub fn scope(self, scopes: &ScopeSet) -> Self {
        if scopes.is_empty() { self } else { self.parameter("scope", &scopes.to_string()) }
    }

    /// An error code of RFC 6750 §3.1 or RFC 9449 §12.2, and words for a developer.
    pub fn error(self, code: &str, description: &str) -> Self {
        self.parameter("error", code).parameter("error_description", description)
    }

    /// The algorithms that a proof may be signed with (RFC 9449 §7.1).
    pub fn algs(self, names: &[&str]) -> Self {
        self.parameter("algs", &names.join(" "))
    }

    fn parameter(mut self, name: &str, value: &str) -> Self {
        // %x20-21 / %x23-5B / %x5D-7E: a quoted string that needs no escapes (RFC 6750 §3).
        let is_plain = |c: u8| matches!(c, 0x20..=0x21 | 0x23..=0x5B | 0x5D..=0x7E);
        if self.parameters.is_empty() {
            // At once, in place of step by step: a flood of challenges should cost as little as it can.
            self.parameters.reserve(USUAL_LENGTH);
        }
        self.parameters.push_str(if self.parameters.is_empty() { " " } else { ", " });
        self.parameters.push_str(name);
        self.parameters.push_str("=\"");
        if value.bytes().all(is_plain) {
            self.parameters.push_str(value);
        } else {
            let plain = |c: char| u8::try_from(c).ok().filter(|c| is_plain(*c)).map_or('?', char::from);
            self.parameters.extend(value.chars().map(plain));
        }
        self.parameters.push('"');
        self
    }

    /// The header's value.
    pub fn to_header_value(&self) -> HeaderValue {
        // Visible ASCII and spaces only: it always is a header value.
        HeaderValue::try_from([self.scheme.name(), &self.parameters].concat())
            .unwrap_or_else(|_| HeaderValue::from_static(self.scheme.name()))
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.scheme.name(), self.parameters)
    }
}

#[cfg(test)]
mod tests;
