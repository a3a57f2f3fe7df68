//! Noise at every endpoint, for long: nothing breaks, memory and descriptors do not grow, what is over is removed.
//!
//! | variable | default | `./test --full` |
//! |---|---|---|
//! | `AUTH_SERVER_SOAK_SECONDS` | 6 | 3600 |

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use mcp_auth_server::outside::{Outside, Rng as _, SystemRng};
use reqwest::{Method, StatusCode};
use tokio::task::JoinSet;

use crate::{
    devices,
    harness::{CHALLENGE, Form, R1, Server, VERIFIER, az, redeem, refresh},
    logs,
};

/// Loops of requests at once.
const CALLERS: u64 = 4;
/// Requests of noise between two that are right.
const NOISE: usize = 40;

const PATHS: [&str; 18] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
    "/oauth2/authorize",
    "/oauth2/token",
    "/oauth2/register",
    "/oauth2/revoke",
    "/oauth2/introspect",
    "/oauth2/device",
    "/oauth2/par",
    "/oauth2/userinfo",
    "/oauth2/jwks",
    "/oauth2/status/0",
    "/login",
    "/consent",
    "/account",
    "/account/password",
    "/device",
    "/no/such/page",
];
const METHODS: [Method; 6] =
    [Method::GET, Method::POST, Method::POST, Method::PUT, Method::OPTIONS, Method::HEAD];
const KINDS: [&str; 4] = [
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded",
    "application/json",
    "text/plain",
];
const NAMES: [&str; 36] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "resource",
    "code_challenge",
    "code_challenge_method",
    "grant_type",
    "code",
    "code_verifier",
    "refresh_token",
    "token",
    "token_type_hint",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "device_code",
    "user_code",
    "csrf",
    "transaction",
    "next",
    "username",
    "password",
    "action",
    "decision",
    "request_uri",
    "request",
    "prompt",
    "max_age",
    "subject_token",
    "subject_token_type",
    "assertion",
    "nonce",
    "login_hint",
    "dpop_jkt",
];
const VALUES: [&str; 36] = [
    "",
    "a",
    "0",
    "-1",
    "9223372036854775808",
    "\0",
    "\r\nx: y",
    "日本",
    "\u{202e}evil",
    "%00%ff",
    "' OR 1=1 --",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "{}",
    "[[[[[[[[",
    "eyJhbGciOiJub25lIn0.e30.",
    "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.eyJpc3MiOiJwdWIxIn0.AAAA",
    "pub1",
    "conf1",
    "tv",
    "https://client.invalid/c.json",
    "code",
    "S256",
    "none",
    "login",
    "alice",
    "allow",
    "/account",
    "https://app.test/cb",
    "openid mcp:read offline_access",
    "authorization_code",
    "refresh_token",
    "client_credentials",
    "urn:ietf:params:oauth:grant-type:device_code",
    "urn:ietf:params:oauth:grant-type:token-exchange",
    "urn:ietf:params:oauth:grant-type:jwt-bearer",
];

/// Numbers as from dice, the same ones for the same seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn value(&mut self) -> String {
        match self.below(12) {
            0 => "x".repeat(self.below(20_000)),
            1 => self.next().to_string(),
            2 => R1.to_owned(),
            3 => CHALLENGE.to_owned(),
            4 => VERIFIER.to_owned(),
            _ => (*self.one(&VALUES)).to_owned(),
        }
    }

    /// A form that is nearly right, or none at all.
    fn form(&mut self) -> Form {
        let mut form = match self.below(5) {
            0 | 1 => az(),
            2 => redeem("AAAA"),
            3 => refresh("AAAA"),
            _ => Form::default(),
        };
        for _ in 0..self.below(4) {
            let (name, value) = (*self.one(&NAMES), self.value());
            form = match self.below(3) {
                0 => form.without(name),
                1 => form.and(name, &value),
                _ => form.with(name, &value),
            };
        }
        form
    }

    fn body(&mut self) -> Vec<u8> {
        match self.below(6) {
            0 => (0..self.below(3000)).map(|_| self.next().to_le_bytes()[0]).collect(),
            1 => {
                format!(r#"{{"redirect_uris":["{}"],"client_name":{:?}}}"#, self.value(), self.value()).into()
            }
            2 => r#"{"redirect_uris":["https://new.test/cb"],"token_endpoint_auth_method":"none"}"#.into(),
            _ => self.form().encoded().into(),
        }
    }
}

/// One request that makes little sense.
fn noise(dice: &mut Dice, client: &reqwest::Client, at: &str) -> reqwest::RequestBuilder {
    let mut url = format!("{at}{}", dice.one(&PATHS));
    if dice.below(2) == 0 {
        url = format!("{url}?{}", dice.form().encoded());
        // what no server reads, as the address of a request
        url.truncate(url.floor_char_boundary(30_000));
    }
    let mut request =
        client.request(dice.one(&METHODS).clone(), url).header("content-type", *dice.one(&KINDS));
    for (name, value) in [
        ("authorization", "Basic Y29uZjE6d3Jvbmc="),
        ("authorization", "Bearer eyJhbGciOiJub25lIn0.e30."),
        ("dpop", "eyJ0eXAiOiJkcG9wK2p3dCJ9.e30.AAAA"),
        ("cookie", "mcp-auth-session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA; mcp-auth-browser=x"),
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.test"),
        ("x-forwarded-for", "not, an address"),
    ] {
        if dice.below(5) == 0 {
            request = request.header(name, value);
        }
    }
    request.body(dice.body())
}

/// What a process uses.
struct Usage(u32);

