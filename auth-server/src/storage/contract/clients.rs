use super::*;
use crate::storage::{ClientUsage, ListedInitialAccessToken, PushedRequest};

on_both!(
    unused_clients_are_evicted_and_used_ones_never,
    used_clients_are_never_evicted,
    what_waits_is_kept_and_what_was_approved_has_its_time,
    what_was_used_long_ago_and_has_nothing_left_is_forgotten,
    a_registration_is_managed_by_its_own_token,
    what_changed_or_went_is_granted_nothing,
    a_document_is_renewed_in_place,
    a_deleted_client_takes_its_grants_along,
    initial_access_tokens_are_used_up,
    initial_access_tokens_are_listed_and_ended,
    transactions_end_once,
    pushed_requests_are_taken_once_by_their_client,
);

async fn unused_clients_are_evicted_and_used_ones_never(storage: &Database) {
    with_a_grant(storage).await;
    let few = Room { unused: 2, total: 100 };
    for (age, id) in ["old", "middle", "new"].into_iter().enumerate() {
        let registered_at = NOW.plus_seconds(i64::try_from(age).unwrap());
        storage.insert_client(&registered(id, registered_at), few, None).await.unwrap();
    }
    let found = async |id: &str, since| storage.client(id, since).await.unwrap().map(|found| found.client);
    assert_eq!(found("old", LONG_AGO).await, None, "beyond the cap");
    assert_eq!(found("new", LONG_AGO).await, Some(client("new", NOW.plus_seconds(2))));
    assert_eq!(found("middle", NOW.plus_seconds(1)).await, None, "unused for too long");
    // within one second, the newcomer stays
    let one = Room { unused: 1, total: 100 };
    storage.insert_client(&registered("newest", NOW.plus_seconds(2)), one, None).await.unwrap();
    assert!(found("newest", LONG_AGO).await.is_some());
    assert!(found("new", LONG_AGO).await.is_none());
    assert!(found("c", NOW.plus_seconds(1_000_000)).await.is_some(), "used");
}

async fn a_registration_is_managed_by_its_own_token(storage: &Database) {
    let waiting = RegisteredClient { approved_at: None, ..registered("c", NOW) };
    storage.insert_client(&waiting, ROOM, None).await.unwrap();
    storage.insert_client(&registered("d", NOW), ROOM, None).await.unwrap();
    let changed = Client { name: "Changed".into(), ..client("c", NOW) };
    let replace = async |current: &str, next: &str, approved| {
        storage.replace_client(&changed, &digest(next), &digest(current), approved).await.unwrap()
    };
    for wrong in ["manages d", "next", ""] {
        assert!(!replace(wrong, "next", true).await, "{wrong}");
    }
    assert!(replace("manages c", "next", true).await);
    assert!(!replace("manages c", "next", true).await, "the old one is gone");
    let found = storage.client("c", LONG_AGO).await.unwrap().unwrap();
    assert_eq!((found.client.name.as_str(), found.approved_at), ("Changed", None));
    assert!(found.management.unwrap().matches(&digest("next")));
    assert!(!storage.approve_client("nobody", NOW).await.unwrap());
    assert!(storage.approve_client("c", NOW).await.unwrap());
    assert!(storage.approve_client("c", NOW.plus_seconds(5)).await.unwrap());
    let approved_at = async || storage.client("c", LONG_AGO).await.unwrap().unwrap().approved_at;
    assert_eq!(approved_at().await, Some(NOW));
    assert!(replace("next", "third", true).await);
    assert_eq!(approved_at().await, Some(NOW), "it stays approved");
    assert!(replace("third", "fourth", false).await);
    assert_eq!(approved_at().await, None);
}

async fn what_waits_is_kept_and_what_was_approved_has_its_time(storage: &Database) {
    for (id, approved_at) in [("waits", None), ("late", Some(NOW.plus_seconds(50))), ("old", Some(NOW))] {
        let client = RegisteredClient { approved_at, ..registered(id, NOW) };
        storage.insert_client(&client, ROOM, None).await.unwrap();
    }
    let there = async |id: &str, since| storage.client(id, since).await.unwrap().is_some();
    let since = NOW.plus_seconds(10);
    assert!(there("waits", since).await && there("late", since).await && !there("old", since).await);
    storage.purge(NOW.plus_seconds(20), since, LONG_AGO).await.unwrap();
    assert!(there("waits", LONG_AGO).await && there("late", LONG_AGO).await);
    assert!(!there("old", LONG_AGO).await);
    let listed = async |waiting| {
        let listed = storage.clients(10, waiting, NOW).await.unwrap();
        listed.into_iter().map(|listed| listed.client.id).collect::<Vec<_>>()
    };
    assert_eq!((listed(true).await, listed(false).await.len()), (vec!["waits".to_owned()], 2));
}

async fn used_clients_are_never_evicted(storage: &Database) {
    with_a_grant(storage).await;
    let full = Room { unused: 100, total: 2 };
    let insert = async |id: &str, room, age| {
        storage.insert_client(&registered(id, NOW.plus_seconds(age)), room, None).await.unwrap()
    };
    assert_eq!(insert("first", full, 1).await, Registering::Stored);
    assert_eq!(insert("second", full, 2).await, Registering::Stored);
    assert!(storage.client("first", LONG_AGO).await.unwrap().is_none(), "the oldest unused one");
    let second = client("second", NOW.plus_seconds(2));
    assert!(storage.approve(None, &approval("h", second)).await.unwrap());
    assert_eq!(insert("third", full, 3).await, Registering::NoRoom);
    for (id, there) in [("c", true), ("second", true), ("third", false)] {
        assert_eq!(storage.client(id, LONG_AGO).await.unwrap().is_some(), there, "{id}");
    }
    // what nobody registered takes no room
    let document = Client {
        id: "https://app.test/c.json".into(),
        origin: Origin::Document { host: "app.test".into() },
        ..client("", NOW)
    };
    storage.approve(None, &approval("i", document)).await.unwrap();
    assert_eq!(insert("third", Room { unused: 100, total: 3 }, 3).await, Registering::Stored);
}

