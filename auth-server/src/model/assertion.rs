//! Client assertions: how a client proves by its private key who it is (RFC 7523 §3, OpenID Connect Core §9).

use jsonwebtoken::Algorithm;
use serde::Deserialize;

use super::{
    jwks::PublicKey,
    jws::{Jws, NumericDate, Unfit},
    secret::Digest,
};
use crate::outside::Timestamp;

/// Seconds that clocks may differ by.
const SKEW: i64 = 30;
/// Seconds that an assertion may live: each one is remembered until its end.
const MAX_LIFETIME: i64 = 600;
const MAX_JTI_BYTES: usize = 256;

#[derive(Debug, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: NumericDate,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
    jti: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// An assertion that nobody has verified yet.
#[derive(Debug)]
pub(crate) struct Assertion<'t>(Jws<'t, Claims>);

/// What an assertion must be for.
#[derive(Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) client_id: &'a str,
    /// This server's names; one that is for anybody else besides is for nobody.
    pub(crate) audiences: &'a [&'a str],
    pub(crate) now: Timestamp,
}

/// An assertion that is good, if it comes for the first time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Once {
    pub(crate) digest: Digest,
    /// Until then it must be remembered.
    pub(crate) until: Timestamp,
}

impl<'t> Assertion<'t> {
    /// Reads an assertion.
    pub(crate) fn read(text: &'t str) -> Result<Self, Unfit> {
        let jws: Jws<'t, Claims> = Jws::parse(text)?;
        // a token of another kind, signed by the same key, is no proof of this: explicit typing, RFC 8725 §3.11
        let fits = jws.typ().is_none_or(|typ| {
            typ.eq_ignore_ascii_case("JWT") || typ.eq_ignore_ascii_case("client-authentication+jwt")
        });
        if fits { Ok(Self(jws)) } else { Err(Unfit("the type is not that of a client assertion")) }
    }

    /// Whose it claims to be.
    pub(crate) fn claimed_client_id(&self) -> &str {
        &self.0.unverified().sub
    }

    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.0.kid()
    }

    /// Checks the signature, then the claims.
    pub(crate) fn verify(&self, key: &PublicKey, expected: &Expected<'_>) -> Result<Once, Unfit> {
        let claims = self.0.verify(key)?;
        if claims.iss != expected.client_id || claims.sub != expected.client_id {
            return Err(Unfit("iss and sub are not both the client"));
        }
        let ours = |audience: &String| expected.audiences.contains(&audience.as_str());
        let for_us = match &claims.aud {
            Audience::One(audience) => ours(audience),
            Audience::Several(audiences) => !audiences.is_empty() && audiences.iter().all(ours),
        };
        if !for_us {
            return Err(Unfit("aud is not this server alone"));
        }
        let (now, exp) = (expected.now, claims.exp.0);
        if now >= exp.plus_seconds(SKEW) {
            return Err(Unfit("exp is past"));
        }
        if exp > now.plus_seconds(MAX_LIFETIME + SKEW) {
            return Err(Unfit("exp is more than ten minutes ahead"));
        }
        let to_come = |date: Option<NumericDate>| date.is_some_and(|date| date.0 > now.plus_seconds(SKEW));
        if to_come(claims.nbf) || to_come(claims.iat) {
            return Err(Unfit("nbf or iat is to come"));
        }
        let digest = match &claims.jti {
            Some(jti) if jti.is_empty() || jti.len() > MAX_JTI_BYTES => {
                return Err(Unfit("the jti is empty or too long"));
            }
            Some(jti) => Digest::of_parts(&["client assertion", expected.client_id, "jti", jti]),
            // RFC 7523 §3 does not require one: then what is signed is itself the name
            None => Digest::of_parts(&["client assertion", expected.client_id, "message", self.0.message()]),
        };
        Ok(Once { digest, until: exp.plus_seconds(SKEW) })
    }
}

#[cfg(test)]
mod tests;
