//! [`Process`]: one server process, and the requests that it has not answered yet.

use std::collections::{HashMap, HashSet};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::inbox::Inbox;
use super::lines::{Line, Lines};
use super::wire::{Kind, Message};
use crate::config::StdioConfig;

/// Requests without an answer, at most.
const MOST_PENDING: usize = 1024;
/// Notifications that wait for a client to take them, for each request; further ones are dropped.
const MOST_EVENTS: usize = 256;
/// Lines that wait for the process to read them.
const MOST_LINES: usize = 256;
/// Requests of the server's own without an answer, at most.
const MOST_ASKED: usize = 256;
/// What is logged of a line on standard error, in bytes.
const LONGEST_LOG_LINE: usize = 4096;
/// Lines of standard error that are logged in a second.
const MOST_LOG_LINES: u32 = 100;
/// How long a process has to end by itself after its input ended, and again after it was asked to.
const END_BY_ITSELF: Duration = Duration::from_secs(1);
const END_WHEN_ASKED: Duration = Duration::from_secs(2);

/// What begins a stream and is no message.
pub(super) const BEGIN: Bytes = Bytes::new();

/// A running process. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    lines: mpsc::Sender<Bytes>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    route: String,
    state: Mutex<State>,
    whose: Whose,
    /// Ends it.
    stop: CancellationToken,
    /// Gives it no time to.
    kill: CancellationToken,
    /// It is gone.
    gone: CancellationToken,
}

/// Whom a process serves: where what it says of its own accord goes.
#[derive(Debug)]
pub(super) enum Whose {
    /// One session.
    Session(Arc<Inbox>),
    /// Whoever comes: nobody can tell whom such a message is for, so that no one gets it.
    Everyone,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    pending: HashMap<u64, Pending>,
    /// Ids of the server's own requests, as it spells them.
    asked: HashSet<String>,
    gone: bool,
}

#[derive(Debug)]
struct Pending {
    /// Whose request it is: ids of one owner are not those of another.
    owner: u64,
    id: String,
    token: Option<String>,
    events: mpsc::Sender<Bytes>,
    answer: oneshot::Sender<Bytes>,
}

impl Pending {
    /// Whether nobody is there any more to take the answer. The request goes on all the same: until 2025-11-25 a client that
    /// leaves has not cancelled it, and may do so from elsewhere.
    fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }
}

impl State {
    /// Makes room. The answer to what is forgotten would go to no one, and there may never be one.
    fn forget_the_abandoned(&mut self) {
        self.pending.retain(|_, one| !one.is_abandoned());
    }
}

/// A request that was sent.
#[derive(Debug)]
pub(super) struct Waiting {
    /// What belongs to it and comes before its answer.
    pub(super) events: mpsc::Receiver<Bytes>,
    /// Its answer; an error where the process is gone without one.
    pub(super) answer: oneshot::Receiver<Bytes>,
    number: u64,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// The process is gone.
    Gone,
    /// It has too much to do.
    Busy,
}

