//! Both ends as bytes: clients that send what no library would, and an upstream that notes every byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::harness::DEADLINE;

/// How long a connection is listened to that the gateway leaves open.
const QUIET: Duration = Duration::from_millis(300);

/// An MCP server that understands just enough of HTTP/1.1 to answer, and keeps all that it was sent.
pub struct RawUpstream {
    pub addr: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl RawUpstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(Self::answer(stream, Arc::clone(&notes)));
            }
        });
        Self { addr, seen }
    }

    async fn answer(mut stream: TcpStream, seen: Arc<Mutex<Vec<u8>>>) {
        let mut buffer = [0; 4096];
        let mut unanswered = String::new();
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            seen.lock().unwrap().extend_from_slice(&buffer[..count]);
            unanswered.push_str(&String::from_utf8_lossy(&buffer[..count]));
            // the gateway knows the length of what it has judged
            while let Some((head, rest)) = unanswered.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length = length.map_or(0, |length| length.parse::<usize>().unwrap());
                if rest.len() < length {
                    break;
                }
                unanswered = rest[length..].to_owned();
                let body = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}/upstream/mcp", self.addr)
    }

    /// Every byte so far.
    pub fn seen(&self) -> String {
        String::from_utf8(self.seen.lock().unwrap().clone()).unwrap()
    }

    /// How many requests those are.
    pub fn requests(&self) -> usize {
        self.seen().matches(" HTTP/1.").count()
    }
}

/// Sends the bytes, and returns what comes until the gateway closes or says nothing more; the flag is whether it closed.
pub async fn exchange(addr: SocketAddr, bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // it may close while we send
    let _ = stream.write_all(bytes).await;
    until_quiet(&mut stream).await
}

/// Reads until the other side closes or says nothing more; the flag is whether it closed.
pub async fn until_quiet(stream: &mut TcpStream) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match timeout(QUIET, stream.read(&mut buffer)).await {
            Err(_) => return (all, false),
            Ok(Ok(0) | Err(_)) => return (all, true),
            Ok(Ok(count)) => all.extend_from_slice(&buffer[..count]),
        }
    }
}

/// The statuses of a sequence of HTTP/1 answers.
pub fn statuses(answer: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answer);
    text.match_indices("HTTP/1.").map(|(at, _)| text[at + 9..at + 12].parse().unwrap()).collect()
}

/// One frame of HTTP/2.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Name and value of a header, whatever they are.
pub type Header<'a> = (&'a [u8], &'a [u8]);

/// Headers in HPACK, as they are: no table, no Huffman, and nobody who looks at them.
pub fn hpack(headers: &[Header<'_>]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text);
        }
    }
    block
}

/// What became of stream 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Status(u16),
    Reset(u32),
    GoAway(u32),
    Nothing,
}

/// Sends the bytes of an HTTP/2 connection, and waits for what becomes of stream 1.
pub async fn outcome(addr: SocketAddr, bytes: &[u8]) -> Outcome {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(Ok(count @ 1..)) = timeout(DEADLINE, stream.read(&mut buffer)).await {
        all.extend_from_slice(&buffer[..count]);
        let found = said(&all);
        if found != Outcome::Nothing {
            return found;
        }
    }
    Outcome::Nothing
}

/// The streams that were reset, and why.
pub fn resets(mut frames: &[u8]) -> Vec<(u32, u32)> {
    let mut resets = Vec::new();
    let code = |payload: &[u8]| u32::from_be_bytes(payload.try_into().unwrap());
    while frames.len() >= 9 {
        let length = usize::from(frames[0]) << 16 | usize::from(frames[1]) << 8 | usize::from(frames[2]);
        if frames.len() < 9 + length {
            break;
        }
        if frames[3] == 3 {
            resets.push((code(&frames[5..9]), code(&frames[9..13])));
        }
        frames = &frames[9 + length..];
    }
    resets
}

/// Why the connection was ended, if it was and for a reason.
pub fn goodbye(mut frames: &[u8]) -> Option<u32> {
    while frames.len() >= 9 {
        let length = usize::from(frames[0]) << 16 | usize::from(frames[1]) << 8 | usize::from(frames[2]);
        if frames.len() < 9 + length {
            break;
        }
        if frames[3] == 7 {
            let code = u32::from_be_bytes(frames[13..17].try_into().unwrap());
            return (code != 0).then_some(code);
        }
        frames = &frames[9 + length..];
    }
    None
}

/// What the frames say about stream 1: its answer, or its end.
pub fn said(mut frames: &[u8]) -> Outcome {
    let code = |payload: &[u8]| u32::from_be_bytes(payload.try_into().unwrap());
    while frames.len() >= 9 {
        let length = usize::from(frames[0]) << 16 | usize::from(frames[1]) << 8 | usize::from(frames[2]);
        let (kind, stream) = (frames[3], code(&frames[5..9]));
        if frames.len() < 9 + length {
            break;
        }
        let payload = &frames[9..9 + length];
        match (kind, stream) {
            (1, 1) => return Outcome::Status(status(payload)),
            (3, 1) => return Outcome::Reset(code(payload)),
            (7, 0) if code(&payload[4..8]) != 0 => return Outcome::GoAway(code(&payload[4..8])),
            _ => {}
        }
        frames = &frames[9 + length..];
    }
    Outcome::Nothing
}

/// `:status`, which stands first: of the static table, or three digits in Huffman's code, which is one of five bits each.
fn status(block: &[u8]) -> u16 {
    let known = [200, 204, 206, 304, 400, 404, 500];
    match block {
        // a change of the table's size
        [first, rest @ ..] if first & 0xe0 == 0x20 => status(rest),
        [first, ..] if (0x88..=0x8e).contains(first) => known[usize::from(first - 0x88)],
        [0x48 | 0x08, length @ (0x82 | 0x83), code @ ..] => {
            let code = &code[..usize::from(length & 0x7f)];
            let bits = code.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte));
            // 0, 1 and 2 are the codes 0 to 2 of five bits; 3 to 9 are 0x19 to 0x1f of six
            let (mut left, mut digits) = (8 * code.len(), 0);
            for _ in 0..3 {
                let five = bits >> (left - 5) & 0x1f;
                if five <= 2 {
                    digits = digits * 10 + five;
                    left -= 5;
                } else {
                    digits = digits * 10 + (bits >> (left - 6) & 0x3f) - 0x19 + 3;
                    left -= 6;
                }
            }
            u16::try_from(digits).unwrap()
        }
        [0x48 | 0x08, 3, digits @ ..] => std::str::from_utf8(&digits[..3]).unwrap().parse().unwrap(),
        other => panic!("no status: {other:x?}"),
    }
}
