//! What is under way at one address: calls, and the streams that wait for something to happen.
//!
//! They are counted apart, because they cost a server different things: one that holds a thousand silent streams is as
//! ready for a call as one that holds none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::{HeaderName, Method, Request};
use tokio::time::Instant;

/// `Mcp-Method`: the layer lets it pass only where it repeats the body of a modern request.
const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");

/// After how long a call whose answer is an event stream is a stream like others: a tool that waits for a person keeps
/// no server busy.
const BECOMES_A_STREAM_AFTER: Duration = Duration::from_secs(30);

/// What a request is to the server that gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something to do; over when the answer is.
    Call,
    /// Something to wait for: the `GET` of the legacy era, `subscriptions/listen` of the modern one.
    Stream,
}

impl Kind {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let listens = || request.headers().get(MCP_METHOD).is_some_and(|name| name == "subscriptions/listen");
        if request.method() == Method::GET || listens() { Self::Stream } else { Self::Call }
    }
}

/// How much is under way.
#[derive(Debug, Default)]
pub(super) struct Load {
    calls: AtomicU32,
    streams: AtomicU32,
}

impl Load {
    /// Counts one more, until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>, kind: Kind) -> UnderWay {
        self.count(kind).fetch_add(1, Ordering::Relaxed);
        UnderWay { load: Arc::clone(self), kind, since: None }
    }

    pub(super) fn of(&self, kind: Kind) -> u32 {
        self.count(kind).load(Ordering::Relaxed)
    }

    fn count(&self, kind: Kind) -> &AtomicU32 {
        match kind {
            Kind::Call => &self.calls,
            Kind::Stream => &self.streams,
        }
    }
}

/// One request under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    load: Arc<Load>,
    kind: Kind,
    /// Of a call that is answered with an event stream: since when.
    since: Option<Instant>,
}

impl UnderWay {
    /// The head of the answer has come, and says that events will follow.
    pub(super) fn streams(&mut self) {
        if self.kind == Kind::Call {
            self.since = Some(Instant::now());
        }
    }

    /// An event has come.
    pub(super) fn event(&mut self) {
        if self.since.is_some_and(|since| since.elapsed() >= BECOMES_A_STREAM_AFTER) {
            self.since = None;
            self.load.count(Kind::Stream).fetch_add(1, Ordering::Relaxed);
            self.load.count(self.kind).fetch_sub(1, Ordering::Relaxed);
            self.kind = Kind::Stream;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.load.count(self.kind).fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(load: &Load) -> (u32, u32) {
        (load.of(Kind::Call), load.of(Kind::Stream))
    }

    #[test]
    fn what_waits_is_told_from_what_works() {
        for (request, kind) in [
            (Request::get("/"), Kind::Stream),
            (Request::post("/").header("mcp-method", "subscriptions/listen"), Kind::Stream),
            (Request::post("/").header("mcp-method", "tools/call"), Kind::Call),
            (Request::post("/"), Kind::Call),
            (Request::delete("/"), Kind::Call),
        ] {
            let request = request.body(()).unwrap();
            assert_eq!(Kind::of(&request), kind, "{request:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_streams_for_long_is_a_stream() {
        let load = Arc::default();
        let mut call = Load::begin(&load, Kind::Call);
        call.streams();
        tokio::time::advance(BECOMES_A_STREAM_AFTER.checked_sub(Duration::from_secs(1)).unwrap()).await;
        call.event();
        assert_eq!(counts(&load), (1, 0));
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..2 {
            call.event();
            assert_eq!(counts(&load), (0, 1));
        }
        drop(call);
        assert_eq!(counts(&load), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_answered_at_once_stays_a_call_however_slowly_it_is_read() {
        let load = Arc::default();
        let mut call = Load::begin(&load, Kind::Call);
        tokio::time::advance(BECOMES_A_STREAM_AFTER * 2).await;
        call.event();
        assert_eq!(counts(&load), (1, 0));
    }
}
