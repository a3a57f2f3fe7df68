//! [`McpAuth`]: the stations in their order, and nothing else.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::challenge::{ReplyTo, cors};
use crate::judged::{Ground, Judged};
use crate::policy::{BatchRefusal, Refusal};
use crate::possession::prove::DPOP;
use crate::request::{Classified, Era, Incoming, Malformed, Unread, body, headers};
use crate::resource::metadata;
use crate::rewrite::{
    ListRewriter, OwnTasks, ResponseBody, View, end_events, forget_encoding, keep_own_tasks, learn_task,
    rewrite,
};
use crate::session::Session;
use crate::shared::Shared;
use crate::tasks::TaskLearner;
use crate::verifier::BoxFuture;

/// The service that a [`McpAuthLayer`](crate::McpAuthLayer) makes of another one.
#[derive(Debug, Clone)]
pub struct McpAuth<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S> McpAuth<S> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>) -> Self {
        Self { inner, shared }
    }
}

/// What goes on to the server beside the head of the request, and what is done with its answer. Boxed where it waits for
/// that: the future that waits has room for all that it holds at any time.
struct Forward {
    body: Bytes,
    answer: Answer,
    judged: Judged,
    session: Session,
    reply_to: ReplyTo,
    /// For the next proof of the caller.
    new_nonce: Option<String>,
}

/// What is done with an answer for what it says. Boxed, because few are rewritten, and all of them are moved.
enum Answer {
    Passes,
    /// Its lists are rewritten.
    Lists(Box<ListRewriter>),
    /// It is a list of tasks, and the caller's are kept.
    OwnTasks(Box<OwnTasks>),
    /// It may make a task.
    Task(TaskLearner),
}

impl<S, B, R> Service<Request<B>> for McpAuth<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + From<Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    // One allocation a request: the stations wait for a body, for keys and for the server, and have no nameable type.
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was polled ready is the one to call; its clone stays behind and is polled the next time.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        let shared = Arc::clone(&self.shared);
        // Outside of the future, which would keep room for both the whole and its parts.
        let (mut parts, body) = request.into_parts();
        Box::pin(async move {
            if !shared.allowed.host(&parts) {
                let host = parts.headers.get(http::header::HOST);
                tracing::warn!(?host, allowed = ?shared.allowed.hosts, "a request names a host that is not allowed");
                return Ok(shared.refuse(Refusal::ForeignHost, None, &parts));
            }
            if shared.metadata_paths.iter().any(|path| **path == *parts.uri.path()) {
                return Ok(metadata::respond(&parts.method, &shared.metadata()).map(ResponseBody::whole));
            }
            let origin = parts.headers.get(http::header::ORIGIN).cloned();
            if !shared.allowed.origin(&parts) {
                return Ok(shared.refuse(Refusal::ForeignOrigin, None, &parts));
            }
            let judged = match parts.method {
                Method::OPTIONS => Err(cors::options(&parts)),
                _ => shared.judge(&mut parts, body).await,
            };
            let mut response = match judged {
                Err(answered) => answered.map(ResponseBody::whole),
                Ok(forward) => {
                    let request = Request::from_parts(parts, B::from(forward.body));
                    let response = inner.call(request).await?;
                    let id = || forward.reply_to.id().cloned();
                    // What few requests need is boxed: the future of each is as large as its largest part, and is moved.
                    let mut response = match forward.answer {
                        Answer::Lists(list) => Box::pin(rewrite(response, *list, id())).await,
                        Answer::OwnTasks(own) => Box::pin(keep_own_tasks(response, *own, id())).await,
                        Answer::Passes => ResponseBody::upstream(response),
                        Answer::Task(learner) => {
                            let mut response = ResponseBody::upstream(response);
                            if let Some(remembering) = learn_task(&mut response, learner) {
                                remembering.await;
                            }
                            response
                        }
                    };
                    shared.leave_session(&forward.session, &forward.reply_to, &mut response).await;
                    if let Some(expires_at) = shared.end_of_streams(&forward.judged) {
                        end_events(&mut response, || shared.clock.sleep_until(expires_at));
                    }
                    shared.possession.renew_nonce(&mut response, forward.new_nonce);
                    response.extensions_mut().insert(forward.judged);
                    response
                }
            };
            cors::expose(response.headers_mut(), origin.as_ref(), shared.possession.uses_nonces());
            Ok(response)
        })
    }
}

