//! The server is killed at random moments under load, and started again on what it left: nothing that was answered in
//! full is lost, and no session is there twice.
//!
//! | variable | default | `./test --full` |
//! |---|---|---|
//! | `AUTH_SERVER_KILLS` | 5 | 50 |
//! | `AUTH_SERVER_KILLS_SEED` | another each time; it is printed | the same |

mod client;
mod database;
mod load;
mod process;
mod sessions;

use std::{collections::BTreeSet, path::Path, sync::Arc, sync::atomic::Ordering, time::Duration};

use mcp_auth_server::outside::{Rng as _, SystemRng};
use tokio::task::JoinSet;

use self::{
    client::Life,
    database::Database,
    load::Worker,
    process::{Process, files},
};
use crate::{
    commands,
    devices::GRANT as DEVICE_GRANT,
    harness::{CONF1_SECRET, PASSWORD, R1},
    postgres,
};

const CLIENTS: usize = 16;
/// The kill comes after so many answers, and up to so many microseconds later.
const ANSWERS: std::ops::Range<u64> = 40..400;
const MICROSECONDS: std::ops::Range<u64> = 0..5000;
/// A start that makes all tables takes about as long.
const MILLISECONDS_OF_START: std::ops::Range<u64> = 0..250;

#[expect(clippy::disallowed_methods, reason = "how often is for whoever runs it")]
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// How often the server is killed, and what decides when.
#[expect(clippy::print_stdout, reason = "with it, what happened when happens again")]
fn asked_for() -> (u64, fastrand::Rng) {
    let kills = number("AUTH_SERVER_KILLS").unwrap_or(5);
    let seed = number("AUTH_SERVER_KILLS_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 8];
        SystemRng.fill(&mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    });
    println!("AUTH_SERVER_KILLS={kills} AUTH_SERVER_KILLS_SEED={seed}");
    (kills, fastrand::Rng::with_seed(seed))
}

