//! The clock jumps, forward and back: what clients see, and that nobody reaches the upstream who may not.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use mcp_auth::clock::{Clock, SystemClock};
use mcp_auth::verifier::BoxFuture;
use serde_json::json;

use crate::attacks_proofs::{Client, call as call_with_proofs};
use crate::credentials::Server;
use crate::group::initialize;
use crate::harness::{DEADLINE, Gateway};
use crate::upstream::{Upstream, respond};

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;

/// The machine's clock, set ahead by so many seconds, or back. What is measured goes on as ever, as on a machine.
#[derive(Debug, Default)]
pub struct Set(AtomicI64);

impl Set {
    pub fn ahead(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for Set {
    fn unix_seconds(&self) -> u64 {
        match self.0.load(Ordering::SeqCst) {
            i64::MAX => u64::MAX,
            seconds => SystemClock.unix_seconds().saturating_add_signed(seconds),
        }
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }

    fn sleep_until(&self, unix_seconds: u64) -> BoxFuture<'static, ()> {
        SystemClock.sleep_until(unix_seconds)
    }
}

struct Scene {
    clock: Arc<Set>,
    upstream: Upstream,
    gateway: Gateway,
}

impl Scene {
    /// `route` are more lines of its table. The server opens sessions.
    async fn new(route: &str) -> Self {
        let upstream = Upstream::start(|got| async move {
            let mut headers = vec![("content-type", "application/json")];
            if got.body.windows(10).any(|window| window == b"initialize") {
                headers.push(("mcp-session-id", "session-of-the-server"));
            }
            respond(200, &headers, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)
        })
        .await;
        let clock = Arc::new(Set::default());
        let gateway = Gateway::by(clock.clone(), &upstream.url(), "", route).await;
        Self { clock, upstream, gateway }
    }

    fn token(&self, subject: &str, seconds: u64) -> String {
        let now = self.clock.unix_seconds();
        self.gateway.token_with(subject, "read", &json!({"iat": now, "exp": now.saturating_add(seconds)}))
    }

    /// Status and challenge of a call, which says so if it reached the upstream though it was refused.
    async fn call(&self, request: reqwest::RequestBuilder) -> (u16, String) {
        let before = self.upstream.got().len();
        let response = request.send().await.unwrap();
        let challenge = response.headers().get("www-authenticate");
        let challenge = challenge.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let status = response.status().as_u16();
        let limited = response.text().await.unwrap().contains("Too many");
        let status = if limited { 429 } else { status };
        let reached = self.upstream.got().len() - before;
        assert_eq!(reached, usize::from(status == 200), "{status} {challenge}");
        (status, challenge)
    }

    async fn closed(&self, token: &str) -> (u16, String) {
        self.call(self.gateway.call("closed").bearer_auth(token)).await
    }

    async fn within(&self, session: &str, token: Option<&str>) -> u16 {
        let request = self.gateway.call("open").header("mcp-session-id", session);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        self.call(request).await.0
    }

