//! Client authentication at the token endpoint (RFC 6749 §2.3).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;

use super::{
    error::{ApiError, ErrorCode},
    params::Params,
};
use crate::model::{
    client::{Authentication, Client},
    secret::Secret,
};

/// What a client presented. Not yet checked.
#[derive(Debug)]
pub(crate) struct Presented {
    pub(crate) client_id: String,
    proof: Proof,
}

#[derive(Debug)]
enum Proof {
    None,
    Basic(Secret),
    Post(Secret),
}

impl Presented {
    /// Reads the one mechanism that a request may use.
    pub(crate) fn read(headers: &HeaderMap, params: &Params) -> Result<Self, ApiError> {
        let repeated = |_| ApiError::new(ErrorCode::InvalidRequest, "a parameter is given more than once");
        let client_id = params.one("client_id").map_err(repeated)?;
        let secret = params.one("client_secret").map_err(repeated)?;
        let assertion = params.has("client_assertion") || params.has("client_assertion_type");
        let mut authorization = headers.get_all(header::AUTHORIZATION).iter();
        let header = authorization.next();
        let mechanisms =
            usize::from(header.is_some()) + usize::from(secret.is_some()) + usize::from(assertion);
        if mechanisms > 1 || authorization.next().is_some() {
            return Err(ApiError::new(ErrorCode::InvalidRequest, "use one way to authenticate the client"));
        }
        if assertion {
            return Err(ApiError::invalid_client(false));
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
            return Ok(Self { client_id: id, proof: Proof::Basic(secret) });
        }
        let client_id = client_id
            .ok_or_else(|| ApiError::new(ErrorCode::InvalidRequest, "client_id is required"))?
            .to_owned();
        let proof = secret.map_or(Proof::None, |secret| Proof::Post(Secret::received(secret)));
        Ok(Self { client_id, proof })
    }

    /// Checks the proof against the client that has this id, if there is one.
    ///
    /// The method is the one registered: a confidential client cannot be used as a public one, nor the reverse.
    pub(crate) fn check(&self, client: Option<Client>) -> Result<Client, ApiError> {
        let refused = || ApiError::invalid_client(matches!(self.proof, Proof::Basic(_)));
        let client = client.ok_or_else(refused)?;
        let proven = match (&client.authentication, &self.proof) {
            (Authentication::None, Proof::None) => true,
            (Authentication::Secret { digest, basic: true, .. }, Proof::Basic(secret))
            | (Authentication::Secret { digest, post: true, .. }, Proof::Post(secret)) => {
                digest.matches(&secret.digest())
            }
            _ => false,
        };
        if proven { Ok(client) } else { Err(refused()) }
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