impl Shared {
    /// classify → verify → prove → decide.
    async fn judge<B>(&self, parts: &mut Parts, body: B) -> Result<Box<Forward>, Response<Bytes>>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let refused = |refusal| self.answer(refusal, None, parts, &self.policy.load(), Ground::default());
        let malformed = |error: Malformed| refused(Refusal::Malformed(error));
        headers::check_connection(&parts.headers).map_err(malformed)?;
        let mut decoded = None;
        let mut detached = None;
        let bytes = match parts.method {
            Method::POST => {
                let coding = body::check_headers(&parts.headers).map_err(malformed)?;
                let (max_body_bytes, upstream_era) = (self.max_body_bytes, self.upstream_era.get());
                let bytes = body::read(body, max_body_bytes).await.map_err(malformed)?;
                let unread = Unread { bytes, coding, max_body_bytes, upstream_era };
                if unread.is_large() {
                    let (bytes, read) = Box::pin(unread.read(&parts.headers)).await.map_err(malformed)?;
                    detached = Some(read);
                    // What is judged is what goes on, and is described as what it is.
                    decoded = coding.map(|_| bytes.len());
                    bytes
                } else {
                    unread.bytes
                }
            }
            // A stream or the end of a session; what a body would mean here, nobody has said.
            Method::GET | Method::HEAD | Method::DELETE => {
                Box::pin(body::read_none(body)).await.map_err(malformed)?
            }
            _ => return Err(refused(Refusal::MethodNotAllowed)),
        };
        let request = match (&parts.method, detached) {
            (_, Some(detached)) => detached.attach(&bytes).map_err(malformed)?,
            (&Method::POST, None) => {
                Incoming::from_body(&parts.headers, &bytes, self.upstream_era.get()).map_err(malformed)?
            }
            _ => Incoming::One(Classified::bodyless()),
        };
        let caller = self.authenticate(parts).await;
        // Taken once, for the decision and all that follows from it; and only now, because a body may take its time to
        // come, and a token to be verified, and what was revoked meanwhile is revoked.
        let policy = self.policy.load();
        let answer = |refusal, parts: &Parts, ground: Ground<'_>| {
            self.answer(refusal, request.single(), parts, &policy, ground)
        };
        let refused = |refusal, parts: &Parts| answer(refusal, parts, Ground::default());
        let authenticated =
            caller.map_err(|nobody| refused(nobody.refusal(&policy, request.messages()), parts))?;
        let (caller, token, new_nonce) = match authenticated {
            Some(authenticated) => (Some(authenticated.caller), authenticated.token, authenticated.new_nonce),
            None => (None, None, None),
        };
        let (asker, tasks) = self
            .known_tasks(&request, &parts.headers, caller.as_ref())
            .await
            .map_err(|refusal| refused(refusal, parts))?;
        let permit = policy.decide_incoming(&request, caller.as_ref(), &tasks);
        let permit = permit.map_err(|(why, rule)| {
            let ground = Ground { caller: caller.as_ref(), rule: rule.as_ref() };
            match why {
                BatchRefusal::Whole(refusal) => answer(refusal, parts, ground),
                BatchRefusal::Each(refusals) => {
                    self.answer_each(refusals, request.messages(), parts, &policy, ground)
                }
            }
        })?;

        // A batch is legacy as a whole.
        let era = request.single().map_or(Era::Legacy, |one| one.era);
        let reply_to = ReplyTo::new(&request);
        let session = self
            .enter_session(&mut parts.headers, era, reply_to.id(), caller.as_ref())
            .await
            .map_err(|refusal| refused(refusal, parts))?;
        self.adopt_tasks(&tasks, asker).await.map_err(|refusal| refused(refusal, parts))?;
        let asker = self.asker(&session, caller.as_ref());
        let judged = Judged::permitted(request.messages(), permit.clone(), caller.as_ref(), self.records);
        let view = || View { policy: Arc::clone(&policy), caller, era };
        let answer = if let Some(learner) = self.task_learner(&request, asker) {
            Answer::Task(learner)
        } else if let Some(list) = ListRewriter::of(view, &request, &parts.method) {
            Answer::Lists(Box::new(list))
        } else if let Some(own) = self.own_tasks(&request, asker, &policy) {
            Answer::OwnTasks(Box::new(own))
        } else {
            Answer::Passes
        };
        let rewritten = matches!(answer, Answer::Lists(_) | Answer::OwnTasks(_));
        prepare(parts, request.single(), rewritten);
        if let Some(length) = decoded {
            forget_encoding(&mut parts.headers);
            // Not beside a length (RFC 9112 §6.2): which of the two counts is where servers differ.
            parts.headers.remove(TRANSFER_ENCODING);
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        // An anonymous request is nobody's, whoever's token came with it.
        if let Some(token) = token.filter(|_| permit.principal().is_some()) {
            parts.extensions.insert(token);
        }
        parts.extensions.insert(permit);
        parts.extensions.insert(judged.clone());
        parts.extensions.insert(reply_to.clone());
        Ok(Box::new(Forward { body: bytes, answer, judged, session, reply_to, new_nonce }))
    }

    /// When the event streams of a permitted request end; `None` where it is served as nobody, or where they need not.
    pub(crate) fn end_of_streams(&self, judged: &Judged) -> Option<u64> {
        let permit = judged.permit().filter(|_| self.ends_streams_with_token)?;
        Some(permit.principal()?.expires_at())
    }
}

/// Takes from the request what the server must not see, or could misunderstand. A batch is no single message.
fn prepare(parts: &mut Parts, message: Option<&Classified<'_>>, rewritten: bool) {
    let modern = message.filter(|message| message.era == Era::Modern);
    let names_object =
        || modern.and_then(|message| message.method.as_deref()).is_some_and(headers::names_object);
    headers::remove(&mut parts.headers, |name| {
        // The token was meant for us; a server that acts on it would undo the policy (MCP, token passthrough). So was the
        // proof, whose key is not the server's to check either.
        name == AUTHORIZATION
            || name == DPOP
            // Behind another protocol, a WebSocket or HTTP/2 in clear, nothing would be judged any more (RFC 9110 §7.8).
            || name == UPGRADE
            || match modern {
                // Only modern headers were held against the body.
                None => name == headers::METHOD || name == headers::NAME,
                // Sessions and resumption are gone from the modern protocol, and must not come back beside it.
                Some(_) => {
                    name == headers::SESSION_ID
                        || name == headers::LAST_EVENT_ID
                        || (name == headers::NAME && !names_object())
                }
            }
    });
    if rewritten {
        // What is to be read must not be compressed.
        parts.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
}
