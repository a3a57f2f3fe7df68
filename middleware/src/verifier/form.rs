//! What a token looks like, before anybody believes it: which verifier is its.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::strict_json::StrictObject;

/// No access token of any provider comes near; what is longer is not worth a look.
pub(super) const LONGEST_TOKEN: usize = 16 * 1024;

/// As lenient as any parser is: what one of them could read as a JWT must not pass here as none.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// The form of a token. Nothing in it is verified; it decides who is asked, and nothing else.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A signed JWT that names this issuer.
    JwtOf(String),
    /// A signed JWT whose issuer cannot be told for certain.
    Unclear,
    /// Anything else: random bytes, an encrypted JWT, a signed one that names no issuer.
    Opaque,
}

fn decode(part: &str) -> Option<Vec<u8>> {
    LENIENT.decode(part.trim_end_matches('=').replace('+', "-").replace('/', "_")).ok()
}

impl Form {
    pub(super) fn of(token: &str) -> Self {
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Self::Opaque;
        };
        // RFC 7515 §4.1.1: the header of a signed JWT has `alg`.
        let is_jws = decode(header).is_some_and(|header| {
            serde_json::from_slice::<Value>(&header).is_ok_and(|header| header.get("alg").is_some())
        });
        if !is_jws {
            return Self::Opaque;
        }
        let claims = decode(payload).and_then(|claims| serde_json::from_slice(&claims).ok());
        match claims.map(|StrictObject(mut claims)| claims.remove("iss")) {
            Some(None) => Self::Opaque,
            Some(Some(Value::String(issuer))) => Self::JwtOf(issuer),
            _ => Self::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn token(header: &str, payload: &str) -> String {
        format!("{}.{}.c2ln", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn a_jwt_is_known_by_its_header_and_belongs_to_the_issuer_that_it_names() {
        let jwt = |payload: &str| token(r#"{"alg":"ES256","typ":"at+jwt"}"#, payload);
        let good = jwt(r#"{"iss":"https://as.test","sub":"a"}"#);
        let padded = good.replacen('.', "=.", 1);
        let other_alphabet =
            jwt(r#"{"iss":"https://as.test","sub":"??>>"}"#).replace('-', "+").replace('_', "/");
        assert!(other_alphabet.contains(['+', '/']));
        let of = |issuer: &str| Form::JwtOf(issuer.to_owned());
        for (token, expected) in [
            (good.clone(), of("https://as.test")),
            (padded, of("https://as.test")),
            (other_alphabet, of("https://as.test")),
            (token(r#"{ "alg": "none" }"#, r#"{"iss":"x"}"#), of("x")),
            (jwt(r#"{"iss":"a","iss":"b"}"#), Form::Unclear),
            (jwt(r#"{"iss":["a"]}"#), Form::Unclear),
            (jwt(r#"{"iss":null}"#), Form::Unclear),
            (jwt("no JSON"), Form::Unclear),
            (jwt("[]"), Form::Unclear),
            (format!("{}.%.x", URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#)), Form::Unclear),
            (jwt(r#"{"sub":"a"}"#), Form::Opaque),
            (format!("{good}.x"), Form::Opaque),
            (token(r#"{"user":1}"#, r#"{"iss":"a"}"#), Form::Opaque),
            ("a.b.c".to_owned(), Form::Opaque),
            ("opaque".to_owned(), Form::Opaque),
            (String::new(), Form::Opaque),
        ] {
            assert_eq!(Form::of(&token), expected, "{token}");
        }
    }
}
