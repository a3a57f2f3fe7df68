//! Who is calling, as the gateway tells it.

use axum::http::{HeaderMap, HeaderName};

const ISSUER: HeaderName = HeaderName::from_static("x-auth-issuer");
const SUBJECT: HeaderName = HeaderName::from_static("x-auth-subject");
const CLIENT_ID: HeaderName = HeaderName::from_static("x-auth-client-id");
const SCOPES: HeaderName = HeaderName::from_static("x-auth-scopes");

/// A user, named by the pair that no other user shares.
///
/// A subject alone says nothing: two issuers may both know a `42`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Principal {
    /// The issuer of the token, from `X-Auth-Issuer`.
    pub issuer: String,
    /// The user's name at that issuer, from `X-Auth-Subject`.
    pub subject: String,
}

/// A signed-in user together with what the token carried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The user.
    pub principal: Principal,
    /// The client that acts for the user, from `X-Auth-Client-Id`; not every token names one.
    pub client_id: Option<String>,
    /// What was granted, from `X-Auth-Scopes`, in the order given.
    pub scopes: Vec<String>,
}

/// Why the identity headers were not believed. A gateway sends none of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallerFault {
    /// The header came more than once, so that it is open which one counts.
    #[error("expected one `{0}` header, but found several")]
    Repeated(HeaderName),
    /// The header's bytes are not UTF-8.
    #[error("expected UTF-8 in `{0}`")]
    NotUtf8(HeaderName),
    /// The header is there with nothing in it.
    #[error("expected a value in `{0}`, but found nothing")]
    Empty(HeaderName),
    /// One half of the principal is missing.
    #[error("expected `x-auth-issuer` and `x-auth-subject` together, but found one of them")]
    Half,
}

impl Caller {
    /// Reads the caller from a request's headers; `None` is an anonymous request.
    ///
    /// # Errors
    /// Anything that the gateway never sends is refused rather than taken for an anonymous call: it can
    /// only mean that something else stands between the two.
    pub fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, CallerFault> {
        let issuer = required(headers, &ISSUER)?;
        let subject = required(headers, &SUBJECT)?;
        match (issuer, subject) {
            (None, None) => Ok(None),
            (Some(issuer), Some(subject)) => Ok(Some(Self {
                principal: Principal { issuer: issuer.to_owned(), subject: subject.to_owned() },
                client_id: required(headers, &CLIENT_ID)?.map(str::to_owned),
                scopes: single(headers, &SCOPES)?
                    .unwrap_or_default()
                    .split_ascii_whitespace()
                    .map(str::to_owned)
                    .collect(),
            })),
            (Some(_), None) | (None, Some(_)) => Err(CallerFault::Half),
        }
    }
}

fn required<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, CallerFault> {
    match single(headers, name)? {
        Some("") => Err(CallerFault::Empty(name.clone())),
        value => Ok(value),
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, CallerFault> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(CallerFault::Repeated(name.clone()));
    }
    // `HeaderValue::to_str` takes visible ASCII only, and subjects may be any text
    std::str::from_utf8(value.as_bytes()).map(Some).map_err(|_| CallerFault::NotUtf8(name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    type Pairs<'a> = &'a [(&'static str, &'a [u8])];

    fn headers(pairs: Pairs<'_>) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        map
    }

    #[test]
    fn refuses_what_no_gateway_sends() {
        let cases: &[(Pairs<'_>, CallerFault)] = &[
            (&[("x-auth-issuer", b"https://as")], CallerFault::Half),
            (&[("x-auth-subject", b"alex")], CallerFault::Half),
            (&[("x-auth-issuer", b""), ("x-auth-subject", b"alex")], CallerFault::Empty(ISSUER)),
            (&[("x-auth-issuer", b"https://as"), ("x-auth-subject", b"")], CallerFault::Empty(SUBJECT)),
            (
                &[
                    ("x-auth-issuer", b"https://as"),
                    ("x-auth-subject", b"alex"),
                    ("x-auth-subject", b"blake"),
                ],
                CallerFault::Repeated(SUBJECT),
            ),
            (&[("x-auth-issuer", b"https://as"), ("x-auth-subject", b"\xff")], CallerFault::NotUtf8(SUBJECT)),
            (
                &[
                    ("x-auth-issuer", b"https://as"),
                    ("x-auth-subject", b"alex"),
                    ("x-auth-scopes", b"a"),
                    ("x-auth-scopes", b"b"),
                ],
                CallerFault::Repeated(SCOPES),
            ),
        ];
        for (pairs, fault) in cases {
            assert_eq!(Caller::from_headers(&headers(pairs)).as_ref(), Err(fault), "{pairs:?}");
        }
    }

    #[test]
    fn no_headers_is_an_anonymous_call() {
        assert_eq!(Caller::from_headers(&HeaderMap::new()), Ok(None));
    }

    #[test]
    fn reads_the_whole_identity() {
        let caller = Caller::from_headers(&headers(&[
            ("x-auth-issuer", b"https://as"),
            ("x-auth-subject", "zoë".as_bytes()),
            ("x-auth-client-id", b"client-1"),
            ("x-auth-scopes", b"notes:read  profile:read"),
        ]))
        .unwrap()
        .unwrap();
        assert_eq!(caller.principal.subject, "zoë");
        assert_eq!(caller.client_id.as_deref(), Some("client-1"));
        assert_eq!(caller.scopes, ["notes:read", "profile:read"]);
    }
}
