//! [`Confirmation`]: the key that a token is bound to.

use serde_json::Value;

use crate::verifier::VerifiedToken;

/// What the `cnf` claim of a token asks of whoever uses it (RFC 7800 §3).
///
/// The values are as the token has them: whether they are thumbprints at all shows when they are compared with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation<'a> {
    /// `jkt`: a DPoP proof by the key with this SHA-256 thumbprint (RFC 9449 §6.1), in base64url.
    Key(&'a str),
    /// `x5t#S256`: a TLS connection by the certificate with this SHA-256 thumbprint (RFC 8705 §3.1), in base64url.
    Certificate(&'a str),
    /// Anything else: another method, several at once, or no object. Nobody can prove it, so that nobody may use the token.
    Unprovable,
}

impl VerifiedToken {
    /// The key that the token is bound to; `None` for a bearer token.
    pub fn confirmation(&self) -> Option<Confirmation<'_>> {
        Some(Confirmation::of(self.claim("cnf")?))
    }
}

impl<'a> Confirmation<'a> {
    fn of(cnf: &'a Value) -> Self {
        let mut members = cnf.as_object().into_iter().flatten();
        match (members.next(), members.next()) {
            (Some((method, Value::String(thumbprint))), None) => match method.as_str() {
                "jkt" => Self::Key(thumbprint),
                "x5t#S256" => Self::Certificate(thumbprint),
                _ => Self::Unprovable,
            },
            // Of two methods each would have to hold; which of them the issuer meant is not ours to guess.
            _ => Self::Unprovable,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_nobody_knows_how_to_prove_nobody_can_prove() {
        for cnf in [
            json!(null),
            json!("jkt"),
            json!(["jkt"]),
            json!(0),
            json!(false),
            json!({}),
            json!({"jkt": null}),
            json!({"jkt": ["x"]}),
            json!({"JKT": "x"}),
            json!({"kid": "x"}),
            json!({"jwk": {"kty": "EC"}}),
            json!({"x5t#s256": "x"}),
            json!({"jkt": "x", "x5t#S256": "y"}),
            json!({"jkt": "x", "kid": "y"}),
        ] {
            assert_eq!(Confirmation::of(&cnf), Confirmation::Unprovable, "{cnf}");
        }
    }

    #[test]
    fn the_two_methods_are_told_apart() {
        assert_eq!(Confirmation::of(&json!({"jkt": "x"})), Confirmation::Key("x"));
        assert_eq!(Confirmation::of(&json!({"x5t#S256": "x"})), Confirmation::Certificate("x"));
    }
}
