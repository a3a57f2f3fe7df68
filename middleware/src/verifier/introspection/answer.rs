//! What the authorization server said: from the bytes of its answer to a verdict on the token (RFC 7662 §2.2).

use serde_json::{Map, Value};

use crate::policy::ScopeSet;
use crate::resource::ResourceUri;
use crate::verifier::strict_json::{StrictObject, numeric_date};
use crate::verifier::{InvalidToken, VerifiedToken, VerifyError};

/// For how long a token without `exp` is taken to be in force, in seconds. Its answer may be cached for less; this is
/// when a stream that was opened with it has to be opened anew.
const UNDATED_SECONDS: u64 = 300;

/// What an active token must be.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) issuer: Box<str>,
    pub(super) resource: ResourceUri,
    pub(super) leeway_seconds: u64,
    /// Whether an answer without `aud` is about a token for this resource, since the endpoint knows no other tokens.
    pub(super) endpoint_is_for_this_resource: bool,
    /// Whether a token without `sub` acts for its client (RFC 6749 §4.4).
    pub(super) client_as_subject: bool,
}

/// Judges the body of an answer with status 200 and type `application/json`.
///
/// What cannot be understood is [`VerifyError::Unavailable`]: the server said nothing, neither yes nor no.
pub(super) fn judge(body: &[u8], expected: &Expected, now: u64) -> Result<VerifiedToken, VerifyError> {
    let StrictObject(mut answer) = serde_json::from_slice(body)
        // Not what the parser found: it quotes the answer, which describes a user.
        .map_err(|error| {
            unclear(&format!(
                "a JSON object without repeated keys (line {}, column {})",
                error.line(),
                error.column()
            ))
        })?;
    match answer.remove("active") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => {
            return Err(untrusted("the authorization server says that it is not active"));
        }
        _ => return Err(unclear("`active` to be `true` or `false`")),
    }
    issued_here(&answer, expected)?;
    is_access_token(&answer)?;
    is_for_this_resource(&answer, expected)?;
    let expires_at = in_force(&answer, expected, now)?;

    let client_id = text(&answer, "client_id")?.map(str::to_owned);
    let scopes = text(&answer, "scope")?.map(ScopeSet::from_space_separated).unwrap_or_default();
    let subject = match text(&answer, "sub")?.filter(|sub| !sub.is_empty()) {
        Some(sub) => sub.to_owned(),
        None => client_id
            .clone()
            .filter(|client_id| expected.client_as_subject && !client_id.is_empty())
            .ok_or_else(|| untrusted("the authorization server names no subject for the token"))?,
    };
    answer.insert("iss".to_owned(), (*expected.issuer).into());
    answer.insert("sub".to_owned(), subject.as_str().into());
    let client_id = client_id.map(Into::into);
    Ok(VerifiedToken::assert_verified(&*expected.issuer, subject, client_id, scopes, expires_at, answer))
}

/// An endpoint that answers for several issuers says whose token it is.
fn issued_here(answer: &Map<String, Value>, expected: &Expected) -> Result<(), VerifyError> {
    match text(answer, "iss")? {
        Some(issuer) if issuer != &*expected.issuer => Err(VerifyError::Invalid(InvalidToken::UnknownIssuer)),
        _ => Ok(()),
    }
}

/// An endpoint knows refresh tokens as well, and some know ID tokens: neither is a key to a resource. RFC 7662 has
/// `token_type` for that, with the values of RFC 6749 §7.1; `token_use` and `typ` are what some servers say besides.
fn is_access_token(answer: &Map<String, Value>) -> Result<(), VerifyError> {
    const KINDS: [(&str, &[&str]); 3] = [
        ("token_type", &["bearer", "dpop", "access_token", "urn:ietf:params:oauth:token-type:access_token"]),
        ("token_use", &["access", "access_token"]),
        ("typ", &["bearer", "dpop", "at+jwt", "application/at+jwt", "jwt"]),
    ];
    for (name, kinds) in KINDS {
        if let Some(kind) = text(answer, name)?
            && !kinds.iter().any(|known| known.eq_ignore_ascii_case(kind))
        {
            tracing::info!(claim = name, "a token is of a kind that is no access token");
            return Err(untrusted("the token is no access token"));
        }
    }
    // RFC 9449 §6.2: without its key it would pass for a bearer token, and whoever stole it with it.
    let needs_proof = text(answer, "token_type")?.is_some_and(|kind| kind.eq_ignore_ascii_case("dpop"));
    if needs_proof && !answer.contains_key("cnf") {
        return Err(untrusted(
            "the token is bound to a key, and the authorization server does not say to which",
        ));
    }
    Ok(())
}

/// RFC 8707 §2: a token for another resource is none for this one.
fn is_for_this_resource(answer: &Map<String, Value>, expected: &Expected) -> Result<(), VerifyError> {
    let named = match answer.get("aud") {
        None | Some(Value::Null) => expected.endpoint_is_for_this_resource,
        Some(Value::String(audience)) => expected.resource.is(audience),
        Some(Value::Array(all)) => {
            let all: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
            let all = all.ok_or_else(|| unclear("`aud` to be a string or an array of strings"))?;
            all.into_iter().any(|audience| expected.resource.is(audience))
        }
        Some(_) => return Err(unclear("`aud` to be a string or an array of strings")),
    };
    if named { Ok(()) } else { Err(VerifyError::Invalid(InvalidToken::WrongAudience)) }
}

/// `exp` and `nbf` by our own clock, whatever the server thinks of them. The result is when the token ends.
fn in_force(answer: &Map<String, Value>, expected: &Expected, now: u64) -> Result<u64, VerifyError> {
    let expires_at = date(answer, "exp")?;
    if expires_at.is_some_and(|exp| now >= exp.saturating_add(expected.leeway_seconds)) {
        return Err(VerifyError::Invalid(InvalidToken::Expired));
    }
    if date(answer, "nbf")?.is_some_and(|nbf| nbf > now.saturating_add(expected.leeway_seconds)) {
        return Err(VerifyError::Invalid(InvalidToken::NotYetValid));
    }
    Ok(expires_at.unwrap_or_else(|| now.saturating_add(UNDATED_SECONDS)))
}

fn text<'a>(answer: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, VerifyError> {
    match answer.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(unclear(&format!("`{name}` to be a string"))),
    }
}

fn date(answer: &Map<String, Value>, name: &str) -> Result<Option<u64>, VerifyError> {
    answer
        .get(name)
        .filter(|value| !value.is_null())
        .map(|value| numeric_date(value).ok_or_else(|| unclear(&format!("`{name}` to be a date after 1970"))))
        .transpose()
}

fn untrusted(why: &'static str) -> VerifyError {
    VerifyError::Invalid(InvalidToken::Untrusted(why))
}

fn unclear(wanted: &str) -> VerifyError {
    VerifyError::Unavailable(format!(
        "expected from the introspection endpoint {wanted}, but found otherwise"
    ))
}

#[cfg(test)]
mod tests;
