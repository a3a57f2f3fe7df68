//! Identity assertions (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant): what an identity provider says about a
//! user to this server, for one client.

use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::Value;

use super::{
    jwks::PublicKey,
    jws::{Jws, NumericDate, Unfit},
    secret::Digest,
};
use crate::outside::Timestamp;

/// §3.1 of the draft.
const TYPE: &str = "oauth-id-jag+jwt";
/// Seconds by which clocks may differ.
const SKEW: i64 = 30;
const MAX_TEXT: usize = 512;

/// One that was read and not yet verified.
pub(crate) struct IdentityAssertion<'t>(Jws<'t, Claims>);

#[derive(Debug, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    pub(crate) sub: String,
    aud: Value,
    client_id: String,
    jti: String,
    exp: NumericDate,
    iat: NumericDate,
    #[serde(default)]
    nbf: Option<NumericDate>,
    #[serde(default)]
    pub(crate) resource: Option<String>,
    #[serde(default)]
    pub(crate) scope: Option<String>,
    #[serde(default)]
    pub(crate) email: Option<String>,
    #[serde(default)]
    cnf: Option<Value>,
    #[serde(default)]
    authorization_details: Option<Value>,
}

/// What an assertion has to be about.
pub(crate) struct Expected<'a> {
    /// This server.
    pub(crate) audience: &'a str,
    /// The client that presents it.
    pub(crate) client_id: &'a str,
    /// Seconds that it may live.
    pub(crate) max_lifetime: i64,
    pub(crate) now: Timestamp,
}

impl<'t> IdentityAssertion<'t> {
    /// Reads an assertion.
    ///
    /// # Errors
    /// What makes it none.
    pub(crate) fn read(text: &'t str) -> Result<Self, Unfit> {
        let jws = Jws::<Claims>::parse(text)?;
        if jws.typ() != Some(TYPE) {
            return Err(Unfit("the type is not oauth-id-jag+jwt"));
        }
        Ok(Self(jws))
    }

    /// Whom it says it is from. To be looked up, not to be believed.
    pub(crate) fn claimed_issuer(&self) -> &str {
        &self.0.unverified().iss
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.0.kid()
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    /// Checks the signature and every claim.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn verify(&self, key: &PublicKey, expected: &Expected<'_>) -> Result<&Claims, Unfit> {
        let claims = self.0.verify(key)?;
        let own = match &claims.aud {
            Value::String(audience) => audience == expected.audience,
            Value::Array(audiences) => {
                matches!(audiences.as_slice(), [Value::String(only)] if only == expected.audience)
            }
            _ => false,
        };
        if !own {
            return Err(Unfit("the audience is not this server alone"));
        }
        if claims.client_id != expected.client_id {
            return Err(Unfit("it is for another client"));
        }
        let texts = [&claims.sub, &claims.jti];
        if texts.iter().any(|text| text.is_empty() || text.len() > MAX_TEXT) {
            return Err(Unfit("sub or jti is empty or too long"));
        }
        let (exp, iat, now) = (claims.exp.0, claims.iat.0, expected.now);
        if now.seconds_since(exp) >= SKEW {
            return Err(Unfit("it has expired"));
        }
        if iat.seconds_since(now) > SKEW || claims.nbf.is_some_and(|nbf| nbf.0.seconds_since(now) > SKEW) {
            return Err(Unfit("it is from the future"));
        }
        if exp.seconds_since(iat) > expected.max_lifetime || exp.seconds_since(now) > expected.max_lifetime {
            return Err(Unfit("it lives too long"));
        }
        // what is not understood restricts, and must not be left out
        if claims.cnf.is_some() || claims.authorization_details.is_some() {
            return Err(Unfit("it has cnf or authorization_details, which are not supported"));
        }
        Ok(claims)
    }
}

impl Claims {
    /// What it is remembered by.
    pub(crate) fn once(&self) -> Digest {
        Digest::of(format!("id-jag {} {}", self.iss, self.jti).as_bytes())
    }

    /// Until when it is remembered.
    pub(crate) fn until(&self) -> Timestamp {
        self.exp.0.plus_seconds(SKEW)
    }
}
