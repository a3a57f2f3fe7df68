//! One response for each refusal.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::custom::{self, ChallengeResponse};
use super::{Challenge, ReplyTo, wire};
use crate::clock::Clock;
use crate::coding;
use crate::policy::{ChallengeForm, Refusal, ScopeSet, UnknownObject};
use crate::possession::NotProven;
use crate::possession::prove::{DPOP_NONCE, Possession};
use crate::request::{Classified, Era, ObjectKind, Scheme, credentials};

/// What the `User-Agent` of OpenAI's MCP clients contains.
const OPENAI_CLIENT: &[u8] = b"openai-mcp";

/// The most characters of a tool's name in a challenge; MCP 2025-11-25 wants names of 1 to 128.
const LONGEST_NAME: usize = 128;

/// What a refusal is answered to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answering<'a> {
    pub(crate) resource_metadata: &'a str,
    /// `None` for what could not be classified.
    pub(crate) request: Option<&'a Classified<'a>>,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) form: ChallengeForm,
    pub(crate) possession: &'a Possession,
    pub(crate) clock: &'a dyn Clock,
}

/// The response to a refused request, with the refusal in its extensions.
pub(crate) fn refuse(
    refusal: Refusal,
    to: &Answering<'_>,
    custom: &dyn ChallengeResponse,
) -> Response<Bytes> {
    let words = custom::words(custom, &refusal, to.request);
    let mut response = match &refusal {
        Refusal::ForeignHost => wire::rpc_error(
            StatusCode::FORBIDDEN,
            403,
            "the Host header names none of this server's hosts",
            None,
        ),
        Refusal::ForeignOrigin => {
            wire::rpc_error(StatusCode::FORBIDDEN, 403, "this origin is not allowed", None)
        }
        Refusal::MethodNotAllowed => {
            let mut response =
                wire::rpc_error(StatusCode::METHOD_NOT_ALLOWED, 405, "expected POST, GET or DELETE", None);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST, DELETE, OPTIONS"));
            response
        }
        Refusal::Malformed(malformed) => {
            let mut response =
                wire::rpc_error(malformed.status, malformed.code, &malformed.message, malformed.id.as_ref());
            if malformed.status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
                // RFC 9110 §12.5.3: which content codings would do; and RFC 9110 §15.5.16.
                response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(coding::ACCEPTED));
            }
            response
        }
        Refusal::VerifierUnavailable => unavailable("the access token cannot be verified now; try again", to),
        Refusal::StateUnavailable => unavailable("earlier requests cannot be looked up now; try again", to),
        Refusal::UnknownSession => {
            let id = to.request.and_then(|request| request.id.as_ref());
            // At this status a client opens a new session (MCP 2025-11-25, Session Management).
            wire::rpc_error(StatusCode::NOT_FOUND, 404, "Session not found", id)
        }
        Refusal::ConditionFailed(failure) => {
            let reason = words.map_or_else(|| failure.public_reason(), Cow::Owned);
            match to.request {
                Some(request) => ReplyTo::to_message(request).refuse(&reason),
                None => wire::rpc_error(StatusCode::FORBIDDEN, 403, &reason, None),
            }
        }
        Refusal::Unknown(object) => unknown(*object, to),
        Refusal::AmbiguousCredentials(why) => {
            challenge(StatusCode::BAD_REQUEST, &Reason::new("invalid_request", why).in_words(words), None, to)
        }
        Refusal::NotProven { why, scopes } => {
            let status = match why {
                NotProven::SeveralProofs => StatusCode::BAD_REQUEST,
                _ => StatusCode::UNAUTHORIZED,
            };
            let reason = Reason::not_proven(*why);
            // Where another proof is wanted, another token is not.
            let scopes = Some(scopes).filter(|_| reason.error == "invalid_token");
            challenge(status, &reason.in_words(words), scopes, to)
        }
        Refusal::InvalidToken { description, scopes, .. } => challenge(
            StatusCode::UNAUTHORIZED,
            &Reason::new("invalid_token", description).in_words(words),
            Some(scopes),
            to,
        ),
        Refusal::SignIn { scopes } => {
            challenge(StatusCode::UNAUTHORIZED, &Reason::sign_in(to).in_words(words), Some(scopes), to)
        }
        Refusal::InsufficientScope { scopes, needed } => {
            challenge(StatusCode::FORBIDDEN, &Reason::step_up(needed, to).in_words(words), Some(scopes), to)
        }
    };
    custom::add_headers(custom, &refusal, &mut response);
    response.extensions_mut().insert(refusal);
    response
}

