use super::*;
use crate::model::session::Session;

on_both!(
    names_are_taken_once,
    sessions_end_when_replaced_expired_or_deleted,
    browsers_are_known_to_their_user_alone,
    a_new_password_ends_what_the_old_one_began,
    a_disabled_user_is_nobody_until_enabled,
    a_deleted_user_leaves_nothing,
    data_of_a_user_has_no_secrets,
    keys_are_made_once,
    an_identity_names_one_user,
);

fn session(name: &str, user_id: &str) -> Session {
    Session {
        digest: digest(name),
        user_id: user_id.into(),
        authenticated_at: NOW,
        expires_at: NOW.plus_seconds(10),
        address: "203.0.113.1".into(),
        user_agent: "Browser".into(),
    }
}

async fn names_are_taken_once(storage: &Database) {
    assert!(storage.insert_user(&user("u", "alice")).await.unwrap());
    assert!(!storage.insert_user(&user("v", "alice")).await.unwrap());
    assert_eq!(storage.user_by_name("alice").await.unwrap(), Some(user("u", "alice")));
    assert_eq!(storage.user("u").await.unwrap(), Some(user("u", "alice")));
    assert_eq!(storage.user("v").await.unwrap(), None);
    let changed = User { email: None, email_verified: false, attributes: [].into(), ..user("u", "alice") };
    assert!(storage.update_user(&changed).await.unwrap());
    assert!(!storage.update_user(&user("v", "nobody")).await.unwrap());
    assert_eq!(storage.users().await.unwrap(), [changed]);
}

async fn sessions_end_when_replaced_expired_or_deleted(storage: &Database) {
    storage.insert_user(&user("u", "alice")).await.unwrap();
    storage.insert_session(&session("one", "u"), None).await.unwrap();
    storage.insert_session(&session("two", "u"), Some(&digest("one"))).await.unwrap();
    assert!(storage.session(&digest("one"), NOW).await.unwrap().is_none(), "replaced");
    let found = storage.session(&digest("two"), NOW.plus_seconds(9)).await.unwrap();
    assert_eq!(found, Some((session("two", "u"), user("u", "alice"))));
    assert!(storage.session(&digest("two"), NOW.plus_seconds(10)).await.unwrap().is_none(), "expired");
    storage.delete_session(&digest("two")).await.unwrap();
    assert!(storage.session(&digest("two"), NOW).await.unwrap().is_none(), "deleted");
    for name in ["three", "four", "five"] {
        storage.insert_session(&session(name, "u"), None).await.unwrap();
    }
    assert_eq!(storage.delete_sessions("u", Some(&digest("four"))).await.unwrap(), 2);
    assert_eq!(storage.sessions("u", NOW).await.unwrap(), [session("four", "u")]);
    assert_eq!(storage.sessions("u", NOW.plus_seconds(10)).await.unwrap(), []);
    assert_eq!(storage.delete_sessions("u", None).await.unwrap(), 1);
}

async fn browsers_are_known_to_their_user_alone(storage: &Database) {
    storage.insert_user(&user("u", "alice")).await.unwrap();
    assert!(!storage.is_browser_known("u", &digest("browser")).await.unwrap());
    for _ in 0..2 {
        storage.remember_browser("u", &digest("browser"), NOW).await.unwrap();
    }
    assert!(storage.is_browser_known("u", &digest("browser")).await.unwrap());
    assert!(!storage.is_browser_known("v", &digest("browser")).await.unwrap());
}

async fn a_new_password_ends_what_the_old_one_began(storage: &Database) {
    with_a_grant(storage).await;
    storage.redeem_code(&digest("code g"), "g", &issued("j", Some("r")), &used()).await.unwrap();
    for name in ["one", "two"] {
        storage.insert_session(&session(name, "u"), None).await.unwrap();
    }
    storage.remember_browser("u", &digest("browser"), NOW).await.unwrap();
    storage.set_password("u", "other", Some(&digest("two")), NOW).await.unwrap();
    assert_eq!(storage.user("u").await.unwrap().unwrap().password_hash, "other");
    assert!(storage.session(&digest("one"), NOW).await.unwrap().is_none());
    assert!(storage.session(&digest("two"), NOW).await.unwrap().is_some(), "the one it was changed in");
    assert!(!storage.is_browser_known("u", &digest("browser")).await.unwrap());
    assert!(!is_active(storage, "j").await);
    assert!(!storage.rotate(&digest("r"), "s", "g", &issued("k", Some("q")), &used()).await.unwrap());
}

