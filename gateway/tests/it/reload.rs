//! Policies that are edited while clients call.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::harness::{Gateway, POLICY, until};
use crate::logs;
use crate::upstream::Upstream;

/// How soon an edit must count.
const TAKES_EFFECT: Duration = Duration::from_secs(2);
/// Longer than an edit takes, for those that must not count.
const UNMOVED: Duration = Duration::from_millis(1500);

const CLOSED: &str = "version = 1\n[tools.open]\nauth = \"oauth2\"\nscopes = [\"read\"]\n";

/// Clients that call the same tool over and over, and what they were told last.
struct Callers {
    tasks: JoinSet<()>,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    challenged: Arc<AtomicU64>,
}

impl Callers {
    fn start(gateway: &Gateway, number: usize) -> Self {
        let mut callers = Self {
            tasks: JoinSet::new(),
            stop: Arc::default(),
            served: Arc::default(),
            challenged: Arc::default(),
        };
        for _ in 0..number {
            // a client of its own: its connection must survive every edit
            let call = gateway.call("open").build().unwrap();
            let client = reqwest::Client::new();
            let (stop, served, challenged) =
                (Arc::clone(&callers.stop), Arc::clone(&callers.served), Arc::clone(&callers.challenged));
            callers.tasks.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let response = client.execute(call.try_clone().unwrap()).await.expect("no call may fail");
                    match response.status().as_u16() {
                        200 => served.fetch_add(1, Ordering::Relaxed),
                        401 => challenged.fetch_add(1, Ordering::Relaxed),
                        other => panic!("unexpected status {other}"),
                    };
                    response.bytes().await.expect("no answer may break off");
                }
            });
        }
        callers
    }

    /// Waits until all answers are of one kind for a while; the time that it took.
    async fn until_all(&self, kind: &AtomicU64, other: &AtomicU64, number: u64) -> Duration {
        let started = Instant::now();
        loop {
            let (before, stray) = (kind.load(Ordering::Relaxed), other.load(Ordering::Relaxed));
            let reached = started.elapsed();
            until("calls go on", || {
                kind.load(Ordering::Relaxed) + other.load(Ordering::Relaxed) > before + stray + 3 * number
            })
            .await;
            if other.load(Ordering::Relaxed) == stray {
                return reached;
            }
        }
    }

    async fn finish(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(outcome) = self.tasks.join_next().await {
            outcome.unwrap();
        }
    }
}

fn in_place(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}

fn by_rename(path: &Path, text: &str) {
    let aside = path.with_extension("new");
    std::fs::write(&aside, text).unwrap();
    std::fs::rename(&aside, path).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_counts_within_two_seconds_and_breaks_no_connection() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::before(&upstream).await;
    let path = gateway.files.policy();
    let callers = Callers::start(&gateway, 8);
    callers.until_all(&callers.served, &callers.challenged, 8).await;
    for edit in [in_place, by_rename] {
        edit(&path, CLOSED);
        let took = callers.until_all(&callers.challenged, &callers.served, 8).await;
        assert!(took < TAKES_EFFECT, "{took:?}");
        edit(&path, POLICY);
        let took = callers.until_all(&callers.served, &callers.challenged, 8).await;
        assert!(took < TAKES_EFFECT, "{took:?}");
    }
    callers.finish().await;
}

