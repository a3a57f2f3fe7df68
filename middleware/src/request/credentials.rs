//! The `Authorization` header: from bytes to [`Credentials`], or to the reason why there are none.

use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;

/// An access token as it came over the wire: nobody has looked at it yet, so nothing may be decided from it.
///
/// `Debug` does not print it.
#[derive(Clone, PartialEq, Eq)]
pub struct UnverifiedToken(Box<str>);

impl UnverifiedToken {
    /// A token out of a header value; the layer makes these from requests, a test of a verifier makes its own.
    pub fn new(token: impl Into<Box<str>>) -> Self {
        Self(token.into())
    }

    /// The token itself, for a verifier.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_inner(self) -> Box<str> {
        self.0
    }
}

impl fmt::Debug for UnverifiedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnverifiedToken(…)")
    }
}

/// How a token is presented (RFC 9110 §11.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Whoever has the token may use it, unless it is bound to the client's certificate (RFC 6750 §2.1, RFC 8705 §3).
    Bearer,
    /// With a proof of the key that the token is bound to (RFC 9449 §7.1).
    DPoP,
}

impl Scheme {
    /// The name on the wire, compared without regard to case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::DPoP => "DPoP",
        }
    }

    fn named(name: &[u8]) -> Option<Self> {
        [Self::Bearer, Self::DPoP]
            .into_iter()
            .find(|scheme| scheme.name().as_bytes().eq_ignore_ascii_case(name))
    }
}

/// A token, and how it was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    pub(crate) scheme: Scheme,
    pub(crate) token: UnverifiedToken,
}

/// What is wrong with the credentials of a request, before any token is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialsError {
    /// More than one token, or a token outside the header: which one is meant is not ours to guess (RFC 6750 §2).
    Ambiguous(&'static str),
    /// A scheme that is neither `Bearer` nor `DPoP`, or a value that is no token (RFC 6750 §2.1).
    Unusable(&'static str),
}

/// Reads the one token of a request, if it has one.
///
/// - two `Authorization` headers, two tokens in one, or `access_token` in the query: [`CredentialsError::Ambiguous`]
/// - another scheme, an empty or malformed token: [`CredentialsError::Unusable`], never anonymous
pub(crate) fn credentials(parts: &Parts) -> Result<Option<Credentials>, CredentialsError> {
    if let Some(query) = parts.uri.query()
        && url::form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "access_token")
    {
        return Err(CredentialsError::Ambiguous(
            "send the access token in the Authorization header, not in the query",
        ));
    }
    let mut headers = parts.headers.get_all(AUTHORIZATION).iter();
    let Some(header) = headers.next() else {
        return Ok(None);
    };
    if headers.next().is_some() {
        return Err(CredentialsError::Ambiguous("the request carries two Authorization headers"));
    }
    let value = header.as_bytes().trim_ascii();
    let end_of_scheme = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end_of_scheme);
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let token = rest.get(spaces..).unwrap_or_default();
    match (Scheme::named(scheme), std::str::from_utf8(token)) {
        (Some(scheme), Ok(text)) if is_b64token(token) => {
            Ok(Some(Credentials { scheme, token: UnverifiedToken::new(text) }))
        }
        // A token is long, and nearly always good: what is wrong is looked for only where something is.
        (scheme, _) => Err(match header.to_str() {
            Ok(_) if scheme.is_none() => {
                CredentialsError::Unusable("The Authorization scheme must be Bearer or DPoP")
            }
            Ok(_) if token.contains(&b',') => {
                CredentialsError::Ambiguous("the Authorization header carries two tokens")
            }
            _ => CredentialsError::Unusable("The access token is malformed"),
        }),
    }
}

/// The scheme in which a request presents its one token, be the token good or bad: a client is answered in its own.
pub(crate) fn scheme(headers: &HeaderMap) -> Option<Scheme> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    Scheme::named(value.to_str().ok()?.trim().split(' ').next()?.as_bytes())
}

/// `b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="` (RFC 6750 §2.1).
fn is_b64token(token: &[u8]) -> bool {
    let padding = token.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = token.get(..token.len() - padding).unwrap_or_default();
    // Neither a branch nor a way out within a piece, so that its bytes are looked at side by side.
    let is_good = |piece: &[u8]| piece.iter().fold(true, |good, byte| good & is_of_b64token(*byte));
    !body.is_empty() && body.chunks(64).all(is_good)
}

