//! What is told apart here and nowhere else: how the databases fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use futures_util::future::{self, Either};

use super::{
    housekeeping::{AT_ONCE, AUDIT_EVENTS},
    *,
};
use crate::{
    outside::Timestamp,
    storage::{Housekeeping as _, contract::Engine as Kind},
};

/// Fails with a code of PostgreSQL's the first `failures` times, having written something each time.
async fn failing(database: &Database, code: &'static str, failures: u32) -> (Result<()>, u32) {
    let begun = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&begun);
    let done = database
        .write(move |mut connection| {
            Box::pin(async move {
                let attempt = counted.fetch_add(1, Ordering::Relaxed);
                statement::sql("UPDATE counters SET value = value + 1").execute(&mut connection).await?;
                if attempt < failures {
                    statement::sql(code).execute(&mut connection).await?;
                }
                Ok(Outcome::Keep(()))
            })
        })
        .await;
    (done, begun.load(Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gives_way_is_tried_again_some_times_and_nothing_else_is() {
    const DEADLOCK: &str = "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$";
    const NOT_SERIAL: &str = "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40001'; END $$";
    const FAULT: &str = "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '23505'; END $$";
    let fresh = Kind::Postgres.fresh().await;
    let database = &fresh.database;
    database.take_numbers("n", 1).await.unwrap();
    for (code, failures, wanted) in [
        (DEADLOCK, 0, (true, 1)),
        (DEADLOCK, ATTEMPTS - 1, (true, ATTEMPTS)),
        (DEADLOCK, ATTEMPTS, (false, ATTEMPTS)),
        (NOT_SERIAL, 1, (true, 2)),
        (NOT_SERIAL, u32::MAX, (false, ATTEMPTS)),
        (FAULT, 1, (false, 1)),
    ] {
        let before = database.numbers_taken("n").await.unwrap();
        let (done, begun) = failing(database, code, failures).await;
        assert_eq!((done.is_ok(), begun), wanted, "{code}, {failures} times");
        let kept = database.numbers_taken("n").await.unwrap() - before;
        assert_eq!(kept, i64::from(wanted.0), "{code}, {failures} times: all or nothing");
    }
}

/// Two transactions that want the same rows in opposite order.
#[tokio::test(flavor = "multi_thread")]
async fn both_of_a_deadlock_get_through() {
    let fresh = Kind::Postgres.fresh().await;
    let database = &fresh.database;
    database.take_numbers("a", 1).await.unwrap();
    database.take_numbers("b", 1).await.unwrap();
    let met = Arc::new(tokio::sync::Barrier::new(2));
    let crossing = |first: &'static str, then: &'static str| {
        let (met, begun) = (Arc::clone(&met), Arc::new(AtomicU32::new(0)));
        database.write(move |mut connection| {
            Box::pin(async move {
                let take =
                    |name| statement::sql("UPDATE counters SET value = value + 1 WHERE name = $1").bind(name);
                take(first).execute(&mut connection).await?;
                if begun.fetch_add(1, Ordering::Relaxed) == 0 {
                    met.wait().await;
                }
                take(then).execute(&mut connection).await?;
                Ok(Outcome::Keep(()))
            })
        })
    };
    let (one, other) = tokio::join!(crossing("a", "b"), crossing("b", "a"));
    one.unwrap();
    other.unwrap();
    assert_eq!(database.numbers_taken("a").await.unwrap(), 3);
}

/// Work that PostgreSQL does not end is given up, and costs no connection for good.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_long_and_connections_come_back() {
    let fresh = Kind::Postgres.fresh().await;
    let database = &fresh.database;
    let started = Instant::now();
    let stuck = (0..CONNECTIONS).map(|n| async move {
        let sleep = statement::sql("SELECT 1 AS one FROM pg_sleep(60)");
        match n % 3 {
            0 => database.find(sleep, |row| row.integer("one")).await.map(drop),
            1 => database.list(sleep, |row| row.integer("one")).await.map(drop),
            _ => database.change(sleep).await.map(drop),
        }
    });
    let done = future::join_all(stuck).await;
    assert!(done.iter().all(std::result::Result::is_err));
    let took = started.elapsed();
    assert!(took < TO_CONNECT + TO_WORK + TO_CONNECT, "{took:?}");
    for result in future::join_all((0..CONNECTIONS).map(|_| database.ping())).await {
        result.unwrap();
    }
}

/// Whoever was told that nothing happened must find that nothing happens later.
#[tokio::test]
async fn what_was_given_up_before_it_began_is_not_done() {
    let fresh = Kind::Sqlite.fresh().await;
    let database = &fresh.database;
    let (go, wait) = tokio::sync::watch::channel(false);
    let holding = database.write(move |_| {
        let mut wait = wait.clone();
        Box::pin(async move {
            let waited = wait.wait_for(|go| *go).await.map(drop);
            waited.map_err(StorageError::new)?;
            Ok(Outcome::Keep(()))
        })
    });
    let given_up = async {
        let late = tokio::time::timeout(Duration::from_millis(50), database.take_numbers("n", 1)).await;
        assert!(late.is_err(), "the writer was busy");
        go.send_replace(true);
    };
    let (held, ()) = tokio::join!(holding, given_up);
    held.unwrap();
    assert_eq!(database.take_numbers("other", 1).await.unwrap(), 0, "the writer goes on");
    assert_eq!(database.numbers_taken("n").await.unwrap(), 0);
}

/// SQLite has one writer: nobody waits until all that has expired is removed.
#[tokio::test]
async fn whoever_writes_has_a_turn_while_much_is_removed() {
    let fresh = Kind::Sqlite.fresh().await;
    let database = &fresh.database;
    database
        .execute(
            "INSERT INTO audit_events (at, kind, detail) \
             WITH RECURSIVE past (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM past WHERE n < 1500) \
             SELECT n, 'signed.out', '{}' FROM past",
        )
        .await;
    assert_eq!(AT_ONCE, 500, "there are three times as many");
    let now = Timestamp::from_unix_seconds(1500);
    let removing = std::pin::pin!(database.remove(AUDIT_EVENTS, now));
    let writing = std::pin::pin!(database.take_numbers("n", 1));
    let Either::Right((written, removing)) = future::select(removing, writing).await else {
        panic!("everything is removed first")
    };
    written.unwrap();
    assert!(!database.audit_events(0, 1).await.unwrap().is_empty());
    removing.await.unwrap();
    assert!(database.audit_events(0, 1).await.unwrap().is_empty());
}
