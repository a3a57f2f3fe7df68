//! Clients that know each other as little as real ones: a thread, a connection and tokens for each.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{SECRET, tokens};

/// What the clients ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Refresh,
    Introspect,
}

/// How long they go on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// The next request follows the answer, until so much time is over.
    For(Duration),
    /// So many in all.
    Count(u64),
    /// So many a second, however long the answers take, until so much time is over.
    Rate(f64, Duration),
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) answered: u64,
    pub(crate) per_second: f64,
    /// Seconds, sorted; counted from when a request was due.
    latencies: Vec<f64>,
}

impl Figures {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index out of few"
    )]
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        self.latencies[((self.latencies.len() - 1) as f64 * share) as usize]
    }
}

/// One client.
pub(crate) struct Client {
    kind: Kind,
    connection: Option<TcpStream>,
    random: fastrand::Rng,
    /// Its refresh tokens, each of another grant.
    refresh: Vec<String>,
    /// Grants whose access tokens it asks about.
    grants: u64,
    buffer: Vec<u8>,
}

impl Client {
    /// `count` clients that share the first half of the grants; with none, they ask about what is not there.
    pub(crate) fn several(kind: Kind, count: u64, grants: u64) -> Vec<Self> {
        let most = (grants / 2).max(count.min(grants)).min(count * 1000);
        let client = |number: u64| Self {
            kind,
            connection: None,
            random: fastrand::Rng::with_seed(number),
            refresh: (number..most).step_by(usize::try_from(count).unwrap()).map(tokens::refresh).collect(),
            grants,
            buffer: Vec::new(),
        };
        (0..count).map(client).collect()
    }

    fn ask(&mut self, server: SocketAddr) {
        let connection = self.connection.get_or_insert_with(|| {
            let connection = TcpStream::connect(server).unwrap();
            connection.set_nodelay(true).unwrap();
            connection
        });
        let picked = self.random.usize(..self.refresh.len().max(1));
        let request = match self.kind {
            Kind::Refresh => {
                let token = &self.refresh[picked];
                post(
                    "/oauth2/token",
                    "",
                    &format!("grant_type=refresh_token&client_id=pub1&refresh_token={token}"),
                )
            }
            Kind::Introspect => {
                let token = tokens::access(self.random.u64(..self.grants.max(1)));
                let proof = STANDARD.encode(format!("gw:{SECRET}"));
                post(
                    "/oauth2/introspect",
                    &format!("Authorization: Basic {proof}\r\n"),
                    &format!("token={token}"),
                )
            }
        };
        connection.write_all(request.as_bytes()).unwrap();
        let answer = answer(connection, &mut self.buffer);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        match self.kind {
            Kind::Refresh => {
                let (_, rest) = answer.split_once("\"refresh_token\":\"").unwrap();
                rest.split('"').next().unwrap().clone_into(&mut self.refresh[picked]);
            }
            Kind::Introspect => {
                assert_eq!(answer.contains("\"active\":true"), self.grants > 0, "{answer}");
            }
        }
    }
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost:4000\r\n{headers}Content-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Reads one answer, which has a length.
fn answer<'b>(connection: &mut TcpStream, buffer: &'b mut Vec<u8>) -> &'b str {
    buffer.clear();
    let mut chunk = [0; 4096];
    loop {
        let count = connection.read(&mut chunk).unwrap();
        assert!(count > 0, "the server hung up: {}", String::from_utf8_lossy(buffer));
        buffer.extend_from_slice(&chunk[..count]);
        let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).unwrap().to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if buffer.len() >= end + 4 + length.parse::<usize>().unwrap() {
            break;
        }
    }
    std::str::from_utf8(buffer).unwrap()
}

/// Lets the clients ask.
#[expect(clippy::cast_precision_loss, reason = "figures to be printed")]
pub(crate) fn run(clients: &mut [Client], server: SocketAddr, pace: Pace) -> Figures {
    let next = AtomicU64::new(0);
    let start = Instant::now();
    let mut latencies: Vec<f64> = std::thread::scope(|scope| {
        let running: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                let next = &next;
                scope.spawn(move || {
                    let mut latencies = Vec::new();
                    while let Some(due) = due(pace, start, next.fetch_add(1, Ordering::Relaxed)) {
                        client.ask(server);
                        latencies.push(due.elapsed().as_secs_f64());
                    }
                    latencies
                })
            })
            .collect();
        running.into_iter().flat_map(|running| running.join().unwrap()).collect()
    });
    let elapsed = start.elapsed().as_secs_f64();
    latencies.sort_by(f64::total_cmp);
    let answered = latencies.len() as u64;
    Figures { answered, per_second: answered as f64 / elapsed, latencies }
}

/// When a request is due, if it is to be sent at all. Waits for that.
#[expect(clippy::cast_precision_loss, reason = "far from where it loses anything")]
fn due(pace: Pace, start: Instant, number: u64) -> Option<Instant> {
    match pace {
        Pace::For(time) => (start.elapsed() < time).then(Instant::now),
        Pace::Count(count) => (number < count).then(Instant::now),
        Pace::Rate(per_second, time) => {
            let after = Duration::from_secs_f64(number as f64 / per_second);
            if after >= time {
                return None;
            }
            let due = start + after;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            Some(due)
        }
    }
}
