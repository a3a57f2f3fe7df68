//! [`HttpAuth`]: the stations that a request without JSON-RPC passes.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{AUTHORIZATION, ORIGIN, UPGRADE};
use http::request::Parts;
use http::{Request, Response};
use tower_service::Service;

use super::answer;
use crate::challenge::{ReplyTo, cors};
use crate::judged::{Ground, Judged};
use crate::policy::{HttpRule, Refusal};
use crate::possession::Caller;
use crate::possession::prove::DPOP;
use crate::request::headers;
use crate::resource::metadata;
use crate::rewrite::{ResponseBody, end_events};
use crate::shared::Shared;
use crate::verifier::BoxFuture;

/// The service that a [`HttpAuthLayer`](super::HttpAuthLayer) makes of another one.
#[derive(Debug, Clone)]
pub struct HttpAuth<S> {
    inner: S,
    shared: Arc<Shared>,
    rule: HttpRule,
}

impl<S> HttpAuth<S> {
    pub(super) fn new(inner: S, shared: Arc<Shared>, rule: HttpRule) -> Self {
        Self { inner, shared, rule }
    }
}

/// What a request that is let through leaves behind for its answer.
struct Passed {
    judged: Judged,
    /// For the next proof of the caller.
    new_nonce: Option<String>,
}

impl<S, B, R> Service<Request<B>> for HttpAuth<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: Send + 'static,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was polled ready is the one to call; its clone stays behind and is polled the next time.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let (shared, rule) = (Arc::clone(&self.shared), self.rule.clone());
        let (mut parts, body) = request.into_parts();
        Box::pin(async move {
            let policy = shared.policy.load();
            let refused = |refusal, parts: &Parts| {
                let ground = Ground::default();
                Ok(answer::refused(&shared, refusal, parts, &policy, ground).map(ResponseBody::whole))
            };
            if !shared.allowed.host(&parts) {
                return refused(Refusal::ForeignHost, &parts);
            }
            if shared.metadata_paths.iter().any(|path| **path == *parts.uri.path()) {
                return Ok(metadata::respond(&parts.method, &shared.metadata()).map(ResponseBody::whole));
            }
            let origin = parts.headers.get(ORIGIN).cloned();
            if !shared.allowed.origin(&parts) {
                return refused(Refusal::ForeignOrigin, &parts);
            }
            let judged = if cors::is_preflight(&parts) {
                Err(answer::preflight(&parts))
            } else {
                let judged = judge(&shared, &rule, &mut parts).await;
                judged.map_err(|Refused { refusal, caller }| {
                    let ground = Ground { caller: caller.as_ref(), rule: Some(rule.rule()) };
                    answer::refused(&shared, refusal, &parts, &policy, ground)
                })
            };
            let mut response = match judged {
                Err(answered) => answered.map(ResponseBody::whole),
                Ok(Passed { judged, new_nonce }) => {
                    let response = inner.call(Request::from_parts(parts, body)).await?;
                    let mut response = ResponseBody::upstream(response);
                    if let Some(expires_at) = shared.end_of_streams(&judged) {
                        end_events(&mut response, || shared.clock.sleep_until(expires_at));
                    }
                    shared.possession.renew_nonce(&mut response, new_nonce);
                    response.extensions_mut().insert(judged);
                    response
                }
            };
            cors::expose(response.headers_mut(), origin.as_ref(), shared.possession.uses_nonces());
            Ok(response)
        })
    }
}

/// A refusal, and whom it refuses where that is known.
struct Refused {
    refusal: Refusal,
    caller: Option<Caller>,
}

/// verify → prove → decide, and what the server behind must not see taken away.
async fn judge(shared: &Shared, rule: &HttpRule, parts: &mut Parts) -> Result<Passed, Refused> {
    let before = |refusal| Refused { refusal, caller: None };
    headers::check_connection(&parts.headers).map_err(Refusal::Malformed).map_err(before)?;
    let policy = shared.policy.load();
    let proven = shared.authenticate(parts).await.map_err(|why| before(why.refusal(&policy, &[])))?;
    let (caller, token, new_nonce) = match proven {
        Some(proven) => (Some(proven.caller), proven.token, proven.new_nonce),
        None => (None, None, None),
    };
    let permit = match rule.decide(&policy, caller.as_ref()) {
        Ok(permit) => permit,
        Err(refusal) => return Err(Refused { refusal, caller }),
    };
    // Meant for us, both of them; and behind another protocol nothing would be judged any more (RFC 9110 §7.8).
    headers::remove(&mut parts.headers, |name| [AUTHORIZATION, DPOP, UPGRADE].contains(name));
    let judged = Judged::permitted(&[], permit.clone(), caller.as_ref(), shared.records);
    // An anonymous request is nobody's, whoever's token came with it.
    if let Some(token) = token.filter(|_| permit.principal().is_some()) {
        parts.extensions.insert(token);
    }
    parts.extensions.insert(permit);
    parts.extensions.insert(judged.clone());
    parts.extensions.insert(ReplyTo::http());
    Ok(Passed { judged, new_nonce })
}
