use super::*;
use crate::storage::{ClientUsage, PushedRequest, StoredTransaction};

on_both!(
    unused_clients_are_evicted_and_used_ones_never,
    a_registration_is_managed_by_its_own_token,
    what_changed_or_went_is_granted_nothing,
    a_document_is_renewed_in_place,
    a_deleted_client_takes_its_grants_along,
    initial_access_tokens_are_used_up,
    transactions_end_once,
    pushed_requests_are_taken_once_by_their_client,
);

async fn unused_clients_are_evicted_and_used_ones_never(storage: &Database) {
    with_a_grant(storage).await;
    for (age, id) in ["old", "middle", "new"].into_iter().enumerate() {
        let registered_at = NOW.plus_seconds(i64::try_from(age).unwrap());
        storage.insert_client(&registered(id, registered_at), 2).await.unwrap();
    }
    let found = async |id: &str, since| storage.client(id, since).await.unwrap().map(|found| found.client);
    assert_eq!(found("old", LONG_AGO).await, None, "beyond the cap");
    assert_eq!(found("new", LONG_AGO).await, Some(client("new", NOW.plus_seconds(2))));
    assert_eq!(found("middle", NOW.plus_seconds(1)).await, None, "unused for too long");
    // within one second, the newcomer stays
    storage.insert_client(&registered("newest", NOW.plus_seconds(2)), 1).await.unwrap();
    assert!(found("newest", LONG_AGO).await.is_some());
    assert!(found("new", LONG_AGO).await.is_none());
    assert!(found("c", NOW.plus_seconds(1_000_000)).await.is_some(), "used");
}

async fn a_registration_is_managed_by_its_own_token(storage: &Database) {
    storage.insert_client(&RegisteredClient { approved_at: None, ..registered("c", NOW) }, 9).await.unwrap();
    storage.insert_client(&registered("d", NOW), 9).await.unwrap();
    let mut changed = registered("c", NOW);
    changed.client.name = "Changed".into();
    changed.management = Some(digest("next"));
    for wrong in ["manages d", "next", ""] {
        assert!(!storage.replace_client(&changed, &digest(wrong)).await.unwrap(), "{wrong}");
    }
    assert!(storage.replace_client(&changed, &digest("manages c")).await.unwrap());
    assert!(!storage.replace_client(&changed, &digest("manages c")).await.unwrap(), "the old one is gone");
    let found = storage.client("c", LONG_AGO).await.unwrap().unwrap();
    assert_eq!((found.client.name.as_str(), found.approved_at), ("Changed", None));
    assert!(found.management.unwrap().matches(&digest("next")));
    assert!(!storage.approve_client("nobody", NOW).await.unwrap());
    assert!(storage.approve_client("c", NOW).await.unwrap());
    assert!(storage.approve_client("c", NOW.plus_seconds(5)).await.unwrap());
    assert_eq!(storage.client("c", LONG_AGO).await.unwrap().unwrap().approved_at, Some(NOW));
}

async fn what_changed_or_went_is_granted_nothing(storage: &Database) {
    with_a_grant(storage).await;
    let stored = async |id: &str| storage.grant(id).await.unwrap().is_some();
    let waiting = RegisteredClient { approved_at: None, ..registered("w", NOW) };
    storage.insert_client(&waiting, 9).await.unwrap();
    assert!(!storage.approve(None, &approval("1", client("w", NOW))).await.unwrap(), "not approved");
    assert!(!storage.approve(None, &approval("2", client("d", NOW))).await.unwrap(), "not there");
    let renamed = Client { name: "Another".into(), ..client("c", NOW) };
    assert!(!storage.approve(None, &approval("3", renamed)).await.unwrap(), "not like that");
    assert!(storage.approve(None, &approval("4", client("c", NOW))).await.unwrap());
    storage.delete_client("c", NOW).await.unwrap();
    assert!(!storage.approve(None, &approval("5", client("c", NOW))).await.unwrap(), "deleted");
    for id in ["1", "2", "3", "5"] {
        assert!(!stored(id).await, "{id}");
    }
    assert!(!storage.has_consented("u", "c").await.unwrap());
    assert!(storage.client("w", LONG_AGO).await.unwrap().is_some());
    assert_eq!(storage.listed_client("w", NOW).await.unwrap().unwrap().last_used_at, None);
}

async fn a_document_is_renewed_in_place(storage: &Database) {
    with_a_grant(storage).await;
    let document = |name: &str| Client {
        id: "https://app.test/c.json".into(),
        name: name.into(),
        origin: Origin::Document { host: "app.test".into() },
        ..client("", NOW.plus_seconds(5))
    };
    let found = async |id: &str| storage.client(id, LONG_AGO).await.unwrap().map(|found| found.client);
    storage.renew_document(&document("never seen")).await.unwrap();
    assert_eq!(found("https://app.test/c.json").await, None, "nobody said yes to it");
    storage.approve(None, &approval("h", document("first"))).await.unwrap();
    storage.renew_document(&document("then")).await.unwrap();
    assert_eq!(found("https://app.test/c.json").await, Some(document("then")));
    // a registration is its own client's to change
    storage.renew_document(&Client { id: "c".into(), ..document("stolen") }).await.unwrap();
    assert_eq!(found("c").await, Some(client("c", NOW)));
}