#[expect(
    clippy::needless_bitwise_bool,
    reason = "a branch would keep the bytes from being looked at side by side"
)]
fn is_of_b64token(byte: u8) -> bool {
    // As few comparisons as there can be, since each is made for every byte of a token: `-`, `.`, `/` and the digits follow
    // one another in ASCII, and one bit tells the two cases of a letter apart.
    let digit = matches!(byte, b'-'..=b'9');
    let letter = (byte | 0x20).is_ascii_lowercase();
    digit | letter | (byte == b'+') | (byte == b'_') | (byte == b'~')
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    fn read(uri: &str, headers: &[&str]) -> Result<Option<Credentials>, CredentialsError> {
        let mut request = Request::builder().uri(uri);
        for value in headers {
            request = request.header(AUTHORIZATION, *value);
        }
        credentials(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn two_tokens_or_a_token_in_the_query_are_ambiguous() {
        for (uri, headers) in [
            ("/mcp", &["Bearer a", "Bearer b"][..]),
            ("/mcp", &["Bearer a", "Bearer a"]),
            ("/mcp", &["Basic x", "Bearer b"]),
            ("/mcp", &["Bearer a, Bearer b"]),
            ("/mcp", &["Bearer a", "DPoP a"]),
            ("/mcp", &["DPoP a", "DPoP b"]),
            ("/mcp", &["DPoP a,DPoP b"]),
            ("/mcp", &["DPoP a, Bearer a"]),
            ("/mcp?access_token=a", &[]),
            ("/mcp?x=1&access%5Ftoken=a", &["Bearer a"]),
        ] {
            assert!(matches!(read(uri, headers), Err(CredentialsError::Ambiguous(_))), "{uri} {headers:?}");
        }
    }

    #[test]
    fn what_is_no_bearer_token_is_never_anonymous() {
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "Bearer é",
            "Bearer \"a\"",
            "Basic YTpi",
            "DPoP",
            "DPoP ",
            "DPoP a b",
            "DPoP \"a\"",
            "DPoPa",
            "DPoP\ta",
            "a.b.c",
            "Bearer =",
        ] {
            assert!(matches!(read("/mcp", &[value]), Err(CredentialsError::Unusable(_))), "{value:?}");
        }
    }

    #[test]
    fn the_scheme_is_read_without_regard_to_case() {
        let token = UnverifiedToken::new("a.b-c_d~e+f/g==");
        for (name, scheme) in [
            ("Bearer", Scheme::Bearer),
            ("bearer", Scheme::Bearer),
            ("BEARER ", Scheme::Bearer),
            ("DPoP", Scheme::DPoP),
            ("dpop", Scheme::DPoP),
            ("DPOP ", Scheme::DPoP),
        ] {
            let value = format!("{name} a.b-c_d~e+f/g==");
            let credentials = Credentials { scheme, token: token.clone() };
            assert_eq!(read("/mcp?x=access_token", &[&value]), Ok(Some(credentials)), "{value:?}");
        }
        assert_eq!(read("/mcp", &[]), Ok(None));
    }

    #[test]
    fn a_client_is_answered_in_the_scheme_that_it_used() {
        for (values, expected) in [
            (&["DPoP a"][..], Some(Scheme::DPoP)),
            (&["dpop"], Some(Scheme::DPoP)),
            (&["DPoP a b"], Some(Scheme::DPoP)),
            (&["bearer a"], Some(Scheme::Bearer)),
            (&["Basic a"], None),
            (&["DPoP a", "DPoP b"], None),
            (&["DPoP é"], None),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            assert_eq!(scheme(&headers), expected, "{values:?}");
        }
    }

    #[test]
    fn a_token_is_made_of_these_characters_alone() {
        let allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";
        for byte in 0..=u8::MAX {
            assert_eq!(is_of_b64token(byte), allowed.as_bytes().contains(&byte), "{byte}");
        }
    }

    #[test]
    fn a_token_is_not_printed() {
        let printed = format!("{:?}", read("/", &["Bearer secret"]));
        assert_eq!(printed, "Ok(Some(Credentials { scheme: Bearer, token: UnverifiedToken(…) }))");
    }
}