impl Process {
    /// Starts the command of the configuration, in a process group of its own and without a shell. Its place among the
    /// processes is taken until nothing of it is left.
    pub(super) fn start(
        config: &StdioConfig,
        route: &str,
        whose: Whose,
        place: OwnedSemaphorePermit,
        runtime: &Handle,
    ) -> std::io::Result<Arc<Self>> {
        let _entered = runtime.enter();
        let mut child = command(config).spawn()?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(std::io::Error::other("a process without its pipes"));
        };
        let (lines, outgoing) = mpsc::channel(MOST_LINES);
        let shared = Arc::new(Shared {
            route: route.to_owned(),
            state: Mutex::default(),
            whose,
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
            gone: CancellationToken::new(),
        });
        tracing::info!(route, pid = child.id(), "an MCP server was started");
        runtime.spawn(write(stdin, outgoing, shared.stop.clone()));
        runtime.spawn(log(stderr, route.to_owned()));
        let lines_in = Lines::new(stdout, config.max_message_bytes);
        let running = run(child, lines_in, Arc::clone(&shared));
        runtime.spawn(async move {
            running.await;
            drop(place);
        });
        Ok(Arc::new(Self { lines, shared }))
    }

    /// Sends a request with an id of our own.
    pub(super) async fn request(&self, owner: u64, message: &Message<'_>) -> Result<Waiting, Unsent> {
        let (events, events_out) = mpsc::channel(MOST_EVENTS);
        let (answer, answer_out) = oneshot::channel();
        let (number, line) = {
            let mut state = self.shared.state();
            if state.gone {
                return Err(Unsent::Gone);
            }
            if state.pending.len() >= MOST_PENDING {
                state.forget_the_abandoned();
            }
            if state.pending.len() >= MOST_PENDING {
                return Err(Unsent::Busy);
            }
            state.last_id += 1;
            let number = state.last_id;
            let (id, token) = (message.id().unwrap_or_default(), message.wanted_token());
            let new = number.to_string();
            let mut changes = vec![(id, new.as_str())];
            changes.extend(token.map(|token| (token, new.as_str())));
            let line = message.with(&changes).ok_or(Unsent::Busy)?;
            let (id, token) = (id.to_owned(), token.map(str::to_owned));
            state.pending.insert(number, Pending { owner, id, token, events, answer });
            (number, line)
        };
        let waiting = Waiting { events: events_out, answer: answer_out, number };
        match self.lines.send(line).await {
            Ok(()) => Ok(waiting),
            Err(_) => Err(Unsent::Gone),
        }
    }

    /// Sends a message that nobody waits for an answer to.
    pub(super) async fn tell(&self, line: Bytes) -> Result<(), Unsent> {
        self.lines.send(line).await.map_err(|_| Unsent::Gone)
    }

    /// Sends an answer of the client to a request of the server's, once; says whether there was such a request.
    pub(super) async fn answer(&self, message: &Message<'_>) -> Result<bool, Unsent> {
        let known = message.id().is_some_and(|id| self.shared.state().asked.remove(id));
        if known {
            self.tell(message.line()).await?;
        }
        Ok(known)
    }

    /// The number of an owner's request, by the id that the owner gave it.
    pub(super) fn number(&self, owner: u64, id: &str) -> Option<u64> {
        let state = self.shared.state();
        state.pending.iter().find(|(_, one)| one.owner == owner && one.id == id).map(|(number, _)| *number)
    }

    /// Nobody waits for this request any more; the server is told so.
    pub(super) fn give_up(&self, number: u64) {
        if self.shared.state().pending.remove(&number).is_some() {
            let line = format!(
                "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{number}}}}}"
            );
            // a server that reads nothing will not read this either
            let _full = self.lines.try_send(line.into());
        }
    }

    /// Whether requests of an owner are under way that somebody waits for.
    pub(super) fn is_busy_for(&self, owner: u64) -> bool {
        self.shared.state().pending.values().any(|one| one.owner == owner && !one.is_abandoned())
    }

    pub(super) fn is_gone(&self) -> bool {
        self.shared.state().gone
    }

    /// Is cancelled when it is gone.
    pub(super) fn when_gone(&self) -> CancellationToken {
        self.shared.gone.clone()
    }

    /// Asks it to end.
    pub(super) fn stop(&self) {
        self.shared.stop.cancel();
    }

    /// Ends it at once.
    pub(super) fn kill(&self) {
        self.shared.kill.cancel();
        self.shared.stop.cancel();
    }
}

impl Waiting {
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // nothing in here panics half-way through a change
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one line of the server's. What is no message is logged and forgotten: some print their greetings there.
    fn take(&self, line: &[u8]) {
        let text = std::str::from_utf8(line).ok();
        let Some(message) = text.and_then(Message::read) else {
            if !line.trim_ascii().is_empty() {
                tracing::debug!(
                    route = self.route,
                    bytes = line.len(),
                    "a line of the MCP server is no message"
                );
            }
            return;
        };
        match message.kind() {
            Kind::Response => self.answered(&message),
            Kind::Notification if message.method() == "notifications/progress" => self.progressed(&message),
            Kind::Notification | Kind::Request => self.of_its_own_accord(&message),
        }
    }