async fn a_deleted_client_takes_its_grants_along(storage: &Database) {
    with_a_grant(storage).await;
    storage.redeem_code(&digest("code g"), "g", &issued("j", Some("r")), &used()).await.unwrap();
    let listed = storage.clients(10, NOW).await.unwrap();
    assert_eq!((listed.len(), listed[0].grants, listed[0].last_used_at), (1, 1, Some(NOW)));
    let alone = storage.listed_client("c", NOW).await.unwrap().unwrap();
    assert_eq!((&alone.client, alone.grants), (&listed[0].client, 1));
    assert!(storage.listed_client("d", NOW).await.unwrap().is_none());
    let usage = async |id: &str, now| storage.client_usage(id, now).await.unwrap();
    assert_eq!(usage("c", NOW).await, ClientUsage { last_used_at: Some(NOW), grants: 1 });
    assert_eq!(usage("c", NOW.plus_seconds(1000)).await.grants, 0, "expired");
    assert_eq!(usage("d", NOW).await, ClientUsage { last_used_at: None, grants: 0 });
    assert!(storage.delete_client("c", NOW).await.unwrap());
    assert!(!storage.delete_client("c", NOW).await.unwrap());
    assert!(storage.client("c", LONG_AGO).await.unwrap().is_none());
    assert_eq!(usage("c", NOW).await.grants, 0);
    assert!(!is_active(storage, "j").await);
    assert!(!storage.has_consented("u", "c").await.unwrap());
    assert!(!storage.rotate(&digest("r"), "s", "g", &issued("k", Some("q")), &used()).await.unwrap());
}

async fn initial_access_tokens_are_used_up(storage: &Database) {
    let end = NOW.plus_seconds(10);
    storage.insert_initial_access_token(&digest("t"), "for Bob", 2, NOW, end).await.unwrap();
    assert!(!storage.use_initial_access_token(&digest("other"), NOW).await.unwrap());
    assert!(!storage.use_initial_access_token(&digest("t"), end).await.unwrap(), "expired");
    assert!(storage.use_initial_access_token(&digest("t"), NOW).await.unwrap());
    assert!(storage.use_initial_access_token(&digest("t"), NOW).await.unwrap());
    assert!(!storage.use_initial_access_token(&digest("t"), NOW).await.unwrap(), "used up");
}

async fn transactions_end_once(storage: &Database) {
    storage.insert_user(&user("u", "alice")).await.unwrap();
    let transaction = StoredTransaction {
        digest: digest("t"),
        browser: digest("b"),
        content: "content".into(),
        session: None,
        expires_at: NOW.plus_seconds(10),
    };
    storage.insert_transaction(&transaction).await.unwrap();
    assert!(storage.transaction(&digest("t"), NOW.plus_seconds(10)).await.unwrap().is_none(), "expired");
    storage.set_transaction_session(&digest("t"), &digest("s")).await.unwrap();
    let found = storage.transaction(&digest("t"), NOW).await.unwrap().unwrap();
    assert_eq!(
        (found.browser, found.content, found.session),
        (digest("b"), "content".into(), Some(digest("s")))
    );
    assert!(storage.end_transaction(&digest("t")).await.unwrap());
    assert!(!storage.end_transaction(&digest("t")).await.unwrap());
    let never = approval("never", client("c", NOW));
    assert!(!storage.approve(Some(&digest("t")), &never).await.unwrap(), "nothing to approve");
    assert!(storage.code(&digest("code never")).await.unwrap().is_none(), "and nothing stored");
    assert!(!storage.has_consented("u", "c").await.unwrap());
}

async fn pushed_requests_are_taken_once_by_their_client(storage: &Database) {
    let request = PushedRequest {
        digest: digest("p"),
        client_id: "c".into(),
        content: "scope=a".into(),
        expires_at: NOW.plus_seconds(10),
    };
    storage.insert_pushed_request(&request).await.unwrap();
    let take = async |name: &str, client: &str, now| {
        storage.take_pushed_request(&digest(name), client, now).await.unwrap()
    };
    assert_eq!(take("other", "c", NOW).await, None);
    assert_eq!(take("p", "d", NOW).await, None, "another client");
    assert_eq!(take("p", "c", NOW.plus_seconds(10)).await, None, "expired");
    assert_eq!(take("p", "c", NOW).await.as_deref(), Some("scope=a"));
    assert_eq!(take("p", "c", NOW).await, None, "taken");
}
