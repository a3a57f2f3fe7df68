//! Client authentication (RFC 6749 §2.3, RFC 7521 §4.2) as requests carry it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;

use super::{
    error::{ApiError, ErrorCode},
    params::Params,
};
use crate::model::secret::Secret;

/// RFC 7523 §2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a client presented. Not yet checked.
#[derive(Debug)]
pub(crate) struct Presented {
    /// Not always there with an assertion, which names its client itself.
    pub(crate) client_id: Option<String>,
    pub(crate) proof: Proof,
}

/// How it wants to prove that it is the client.
#[derive(Debug)]
pub(crate) enum Proof {
    None,
    Basic(Secret),
    Post(Secret),
    Assertion(Secret),
}

impl Presented {
    /// Reads the one mechanism that a request may use.
    pub(crate) fn read(headers: &HeaderMap, params: &Params) -> Result<Self, ApiError> {
        let one = |name| {
            params
                .one(name)
                .map_err(|_| ApiError::new(ErrorCode::InvalidRequest, "a parameter is given more than once"))
        };
        let client_id = one("client_id")?.map(str::to_owned);
        let secret = one("client_secret")?;
        let assertion = one("client_assertion")?;
        let assertion_type = one("client_assertion_type")?;
        let mut authorization = headers.get_all(header::AUTHORIZATION).iter();
        let header = authorization.next();
        let mechanisms = usize::from(header.is_some())
            + usize::from(secret.is_some())
            + usize::from(assertion.is_some() || assertion_type.is_some());
        if mechanisms > 1 || authorization.next().is_some() {
            return Err(ApiError::new(ErrorCode::InvalidRequest, "use one way to authenticate the client"));
        }
        if let Some(value) = header {
            let (id, secret) =
                value.to_str().ok().and_then(parse_basic).ok_or_else(|| ApiError::invalid_client(true))?;
            if client_id.is_some_and(|in_body| in_body != id) {
                return Err(ApiError::new(
                    ErrorCode::InvalidRequest,
                    "client_id differs from the Authorization header",
                ));
            }
            return Ok(Self { client_id: Some(id), proof: Proof::Basic(secret) });
        }
        let proof = match (secret, assertion, assertion_type) {
            (None, Some(assertion), Some(JWT_BEARER)) => Proof::Assertion(Secret::received(assertion)),
            (None, Some(_), Some(_)) => return Err(ApiError::invalid_client(false)),
            (None, None, None) => Proof::None,
            (Some(secret), None, None) => Proof::Post(Secret::received(secret)),
            _ => {
                return Err(ApiError::new(
                    ErrorCode::InvalidRequest,
                    "client_assertion and client_assertion_type belong together",
                ));
            }
        };
        if client_id.is_none() && !matches!(proof, Proof::Assertion(_)) {
            return Err(ApiError::new(ErrorCode::InvalidRequest, "client_id is required"));
        }
        Ok(Self { client_id, proof })
    }
}

/// RFC 7617, with id and secret form-encoded inside (RFC 6749 §2.3.1).
fn parse_basic(value: &str) -> Option<(String, Secret)> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((form_decode(id)?, Secret::received(&form_decode(secret)?)))
}

fn form_decode(text: &str) -> Option<String> {
    percent_decode_str(&text.replace('+', " ")).decode_utf8().ok().map(Into::into)
}
