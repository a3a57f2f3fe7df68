//! The server with an issuer's keys fails: who is served all the same, and that nobody else is.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use http::Response;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mcp_auth_gateway::Running;
use mcp_auth_gateway::config::Config;
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::harness::{DEADLINE, Files, POLICY, until};
use crate::upstream::Upstream;

const ISSUER: &str = "http://localhost:4000";

/// What the key server does.
#[derive(Clone)]
enum Keys {
    Say(String),
    Fail,
    Hang,
    /// Says this when it is let.
    Slow(String),
}

/// A gateway whose issuer's keys come from a server that does as it is told.
struct Scene {
    upstream: Upstream,
    keys: Arc<Mutex<Keys>>,
    asked: Arc<AtomicUsize>,
    /// Lets a slow one answer.
    gate: Arc<Semaphore>,
    /// Kept: the gateway watches them.
    _files: Files,
    public_url: String,
    client: reqwest::Client,
    _running: Running,
}

impl Scene {
    async fn new(keys: Keys) -> Self {
        Self::with(keys, 3).await
    }

    /// `fresh` is for how many seconds keys are used before they are asked for again.
    async fn with(keys: Keys, fresh: u32) -> Self {
        let upstream = Upstream::plain().await;
        let keys = Arc::new(Mutex::new(keys));
        let asked = Arc::new(AtomicUsize::new(0));
        let key_server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let jwks_uri = format!("http://{}/keys", key_server.local_addr().unwrap());
        let gate = Arc::new(Semaphore::new(0));
        let (told, counted, slow) = (Arc::clone(&keys), Arc::clone(&asked), Arc::clone(&gate));
        let answer = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let gate = Arc::clone(&slow);
            let told = told.lock().unwrap().clone();
            async move {
                let (status, body) = match told {
                    Keys::Say(body) => (200, body),
                    Keys::Fail => (500, String::new()),
                    Keys::Hang => std::future::pending().await,
                    Keys::Slow(body) => {
                        let _permit = gate.acquire().await;
                        (200, body)
                    }
                };
                Response::builder().status(status).body(Body::from(body)).unwrap()
            }
        };
        tokio::spawn(async move {
            axum::serve(key_server, axum::Router::new().fallback(answer)).await.unwrap();
        });