async fn a_disabled_user_is_nobody_until_enabled(storage: &Database) {
    with_a_grant(storage).await;
    storage.redeem_code(&digest("code g"), "g", &issued("j", None), &used()).await.unwrap();
    storage.insert_session(&session("one", "u"), None).await.unwrap();
    assert!(!storage.set_user_disabled("nobody", true, NOW).await.unwrap());
    assert!(storage.set_user_disabled("u", true, NOW).await.unwrap());
    assert!(storage.session(&digest("one"), NOW).await.unwrap().is_none());
    assert!(!is_active(storage, "j").await);
    assert_eq!(storage.user("u").await.unwrap().unwrap().disabled_at, Some(NOW));
    // a session that came into being at the same moment is no good either
    storage.insert_session(&session("two", "u"), None).await.unwrap();
    assert!(storage.session(&digest("two"), NOW).await.unwrap().is_none());
    assert!(storage.set_user_disabled("u", false, NOW).await.unwrap());
    assert!(storage.session(&digest("two"), NOW).await.unwrap().is_some());
}

async fn a_deleted_user_leaves_nothing(storage: &Database) {
    with_a_grant(storage).await;
    storage.redeem_code(&digest("code g"), "g", &issued("j", Some("r")), &used()).await.unwrap();
    storage.insert_session(&session("one", "u"), None).await.unwrap();
    assert!(storage.delete_user("u", NOW).await.unwrap());
    assert!(!storage.delete_user("u", NOW).await.unwrap());
    assert!(storage.session(&digest("one"), NOW).await.unwrap().is_none());
    assert!(!storage.has_consented("u", "c").await.unwrap());
    assert_eq!(storage.user_data("u").await.unwrap(), None);
    // while the token lives, it is known to be revoked, and to be nobody's
    let (token, grant) = storage.access_token(&digest("j")).await.unwrap().unwrap();
    assert_eq!((token.revoked_at, grant.revoked_at, &grant.user_id), (Some(NOW), Some(NOW), &None));
    assert_eq!((&grant.key_thumbprint, grant.authenticated_at), (&None, None));
    let statuses = storage.revoked_statuses(0, 1 << 20, NOW).await.unwrap();
    assert_eq!(statuses, [token.status_index], "gateways learn of it");
    assert!(!storage.rotate(&digest("r"), "s", "g", &issued("k", Some("q")), &used()).await.unwrap());
    let end = token.expires_at.plus_seconds(crate::model::grant::MOST_LEEWAY_SECONDS);
    storage.purge(end, LONG_AGO, LONG_AGO).await.unwrap();
    assert!(storage.access_token(&digest("j")).await.unwrap().is_none());
    assert!(storage.grant("g").await.unwrap().is_none());
    assert!(storage.code(&digest("code g")).await.unwrap().is_none());
    assert!(storage.refresh_token(&digest("r")).await.unwrap().is_none());
}

async fn data_of_a_user_has_no_secrets(storage: &Database) {
    with_a_grant(storage).await;
    storage.redeem_code(&digest("code g"), "g", &issued("j", Some("r")), &used()).await.unwrap();
    storage.insert_session(&session("one", "u"), None).await.unwrap();
    let data = storage.user_data("u").await.unwrap().unwrap();
    assert_eq!(data["name"], "alice");
    assert_eq!(data["attributes"]["tier"], "gold");
    assert_eq!(data["grants"][0]["client_id"], "c");
    assert_eq!(data["grants"][0]["last_address"], "203.0.113.1");
    assert_eq!(data["consents"][1]["resource"], "https://gw.test/other");
    assert_eq!(data["sessions"][0]["user_agent"], "Browser");
    let text = data.to_string();
    for secret in ["hash", digest("one").as_str(), digest("r").as_str(), digest("j").as_str()] {
        assert!(!text.contains(secret), "{secret}");
    }
}

