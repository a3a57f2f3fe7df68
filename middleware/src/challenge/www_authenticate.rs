//! Writing a `WWW-Authenticate` header that nothing in it can break out of.

use std::fmt;

use http::HeaderValue;

use crate::policy::ScopeSet;

/// A `Bearer` challenge (RFC 6750 §3, RFC 9728 §5.1). Its parameters appear in the order of the calls.
///
/// Whatever characters a value has, the header stays one header with these parameters: what RFC 6750 does not allow in a
/// value (quotes, backslashes, line ends, anything that is not ASCII) is replaced by `?`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct BearerChallenge(String);

impl BearerChallenge {
    /// A challenge without parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Where the metadata of the resource is (RFC 9728 §5.1).
    pub fn resource_metadata(self, url: &str) -> Self {
        self.parameter("resource_metadata", url)
    }

    /// The scopes to ask for; an empty set is left out.
    pub fn scope(self, scopes: &ScopeSet) -> Self {
        if scopes.is_empty() { self } else { self.parameter("scope", &scopes.to_string()) }
    }

    /// An error code of RFC 6750 §3.1, and words for a developer.
    pub fn error(self, code: &str, description: &str) -> Self {
        self.parameter("error", code).parameter("error_description", description)
    }

    fn parameter(mut self, name: &str, value: &str) -> Self {
        self.0.push_str(if self.0.is_empty() { "Bearer " } else { ", " });
        self.0.push_str(name);
        self.0.push_str("=\"");
        // %x20-21 / %x23-5B / %x5D-7E: a quoted string that needs no escapes (RFC 6750 §3).
        self.0.extend(
            value.chars().map(|c| {
                if matches!(c, '\x20'..='\x21' | '\x23'..='\x5B' | '\x5D'..='\x7E') { c } else { '?' }
            }),
        );
        self.0.push('"');
        self
    }

    /// The header's value.
    pub fn to_header_value(&self) -> HeaderValue {
        // Visible ASCII and spaces only: it always is a header value.
        HeaderValue::from_str(&self.to_string()).unwrap_or_else(|_| HeaderValue::from_static("Bearer"))
    }
}

impl fmt::Display for BearerChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Bearer" } else { &self.0 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_breaks_out_of_a_value() {
        for hostile in ["a\"b", "a\\\"b", "a\r\nSet-Cookie: x=y", "é", "\u{0}", "\", error=\"x"] {
            let header = BearerChallenge::new().error("invalid_token", hostile).to_header_value();
            let text = header.to_str().unwrap();
            assert_eq!(text.matches('"').count(), 4, "{text}");
            assert!(text.starts_with("Bearer error=\"invalid_token\", error_description=\""), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_value_of_any_text_keeps_the_parameters(description in any::<String>(), url in any::<String>()) {
            let header = BearerChallenge::new().resource_metadata(&url).error("e", &description).to_header_value();
            let text = header.to_str().unwrap();
            let values: Vec<&str> = text.split('"').collect();
            prop_assert_eq!(values.len(), 7);
            prop_assert_eq!((values[0], values[2], values[4], values[6]), ("Bearer resource_metadata=", ", error=", ", error_description=", ""));
        }
    }
}