impl Usage {
    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn descriptors(&self) -> u64 {
        std::fs::read_dir(format!("/proc/{}/fd", self.0)).unwrap().count().try_into().unwrap()
    }
}

async fn call(mut dice: Dice, at: String, mut token: String, ended: Arc<AtomicBool>, told: Told) {
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    while !ended.load(Ordering::Relaxed) {
        for _ in 0..NOISE {
            let request = noise(&mut dice, &client, &at).build().unwrap();
            let what = format!("{} {}", request.method(), request.url().path());
            let answer = client.execute(request).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let status = answer.status();
            assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{what}");
            *told.lock().unwrap().entry(status.as_u16()).or_default() += 1;
            answer.bytes().await.unwrap();
        }
        let url = format!("{at}/oauth2/token");
        let form = refresh(&token).encoded();
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let answer = client.post(url).header(kind.0, kind.1).body(form).send().await.unwrap();
        let (status, body) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, StatusCode::OK, "who asks rightly is served: {body}");
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        json["refresh_token"].as_str().unwrap().clone_into(&mut token);
    }
}

/// How often each status was told.
type Told = Arc<Mutex<BTreeMap<u16, u64>>>;

/// V6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how long the test runs is for whoever runs it")]
async fn under_noise_nothing_breaks_and_nothing_grows() {
    let name = "AUTH_SERVER_SOAK_SECONDS";
    let seconds: u64 =
        std::env::var(name).map_or(6, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")));
    let mut bytes = [0; 8];
    SystemRng.fill(&mut bytes).unwrap();
    let seed = u64::from_le_bytes(bytes);
    println!("seed {seed}");

    let mut setup = devices::with_devices();
    setup.start_at = Outside::default().clock.now().unix_seconds();
    setup.clients = "registrations_per_minute = 1000000\nregistrations_per_minute_in_all = 1000000\n\
                     max_unused = 1000"
        .to_owned();
    setup.more.push_str(
        "[limits]\nauthorizations_per_minute = 1000000\npages_per_minute = 1000000\n\
         token_requests_per_minute = 1000000\nintrospections_per_minute = 1000000\n\
         revocations_per_minute = 1000000\npushed_requests_per_minute = 1000000\n\
         device_requests_per_minute = 1000000\nuserinfo_requests_per_minute = 1000000\n",
    );
    let mut server = setup.start().await;
    let log = server.dir.path().join("log");
    let program = logs::run(&mut server, "warn", &log).await;
    let usage = Usage(program.id());

    let (ended, told) = (Arc::new(AtomicBool::new(false)), Told::default());
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let token = server.tokens().await["refresh_token"].as_str().unwrap().to_owned();
        let dice = Dice(seed.wrapping_add(caller));
        callers.spawn(call(dice, server.at.clone(), token, Arc::clone(&ended), Arc::clone(&told)));
    }
    let started = Instant::now();
    let mut samples = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(seconds * 1000 / 120));
    while started.elapsed() < Duration::from_secs(seconds)
        && callers.len() == usize::try_from(CALLERS).unwrap()
    {
        tokio::select! {
            _ = ticks.tick() => samples.push((usage.resident_kib(), usage.descriptors())),
            Some(caller) = callers.join_next() => caller.unwrap(),
        }
    }
    ended.store(true, Ordering::Relaxed);
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }

    // the first sixth is for caches and pools to fill
    let settled = &samples[samples.len() / 6..];
    let window = settled.len() / 5;
    let mean = |samples: &[(u64, u64)], of: fn(&(u64, u64)) -> u64| {
        samples.iter().map(of).sum::<u64>() / u64::try_from(samples.len()).unwrap()
    };
    let (first, last) = (&settled[..window], &settled[settled.len() - window..]);
    let memory = [mean(first, |sample| sample.0), mean(last, |sample| sample.0)];
    let descriptors = [mean(first, |sample| sample.1), mean(last, |sample| sample.1)];
    let told = told.lock().unwrap().clone();
    println!(
        "{seconds} s; answers {told:?}; memory {} -> {} KiB, descriptors {} -> {}",
        memory[0], memory[1], descriptors[0], descriptors[1],
    );
    // seconds say nothing of a few per cent; a leak of every request would show all the same
    let allowed = if seconds >= 600 { memory[0] * 110 / 100 } else { memory[0] * 3 / 2 };
    assert!(memory[1] <= allowed, "memory grew from {} to {} KiB", memory[0], memory[1]);
    assert!(descriptors[1] <= descriptors[0] + 20, "descriptors: {descriptors:?}");
    assert!([200, 303, 400, 401, 405].iter().all(|status| told.contains_key(status)), "{told:?}");
    if seconds >= 300 {
        assert_nothing_old(&server).await;
    }
    drop(program);
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(!log.contains("panicked") && !log.contains("\"ERROR\""), "{log}");
}

/// What was over for two minutes is removed: the job comes each minute.
async fn assert_nothing_old(server: &Server) {
    for statement in [
        "SELECT CAST(COUNT(*) AS TEXT) FROM transactions WHERE expires_at < CAST($1 AS BIGINT)",
        "SELECT CAST(COUNT(*) AS TEXT) FROM pushed_requests WHERE expires_at < CAST($1 AS BIGINT)",
        "SELECT CAST(COUNT(*) AS TEXT) FROM devices WHERE expires_at < CAST($1 AS BIGINT)",
        "SELECT CAST(COUNT(*) AS TEXT) FROM used_once WHERE expires_at < CAST($1 AS BIGINT)",
    ] {
        let since = Outside::default().clock.now().unix_seconds() - 120;
        let old = server.sql(statement, &[&since.to_string()]).await.unwrap();
        assert_eq!(old, "0", "{statement}");
    }
}