    async fn open(&self, token: Option<&str>) -> String {
        let request = initialize(&self.gateway);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.send().await.unwrap();
        response.headers()["mcp-session-id"].to_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_ends_tokens_and_claims_and_nothing_else() {
    let scene = Scene::new("rates = { tools = { teaser = { requests = 1, seconds = 7200 } } }").await;
    let token = scene.token("alex", 300);
    assert_eq!(scene.closed(&token).await.0, 200);
    let (sealed, anonymous) = (scene.open(Some(&token)).await, scene.open(None).await);
    let teaser = |token: &str| scene.call(scene.gateway.call("teaser").bearer_auth(token.to_owned()));
    assert_eq!((teaser(&token).await.0, teaser(&token).await.0), (200, 429));

    scene.clock.ahead(2 * HOUR);
    let (status, challenge) = scene.closed(&token).await;
    assert_eq!(status, 401, "it was remembered, and that ends with it");
    assert!(challenge.contains("error=\"invalid_token\"") && challenge.contains("expired"), "{challenge}");
    assert_eq!(scene.within(&sealed, Some(&token)).await, 401);
    let fresh = scene.token("alex", 300);
    assert_eq!(scene.closed(&fresh).await.0, 200);
    assert_eq!(scene.within(&sealed, Some(&fresh)).await, 200, "whose it is has no end");
    assert_eq!(teaser(&fresh).await.0, 429, "time that has not passed gives nothing back");

    scene.clock.ahead(YEAR);
    assert_eq!(scene.within(&anonymous, None).await, 404, "its client opens another one");
    assert_eq!(scene.within(&scene.open(None).await, None).await, 200);
    assert_eq!(scene.call(scene.gateway.call("open")).await.0, 200);
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_nothing_good_that_was_refused() {
    let scene = Scene::new("rates = { tools = { teaser = { requests = 1, seconds = 1 } } }").await;
    let token = scene.token("alex", 60);
    assert_eq!(scene.closed(&token).await.0, 200);
    scene.clock.ahead(YEAR);
    assert_eq!(scene.closed(&token).await.0, 401);
    for ahead in [0, -30, -HOUR, -YEAR] {
        scene.clock.ahead(ahead);
        for _ in 0..2 {
            let (status, challenge) = scene.closed(&token).await;
            assert_eq!(status, 401, "{ahead}");
            assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        }
        let fresh = scene.token("alex", 60);
        assert_eq!(scene.closed(&fresh).await.0, 200, "{ahead}: a new one is good");
        assert_eq!(scene.call(scene.gateway.call("open")).await.0, 200, "{ahead}");
    }
    // a limit goes on: a second is a second
    let teaser = || scene.call(scene.gateway.call("teaser"));
    scene.clock.ahead(0);
    while teaser().await.0 != 429 {}
    scene.clock.ahead(-YEAR);
    let began = Instant::now();
    while teaser().await.0 != 200 {
        assert!(began.elapsed() < DEADLINE, "a limit that never ends");
    }
}

#[tokio::test]
async fn a_proof_that_was_used_is_used_whatever_the_clock_says() {
    let scene = Scene::new("[state]\ndpop = {}").await;
    let client = Client::new();
    let exp = SystemClock.unix_seconds() + 9 * u64::try_from(YEAR).unwrap();
    let bound = json!({"exp": exp, "cnf": {"jkt": client.thumbprint()}});
    let token = scene.gateway.token_with("alex", "read", &bound);
    let proof = |jti: &str| {
        let iat = json!({"iat": scene.clock.unix_seconds()});
        client.proof(&scene.gateway, &token, jti, &iat)
    };
    let authorization = format!("DPoP {token}");
    let sent = async |proof: &str| call_with_proofs(&scene.gateway, &authorization, &[proof]).await.0;
    let used = proof("used");
    assert_eq!((sent(&used).await, sent(&used).await), (200, 401));
    let reached = scene.upstream.got().len();
    // far ahead, where what expired is forgotten with the next use
    scene.clock.ahead(YEAR);
    assert_eq!((sent(&used).await, sent(&proof("ahead")).await), (401, 200));
    for ahead in [0, -200, 0, 100] {
        scene.clock.ahead(ahead);
        assert_eq!(sent(&used).await, 401, "{ahead}");
    }
    assert_eq!(scene.upstream.got().len(), reached + 1);
    // and it costs nobody more than the time that a proof lives
    scene.clock.ahead(800);
    assert_eq!(sent(&proof("new")).await, 200);
}

/// A pause is a time, and not a date: else nobody would be served until the clock is where it was.
#[tokio::test]
async fn a_pause_does_not_last_until_the_clock_has_caught_up() {
    let server = Server::new().await;
    let credentials = format!("credentials = {{ kind = \"client_credentials\", {} }}", server.client());
    let scene = Scene::new(&credentials).await;
    server.fails(503, "temporarily_unavailable");
    assert_eq!(scene.call(scene.gateway.call("open")).await.0, 503);
    server.gives("t0ken");
    scene.clock.ahead(-YEAR);
    let began = Instant::now();
    while scene.call(scene.gateway.call("open")).await.0 != 200 {
        assert!(began.elapsed() < DEADLINE, "a pause that never ends");
    }
    // nor is what the gateway was given good for longer than it said
    let asked = server.upstream.got().len();
    scene.clock.ahead(0);
    assert_eq!(scene.call(scene.gateway.call("open")).await.0, 200);
    assert_eq!(server.upstream.got().len(), asked, "nor for less");
}

/// Neither the first second nor the last one there is ends anything but what has a date.
#[tokio::test]
async fn no_time_is_too_early_or_too_late() {
    let scene = Scene::new("").await;
    let token = scene.token("alex", 300);
    for ahead in [i64::MIN, i64::MAX] {
        scene.clock.ahead(ahead);
        for _ in 0..2 {
            assert_eq!(scene.call(scene.gateway.call("open")).await.0, 200, "{ahead}");
            let status = scene.closed(&token).await.0;
            assert_eq!(status, if ahead < 0 { 200 } else { 401 }, "{ahead}");
            let opened = initialize(&scene.gateway).send().await.unwrap();
            assert_eq!(opened.status(), 200, "{ahead}");
        }
    }
    scene.clock.ahead(0);
    assert_eq!(scene.closed(&scene.token("alex", 300)).await.0, 200);
}
