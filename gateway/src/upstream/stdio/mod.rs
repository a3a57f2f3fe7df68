//! MCP servers that speak over standard input and output, bridged to Streamable HTTP.
//!
//! The layer has judged what comes here, and seals the session ids that go out to whom they belong to. What is left is
//! transport: a line for each message, an answer in JSON or as an event stream.
//!
//! - Up to 2025-11-25, a session has a process of its own, which is started by `initialize` and ends with the session; or all
//!   share one, which the bridge initializes itself, without capabilities, so that it asks no client anything.
//! - From 2026-07-28 on there are no sessions: all requests go to the one shared process.
//! - Ids and progress tokens are the bridge's own towards the process, so that two clients never get each other's answers.
//!   Nothing else of a message is changed, or read into types.

mod backoff;
mod body;
mod inbox;
mod lines;
mod places;
mod process;
mod session;
mod wire;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use mcp_auth::challenge::ReplyTo;
use mcp_auth::random::{Random, SystemRandom};
use mcp_auth::request::{UpstreamEra, UpstreamEraHandle};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::body::ForwardedBody;
use crate::config::{EraConfig, StdioConfig};
use crate::limits::Network;
use crate::server::ClientAddr;

pub(crate) use body::StdioBody;
pub(crate) use places::Holder;

use backoff::{Pauses, StartedFor};
use places::Shares;
use process::{Process, Unsent, Waiting, Whose};
use session::{Session, Sessions};
use wire::{Kind, Message};

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// The owner of requests that no session has.
const NOBODY: u64 = 0;

/// What the bridge says when it initializes a shared process itself. It has no capabilities: nobody could answer.
const INITIALIZE: &str = concat!(
    r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"#,
    r#""clientInfo":{"name":"mcp-auth-gateway","version":""#,
    env!("CARGO_PKG_VERSION"),
    r#""}}}"#
);
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
/// How a server is asked which revisions it speaks.
const DISCOVER: &str = concat!(
    r#"{"jsonrpc":"2.0","id":0,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
    r#""io.modelcontextprotocol/clientCapabilities":{}}}}"#
);

/// How often a server that does not start is asked, and how long the pause after the first time is; it doubles each time. One
/// that starts and never answers what it does not know is not to be started for ever.
const MOST_QUESTIONS: usize = 8;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What a bridge is made from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct BridgeConfig {
    /// The path of the route, for logs.
    pub(crate) route: String,
    pub(crate) server: StdioConfig,
    pub(crate) era: EraConfig,
    /// Until the answer to a request, or the first message that belongs to it.
    pub(crate) response_timeout: Duration,
}

/// The servers of one route. All processes end when this is dropped.
#[derive(Debug)]
pub(crate) struct Bridge(Arc<Servers>);

#[derive(Debug)]
struct Servers {
    route: String,
    config: StdioConfig,
    response_timeout: Duration,
    era: UpstreamEraHandle,
    sessions: Arc<Sessions>,
    /// The process that all share; locked while it starts.
    common: tokio::sync::Mutex<Option<Common>>,
    pauses: Pauses,
    /// Processes that run, and that are ending.
    processes: Arc<Semaphore>,
    random: Arc<dyn Random>,
    /// Processes live on the runtime that the bridge was made in, whichever worker asks for them.
    runtime: Handle,
}

#[derive(Clone, Debug)]
struct Common {
    process: Arc<Process>,
    /// Its answer to `initialize`, with the bridge's id; none of a modern one.
    greeting: Option<Bytes>,
}

/// What a request comes to that gets no answer of the server's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    NotAMessage,
    NoSession,
    UnknownSession,
    TooManySessions,
    Paused(Duration),
    NotStarted,
    Busy,
    Ended,
    TooLate,
    NotAllowed,
}

impl From<Unsent> for Failure {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Gone => Self::Ended,
            Unsent::Busy => Self::Busy,
        }
    }
}