/// What is counted over all kills.
#[derive(Debug, Default)]
struct Counts {
    answered: u64,
    under_way: u64,
    unanswered: u64,
    cut: u64,
    refreshing: u64,
    rotated_unanswered: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_load_loses_no_session_and_has_none_twice() {
    let (kills, mut random) = asked_for();
    let (dir, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let url = postgres::database_of_its_own().await;
    let config = configure(dir.path(), url.as_deref());
    let said = commands::run(&config, &["user", "add", "alice"], PASSWORD);
    assert_eq!(said.code, 0, "{said:?}");
    let mut workers: Vec<_> = (0..CLIENTS).map(|number| Worker::new(number, random.fork())).collect();
    let mut counts = Counts::default();

    let mut process = Process::start(&config, temporary.path());
    let database = Database::new(url.as_deref(), dir.path());
    for kill in 0..kills {
        let life = Arc::new(Life::default());
        let at = Arc::<str>::from(process.at.as_str());
        let mut working = JoinSet::new();
        for mut worker in workers.drain(..) {
            let (at, life) = (Arc::clone(&at), Arc::clone(&life));
            working.spawn(async move {
                worker.work(&at, &life).await;
                worker
            });
        }
        tokio::select! {
            () = life.answered(random.u64(ANSWERS)) => {}
            // clients end with the server, or with a test that fails
            ended = working.join_next() => panic!("kill {kill}: {:?}", ended.unwrap().map(drop)),
        }
        // no state is waited for: any moment will do
        tokio::time::sleep(Duration::from_micros(random.u64(MICROSECONDS))).await;
        counts.under_way += life.end();
        process.kill();
        workers = working.join_all().await;
        counts.answered += life.answers();
        counts.unanswered += life.unanswered.load(Ordering::SeqCst);
        counts.cut += life.cut.load(Ordering::SeqCst);
        check_files(dir.path(), temporary.path(), true);

        if random.bool() {
            let said = commands::run(&config, &["migrate"], "");
            assert_eq!((said.code, said.err.as_str()), (0, ""), "kill {kill}");
        }
        process = Process::start(&config, temporary.path());
        database.check().await;
        for session in workers.iter().flat_map(|worker| &worker.sessions).filter(|session| session.refreshing)
        {
            counts.refreshing += 1;
            counts.rotated_unanswered += u64::from(database.is_rotated(&session.refresh).await);
        }
        let (at, life) = (Arc::from(process.at.as_str()), Arc::default());
        futures_util::future::join_all(workers.iter_mut().map(|worker| worker.settle(&at, &life))).await;
        database.check().await;
    }
    let (at, life) = (Arc::from(process.at.as_str()), Arc::default());
    let ended = workers.iter().map(|worker| worker.check_all_ended(&at, &life));
    let ended: u64 = futures_util::future::join_all(ended).await.into_iter().sum();
    process.stop();
    check_files(dir.path(), temporary.path(), false);

    let sum = |count: fn(&load::Found) -> u64| workers.iter().map(|worker| count(&worker.found)).sum::<u64>();
    println!(
        "{kills} kills; {} answers before them; {} requests under way: {} left without an answer, {} with a part of it\n\
         {} sessions found alive, {} found ended, {ended} ended in all; {} refreshes unanswered, {} of them committed\n\
         {} codes and devices redeemed after a kill, {} had been without an answer, {} used codes refused",
        counts.answered,
        counts.under_way,
        counts.unanswered,
        counts.cut,
        sum(|found| found.alive),
        sum(|found| found.ended),
        counts.refreshing,
        counts.rotated_unanswered,
        sum(|found| found.redeemed),
        sum(|found| found.redeemed_unanswered),
        sum(|found| found.replayed),
    );
    assert!(counts.under_way > 0 && sum(|found| found.alive) > 0, "there was no load");
}

/// The tables and the first key are made once, however often that is broken off.
#[tokio::test]
async fn a_server_that_is_killed_while_it_starts_for_the_first_time_starts_the_next_time() {
    let (kills, mut random) = asked_for();
    for kill in 0..kills {
        let (dir, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let config = configure(dir.path(), postgres::database_of_its_own().await.as_deref());
        let after = Duration::from_millis(random.u64(MILLISECONDS_OF_START));
        process::kill_at_start(&config, temporary.path(), after).await;
        let mut process = Process::start(&config, temporary.path());
        let said = commands::run(&config, &["key", "list", "--json"], "");
        let keys: Vec<serde_json::Value> =
            serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{said:?}"));
        assert_eq!(keys.len(), 1, "kill {kill}: {said:?}");
        process.stop();
        check_files(dir.path(), temporary.path(), false);
    }
}

/// What is there, and no file that was begun and left.
fn check_files(dir: &Path, temporary: &Path, killed: bool) {
    let mut allowed = BTreeSet::from(["auth-server.toml", "gw.secret", "auth-server.db"]);
    if killed {
        allowed.extend(["auth-server.db-wal", "auth-server.db-shm"]);
    }
    let found = files(dir);
    assert!(found.iter().all(|name| allowed.contains(name.as_str())), "{found:?}");
    assert_eq!(files(temporary), BTreeSet::new());
}

fn configure(dir: &Path, database: Option<&str>) -> std::path::PathBuf {
    let file = dir.join("auth-server.toml");
    let database = database.map_or_else(String::new, |url| format!("[database]\nurl = \"{url}\"\n"));
    // what was issued is good until the end, however slow the machine
    let toml = format!(
        r#"
[server]
issuer = "http://localhost:4000"
listen = ["127.0.0.1:0"]
trusted_proxies = ["127.0.0.1"]
{database}
[[resources]]
url = "{R1}"
[resources.scopes."mcp:read"]

[tokens]
access_token_ttl_seconds = 86400
code_ttl_seconds = 600
refresh_retry_window_seconds = 300

[[clients.registered]]
id = "pub1"
redirect_uris = ["https://app.test/cb"]

[[clients.registered]]
id = "tv"
grant_types = ["{DEVICE_GRANT}", "refresh_token"]

[[clients.registered]]
id = "gw"
grant_types = []
secret_file = "gw.secret"
serves = ["{R1}"]
"#
    );
    std::fs::write(&file, toml).unwrap();
    std::fs::write(dir.join("gw.secret"), CONF1_SECRET).unwrap();
    file
}