fn unavailable(message: &str, to: &Answering<'_>) -> Response<Bytes> {
    let id = to.request.and_then(|request| request.id.as_ref());
    let mut response = wire::rpc_error(StatusCode::SERVICE_UNAVAILABLE, 503, message, id);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
    response
}

/// Why a client is challenged, as RFC 6750 and the user would put it.
struct Reason {
    error: &'static str,
    description: String,
    /// The embedder's, in the place of ours.
    words: Option<String>,
    /// RFC 6750 §3.1: a request without credentials gets no error code in the header.
    quiet_header: bool,
    /// Whether signing in, again or with more scopes, is the cure: only then may the tool result form be used. A bad
    /// token is HTTP 401 in every revision of MCP.
    curable: bool,
    speaks: Speaks,
}

/// In which schemes a challenge is written, where the resource takes bearer tokens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Speaks {
    /// In the one that the client used.
    AsTheClient,
    /// In Bearer; beside it in DPoP where the client used that.
    BearerAndAsTheClient,
    /// In Bearer, whatever the client used: the token is a bearer token.
    Bearer,
    /// In Bearer, and beside it in DPoP, whatever the client used: nothing else can help.
    BearerAndDpop,
}

impl Reason {
    /// What the user reads, or the model in the user's place.
    fn text(&self) -> String {
        match (self.error, &self.words) {
            (_, Some(words)) => words.clone(),
            ("invalid_token", None) => {
                format!("{}. Sign in again, then call the tool again.", self.description)
            }
            _ => self.description.clone(),
        }
    }

    fn in_words(self, words: Option<String>) -> Self {
        Self { words, ..self }
    }

    fn new(error: &'static str, description: &str) -> Self {
        Self {
            error,
            description: description.to_owned(),
            words: None,
            quiet_header: false,
            curable: false,
            speaks: Speaks::BearerAndAsTheClient,
        }
    }

    fn not_proven(why: NotProven) -> Self {
        let speaks = match why {
            NotProven::BoundKeyAsBearer => Speaks::BearerAndDpop,
            NotProven::NoKeyInDpop => Speaks::Bearer,
            _ => Speaks::AsTheClient,
        };
        Self { speaks, ..Self::new(why.error(), &why.to_string()) }
    }

    fn sign_in(to: &Answering<'_>) -> Self {
        let description = match to.request.and_then(Classified::called_tool) {
            Some((_, tool)) => format!("Sign in to use {}", short(tool)),
            None => "Sign in to use this server".to_owned(),
        };
        Self {
            error: "insufficient_scope",
            description,
            words: None,
            quiet_header: true,
            curable: true,
            speaks: Speaks::AsTheClient,
        }
    }

    fn step_up(needed: &ScopeSet, to: &Answering<'_>) -> Self {
        let description = match to.request.and_then(Classified::called_tool) {
            Some((_, tool)) => format!("{} needs more permissions: {needed}", short(tool)),
            None => format!("This needs more permissions: {needed}"),
        };
        Self {
            error: "insufficient_scope",
            description,
            words: None,
            quiet_header: false,
            curable: true,
            speaks: Speaks::AsTheClient,
        }
    }
}

/// As much of a tool's name as a header can bear: a pattern lets names of any length come this far, and a proxy in front
/// that cannot read the header blames the server for it.
fn short(tool: &str) -> Cow<'_, str> {
    match tool.char_indices().nth(LONGEST_NAME).and_then(|(end, _)| tool.get(..end)) {
        Some(start) => format!("{start}...").into(),
        None => tool.into(),
    }
}

fn challenge(
    status: StatusCode,
    reason: &Reason,
    scopes: Option<&ScopeSet>,
    to: &Answering<'_>,
) -> Response<Bytes> {
    let none = ScopeSet::default();
    let scopes = scopes.unwrap_or(&none);
    let (scheme, dpop_beside) = schemes(reason.speaks, status, to);
    let full = || write(scheme, status, Some(reason), scopes, to);
    let mut response = match to.request.and_then(|request| Some((request, request.called_tool()?))) {
        Some((request, (id, _))) => wire::tool_error(status, &reason.text(), Some(&full()), id, request.era),
        None => wire::json(
            status,
            &wire::OAuthError {
                error: reason.error,
                error_description: reason.words.as_deref().unwrap_or(&reason.description),
            },
        ),
    };
    if reason.curable && reads_tool_results(to) {
        *response.status_mut() = StatusCode::OK;
    } else {
        let shown = Some(reason).filter(|reason| !reason.quiet_header);
        let headers = response.headers_mut();
        headers.insert(WWW_AUTHENTICATE, write(scheme, status, shown, scopes, to).to_header_value());
        if dpop_beside {
            // A header of its own: many clients read the first challenge, and only one to a header.
            let beside = write(Scheme::DPoP, status, shown, scopes, to);
            headers.append(WWW_AUTHENTICATE, beside.to_header_value());
        }
    }
    if (scheme == Scheme::DPoP || dpop_beside)
        && let Some(Ok(nonce)) = to.possession.nonce(to.clock).map(HeaderValue::try_from)
    {
        response.headers_mut().insert(DPOP_NONCE, nonce);
    }
    response
}

