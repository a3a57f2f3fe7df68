//! The claims of a JWT access token, and what is asked of them (RFC 9068 §4).

use serde::Deserialize;
use serde_json::{Map, Value};

use super::claim_rules::ClaimRules;
use super::strict_json::{StrictObject, numeric_date};
use super::{InvalidToken, VerifiedToken};
use crate::policy::{ScopeSet, is_scope_token};
use crate::resource::ResourceUri;

/// The payload of a token, each name once (RFC 7519 §4). Nothing of it is used before its type was looked at: an `iss`
/// that is an array, or a `sub` that is a number, is no claim of ours.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Claims(StrictObject);

/// What a token must say.
pub(super) struct Wanted<'a> {
    pub(super) issuer: &'a str,
    pub(super) resource: &'a ResourceUri,
    pub(super) rules: &'a ClaimRules,
    /// Seconds since 1970.
    pub(super) now: u64,
    pub(super) leeway_seconds: u64,
}

/// A token that says what it must.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) token: VerifiedToken,
    /// `nbf`, in seconds since 1970.
    pub(super) not_before: u64,
}

/// Why a token is not accepted: what its bearer may know, and what its operator must.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) why: InvalidToken,
    /// Names claims and types; values of nothing but `iss` and the audience, shortened.
    pub(super) detail: String,
}

impl Unfit {
    fn new(why: InvalidToken, detail: impl Into<String>) -> Self {
        Self { why, detail: detail.into() }
    }

    /// `wanted` is "`sub` to be a string".
    fn ill_typed(wanted: &str, found: Option<&Value>) -> Self {
        let found = match found {
            None => "no such claim",
            Some(Value::Null) => "null",
            Some(Value::Bool(_)) => "a boolean",
            Some(Value::Number(_)) => "a number that does not fit",
            Some(Value::String(text)) if text.is_empty() => "an empty string",
            Some(Value::String(_)) => "a string",
            Some(Value::Array(_)) => "an array that does not fit",
            Some(Value::Object(_)) => "an object",
        };
        let why = InvalidToken::Untrusted("a claim is missing, or not of its type");
        Self::new(why, format!("expected {wanted}, but found {found}"))
    }
}

/// As much of a stranger's text as a log can bear, without what could break its lines.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

impl Claims {
    /// Checks every claim by our own clock; the signature has been checked before.
    pub(super) fn accept(self, wanted: &Wanted<'_>) -> Result<Accepted, Unfit> {
        let Self(StrictObject(mut claims)) = self;
        let rules = wanted.rules;
        if text(&claims, "iss")? != wanted.issuer {
            return Err(Unfit::new(InvalidToken::UnknownIssuer, "`iss` is not the issuer of the keys"));
        }
        let audience = for_us(&claims, wanted)?;
        let expires_at = date(&claims, "exp")?;
        // RFC 7519 §4.1.4: on or after `exp` the token must not be accepted.
        if wanted.now >= expires_at.saturating_add(wanted.leeway_seconds) {
            return Err(Unfit::new(InvalidToken::Expired, "`exp` is past"));
        }
        let not_before = if claims.contains_key("nbf") { date(&claims, "nbf")? } else { 0 };
        if not_before > wanted.now.saturating_add(wanted.leeway_seconds) {
            return Err(Unfit::new(InvalidToken::NotYetValid, "`nbf` is to come"));
        }
        if claims.contains_key("iat") {
            date(&claims, "iat")?;
        }
        if claims.contains_key("jti") {
            text(&claims, "jti")?;
        }
        for (name, value) in &rules.required {
            require(&claims, name, value.as_ref())?;
        }
        let subject = subject(&claims, &rules.subject_claims)?;
        let client_id = match first(&claims, &rules.client_claims) {
            Some((_, name)) => Some(text(&claims, name)?.into()),
            None => None,
        };
        let scopes = match first(&claims, &rules.scope_claims) {
            Some((_, name)) => scopes(&claims, name)?,
            None => ScopeSet::default(),
        };
        // In one form, for conditions and whoever else reads them.
        claims.insert("exp".to_owned(), expires_at.into());
        if *rules.audience_claim == *"aud" {
            claims.insert("aud".to_owned(), audience.into());
        }
        let token =
            VerifiedToken::assert_verified(wanted.issuer, subject, client_id, scopes, expires_at, claims);
        Ok(Accepted { token, not_before })
    }
}

/// A string that says something.
fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<&'a str, Unfit> {
    let value = claims.get(name);
    value
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .ok_or_else(|| Unfit::ill_typed(&format!("`{name}` to be a string with something in it"), value))
}