impl Failure {
    fn answer(self, reply: &ReplyTo) -> Response<ForwardedBody> {
        let (status, message) = match self {
            Self::NotAMessage => (StatusCode::BAD_REQUEST, "this server takes one message at a time"),
            Self::NoSession => {
                (StatusCode::BAD_REQUEST, "this server needs a session: send `initialize` first")
            }
            Self::UnknownSession => (StatusCode::NOT_FOUND, "this session is over: send `initialize` again"),
            Self::TooManySessions => {
                (StatusCode::SERVICE_UNAVAILABLE, "the MCP server has too many sessions")
            }
            Self::Paused(_) | Self::NotStarted => {
                (StatusCode::SERVICE_UNAVAILABLE, "the MCP server cannot be started now; try again later")
            }
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "the MCP server has too much to do"),
            Self::Ended => (StatusCode::BAD_GATEWAY, "the MCP server ended before it answered"),
            Self::TooLate => (StatusCode::GATEWAY_TIMEOUT, "the MCP server did not answer in time"),
            Self::NotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "this server has no streams and no sessions")
            }
        };
        let mut response = reply.error(status, message).map(ForwardedBody::from);
        let retry_after = match self {
            Self::Paused(left) => Some(left.as_secs().max(1)),
            Self::TooManySessions | Self::Busy | Self::NotStarted => Some(1),
            _ => None,
        };
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl Bridge {
    /// To be called in the runtime that lives longest.
    pub(crate) fn new(config: &BridgeConfig) -> Self {
        let (known, asks) = match config.era {
            EraConfig::Known(UpstreamEra::Modern) => (UpstreamEra::Modern, false),
            EraConfig::Known(UpstreamEra::Legacy) => (UpstreamEra::Legacy, false),
            EraConfig::Known(UpstreamEra::Dual) | EraConfig::Auto => (UpstreamEra::Legacy, true),
        };
        let runtime = Handle::current();
        let server = &config.server;
        let servers = Arc::new(Servers {
            route: config.route.clone(),
            config: server.clone(),
            response_timeout: config.response_timeout,
            era: known.into(),
            sessions: Arc::new(Sessions::new(shares(server), server.idle)),
            common: tokio::sync::Mutex::default(),
            pauses: Pauses::default(),
            processes: Arc::new(Semaphore::new(most_processes(server))),
            random: Arc::new(SystemRandom),
            runtime: runtime.clone(),
        });
        if asks {
            let servers = Arc::downgrade(&servers);
            runtime.spawn(async move {
                let mut pause = FIRST_PAUSE;
                for _ in 0..MOST_QUESTIONS {
                    let Some(servers) = servers.upgrade() else { return };
                    if let Some(era) = servers.ask().await {
                        tracing::info!(
                            route = servers.route,
                            ?era,
                            "it is known which revisions an MCP server speaks"
                        );
                        return servers.era.set(era);
                    }
                    tracing::warn!(
                        route = servers.route,
                        again_in_s = pause.as_secs(),
                        "an MCP server did not start in time to be asked which revisions it speaks: it is taken for one of those with sessions until it was"
                    );
                    drop(servers);
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            });
        }
        let (sessions, idle) = (Arc::downgrade(&servers.sessions), server.idle);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep((idle / 4).clamp(Duration::from_millis(100), Duration::from_secs(15)))
                    .await;
                let Some(sessions) = sessions.upgrade() else { return };
                sessions.end_idle();
            }
        });
        Self(servers)
    }

    /// The revisions that the servers speak.
    pub(crate) fn era(&self) -> &UpstreamEraHandle {
        &self.0.era
    }

    /// Whose the sessions are that such a client opens.
    pub(crate) fn holder(&self, is_user: bool, address: Option<ClientAddr>) -> Holder {
        let counts_this_machine = self.0.config.max_anonymous_sessions_per_address.1;
        match address {
            _ if is_user => Holder::User,
            Some(ClientAddr(ip)) if counts_this_machine || !ip.to_canonical().is_loopback() => {
                Holder::Stranger(Some(Network::of(ip)))
            }
            _ => Holder::Stranger(None),
        }
    }

    /// Answers one request that the layer has let through.
    pub(crate) async fn serve(
        &self,
        holder: Holder,
        method: &Method,
        headers: &HeaderMap,
        body: &Bytes,
        reply: &ReplyTo,
    ) -> Response<ForwardedBody> {
        let session = headers.get(SESSION_ID).and_then(|id| id.to_str().ok());
        let answer = match *method {
            Method::POST => self.0.post(holder, headers, session, body).await,
            Method::GET => self.0.listen(holder, session),
            Method::DELETE => self.0.delete(session),
            _ => Err(Failure::NotAllowed),
        };
        answer.unwrap_or_else(|failure| {
            tracing::warn!(route = self.0.route, reason = ?failure, "a request got no answer of the MCP server");
            failure.answer(reply)
        })
    }
}

