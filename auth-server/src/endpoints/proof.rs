//! DPoP proofs (RFC 9449) that come with requests of clients.

use http::{HeaderMap, HeaderValue};
use mcp_auth::possession::{KeyProof, NotProven};

use crate::{
    app::App,
    issue::internal,
    model::secret::Digest,
    outside::Timestamp,
    wire::error::{ApiError, ErrorCode},
};

const HEADER: &str = "dpop";

/// Reads and checks the proof of a request, if it has one, and that it is used for the first time. With a token, the
/// proof must be about it.
///
/// # Errors
/// `invalid_dpop_proof` and `use_dpop_nonce` (RFC 9449 §5, §8).
pub(super) async fn read(
    app: &App,
    headers: &HeaderMap,
    method: &str,
    endpoint: &str,
    token: Option<&str>,
) -> Result<Option<KeyProof>, ApiError> {
    let mut proofs = headers.get_all(HEADER).iter();
    let Some(proof) = proofs.next() else { return Ok(None) };
    if proofs.next().is_some() {
        return Err(refused(NotProven::SeveralProofs));
    }
    let text = proof.to_str().map_err(|_| invalid("the DPoP proof is no JWT"))?;
    let now = app.now();
    let url = app.issuer.endpoint(endpoint);
    let proof = KeyProof::check(text, method, &url, token, &app.dpop, seconds(now)).map_err(refused)?;
    let until = i64::try_from(proof.good_until()).unwrap_or(i64::MAX);
    let once = Digest::of(format!("dpop {url} {} {}", proof.thumbprint(), proof.jti()).as_bytes());
    let until = Timestamp::from_unix_seconds(until).plus_seconds(1);
    if !app.storage.use_once(&once, until, now).await.map_err(|error| internal(&error))? {
        return Err(invalid("the DPoP proof was used before"));
    }
    Ok(Some(proof))
}

/// Tells the client which nonce its next proof needs, where proofs need one (RFC 9449 §8.2).
pub(super) fn offer_nonce(app: &App, headers: &mut HeaderMap) {
    if let Some(Ok(nonce)) = app.dpop.current_nonce(seconds(app.now())).map(HeaderValue::try_from) {
        headers.insert("dpop-nonce", nonce);
    }
}

fn seconds(at: Timestamp) -> u64 {
    u64::try_from(at.unix_seconds()).unwrap_or(0)
}

pub(super) const fn invalid(description: &'static str) -> ApiError {
    ApiError::new(ErrorCode::InvalidDpopProof, description)
}

fn refused(reason: NotProven) -> ApiError {
    match reason {
        NotProven::NonceNeeded => {
            ApiError::new(ErrorCode::UseDpopNonce, "the DPoP proof needs the nonce of the DPoP-Nonce header")
        }
        NotProven::InvalidProof(why) => invalid(why),
        NotProven::SeveralProofs => invalid("the request has two DPoP headers"),
        _ => invalid("the DPoP proof is of another key"),
    }
}