fn date(claims: &Map<String, Value>, name: &str) -> Result<u64, Unfit> {
    let value = claims.get(name);
    value
        .and_then(numeric_date)
        .ok_or_else(|| Unfit::ill_typed(&format!("`{name}` to be a date after 1970"), value))
}

fn strings(values: &[Value]) -> Option<Vec<&str>> {
    values.iter().map(Value::as_str).collect()
}

/// The first of these claims that is there, whatever its type: an ill-typed one does not make way for the next.
fn first<'a>(claims: &Map<String, Value>, names: &'a [Box<str>]) -> Option<(usize, &'a str)> {
    names.iter().map(|name| &**name).enumerate().find(|(_, name)| claims.contains_key(*name))
}

/// RFC 7519 §4.1.3: whoever is not among the audience must refuse. Gives the audience.
fn for_us(claims: &Map<String, Value>, wanted: &Wanted<'_>) -> Result<Vec<String>, Unfit> {
    let name = &*wanted.rules.audience_claim;
    let value = claims.get(name);
    let audience = match value {
        Some(Value::String(one)) => Some(vec![one.as_str()]),
        Some(Value::Array(all)) => strings(all),
        _ => None,
    };
    let audience = audience
        .ok_or_else(|| Unfit::ill_typed(&format!("`{name}` to be a string or an array of strings"), value))?;
    let accepted = |seen: &str| match &wanted.rules.audiences {
        None => wanted.resource.is(seen),
        Some(audiences) => audiences.iter().any(|audience| **audience == *seen),
    };
    if audience.iter().any(|seen| accepted(seen)) {
        return Ok(audience.into_iter().map(str::to_owned).collect());
    }
    let expected = match &wanted.rules.audiences {
        None => wanted.resource.as_str().to_owned(),
        Some(audiences) => audiences.join("` or `"),
    };
    let seen = excerpt(&audience.join(" "));
    let detail = format!("expected `{name}` to name `{expected}`, but found `{seen}`");
    Err(Unfit::new(InvalidToken::WrongAudience, detail))
}

fn require(claims: &Map<String, Value>, name: &str, wanted: Option<&Value>) -> Result<(), Unfit> {
    let Some(found) = claims.get(name).filter(|value| !value.is_null()) else {
        return Err(Unfit::ill_typed(&format!("`{name}`, which is required"), claims.get(name)));
    };
    match wanted {
        Some(wanted) if wanted != found => {
            let why = InvalidToken::Untrusted("a claim has not the value that is required");
            let detail = format!("expected `{name}` to be {wanted}, but found another value");
            Err(Unfit::new(why, detail))
        }
        _ => Ok(()),
    }
}

/// The subject, so that no two users have the same one: what comes from the second claim or a later one is written
/// `NAME:VALUE`, and a value that looks so and does not come from there is refused.
fn subject(claims: &Map<String, Value>, names: &[Box<str>]) -> Result<String, Unfit> {
    let Some((index, name)) = first(claims, names) else {
        return Err(Unfit::ill_typed(&format!("`{}` to be a string", names.join("` or `")), None));
    };
    let value = text(claims, name)?;
    let subject = if index == 0 { value.to_owned() } else { format!("{name}:{value}") };
    let mistakable = names.iter().enumerate().skip(1).any(|(other, name)| {
        other != index && subject.strip_prefix(&**name).is_some_and(|rest| rest.starts_with(':'))
    });
    if mistakable {
        let why = InvalidToken::Untrusted("the subject could be mistaken for another one");
        return Err(Unfit::new(why, format!("`{name}` begins with the name of another claim for subjects")));
    }
    Ok(subject)
}

/// `scope` is a string with spaces (RFC 8693 §4.2), `permissions` an array; others are either.
fn scopes(claims: &Map<String, Value>, name: &str) -> Result<ScopeSet, Unfit> {
    let value = claims.get(name);
    let wanted = match name {
        "scope" => "`scope` to be a string".to_owned(),
        "permissions" => "`permissions` to be an array of scopes".to_owned(),
        other => format!("`{other}` to be a string or an array of scopes"),
    };
    let scopes = match value {
        Some(Value::String(text)) if name != "permissions" => Some(ScopeSet::from_space_separated(text)),
        Some(Value::Array(all)) if name != "scope" => strings(all)
            // An element is one scope: with a space in it, it could be taken for several further on.
            .filter(|scopes| scopes.iter().all(|scope| is_scope_token(scope)))
            .map(ScopeSet::from_iter),
        _ => None,
    };
    scopes.ok_or_else(|| Unfit::ill_typed(&wanted, value))
}

#[cfg(test)]
mod tests;
