use super::*;
use crate::model::session::{PasswordChange, Session, SignIn};

on_both!(
    names_are_taken_once,
    sessions_end_when_replaced_expired_or_deleted,
    browsers_are_known_to_their_user_alone,
    signing_in_is_one_act,
    a_new_password_ends_what_the_old_one_began,
    a_password_is_changed_by_whoever_still_has_it,
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

/// A sign-in of alice's with the password that `user` gives her.
fn sign_in(name: &str) -> SignIn {
    SignIn {
        session: session(name, "u"),
        replaces: None,
        browser: digest("browser"),
        transaction: None,
        verified: "hash".into(),
    }
}

async fn signed_in(storage: &Database, name: &str) {
    assert!(storage.sign_in(&sign_in(name)).await.unwrap(), "{name}");
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
    signed_in(storage, "one").await;
    let again = SignIn { replaces: Some(digest("one")), ..sign_in("two") };
    assert!(storage.sign_in(&again).await.unwrap());
    assert!(storage.session(&digest("one"), NOW).await.unwrap().is_none(), "replaced");
    let found = storage.session(&digest("two"), NOW.plus_seconds(9)).await.unwrap();
    assert_eq!(found, Some((session("two", "u"), user("u", "alice"))));
    assert!(storage.session(&digest("two"), NOW.plus_seconds(10)).await.unwrap().is_none(), "expired");
    storage.delete_session(&digest("two")).await.unwrap();
    assert!(storage.session(&digest("two"), NOW).await.unwrap().is_none(), "deleted");
    for name in ["three", "four", "five"] {
        signed_in(storage, name).await;
    }
    assert_eq!(storage.delete_sessions("u", Some(&digest("four"))).await.unwrap(), 2);
    assert_eq!(storage.sessions("u", NOW).await.unwrap(), [session("four", "u")]);
    assert_eq!(storage.sessions("u", NOW.plus_seconds(10)).await.unwrap(), []);
    assert_eq!(storage.delete_sessions("u", None).await.unwrap(), 1);
}

async fn browsers_are_known_to_their_user_alone(storage: &Database) {
    storage.insert_user(&user("u", "alice")).await.unwrap();
    assert!(!storage.is_browser_known("u", &digest("browser")).await.unwrap());
    for name in ["one", "two"] {
        signed_in(storage, name).await;
    }
    assert!(storage.is_browser_known("u", &digest("browser")).await.unwrap());
    assert!(!storage.is_browser_known("v", &digest("browser")).await.unwrap());
}

/// A sign-in leaves all of it or nothing.
async fn signing_in_is_one_act(storage: &Database) {
    storage.insert_user(&user("u", "alice")).await.unwrap();
    storage.insert_transaction(&transaction("t")).await.unwrap();
    signed_in(storage, "one").await;
    let full = |verified: &str| SignIn {
        replaces: Some(digest("one")),
        browser: digest("other browser"),
        transaction: Some(digest("t")),
        verified: verified.into(),
        ..sign_in("two")
    };
    let within = async || storage.transaction(&digest("t"), NOW).await.unwrap().unwrap().session;

    signed_in(storage, "zero").await;
    // verified against a password that was replaced in the meantime
    assert!(!storage.sign_in(&full("old hash")).await.unwrap());
    // what fails in the middle: the new session cannot be stored
    storage.sign_in(&SignIn { session: session("zero", "u"), ..full("hash") }).await.unwrap_err();
    assert!(storage.session(&digest("one"), NOW).await.unwrap().is_some());
    assert!(storage.session(&digest("two"), NOW).await.unwrap().is_none());
    assert_eq!(within().await, None);
    assert!(!storage.is_browser_known("u", &digest("other browser")).await.unwrap());

    assert!(storage.sign_in(&full("hash")).await.unwrap());
    assert!(storage.session(&digest("one"), NOW).await.unwrap().is_none(), "replaced");
    assert!(storage.session(&digest("two"), NOW).await.unwrap().is_some());
    assert_eq!(within().await, Some(digest("two")));
    assert!(storage.is_browser_known("u", &digest("other browser")).await.unwrap());

    // somebody who is deleted while the password is verified
    assert!(storage.delete_user("u", NOW).await.unwrap());
    assert!(!storage.sign_in(&full("hash")).await.unwrap());
}

async fn a_new_password_ends_what_the_old_one_began(storage: &Database) {
    for by_its_user in [false, true] {
        let id = if by_its_user { "of the user" } else { "of the operator" };
        if by_its_user {
            assert!(storage.approve(None, &approval("h", client("c", NOW))).await.unwrap());
        } else {
            with_a_grant(storage).await;
        }
        let grant = if by_its_user { "h" } else { "g" };
        let (jti, refresh, verified) =
            (format!("j {id}"), format!("r {id}"), if by_its_user { "other" } else { "hash" });
        let bought = issued(&jti, Some(&refresh));
        assert!(
            storage.redeem_code(&digest(&format!("code {grant}")), grant, &bought, &used()).await.unwrap()
        );
        for name in ["one", "two"] {
            assert!(storage.sign_in(&SignIn { verified: verified.into(), ..sign_in(name) }).await.unwrap());
        }
        let changed = if by_its_user {
            storage.change_password(&change("two", "other", "third"), NOW).await.unwrap()
        } else {
            storage.set_password("u", "other", NOW).await.unwrap()
        };
        assert!(changed, "{id}");
        let hash = storage.user("u").await.unwrap().unwrap().password_hash;
        assert_eq!(hash, if by_its_user { "third" } else { "other" });
        for name in ["one", "two"] {
            assert!(storage.session(&digest(name), NOW).await.unwrap().is_none(), "{id} {name}");
        }
        let goes_on = storage.session(&digest("next"), NOW).await.unwrap().is_some();
        assert_eq!(goes_on, by_its_user, "the one it was changed in, under another id");
        assert!(!storage.is_browser_known("u", &digest("browser")).await.unwrap(), "{id}");
        assert_eq!(storage.is_browser_known("u", &digest("own browser")).await.unwrap(), by_its_user);
        assert!(!is_active(storage, &jti).await, "{id}");
        let successor = issued("k", Some("q"));
        assert!(!storage.rotate(&digest(&refresh), "s", grant, &successor, &used()).await.unwrap());
        // the old one was verified just before, and comes too late
        let late = SignIn { verified: verified.into(), ..sign_in("late") };
        assert!(!storage.sign_in(&late).await.unwrap(), "{id}");
        assert!(storage.session(&digest("late"), NOW).await.unwrap().is_none());
    }
    assert!(!storage.set_password("nobody", "other", NOW).await.unwrap());
}

/// Alice changes her password in a session, which goes on as `next`.
fn change(replaces: &str, verified: &str, to: &str) -> PasswordChange {
    PasswordChange {
        password_hash: to.into(),
        session: session("next", "u"),
        replaces: digest(replaces),
        browser: Some(digest("own browser")),
        verified: verified.into(),
    }
}

async fn a_password_is_changed_by_whoever_still_has_it(storage: &Database) {
    storage.insert_user(&user("u", "alice")).await.unwrap();
    signed_in(storage, "one").await;
    signed_in(storage, "two").await;
    for (case, refused) in [
        ("the password was changed since", change("one", "old hash", "new")),
        ("the session is over", change("gone", "hash", "new")),
    ] {
        assert!(!storage.change_password(&refused, NOW).await.unwrap(), "{case}");
        assert_eq!(storage.user("u").await.unwrap().unwrap().password_hash, "hash", "{case}");
        assert_eq!(storage.sessions("u", NOW).await.unwrap().len(), 2, "{case}");
        assert!(!storage.is_browser_known("u", &digest("own browser")).await.unwrap(), "{case}");
    }
    assert!(storage.change_password(&change("one", "hash", "new"), NOW).await.unwrap());
    assert!(!storage.change_password(&change("two", "hash", "newer"), NOW).await.unwrap(), "twice");
    assert_eq!(storage.user("u").await.unwrap().unwrap().password_hash, "new");
}

async fn a_disabled_user_is_nobody_until_enabled(storage: &Database) {
    with_a_grant(storage).await;
    storage.redeem_code(&digest("code g"), "g", &issued("j", None), &used()).await.unwrap();
    signed_in(storage, "one").await;
    assert!(!storage.set_user_disabled("nobody", true, NOW).await.unwrap());
    assert!(storage.set_user_disabled("u", true, NOW).await.unwrap());
    assert!(storage.session(&digest("one"), NOW).await.unwrap().is_none());
    assert!(!is_active(storage, "j").await);
    assert_eq!(storage.user("u").await.unwrap().unwrap().disabled_at, Some(NOW));
    // nor does one begin whose password was verified just before
    assert!(!storage.sign_in(&sign_in("two")).await.unwrap());
    assert!(storage.set_user_disabled("u", false, NOW).await.unwrap());
    assert_eq!(storage.sessions("u", NOW).await.unwrap(), []);
    signed_in(storage, "two").await;
}

async fn a_deleted_user_leaves_nothing(storage: &Database) {
    with_a_grant(storage).await;
    storage.redeem_code(&digest("code g"), "g", &issued("j", Some("r")), &used()).await.unwrap();
    signed_in(storage, "one").await;
    assert!(storage.delete_user("u", NOW).await.unwrap());
    assert!(!storage.delete_user("u", NOW).await.unwrap());
    assert!(storage.session(&digest("one"), NOW).await.unwrap().is_none());
    assert!(!storage.has_consented("u", "c").await.unwrap());
    assert_eq!(storage.user_data("u").await.unwrap(), None);
    // while the token lives, it is known to be revoked, and to be nobody's
    let (token, grant) = storage.access_token(&access_name("j")).await.unwrap().unwrap();
    assert_eq!((token.revoked_at, grant.revoked_at, &grant.user_id), (Some(NOW), Some(NOW), &None));
    assert_eq!((&grant.key_thumbprint, grant.authenticated_at), (&None, None));
    let statuses = storage.revoked_statuses(0, 1 << 20, NOW).await.unwrap();
    assert_eq!(statuses, [token.status_index], "gateways learn of it");
    assert!(!storage.rotate(&digest("r"), "s", "g", &issued("k", Some("q")), &used()).await.unwrap());
    let end = token.expires_at.plus_seconds(crate::model::grant::MOST_LEEWAY_SECONDS);
    storage.purge(end, LONG_AGO, LONG_AGO).await.unwrap();
    assert!(storage.access_token(&access_name("j")).await.unwrap().is_none());
    assert!(storage.grant("g").await.unwrap().is_none());
    assert!(storage.code(&digest("code g")).await.unwrap().is_none());
    assert!(storage.refresh_token(&refresh_name("r")).await.unwrap().is_none());
}

async fn data_of_a_user_has_no_secrets(storage: &Database) {
    with_a_grant(storage).await;
    storage.redeem_code(&digest("code g"), "g", &issued("j", Some("r")), &used()).await.unwrap();
    signed_in(storage, "one").await;
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