/// The scheme of a challenge, and whether there is another one beside it, in DPoP.
fn schemes(speaks: Speaks, status: StatusCode, to: &Answering<'_>) -> (Scheme, bool) {
    let used_dpop = credentials::scheme(to.headers) == Some(Scheme::DPoP);
    if to.possession.requires_dpop() || (used_dpop && speaks == Speaks::AsTheClient) {
        return (Scheme::DPoP, false);
    }
    let beside = match speaks {
        Speaks::AsTheClient | Speaks::Bearer => false,
        Speaks::BearerAndAsTheClient => used_dpop,
        Speaks::BearerAndDpop => true,
    };
    (Scheme::Bearer, status == StatusCode::UNAUTHORIZED && (beside || to.possession.offers_dpop()))
}

fn write(
    scheme: Scheme,
    status: StatusCode,
    reason: Option<&Reason>,
    scopes: &ScopeSet,
    to: &Answering<'_>,
) -> Challenge {
    let with_error = |challenge: Challenge| match reason {
        Some(reason) => challenge.error(reason.error, &reason.description),
        None => challenge,
    };
    let challenge = Challenge::new(scheme);
    let challenge = if status == StatusCode::FORBIDDEN {
        with_error(challenge).scope(scopes).resource_metadata(to.resource_metadata)
    } else {
        with_error(challenge.resource_metadata(to.resource_metadata).scope(scopes))
    };
    match scheme {
        Scheme::Bearer => challenge,
        Scheme::DPoP => challenge.algs(&to.possession.dpop_algorithms()),
    }
}

/// Whether the request is a single `tools/call` of a client that reads challenges in tool results.
fn reads_tool_results(to: &Answering<'_>) -> bool {
    let wanted = match to.form {
        ChallengeForm::Http => false,
        ChallengeForm::ToolResult => true,
        ChallengeForm::Auto => to.headers.get_all(USER_AGENT).iter().any(|agent| {
            agent
                .as_bytes()
                .to_ascii_lowercase()
                .windows(OPENAI_CLIENT.len())
                .any(|window| window == OPENAI_CLIENT)
        }),
    };
    wanted && to.request.is_some_and(|request| request.called_tool().is_some())
}

fn unknown(object: UnknownObject, to: &Answering<'_>) -> Response<Bytes> {
    let id = to.request.and_then(|request| request.id.as_ref());
    let era = to.request.map_or(Era::Legacy, |request| request.era);
    let name = to.request.and_then(Classified::object_name).unwrap_or_default();
    let (status, code, what) = match (object, era) {
        (UnknownObject::Object(ObjectKind::Resource), Era::Legacy) => {
            (StatusCode::OK, -32002, "Resource not found")
        }
        (UnknownObject::Object(ObjectKind::Resource), Era::Modern) => {
            (StatusCode::OK, -32602, "Resource not found")
        }
        (UnknownObject::Object(ObjectKind::Tool), _) => (StatusCode::OK, -32602, "Unknown tool"),
        (UnknownObject::Object(ObjectKind::Prompt), _) => (StatusCode::OK, -32602, "Unknown prompt"),
        (UnknownObject::Task, _) => (StatusCode::OK, -32602, "Unknown task"),
        (UnknownObject::Method, Era::Legacy) => (StatusCode::OK, -32601, "Method not found"),
        (UnknownObject::Method, Era::Modern) => (StatusCode::NOT_FOUND, -32601, "Method not found"),
    };
    if object == UnknownObject::Task {
        return wire::rpc_error(status, code, what, id);
    }
    wire::rpc_error(status, code, &format!("{what}: {name}"), id)
}

#[cfg(test)]
mod tests;
