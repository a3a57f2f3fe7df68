use super::*;
use crate::model::{
    audit::{AuditEvent, AuditKind},
    grant::MOST_LEEWAY_SECONDS,
};

on_both!(
    what_may_be_used_once_is_used_once,
    numbers_are_taken_by_one,
    a_lease_has_one_holder,
    events_come_in_order,
    purging_takes_what_is_over,
    purging_leaves_nothing_however_much_there_is,
    it_answers,
);

async fn what_may_be_used_once_is_used_once(storage: &Database) {
    let end = NOW.plus_seconds(10);
    let attempts = (0..40).map(|_| storage.use_once(&DIGEST, end, NOW));
    let firsts = futures_util::future::join_all(attempts).await;
    assert_eq!(firsts.into_iter().filter(|first| *first.as_ref().unwrap()).count(), 1);
    assert!(storage.use_once(&digest("other"), end, NOW).await.unwrap());
    assert!(!storage.use_once(&DIGEST, end, NOW.plus_seconds(9)).await.unwrap());
    assert!(storage.use_once(&DIGEST, NOW.plus_seconds(20), end).await.unwrap(), "forgotten");
    assert!(!storage.use_once(&DIGEST, NOW.plus_seconds(20), end).await.unwrap());
}

static DIGEST: std::sync::LazyLock<Digest> = std::sync::LazyLock::new(|| digest("once"));

async fn numbers_are_taken_by_one(storage: &Database) {
    let taken = futures_util::future::join_all((0..20).map(|_| storage.take_numbers("n", 10))).await;
    let mut firsts: Vec<i64> = taken.into_iter().map(Result::unwrap).collect();
    firsts.sort_unstable();
    assert_eq!(firsts, (0..20).map(|number| number * 10).collect::<Vec<_>>());
    assert_eq!(storage.numbers_taken("n").await.unwrap(), 200);
    assert_eq!(storage.numbers_taken("another").await.unwrap(), 0);
    assert_eq!(storage.take_numbers("another", 1).await.unwrap(), 0);
}

async fn a_lease_has_one_holder(storage: &Database) {
    let lease = async |holder: &str, second| {
        let now = NOW.plus_seconds(second);
        storage.lease("work", holder, now, now.plus_seconds(10)).await.unwrap()
    };
    assert!(lease("a", 0).await);
    assert!(!lease("b", 5).await);
    assert!(lease("a", 6).await, "renewed");
    assert!(!lease("b", 15).await);
    assert!(lease("b", 16).await, "over");
    assert!(!lease("a", 17).await);
}

async fn events_come_in_order(storage: &Database) {
    for number in 0..5 {
        let event = AuditEvent::new(AuditKind::LoginFailed, NOW.plus_seconds(number))
            .user("u")
            .address("203.0.113.1")
            .detail("number", &number);
        storage.insert_audit_event(&event).await.unwrap();
    }
    let all = storage.audit_events(0, 100).await.unwrap();
    let numbers: Vec<_> = all.iter().map(|event| event.detail["number"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["0", "1", "2", "3", "4"]);
    assert_eq!((all[0].kind.as_str(), all[0].user_id.as_deref()), ("login.failed", Some("u")));
    assert_eq!((all[0].client_id.as_deref(), all[0].at), (None, NOW.unix_seconds()));
    let last_two = storage.audit_events_but_last(2).await.unwrap();
    assert_eq!(storage.audit_events(last_two, 100).await.unwrap().len(), 2);
    assert_eq!(storage.audit_events_but_last(50).await.unwrap(), 0);
}

async fn purging_takes_what_is_over(storage: &Database) {
    with_a_grant(storage).await;
    storage.insert_client(&registered("unused", NOW), ROOM, None).await.unwrap();
    storage.redeem_code(&digest("code g"), "g", &issued("j", Some("r")), &used()).await.unwrap();
    storage.insert_audit_event(&AuditEvent::new(AuditKind::SignedOut, NOW)).await.unwrap();
    storage.purge(NOW.plus_seconds(99), LONG_AGO, LONG_AGO).await.unwrap();
    assert!(storage.code(&digest("code g")).await.unwrap().is_some());
    assert!(storage.client("unused", LONG_AGO).await.unwrap().is_some());
    assert!(storage.access_token(&access_name("j")).await.unwrap().is_some());
    assert_eq!(storage.audit_events(0, 9).await.unwrap().len(), 1);
    // it expired after 100 seconds, and may pass for so long somewhere else
    storage.purge(NOW.plus_seconds(99 + MOST_LEEWAY_SECONDS), LONG_AGO, LONG_AGO).await.unwrap();
    assert!(storage.access_token(&access_name("j")).await.unwrap().is_some());
    storage.purge(NOW.plus_seconds(100 + MOST_LEEWAY_SECONDS), LONG_AGO, LONG_AGO).await.unwrap();
    assert!(storage.access_token(&access_name("j")).await.unwrap().is_none());
    storage.purge(NOW.plus_seconds(2000), NOW, NOW).await.unwrap();
    assert!(storage.code(&digest("code g")).await.unwrap().is_none());
    assert!(storage.refresh_token(&refresh_name("r")).await.unwrap().is_none());
    assert!(storage.access_token(&access_name("j")).await.unwrap().is_none());
    assert!(storage.grant("g").await.unwrap().is_none());
    assert!(storage.client("unused", LONG_AGO).await.unwrap().is_none());
    assert!(storage.client("c", LONG_AGO).await.unwrap().is_some(), "used");
    assert!(storage.has_consented("u", "c").await.unwrap());
    assert!(storage.audit_events(0, 9).await.unwrap().is_empty());
}

async fn purging_leaves_nothing_however_much_there_is(storage: &Database) {
    storage
        .execute(
            "INSERT INTO audit_events (at, kind, detail) \
             WITH RECURSIVE past (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM past WHERE n < 1099) \
             SELECT 1000000 - n, 'signed.out', '{}' FROM past",
        )
        .await;
    let last = AuditEvent::new(AuditKind::SignedOut, NOW.plus_seconds(1));
    storage.insert_audit_event(&last).await.unwrap();
    assert_eq!(storage.audit_events(0, 2000).await.unwrap().len(), 1101);
    storage.purge(NOW, LONG_AGO, NOW).await.unwrap();
    let left = storage.audit_events(0, 9).await.unwrap();
    assert_eq!(left.iter().map(|event| event.at).collect::<Vec<_>>(), [NOW.plus_seconds(1).unix_seconds()]);
}

async fn it_answers(storage: &Database) {
    storage.ping().await.unwrap();
    storage.close().await;
    storage.ping().await.unwrap_err();
    storage.use_once(&DIGEST, NOW, NOW).await.unwrap_err();
}