        let files = Files::new(POLICY);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let public_url = format!("http://localhost:{}", addr.port());
        files.configure(addr, &public_url, &upstream.url(), "", "");
        let text = std::fs::read_to_string(files.config()).unwrap();
        let text = text.replace(crate::harness::ISSUER, ISSUER).replace(
            "jwks_file = \"keys.json\"",
            &format!("jwks_uri = \"{jwks_uri}\"\nkeys_fresh_seconds = {fresh}\nkeys_cool_down_seconds = 1"),
        );
        std::fs::write(files.config(), text).unwrap();
        let config = Config::load(&files.config()).unwrap_or_else(|error| panic!("{error}"));
        let running = mcp_auth_gateway::start(config, vec![listener]).await.unwrap();
        let client = reqwest::Client::new();
        Self { upstream, keys, asked, gate, _files: files, public_url, client, _running: running }
    }

    fn set(&self, keys: Keys) {
        *self.keys.lock().unwrap() = keys;
    }

    /// A fresh token each time: none of them was verified before.
    fn token(&self, key: &Key) -> String {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let claims = json!({
            "iss": ISSUER, "sub": "alex", "aud": format!("{}/mcp", self.public_url), "client_id": "c",
            "scope": "read", "iat": now, "exp": now + 300, "jti": COUNT.fetch_add(1, Ordering::Relaxed).to_string(),
        });
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(key.id.clone());
        jsonwebtoken::encode(&header, &claims, &key.private).unwrap()
    }

    async fn call(&self, tool: &str, token: Option<&str>) -> u16 {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool } });
        let request =
            self.client.post(format!("{}/mcp", self.public_url)).header("content-type", "application/json");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.body(body.to_string()).send().await.unwrap().status().as_u16()
    }

    async fn until(&self, key: &Key, status: u16) {
        let began = Instant::now();
        while self.call("closed", Some(&self.token(key))).await != status {
            assert!(began.elapsed() < DEADLINE, "never {status}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whatever reached the server was of someone who may, or for everyone.
    fn assert_permitted(&self) {
        for got in self.upstream.got() {
            let body: Value = serde_json::from_slice(&got.body).unwrap();
            let anonymous = got.header("x-auth-subject").is_none();
            assert!(body["params"]["name"] == "open" || !anonymous, "{got:?}");
        }
    }
}

struct Key {
    id: String,
    private: EncodingKey,
    public: Jwk,
}

fn key(id: &str) -> Key {
    let private = EncodingKey::from_ec_pem(KeyPair::generate().unwrap().serialize_pem().as_bytes()).unwrap();
    let mut public = Jwk::from_encoding_key(&private, Algorithm::ES256).unwrap();
    public.common.key_id = Some(id.to_owned());
    Key { id: id.to_owned(), private, public }
}

fn set(keys: &[&Key]) -> Keys {
    let keys: Vec<_> = keys.iter().map(|key| &key.public).collect();
    Keys::Say(json!({ "keys": keys }).to_string())
}

#[tokio::test]
async fn without_keys_nobody_who_shows_a_token_is_served_and_everybody_else_is() {
    let one = key("one");
    for failing in [
        Keys::Fail,
        Keys::Say("<html>".to_owned()),
        Keys::Say("{\"keys\":7}".to_owned()),
        Keys::Say("x".repeat(4 << 20)),
    ] {
        let scene = Scene::new(failing).await;
        for _ in 0..5 {
            assert_eq!(scene.call("closed", Some(&scene.token(&one))).await, 503);
            assert_eq!(
                scene.call("open", Some(&scene.token(&one))).await,
                503,
                "an unverified token is no anonymity"
            );
            assert_eq!(scene.call("open", None).await, 200);
            assert_eq!(scene.call("closed", None).await, 401);
        }
        scene.assert_permitted();
        scene.set(set(&[&one]));
        scene.until(&one, 200).await;
        scene.assert_permitted();
    }
}

/// Those who show a token wait for the keys that it needs, all for one question, and nobody else waits for anything.
#[tokio::test]
async fn a_slow_key_server_holds_up_those_with_tokens_and_lets_nobody_in() {
    let (one, forged) = (key("one"), key("one"));
    let Keys::Say(keys) = set(&[&one]) else { panic!("keys to say") };
    // however slow this machine is
    let scene = Scene::with(Keys::Slow(keys), 300).await;
    let (good, bad) = (scene.token(&one), scene.token(&forged));
    let open = async {
        until("the key server is asked", || scene.asked.load(Ordering::Relaxed) > 0).await;
        for _ in 0..5 {
            assert_eq!(scene.call("open", None).await, 200);
            assert_eq!(scene.call("closed", None).await, 401);
        }
        assert_eq!(scene.upstream.got().len(), 5, "nobody got through on a token that nobody verified");
        scene.gate.add_permits(100);
    };
    let waiting =
        futures_util::future::join(scene.call("closed", Some(&good)), scene.call("closed", Some(&bad)));
    let (statuses, ()) = futures_util::future::join(waiting, open).await;
    assert_eq!(statuses, (200, 401));
    assert_eq!(scene.asked.load(Ordering::Relaxed), 1, "one question for all");
    scene.assert_permitted();
}

#[tokio::test]
async fn keys_that_were_there_serve_on_while_their_server_fails() {
    futures_util::future::join_all(
        [Keys::Fail, Keys::Hang, Keys::Say("{\"keys\":".to_owned())].map(serve_on),
    )
    .await;
}

async fn serve_on(failing: Keys) {
    let (one, forged) = (key("one"), key("one"));
    let scene = Scene::new(set(&[&one])).await;
    scene.until(&one, 200).await;
    scene.set(failing);
    let began = Instant::now();
    // beyond the time for which keys are fresh, and not yet twice that: from then on they are asked for first
    while began.elapsed() < Duration::from_millis(4800) {
        let asked = Instant::now();
        assert_eq!(scene.call("closed", Some(&scene.token(&one))).await, 200);
        assert!(asked.elapsed() < Duration::from_millis(900), "a valid caller waited for the key server");
        assert_eq!(scene.call("closed", Some(&scene.token(&forged))).await, 401);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let asked = scene.asked.load(Ordering::Relaxed);
    assert!((2..=6).contains(&asked), "the key server was asked {asked} times");
    scene.assert_permitted();
}

#[tokio::test]
async fn keys_rotate_under_load_and_unknown_ones_do_not_hammer_their_server() {
    let (old, new) = (key("old"), key("new"));
    let scene = Scene::new(set(&[&old])).await;
    scene.until(&old, 200).await;
    scene.set(set(&[&new, &old]));
    scene.until(&new, 200).await;
    // tokens with keys that nobody has, among those of all others
    let before = scene.asked.load(Ordering::Relaxed);
    let began = Instant::now();
    let mut seen = HashSet::new();
    for round in 0..200 {
        let unknown =
            Key { id: format!("unknown-{round}"), private: old.private.clone(), public: old.public.clone() };
        seen.insert(scene.call("closed", Some(&scene.token(&unknown))).await);
        for known in [&old, &new] {
            assert_eq!(scene.call("closed", Some(&scene.token(known))).await, 200);
        }
    }
    assert!(seen.iter().all(|status| matches!(status, 401 | 503)), "{seen:?}");
    let asked = scene.asked.load(Ordering::Relaxed) - before;
    let at_most = usize::try_from(began.elapsed().as_secs()).unwrap() + 2;
    assert!(asked <= at_most, "the key server was asked {asked} times in {:?}", began.elapsed());
    // what is taken away counts no more
    scene.set(set(&[&new]));
    scene.until(&old, 401).await;
    assert_eq!(scene.call("closed", Some(&scene.token(&new))).await, 200);
    scene.assert_permitted();
}