    fn answered(&self, message: &Message<'_>) {
        let Some(id) = message.id() else { return };
        let pending = id.parse().ok().and_then(|number: u64| self.state().pending.remove(&number));
        let Some(pending) = pending else {
            tracing::debug!(route = self.route, "the MCP server answers what nobody asked");
            return;
        };
        if let Some(line) = message.with(&[(id, &pending.id)]) {
            // who asked may be gone
            let _gone = pending.answer.send(line);
        }
    }

    fn progressed(&self, message: &Message<'_>) {
        let Some(token) = message.told_token() else { return };
        let state = self.state();
        let pending = token.parse().ok().and_then(|number: u64| state.pending.get(&number));
        let line = pending.and_then(|pending| message.with(&[(token, pending.token.as_deref()?)]));
        if let Some((pending, line)) = pending.zip(line) {
            // progress that nobody takes is not worth waiting for
            let _full = pending.events.try_send(line);
        }
    }

    fn of_its_own_accord(&self, message: &Message<'_>) {
        let Whose::Session(inbox) = &self.whose else { return };
        let mut state = self.state();
        if message.kind() == Kind::Request
            && let Some(id) = message.id()
        {
            if state.asked.len() >= MOST_ASKED {
                tracing::warn!(route = self.route, "the MCP server asks too much of its client");
                return;
            }
            state.asked.insert(id.to_owned());
        }
        let line = message.line();
        // it belongs to no request that could be told; the newest one is the likeliest to be read now
        let newest =
            state.pending.iter().max_by_key(|(number, _)| **number).map(|(_, pending)| &pending.events);
        inbox.put(line, newest);
        if message.kind() == Kind::Request {
            // Some clients send nothing while they wait for the head of an answer, so that theirs would never come: each
            // call that may be the reason for the question begins its stream.
            for pending in state.pending.values() {
                // one that is full has begun
                let _full = pending.events.try_send(BEGIN);
            }
        }
    }

    fn end(&self) {
        let mut state = self.state();
        state.gone = true;
        // whoever waits for an answer learns of it by this
        state.pending.clear();
        drop(state);
        self.gone.cancel();
        self.stop.cancel();
    }
}