/// Opens `open` to all who are signed in, where `half` ends before the scopes.
const LONG: &str = "\
version = 1
[tools.open]
auth = \"oauth2\"
# who may, and a comment that is long enough for half of the text to end in it
scopes = [\"read\"]
";

#[tokio::test]
async fn what_does_not_load_changes_nothing_and_is_logged_with_its_line() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::with(&upstream.url(), LONG, "", "").await;
    let path = gateway.files.policy();
    let token = gateway.token("alex", "other");
    let status = async || gateway.call("open").bearer_auth(&token).send().await.unwrap().status().as_u16();
    assert_eq!(status().await, 403);

    let comment = &LONG[..LONG.find("long enough").unwrap()];
    let line = &LONG[..LONG.find("scopes").unwrap()];
    let cases = [
        ("no toml at all", ":1:4: not valid TOML: "),
        ("version = 1\n[tools.open]\nauth = \"pubic\"\n", ":3:8: `tools.open.auth`: expected one of"),
        ("version = 1\n[tools.open]\nauth = \"public\"\n[tools.open]\n", ":4:8: expected each key once"),
        (comment, ":4:34: expected a whole file"),
        (line, ":5:1: expected a whole file"),
        ("", ": the file is empty"),
    ];
    let name = path.display().to_string();
    for (text, fault) in cases {
        in_place(&path, text);
        let expected = format!("{name}{fault}");
        until(&format!("logged: {expected}"), || {
            logs::with(&name).iter().any(|event| {
                event["level"] == "ERROR" && event["message"].as_str().unwrap().starts_with(&expected)
            })
        })
        .await;
        assert_eq!(status().await, 403, "{text:?} changed the policy");
    }
    let summaries = logs::with(&name).into_iter().filter(|event| event["faults"].is_u64()).count();
    assert_eq!(summaries, cases.len());

    // and the way back is open: the same policy once more, then another one
    in_place(&path, LONG);
    in_place(&path, POLICY);
    until("the next good policy counts", || {
        logs::with(&name).iter().any(|event| event["message"] == "policy loaded")
    })
    .await;
    assert_eq!(status().await, 200);
}

#[tokio::test]
async fn an_edit_is_logged_with_its_version_and_what_is_perhaps_not_meant() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::with(&upstream.url(), CLOSED, "", "").await;
    let path = gateway.files.policy();
    let name = path.display().to_string();
    in_place(&path, &format!("{POLICY}[scopes.unused]\ndescription = \"For nothing\"\n"));
    until("the edit counts", || logs::with(&name).iter().any(|event| event["message"] == "policy loaded"))
        .await;
    let events = logs::with(&name);
    let warning = events.iter().find(|event| event["key"] == "scopes.unused").unwrap();
    assert_eq!((&warning["level"], &warning["line"]), (&"WARN".into(), &11.into()), "{warning}");
    let loaded = events.iter().find(|event| event["message"] == "policy loaded").unwrap();
    let version = loaded["policy.version"].as_str().unwrap();
    assert_eq!(version.len(), 16, "{loaded}");
    assert_ne!(version, loaded["policy.before"]);
    assert_eq!(gateway.call("open").send().await.unwrap().status(), 200);
    let requests = logs::with(version);
    let request = requests.iter().find(|event| event["message"] == "request").unwrap();
    assert_eq!(
        (&request["policy.version"], &request["policy.rule"]),
        (&version.into(), &"tools.open".into())
    );
}

#[tokio::test]
async fn a_file_that_is_being_written_is_no_edit() {
    let upstream = Upstream::plain().await;
    let gateway = Gateway::with(&upstream.url(), CLOSED, "", "").await;
    let path = gateway.files.policy();
    // POLICY opens the tool; it comes byte by byte, never still for long enough
    let writer = tokio::task::spawn_blocking(move || {
        use std::io::Write as _;

        let mut file = std::fs::File::create(&path).unwrap();
        let pause = UNMOVED / u32::try_from(POLICY.len()).unwrap();
        for byte in POLICY.bytes() {
            file.write_all(&[byte]).unwrap();
            std::thread::sleep(pause);
        }
    });
    while !writer.is_finished() {
        assert_eq!(gateway.call("open").send().await.unwrap().status(), 401);
    }
    writer.await.unwrap();
    let name = gateway.files.policy().display().to_string();
    until("the whole file counts", || {
        logs::with(&name).iter().any(|event| event["message"] == "policy loaded")
    })
    .await;
    assert_eq!(gateway.call("open").send().await.unwrap().status(), 200);
    assert!(!logs::with(&name).iter().any(|event| event["level"] == "ERROR"));
}
