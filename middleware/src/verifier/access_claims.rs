//! The claims of a JWT access token, and what is asked of them (RFC 9068 §4).

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{InvalidToken, VerifiedToken};
use crate::policy::ScopeSet;
use crate::resource::ResourceUri;

/// The claims that are checked, typed: an `iss` that is an array, or a `sub` that is a number, is no claim of ours.
#[derive(Deserialize)]
pub(super) struct Claims {
    iss: String,
    sub: String,
    #[serde(deserialize_with = "one_or_many")]
    aud: Vec<String>,
    exp: NumericDate,
    #[serde(default)]
    nbf: Option<NumericDate>,
    #[serde(default)]
    client_id: Option<String>,
    #[serde(default)]
    scope: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Seconds since 1970; a fraction is dropped (RFC 7519 §2).
#[derive(Debug, Clone, Copy)]
struct NumericDate(u64);

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        if let Some(seconds) = number.as_u64() {
            return Ok(Self(seconds));
        }
        // Up to 2^53 a float has its whole seconds exactly; a date beyond, or before 1970, is none.
        match number.as_f64() {
            Some(seconds) if (0.0..9_007_199_254_740_992.0).contains(&seconds) => {
                format!("{:.0}", seconds.floor()).parse().map(Self).map_err(serde::de::Error::custom)
            }
            _ => Err(serde::de::Error::custom("expected a date after 1970")),
        }
    }
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(one) => vec![one],
        OneOrMany::Many(many) => many,
    })
}

/// What a token must say.
pub(super) struct Wanted<'a> {
    pub(super) issuer: &'a str,
    pub(super) resource: &'a ResourceUri,
    /// Seconds since 1970.
    pub(super) now: u64,
    pub(super) leeway_seconds: u64,
}

impl Claims {
    /// Whom the token is for, as one text for a log.
    pub(super) fn audience(&self) -> String {
        self.aud.join(" ")
    }

    /// `nbf`, in seconds since 1970.
    pub(super) fn not_before(&self) -> u64 {
        self.nbf.map_or(0, |not_before| not_before.0)
    }

    /// Checks every claim by our own clock; the signature has been checked before.
    pub(super) fn accept(self, wanted: &Wanted<'_>) -> Result<VerifiedToken, InvalidToken> {
        if self.iss != wanted.issuer {
            return Err(InvalidToken::UnknownIssuer);
        }
        if !self.aud.iter().any(|audience| wanted.resource.is(audience)) {
            return Err(InvalidToken::WrongAudience);
        }
        // RFC 7519 §4.1.4: on or after `exp` the token must not be accepted.
        if wanted.now >= self.exp.0.saturating_add(wanted.leeway_seconds) {
            return Err(InvalidToken::Expired);
        }
        if self.nbf.is_some_and(|not_before| not_before.0 > wanted.now.saturating_add(wanted.leeway_seconds))
        {
            return Err(InvalidToken::NotYetValid);
        }
        if self.sub.is_empty() {
            return Err(InvalidToken::Untrusted("an empty subject is not a subject"));
        }
        let scopes = self.scope.as_deref().map(ScopeSet::from_space_separated).unwrap_or_default();
        let mut all = self.rest;
        all.insert("iss".to_owned(), self.iss.as_str().into());
        all.insert("sub".to_owned(), self.sub.as_str().into());
        all.insert("exp".to_owned(), self.exp.0.into());
        all.insert("aud".to_owned(), self.aud.into());
        all.extend(
            self.client_id.iter().map(|client_id| ("client_id".to_owned(), client_id.as_str().into())),
        );
        all.extend(self.scope.map(|scope| ("scope".to_owned(), scope.into())));
        let client_id = self.client_id.map(Into::into);
        Ok(VerifiedToken::assert_verified(self.iss, self.sub, client_id, scopes, self.exp.0, all))
    }
}