/// The command, with nothing of the gateway's own environment but what any program needs.
fn command(config: &StdioConfig) -> Command {
    let mut command = Command::new(&config.program);
    command
        .args(&config.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if config.env_clear {
        command.env_clear();
    }
    command.envs(config.env.iter().map(|(name, value)| (name, value.expose())));
    if let Some(directory) = &config.working_directory {
        command.current_dir(directory);
    }
    command
}

async fn write(mut stdin: ChildStdin, mut lines: mpsc::Receiver<Bytes>, stop: CancellationToken) {
    let writing = async {
        while let Some(line) = lines.recv().await {
            // one that does not read is ended by whoever waits for it
            let written = async {
                stdin.write_all(&line).await?;
                stdin.write_all(b"\n").await?;
                stdin.flush().await
            };
            if written.await.is_err() {
                break;
            }
        }
    };
    stop.run_until_cancelled(writing).await;
}

/// Standard error goes to the log, line by line, so much a second and no more.
async fn log(stderr: ChildStderr, route: String) {
    let mut lines = Lines::new(stderr, LONGEST_LOG_LINE);
    let (mut second, mut logged, mut dropped) = (Instant::now(), 0_u32, 0_u64);
    loop {
        let line = match lines.next().await {
            Line::Whole(line) | Line::TooLong(line) => line,
            Line::End => break,
        };
        if second.elapsed() >= Duration::from_secs(1) {
            if dropped > 0 {
                tracing::warn!(route, lines = dropped, "an MCP server wrote more than is logged");
            }
            (second, logged, dropped) = (Instant::now(), 0, 0);
        }
        if logged >= MOST_LOG_LINES {
            dropped += 1;
            continue;
        }
        logged += 1;
        // a terminal would obey control characters
        let line = String::from_utf8_lossy(&line).escape_debug().to_string();
        tracing::info!(route, line, "an MCP server says");
    }
}

/// Reads what the process says until it ends or is to end, and sees to it that nothing of it is left.
async fn run(mut child: Child, mut lines: Lines<ChildStdout>, shared: Arc<Shared>) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let signal = |signal| {
        if let Some(group) = group {
            // it may be gone already
            let _gone = kill_process_group(group, signal);
        }
    };
    let mut exited = false;
    loop {
        tokio::select! {
            biased;
            // before its output, of which there may be no end
            () = shared.stop.cancelled() => break,
            line = lines.next() => match line {
                Line::Whole(line) => shared.take(&line),
                Line::TooLong(_) => {
                    // whose answer it is, nobody knows: all who wait are told
                    tracing::error!(route = shared.route, "an MCP server sent a message that is too long, and is ended");
                    break;
                }
                Line::End => break,
            },
            // a child of its own may keep its output open
            status = child.wait() => {
                tracing::warn!(route = shared.route, status = ?status.ok().and_then(|status| status.code()), "an MCP server ended");
                exited = true;
                break;
            }
        }
    }
    if exited {
        let rest = async {
            while let Line::Whole(line) = lines.next().await {
                shared.take(&line);
            }
        };
        let _cut = timeout(Duration::from_millis(200), rest).await;
    }
    shared.end();
    let ending = async {
        if !exited && timeout(END_BY_ITSELF, child.wait()).await.is_err() {
            signal(Signal::TERM);
            let _stubborn = timeout(END_WHEN_ASKED, child.wait()).await;
        }
    };
    shared.kill.run_until_cancelled(ending).await;
    signal(Signal::KILL);
    let _status = child.wait().await;
    tracing::info!(route = shared.route, "an MCP server is gone");
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A server that reads and never answers.
    pub(in super::super) fn mute() -> Arc<Process> {
        let config = StdioConfig {
            program: "sh".to_owned(),
            arguments: vec!["-c".to_owned(), "cat > /dev/null".to_owned()],
            env: Vec::new(),
            env_clear: false,
            working_directory: None,
            shared: true,
            max_sessions: 1,
            max_anonymous_sessions: 1,
            max_anonymous_sessions_per_address: (1, true),
            idle: Duration::from_secs(1),
            max_message_bytes: 1024,
            start_timeout: Duration::from_secs(1),
        };
        let place = Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap();
        Process::start(&config, "/mcp", Whose::Everyone, place, &Handle::current()).unwrap()
    }

    #[tokio::test]
    async fn requests_that_nobody_waits_for_keep_no_one_out() {
        let process = mute();
        let message = Message::read(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#).unwrap();
        let mut waiting = Vec::new();
        for owner in 0..2 {
            for _ in 0..MOST_PENDING / 2 {
                waiting.push(process.request(owner, &message).await.unwrap());
            }
        }
        assert_eq!(process.request(0, &message).await.unwrap_err(), Unsent::Busy);
        assert!(process.is_busy_for(0) && process.is_busy_for(1));
        // one client leaves
        waiting.truncate(MOST_PENDING / 2);
        waiting.push(process.request(1, &message).await.unwrap());
        // whoever stayed is still waited for
        assert!(
            waiting.iter_mut().all(|one| one.answer.try_recv() == Err(oneshot::error::TryRecvError::Empty))
        );
        let kept = process.shared.state().pending.values().filter(|one| one.owner == 0).count();
        assert_eq!(kept, MOST_PENDING / 2);
        drop(waiting);
        assert!(
            !process.is_busy_for(0) && !process.is_busy_for(1),
            "a session that everybody left would never end"
        );
    }
}