async fn what_was_used_long_ago_and_has_nothing_left_is_forgotten(storage: &Database) {
    with_a_grant(storage).await;
    storage.insert_client(&registered("d", NOW), ROOM, None).await.unwrap();
    storage.approve(None, &approval("h", client("d", NOW))).await.unwrap();
    let there = async |id: &str| storage.client(id, LONG_AGO).await.unwrap().is_some();
    // the grants go when they expire; `d` gets another
    let year_later = NOW.plus_seconds(366 * 86_400);
    let mut again = approval("i", client("d", NOW));
    again.grant.expires_at = year_later.plus_seconds(9);
    storage.approve(None, &again).await.unwrap();
    storage.purge(year_later.plus_seconds(-1), LONG_AGO, LONG_AGO).await.unwrap();
    assert!(there("c").await && there("d").await);
    storage.purge(year_later, LONG_AGO, LONG_AGO).await.unwrap();
    assert!(!there("c").await && there("d").await, "one has a grant");
    assert!(
        !storage.has_consented("u", "c").await.unwrap() && storage.has_consented("u", "d").await.unwrap()
    );
    storage.purge(year_later.plus_seconds(9), LONG_AGO, LONG_AGO).await.unwrap();
    assert!(!there("d").await);
}

async fn what_changed_or_went_is_granted_nothing(storage: &Database) {
    with_a_grant(storage).await;
    let stored = async |id: &str| storage.grant(id).await.unwrap().is_some();
    let waiting = RegisteredClient { approved_at: None, ..registered("w", NOW) };
    storage.insert_client(&waiting, ROOM, None).await.unwrap();
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
    let listed = storage.clients(10, false, NOW).await.unwrap();
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
    let purpose = async |token: &str, now| storage.initial_access_token(&digest(token), now).await.unwrap();
    let register = async |id: &str, token: &str, now, room| {
        storage.insert_client(&registered(id, now), room, Some(&digest(token))).await.unwrap()
    };
    assert_eq!(purpose("other", NOW).await, None);
    assert_eq!(purpose("t", end).await, None, "expired");
    assert_eq!(purpose("t", NOW).await.as_deref(), Some("for Bob"));
    assert_eq!(register("a", "other", NOW, ROOM).await, Registering::NotAdmitted);
    assert_eq!(register("a", "t", end, ROOM).await, Registering::NotAdmitted, "expired");
    let none = Room { unused: 0, total: 0 };
    assert_eq!(register("a", "t", NOW, none).await, Registering::NoRoom);
    assert!(storage.client("a", LONG_AGO).await.unwrap().is_none());
    assert_eq!(register("a", "t", NOW, ROOM).await, Registering::Stored, "what failed took nothing");
    assert_eq!(register("b", "t", NOW, ROOM).await, Registering::Stored);
    assert_eq!(register("d", "t", NOW, ROOM).await, Registering::NotAdmitted, "used up");
    assert_eq!(purpose("t", NOW).await, None);
    assert!(storage.client("d", LONG_AGO).await.unwrap().is_none());
}

async fn initial_access_tokens_are_listed_and_ended(storage: &Database) {
    let end = NOW.plus_seconds(10);
    storage.insert_initial_access_token(&digest("first"), "for Bob", 1, NOW, end).await.unwrap();
    let later = NOW.plus_seconds(1);
    storage
        .insert_initial_access_token(&digest("second"), "for Eve", 2, later, NOW.plus_seconds(20))
        .await
        .unwrap();
    let notes = async |now| -> Vec<String> {
        storage.initial_access_tokens(now).await.unwrap().into_iter().map(|token| token.note).collect()
    };
    let second = ListedInitialAccessToken {
        digest: digest("second"),
        note: "for Eve".into(),
        uses_left: 2,
        created_at: later,
        expires_at: NOW.plus_seconds(20),
    };
    assert_eq!(storage.initial_access_tokens(later).await.unwrap()[0], second);
    assert_eq!(notes(later).await, ["for Eve", "for Bob"]);
    assert_eq!(notes(end).await, ["for Eve"], "expired");
    let registered =
        storage.insert_client(&registered("a", NOW), ROOM, Some(&digest("first"))).await.unwrap();
    assert_eq!(registered, Registering::Stored);
    assert_eq!(notes(later).await, ["for Eve"], "used up");
    assert!(!storage.delete_initial_access_token(&digest("third")).await.unwrap());
    assert!(storage.delete_initial_access_token(&digest("second")).await.unwrap());
    assert!(!storage.delete_initial_access_token(&digest("second")).await.unwrap());
    assert_eq!(storage.initial_access_token(&digest("second"), later).await.unwrap(), None);
    assert!(notes(later).await.is_empty());
}

async fn transactions_end_once(storage: &Database) {
    storage.insert_user(&user("u", "alice")).await.unwrap();
    storage.insert_transaction(&transaction("t")).await.unwrap();
    assert!(storage.transaction(&digest("t"), NOW.plus_seconds(10)).await.unwrap().is_none(), "expired");
    let found = storage.transaction(&digest("t"), NOW).await.unwrap().unwrap();
    assert_eq!((found.browser, found.content, found.session), (digest("b"), "content".into(), None));
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
