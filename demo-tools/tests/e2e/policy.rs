//! The policy file, edited while clients are at work.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::mcp::call_modern;
use crate::harness::{Demo, eventually, http};

const CLIENTS: usize = 50;

/// What every client is promised: an edit takes effect within this time.
const PROMISE: Duration = Duration::from_secs(2);

/// How `notes_teaser` answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Served,
    Challenged,
}

/// An answer to a request that was sent at `asked`.
#[derive(Debug, Clone, Copy)]
struct Observation {
    asked: Instant,
    seen: Seen,
}

/// Clients that ask for `notes_teaser` again and again until they are stopped.
struct Crowd {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Observation>>>,
    clients: Vec<tokio::task::JoinHandle<()>>,
}

impl Crowd {
    fn gather(url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let client = |_| {
            let (stop, seen, url) = (Arc::clone(&stop), Arc::clone(&seen), url.to_owned());
            tokio::spawn(async move {
                let http = http();
                // a pace, so that fifty clients and a debug build fit on two cores
                let mut pace = tokio::time::interval(Duration::from_millis(100));
                while !stop.load(Ordering::Relaxed) {
                    pace.tick().await;
                    let asked = Instant::now();
                    // a connection that fails ends this task with a panic, and the test with it
                    let answer = call_modern(&http, &url, None, "notes_teaser", json!({})).await;
                    let observed = match answer.status.as_u16() {
                        200 => Seen::Served,
                        401 => Seen::Challenged,
                        _ => panic!("{answer:?}"),
                    };
                    seen.lock().unwrap().push(Observation { asked, seen: observed });
                }
            })
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { stop, seen, clients }
    }

    fn since(&self, moment: Instant) -> Vec<Observation> {
        self.seen.lock().unwrap().iter().filter(|one| one.asked >= moment).copied().collect()
    }

    /// Waits until every client has, on average, asked twice after the moment.
    async fn asked_after(&self, moment: Instant) -> Vec<Observation> {
        eventually("fifty clients to ask again", async || {
            let since = self.since(moment);
            (since.len() >= 2 * CLIENTS).then_some(since)
        })
        .await
    }

    /// From `PROMISE` after the edit on, every answer is the new one.
    async fn follows(&self, edited: Instant, expected: Seen, how: &str) {
        let late = self.asked_after(edited + PROMISE).await;
        let wrong = late.iter().filter(|one| one.seen != expected).count();
        assert_eq!(
            wrong,
            0,
            "{how}: {wrong} of {} answers are still the old ones after {PROMISE:?}",
            late.len()
        );
    }

    async fn disperse(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("no failed connection");
        }
    }
}

fn in_place(file: &Path, text: &str) {
    std::fs::write(file, text).unwrap();
}

fn by_rename(file: &Path, text: &str) {
    let mut fresh = tempfile::NamedTempFile::new_in(file.parent().unwrap()).unwrap();
    fresh.write_all(text.as_bytes()).unwrap();
    fresh.persist(file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_takes_effect_within_two_seconds_and_breaks_no_connection() {
    let demo = Demo::start(&[]);
    let file = &demo.ready.policy_file;
    let open = std::fs::read_to_string(file).unwrap();
    let rule = "[tools.notes_teaser]\nauth = \"optional\"";
    assert!(open.contains(rule), "{open}");
    let shut = open.replace(rule, "[tools.notes_teaser]\nauth = \"oauth2\"");

    let crowd = Crowd::gather(&demo.ready.mcp_url);
    let start = crowd.asked_after(Instant::now()).await;
    assert!(start.iter().all(|one| one.seen == Seen::Served));

    for (how, write) in [("in place", in_place as fn(&Path, &str)), ("by rename", by_rename)] {
        for (text, expected) in [(&shut, Seen::Challenged), (&open, Seen::Served)] {
            write(file, text);
            crowd.follows(Instant::now(), expected, how).await;
        }
    }
    crowd.disperse().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_changes_nothing_and_its_line_is_logged() {
    let demo = Demo::start(&[]);
    let file = &demo.ready.policy_file;
    let good = std::fs::read_to_string(file).unwrap();
    let crowd = Crowd::gather(&demo.ready.mcp_url);
    crowd.asked_after(Instant::now()).await;

    let (half, half_line) = first_half(&good);
    let rule = "[tools.notes_teaser]\nauth = \"optional\"";
    let misspelt = good.replace(rule, "[tools.notes_teaser]\nauth = \"optionnal\"");
    let misspelt_line = good[..good.find(rule).unwrap()].lines().count() + 2;
    let garbage = format!("{}\n\u{1}%&/ no TOML", good.lines().next().unwrap());
    for (what, text, line) in [
        ("garbage", garbage, 2),
        ("the first half", half, half_line),
        ("a word that means nothing", misspelt, misspelt_line),
    ] {
        for (how, write) in [("in place", in_place as fn(&Path, &str)), ("by rename", by_rename)] {
            let logged = demo.log().len();
            // never the same text twice: a good file in between that nobody had time to see would make it no edit
            write(file, &format!("# {what} {how}\n{text}"));
            let line = line + 1;
            let written = Instant::now();
            let name = file.file_name().unwrap().to_str().unwrap();
            eventually(&format!("`{name}:{line}:` in the log for {what} {how}"), async || {
                demo.log()[logged..].contains(&format!("{name}:{line}:")).then_some(())
            })
            .await;
            crowd.follows(written, Seen::Served, &format!("{what} {how}")).await;
            assert!(crowd.since(written).iter().all(|one| one.seen == Seen::Served), "{what} {how}");
            write(file, &good);
        }
    }

    // and it is not deaf afterwards
    in_place(file, &good.replace(rule, "[tools.notes_teaser]\nauth = \"oauth2\""));
    crowd.follows(Instant::now(), Seen::Challenged, "after the broken ones").await;
    in_place(file, &good);
    crowd.follows(Instant::now(), Seen::Served, "repaired").await;

    // an empty file is what an editor leaves for a moment, never a policy
    in_place(file, "");
    let emptied = Instant::now();
    crowd.follows(emptied, Seen::Served, "empty").await;
    crowd.disperse().await;
}

/// The first half of the file, cut within a rule as a crash would, and the number of its last line.
fn first_half(text: &str) -> (String, usize) {
    let middle = text.len() / 2;
    let cut = text[middle..]
        .find("auth = \"")
        .map(|at| middle + at + "auth = \"o".len())
        .expect("a rule in the second half");
    let half = &text[..cut];
    (half.to_owned(), half.lines().count())
}