impl Servers {
    async fn post(
        &self,
        holder: Holder,
        headers: &HeaderMap,
        session: Option<&str>,
        body: &Bytes,
    ) -> Result<Response<ForwardedBody>, Failure> {
        let text = std::str::from_utf8(body).map_err(|_| Failure::NotAMessage)?;
        let message = Message::read(text).ok_or(Failure::NotAMessage)?;
        let streams = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| {
            let accept = accept.to_ascii_lowercase();
            accept.contains("text/event-stream") || accept.contains("*/*")
        });
        // a modern client names no session, and the layer takes away what it names all the same
        if self.era.get() != UpstreamEra::Legacy && session.is_none() && message.is_modern() {
            let common = self.common(false).await?;
            return self.ask_process(&common.process, NOBODY, None, &message, streams, true).await;
        }
        if message.method() == "initialize" && message.kind() == Kind::Request {
            return self.open(holder, &message).await;
        }
        let session =
            self.sessions.find(session.ok_or(Failure::NoSession)?, holder).ok_or(Failure::UnknownSession)?;
        match message.kind() {
            Kind::Request => {
                if message.method() != "ping" {
                    session.works();
                }
                let process = Arc::clone(session.process());
                let owner = session.number();
                self.ask_process(&process, owner, Some(session), &message, streams, false).await
            }
            Kind::Notification => {
                self.notify(&session, &message).await?;
                Ok(accepted())
            }
            Kind::Response => {
                if !self.config.shared {
                    session.process().answer(&message).await?;
                }
                Ok(accepted())
            }
        }
    }

    /// A session, with a process of its own or a share in the one that all have.
    async fn open(&self, holder: Holder, message: &Message<'_>) -> Result<Response<ForwardedBody>, Failure> {
        let id = self.new_id().ok_or(Failure::NotStarted)?;
        let place = self.sessions.place(holder).ok_or(Failure::TooManySessions)?;
        let (session, mut response) = if self.config.shared {
            let common = self.common(true).await?;
            let greeting = common.greeting.ok_or(Failure::NotStarted)?;
            let text = std::str::from_utf8(&greeting).map_err(|_| Failure::NotStarted)?;
            let greeting = Message::read(text).ok_or(Failure::NotStarted)?;
            let changes = [(greeting.id().unwrap_or_default(), message.id().unwrap_or_default())];
            let answer = greeting.with(&changes).ok_or(Failure::NotStarted)?;
            (Session::new(common.process, place), json(answer))
        } else {
            let inbox = Arc::default();
            let client = StartedFor::Client(holder);
            let process = self.start(client, Whose::Session(Arc::clone(&inbox)))?;
            let session = Session::with_inbox(Arc::clone(&process), inbox, place);
            let asked = async {
                let waiting = process.request(session.number(), message).await?;
                waiting.answer.await.map_err(|_| Failure::Ended)
            };
            let answer = timeout(self.config.start_timeout, asked).await;
            let answer = answer
                .unwrap_or(Err(Failure::TooLate))
                .inspect_err(|_| self.pauses.failed(client, &*self.random))?;
            // a server that says no has no session, and its process ends here
            let opened = std::str::from_utf8(&answer).ok().and_then(Message::read);
            if opened.is_none_or(|opened| opened.is_error()) {
                return Ok(json(answer));
            }
            (session, json(answer))
        };
        let value = HeaderValue::from_str(&id).map_err(|_| Failure::NotStarted)?;
        response.headers_mut().insert(SESSION_ID, value);
        self.sessions.add(id, session);
        Ok(response)
    }

    /// Sends a request, and waits for what comes first of it: its answer, or something that belongs to it.
    async fn ask_process(
        &self,
        process: &Arc<Process>,
        owner: u64,
        session: Option<Arc<Session>>,
        message: &Message<'_>,
        streams: bool,
        ends_with_stream: bool,
    ) -> Result<Response<ForwardedBody>, Failure> {
        let id = message.id().unwrap_or_default();
        let sent = OnceLock::new();
        let asking = async {
            let waiting = process.request(owner, message).await?;
            let number = *sent.get_or_init(|| waiting.number());
            let request = body::Request { process: Arc::clone(process), number, ends_with_stream };
            let Waiting { mut events, mut answer, .. } = waiting;
            loop {
                tokio::select! {
                    biased;
                    event = events.recv() => match event {
                        Some(first) if streams => {
                            let lost = lost(id);
                            let mut body = StdioBody::answering(first, events, answer, lost);
                            (body.request, body.session) = (Some(request), session);
                            return Ok(stream(body));
                        }
                        // the client takes no stream: only the answer counts
                        Some(_) => {}
                        None => {
                            let answer = (&mut answer).await.map_err(|_| Failure::Ended)?;
                            return Ok(json(answer));
                        }
                    },
                    answer = &mut answer => {
                        return answer.map(json).map_err(|_| Failure::Ended);
                    }
                }
            }
        };
        let answer = timeout(self.response_timeout, asking).await;
        answer.unwrap_or_else(|_| {
            if let Some(number) = sent.get() {
                process.give_up(*number);
            }
            Err(Failure::TooLate)
        })
    }

    async fn notify(&self, session: &Session, message: &Message<'_>) -> Result<(), Failure> {
        let process = session.process();
        if message.method() == "notifications/cancelled" {
            // a request that is over, or was never made, is not worth a line
            let Some(id) = message.cancelled() else { return Ok(()) };
            let Some(number) = process.number(session.number(), id) else { return Ok(()) };
            let line = message.with(&[(id, &number.to_string())]).ok_or(Failure::NotAMessage)?;
            return Ok(process.tell(line).await?);
        }
        // what one client says of itself is not true of the others
        if !self.config.shared {
            process.tell(message.line()).await?;
        }
        Ok(())
    }

    fn listen(&self, holder: Holder, session: Option<&str>) -> Result<Response<ForwardedBody>, Failure> {
        let Some(id) = session else {
            let modern = self.era.get() == UpstreamEra::Modern;
            return Err(if modern { Failure::NotAllowed } else { Failure::NoSession });
        };
        let session = self.sessions.find(id, holder).ok_or(Failure::UnknownSession)?;
        let mut body = StdioBody::listening(session.inbox().open());
        body.session = Some(session);
        Ok(stream(body))
    }

    fn delete(&self, session: Option<&str>) -> Result<Response<ForwardedBody>, Failure> {
        let id = session.ok_or(Failure::NoSession)?;
        self.sessions.remove(id).ok_or(Failure::UnknownSession)?;
        let mut response = Response::new(ForwardedBody::from(Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }

    /// The process that all share, started where there is none; `greeted` where it is to have been initialized.
    async fn common(&self, greeted: bool) -> Result<Common, Failure> {
        let mut common = self.common.lock().await;
        let running = common.as_ref().filter(|common| !common.process.is_gone());
        if let Some(running) = running
            && (!greeted || running.greeting.is_some())
        {
            return Ok(running.clone());
        }
        let process = match running {
            Some(running) => Arc::clone(&running.process),
            None => self.start(StartedFor::Bridge, Whose::Everyone)?,
        };
        let greeting = if greeted { Some(self.greet(&process).await?) } else { None };
        let started = Common { process, greeting };
        *common = Some(started.clone());
        Ok(started)
    }

    /// Initializes a process in nobody's name.
    async fn greet(&self, process: &Process) -> Result<Bytes, Failure> {
        let greeting = async {
            let message = Message::read(INITIALIZE).ok_or(Failure::NotStarted)?;
            let waiting = process.request(NOBODY, &message).await?;
            let greeting = waiting.answer.await.map_err(|_| Failure::NotStarted)?;
            process.tell(Bytes::from_static(INITIALIZED.as_bytes())).await?;
            Ok(greeting)
        };
        let greeting = timeout(self.config.start_timeout, greeting).await.unwrap_or(Err(Failure::NotStarted));
        greeting.inspect_err(|_| {
            process.stop();
            self.pauses.failed(StartedFor::Bridge, &*self.random);
        })
    }

    /// Which revisions the server speaks: those of before, unless it says otherwise. `None` where it says nothing at all.
    async fn ask(&self) -> Option<UpstreamEra> {
        #[derive(serde::Deserialize)]
        struct Answer {
            result: Option<Discovered>,
        }
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Discovered {
            supported_versions: Vec<String>,
        }
        let asking = async {
            let process = self.start(StartedFor::Bridge, Whose::Everyone).ok()?;
            let message = Message::read(DISCOVER)?;
            let waiting = process.request(NOBODY, &message).await.ok()?;
            waiting.answer.await.ok()
        };
        let answer = timeout(self.config.start_timeout, asking).await.ok()??;
        let discovered = serde_json::from_slice(&answer).ok().and_then(|answer: Answer| answer.result);
        let versions = discovered.map(|discovered| discovered.supported_versions).unwrap_or_default();
        // of the first revision without sessions on, versions are later dates
        let is_modern = |version: &String| version.as_str() >= "2026-07-28";
        Some(match versions.iter().filter(|version| is_modern(version)).count() {
            0 => UpstreamEra::Legacy,
            modern if modern == versions.len() => UpstreamEra::Modern,
            _ => UpstreamEra::Dual,
        })
    }

    fn start(&self, started_for: StartedFor, whose: Whose) -> Result<Arc<Process>, Failure> {
        if let Some(left) = self.pauses.left(started_for) {
            return Err(Failure::Paused(left));
        }
        let place = Arc::clone(&self.processes).try_acquire_owned().map_err(|_| Failure::TooManySessions)?;
        let started = Process::start(&self.config, &self.route, whose, place, &self.runtime);
        let process = started.map_err(|reason| {
            let command = self.config.program.as_str();
            tracing::error!(route = self.route, command, %reason, "an MCP server cannot be started");
            self.pauses.failed(StartedFor::Bridge, &*self.random);
            Failure::NotStarted
        })?;
        self.sessions.watch(&process, &self.runtime);
        Ok(process)
    }

    /// Nobody can guess it (MCP 2025-11-25, transports, session management).
    fn new_id(&self) -> Option<String> {
        use base64::Engine as _;
        let mut bytes = [0; 24];
        self.random.fill(&mut bytes).ok()?;
        Some(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// How many processes there may be of a route at once. Sessions that ended leave theirs for a few seconds, and who opens and
/// ends one after the other must not fill the machine with those.
fn most_processes(server: &StdioConfig) -> usize {
    server.max_sessions.saturating_mul(2).saturating_add(1).min(Semaphore::MAX_PERMITS)
}

fn shares(server: &StdioConfig) -> Shares {
    Shares {
        all: server.max_sessions,
        strangers: server.max_anonymous_sessions,
        of_address: server.max_anonymous_sessions_per_address.0,
    }
}

fn json(line: Bytes) -> Response<ForwardedBody> {
    let mut response = Response::new(ForwardedBody::from(line));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn stream(body: StdioBody) -> Response<ForwardedBody> {
    let mut response = Response::new(ForwardedBody::Stdio(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

fn accepted() -> Response<ForwardedBody> {
    let mut response = Response::new(ForwardedBody::from(Bytes::new()));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// What stands for an answer that will not come, in a stream that has begun. The id is the client's own text.
fn lost(id: &str) -> Bytes {
    let code = StatusCode::BAD_GATEWAY.as_u16();
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":\"the MCP server ended before it answered\"}}}}").into()
}
