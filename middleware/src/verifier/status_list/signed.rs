//! The Status List Token: a list, signed (§5.1), and all that is asked of it (§8.3).

use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::StatusList;
use crate::verifier::jwt::signature_only;
use crate::verifier::keys::KeySource;
use crate::verifier::strict_json::{StrictObject, numeric_date};

/// What a list must be.
#[derive(Debug)]
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) uri: &'a str,
    pub(super) algorithms: &'a [Algorithm],
    /// Seconds since 1970.
    pub(super) now: u64,
    pub(super) leeway_seconds: u64,
    pub(super) most_bytes: usize,
}

/// A list that its issuer vouches for.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) list: StatusList,
    pub(super) issued_at: u64,
    pub(super) expires_at: Option<u64>,
    /// After how many seconds it should be fetched again; at least 1.
    pub(super) ttl_seconds: Option<u64>,
}

/// Verifies a Status List Token with the issuer's keys. The error is for the operator's log.
pub(super) async fn verify(
    token: &str,
    keys: &dyn KeySource,
    expected: &Expected<'_>,
) -> Result<Signed, String> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| "no JWT with an algorithm that we know")?;
    // Another JWT of the issuer, an access token above all, must not pass as a list.
    if !header.typ.as_deref().is_some_and(is_status_list) {
        return Err("expected the type `statuslist+jwt`, but found another".to_owned());
    }
    if header.crit.is_some() {
        return Err("the token has a `crit` header, none of whose extensions we know".to_owned());
    }
    if !expected.algorithms.contains(&header.alg) {
        return Err("the token is signed with an algorithm that is not accepted".to_owned());
    }
    let key = keys.key(header.kid.as_deref(), header.alg).await.map_err(|error| error.to_string())?;
    let key = key.ok_or("no key of the issuer fits the token")?;
    let StrictObject(claims) = jsonwebtoken::decode(token, &key.decoding, &signature_only(&key))
        .map_err(|_| "the signature or the claims are not valid")?
        .claims;
    accept(&claims, expected)
}

fn is_status_list(typ: &str) -> bool {
    // RFC 7515 §4.1.9: `application/` may be left out, and media types know no case.
    let name = typ
        .get(.."application/".len())
        .filter(|prefix| prefix.eq_ignore_ascii_case("application/"))
        .and_then(|prefix| typ.get(prefix.len()..))
        .unwrap_or(typ);
    name.eq_ignore_ascii_case("statuslist+jwt")
}

fn accept(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<Signed, String> {
    if claims.get("sub").and_then(Value::as_str) != Some(expected.uri) {
        return Err("expected `sub` to be the URI of the list, but found another".to_owned());
    }
    if claims.get("iss").is_some_and(|issuer| issuer.as_str() != Some(expected.issuer)) {
        return Err("expected `iss` to be the issuer of the access token, but found another".to_owned());
    }
    // RFC 7519 §4.1.3: what is addressed to somebody is not for others, and nobody has a name for us as a reader.
    if claims.contains_key("aud") {
        return Err("expected a list for everybody, but found one with `aud`".to_owned());
    }
    let latest = expected.now.saturating_add(expected.leeway_seconds);
    let issued_at = date(claims, "iat")?.ok_or("expected `iat`, but found none")?;
    if issued_at > latest {
        return Err("expected `iat` to be past, but found a date to come".to_owned());
    }
    if date(claims, "nbf")?.is_some_and(|not_before| not_before > latest) {
        return Err("expected `nbf` to be past, but found a date to come".to_owned());
    }
    let expires_at = date(claims, "exp")?;
    if expires_at.is_some_and(|exp| expected.now >= exp.saturating_add(expected.leeway_seconds)) {
        return Err("expected `exp` to be to come, but the list expired".to_owned());
    }
    let ttl_seconds = match claims.get("ttl") {
        None => None,
        // A list to be fetched anew within the second is fetched every second: our clock knows nothing finer.
        Some(ttl) => Some(
            ttl.as_f64()
                .filter(|ttl| *ttl > 0.0)
                .and_then(|_| numeric_date(ttl))
                .ok_or("expected `ttl` to be a positive number, but found otherwise")?
                .max(1),
        ),
    };
    let list = claims.get("status_list").ok_or("expected `status_list`, but found none")?;
    let bits = list.get("bits").and_then(Value::as_u64).and_then(|bits| u8::try_from(bits).ok());
    let (Some(bits), Some(packed)) = (bits, list.get("lst").and_then(Value::as_str)) else {
        return Err(super::StatusListError::Form.to_string());
    };
    let list =
        StatusList::from_parts(bits, packed, expected.most_bytes).map_err(|error| error.to_string())?;
    Ok(Signed { list, issued_at, expires_at, ttl_seconds })
}

fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, String> {
    claims
        .get(name)
        .map(|value| {
            numeric_date(value)
                .ok_or_else(|| format!("expected `{name}` to be a date after 1970, but found otherwise"))
        })
        .transpose()
}