async fn an_identity_names_one_user(storage: &Database) {
    storage.insert_user(&user("u", "alice")).await.unwrap();
    let named = async |issuer: &str, subject: &str| {
        storage.user_by_identity(issuer, subject).await.unwrap().map(|user| user.id)
    };
    let link = async |subject: &str, user: &User| {
        storage.link_identity("https://idp.test", subject, user, NOW).await.unwrap().map(|user| user.id)
    };
    assert_eq!(named("https://idp.test", "s").await, None);
    assert_eq!(link("s", &user("u", "alice")).await.as_deref(), Some("u"));
    assert_eq!(link("s", &user("v", "bob")).await.as_deref(), Some("u"), "the first one stays");
    assert_eq!(link("t", &user("w", "carol")).await.as_deref(), Some("w"), "a new user");
    assert_eq!(link("x", &user("z", "alice")).await, None, "the name is somebody else's");
    assert_eq!(named("https://other.test", "s").await, None, "another issuer");
    storage.insert_user(&user("y", "dave")).await.unwrap();
    assert_eq!(storage.user_by_verified_email("a@b.test").await.unwrap(), None, "of several");
    for id in ["v", "w", "y"] {
        storage.delete_user(id, NOW).await.unwrap();
    }
    assert_eq!(storage.user_by_verified_email("a@b.test").await.unwrap().unwrap().id, "u");
    let unverified = User { email_verified: false, ..user("u", "alice") };
    storage.update_user(&unverified).await.unwrap();
    assert_eq!(storage.user_by_verified_email("a@b.test").await.unwrap(), None);
}

async fn keys_are_made_once(storage: &Database) {
    let key = |kid: &str, created_at| crate::storage::StoredKey {
        kid: kid.into(),
        algorithm: "ES256".into(),
        pkcs8: "bytes".into(),
        sealed_with: None,
        created_at,
        activates_at: created_at,
        needed_until: created_at,
    };
    let kids = async || {
        let keys = storage.signing_keys().await.unwrap();
        keys.into_iter().map(|key| key.kid).collect::<Vec<_>>()
    };
    assert!(storage.insert_signing_key(&key("first", NOW), None).await.unwrap());
    assert!(!storage.insert_signing_key(&key("second", NOW), None).await.unwrap());
    assert_eq!(kids().await, ["first"]);
    // a rotation that two servers want at once
    let later = NOW.plus_seconds(10);
    assert!(storage.insert_signing_key(&key("third", later), Some(NOW)).await.unwrap());
    assert!(!storage.insert_signing_key(&key("fourth", later), Some(NOW)).await.unwrap());
    assert_eq!(kids().await, ["first", "third"]);
    let other = crate::storage::StoredKey { algorithm: "EdDSA".into(), ..key("other", later) };
    assert!(storage.insert_signing_key(&other, None).await.unwrap(), "an algorithm by itself");
    let sealed = crate::storage::StoredKey {
        pkcs8: "sealed".into(),
        sealed_with: Some("k".into()),
        ..key("third", later)
    };
    storage.reseal_signing_key(&sealed).await.unwrap();
    let found = storage.signing_keys().await.unwrap().into_iter().find(|key| key.kid == "third").unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&found.pkcs8), "sealed");
    assert_eq!(found.sealed_with.as_deref(), Some("k"));
    for (until, noted) in [(50, 50), (60, 60), (55, 60)] {
        storage.prolong_signing_key("third", NOW.plus_seconds(until)).await.unwrap();
        let keys = storage.signing_keys().await.unwrap();
        let needed = |kid: &str| keys.iter().find(|key| key.kid == kid).unwrap().needed_until;
        assert_eq!((needed("third"), needed("first")), (NOW.plus_seconds(noted), NOW));
    }
    assert!(storage.delete_signing_key("first").await.unwrap());
    assert!(!storage.delete_signing_key("first").await.unwrap());
    assert_eq!(kids().await, ["other", "third"]);
}
