//! [`ChallengeResponse`]: refusals in an embedder's own words.

use std::fmt::Debug;

use bytes::Bytes;
use http::header::{CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, Response};

use crate::policy::Refusal;
use crate::request::Classified;

/// How refusals are put to people; by default in this crate's words.
///
/// It is asked when the decision has been taken, and changes nothing of it: status, challenge, JSON-RPC `id` and form
/// stay as they are.
///
/// ```
/// use mcp_auth::Refusal;
/// use mcp_auth::challenge::ChallengeResponse;
/// use mcp_auth::request::Classified;
///
/// #[derive(Debug)]
/// struct InGerman;
///
/// impl ChallengeResponse for InGerman {
///     fn words(&self, refusal: &Refusal, _: Option<&Classified<'_>>) -> Option<String> {
///         matches!(refusal, Refusal::SignIn { .. }).then(|| "Bitte melde dich an.".to_owned())
///     }
/// }
/// ```
pub trait ChallengeResponse: Debug + Send + Sync + 'static {
    /// What a person reads, or a model in the person's place: the text of a tool result, or `error_description` in the
    /// body of any other challenge. `None` is for the crate's own words, which is the default.
    ///
    /// It is not asked about what does not exist for the caller, and about requests that are no JSON-RPC. The
    /// `WWW-Authenticate` header keeps the crate's words, which are made for developers.
    fn words(&self, refusal: &Refusal, request: Option<&Classified<'_>>) -> Option<String> {
        let (_, _) = (refusal, request);
        None
    }

    /// Adds headers to the response. Those that it has already, challenges, and what belongs to the connection, the
    /// body, the session or CORS are not taken over.
    fn headers(&self, refusal: &Refusal, headers: &mut HeaderMap) {
        let (_, _) = (refusal, headers);
    }
}

/// The crate's own words.
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultChallenge;

impl ChallengeResponse for DefaultChallenge {}

/// The embedder's words, where a refusal may have any.
pub(super) fn words(
    custom: &dyn ChallengeResponse,
    refusal: &Refusal,
    request: Option<&Classified<'_>>,
) -> Option<String> {
    match refusal {
        Refusal::SignIn { .. }
        | Refusal::InsufficientScope { .. }
        | Refusal::InvalidToken { .. }
        | Refusal::NotProven { .. }
        | Refusal::AmbiguousCredentials(_)
        | Refusal::ConditionFailed(_) => custom.words(refusal, request),
        // Other words would tell what does not exist from what is denied.
        _ => None,
    }
}

pub(super) fn add_headers(custom: &dyn ChallengeResponse, refusal: &Refusal, response: &mut Response<Bytes>) {
    let mut added = HeaderMap::new();
    custom.headers(refusal, &mut added);
    let mut name = None;
    // The name comes with the first of its values only.
    for (next, value) in added {
        name = next.or(name);
        if let Some(name) =
            name.as_ref().filter(|name| !is_ours(name) && !response.headers().contains_key(*name))
        {
            response.headers_mut().insert(name.clone(), value);
        }
    }
}

fn is_ours(name: &HeaderName) -> bool {
    [WWW_AUTHENTICATE, CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].contains(name)
        || ["access-control-", "content-", "dpop-", "mcp-"]
            .iter()
            .any(|prefix| name.as_str().starts_with(prefix))
}
