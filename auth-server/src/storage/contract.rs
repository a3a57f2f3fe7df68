//! What any storage must do. A new implementation is added at the end, and inherits every case.

use super::{Issued, Storage, StoredKey, StoredTransaction};
use crate::{
    model::{
        client::{Authentication, Client, Origin},
        grant::{AccessToken, Approval, Code, Grant, RefreshToken},
        pkce::CodeChallenge,
        redirect::RedirectUri,
        scope::ScopeSet,
        secret::Digest,
        session::{Session, User},
    },
    outside::Timestamp,
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_000_000);
const LONG_AGO: Timestamp = Timestamp::from_unix_seconds(0);

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

fn user(id: &str, name: &str) -> User {
    User { id: id.into(), name: name.into(), password_hash: "hash".into(), created_at: NOW }
}

fn client(id: &str, registered_at: Timestamp) -> Client {
    Client {
        id: id.into(),
        name: "Name".into(),
        redirect_uris: vec![RedirectUri::parse("https://a.test/cb").unwrap()],
        authentication: Authentication::Secret { digest: digest("secret"), basic: true, post: false },
        refresh: true,
        origin: Origin::Registration,
        links: crate::model::client::Links::default(),
        registered_at,
    }
}

fn approval(id: &str) -> Approval {
    Approval {
        grant: Grant {
            id: id.into(),
            user_id: "u".into(),
            client_id: "c".into(),
            resources: vec!["https://gw.test/mcp".into(), "https://gw.test/other".into()],
            scopes: ScopeSet::parse("a b").unwrap(),
            refresh: true,
            created_at: NOW,
            expires_at: NOW.plus_seconds(1000),
            revoked_at: None,
        },
        code: Code {
            digest: digest(&format!("code {id}")),
            redirect_uri: RedirectUri::parse("https://a.test/cb").unwrap(),
            challenge: CodeChallenge::from_request(Some(&"A".repeat(43)), Some("S256")).unwrap(),
            expires_at: NOW.plus_seconds(60),
            failures: 0,
            redeemed_at: None,
        },
        client: client("c", NOW),
    }
}

fn issued(jti: &str, refresh: Option<&str>) -> Issued {
    Issued {
        access: AccessToken { jti: jti.into(), expires_at: NOW.plus_seconds(100) },
        refresh: refresh.map(|text| RefreshToken {
            digest: digest(text),
            expires_at: NOW.plus_seconds(500),
            rotation: None,
        }),
    }
}

async fn users_and_sessions(storage: &dyn Storage) {
    assert!(storage.insert_user(&user("u", "alice")).await.unwrap());
    assert!(!storage.insert_user(&user("v", "alice")).await.unwrap(), "a name is taken once");
    assert_eq!(storage.user_by_name("alice").await.unwrap(), Some(user("u", "alice")));
    assert_eq!(storage.user("u").await.unwrap(), Some(user("u", "alice")));
    assert_eq!(storage.user("v").await.unwrap(), None);

    let session = |name: &str| Session {
        digest: digest(name),
        user_id: "u".into(),
        authenticated_at: NOW,
        expires_at: NOW.plus_seconds(10),
    };
    storage.insert_session(&session("one"), None).await.unwrap();
    storage.insert_session(&session("two"), Some(&digest("one"))).await.unwrap();
    assert!(storage.session(&digest("one"), NOW).await.unwrap().is_none(), "replaced");
    let found = storage.session(&digest("two"), NOW.plus_seconds(9)).await.unwrap();
    assert_eq!(found, Some((session("two"), user("u", "alice"))));
    assert!(storage.session(&digest("two"), NOW.plus_seconds(10)).await.unwrap().is_none(), "expired");
    storage.delete_session(&digest("two")).await.unwrap();
    assert!(storage.session(&digest("two"), NOW).await.unwrap().is_none(), "deleted");

    assert!(!storage.is_browser_known("u", &digest("browser")).await.unwrap());
    for _ in 0..2 {
        storage.remember_browser("u", &digest("browser"), NOW).await.unwrap();
    }
    assert!(storage.is_browser_known("u", &digest("browser")).await.unwrap());
    assert!(!storage.is_browser_known("v", &digest("browser")).await.unwrap());
}

async fn one_first_signing_key(storage: &dyn Storage) {
    let key = |kid: &str| StoredKey {
        kid: kid.into(),
        algorithm: "ES256".into(),
        pkcs8: "bytes".into(),
        created_at: NOW,
    };
    assert!(storage.signing_keys().await.unwrap().is_empty());
    storage.insert_first_signing_key(&key("first")).await.unwrap();
    storage.insert_first_signing_key(&key("second")).await.unwrap();
    let kids: Vec<_> = storage.signing_keys().await.unwrap().into_iter().map(|key| key.kid).collect();
    assert_eq!(kids, ["first"]);
}

async fn clients_and_their_eviction(storage: &dyn Storage) {
    for (age, id) in ["old", "middle", "new"].into_iter().enumerate() {
        let registered_at = NOW.plus_seconds(i64::try_from(age).unwrap());
        storage.insert_client(&client(id, registered_at), 2).await.unwrap();
    }
    assert_eq!(storage.client("old", LONG_AGO).await.unwrap(), None, "beyond the cap");
    assert_eq!(storage.client("new", LONG_AGO).await.unwrap(), Some(client("new", NOW.plus_seconds(2))));
    assert_eq!(storage.client("middle", NOW.plus_seconds(1)).await.unwrap(), None, "unused for too long");
    // within one second, the newcomer stays
    storage.insert_client(&client("newest", NOW.plus_seconds(2)), 1).await.unwrap();
    assert!(storage.client("newest", LONG_AGO).await.unwrap().is_some());
    assert!(storage.client("new", LONG_AGO).await.unwrap().is_none());
}

async fn transactions_end_once(storage: &dyn Storage) {
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
    assert!(!storage.approve(Some(&digest("t")), &approval("never")).await.unwrap(), "nothing to approve");
    assert!(storage.code(&digest("code never")).await.unwrap().is_none(), "and nothing stored");
}

async fn codes_are_redeemed_once(storage: &dyn Storage) {
    let approval = approval("g");
    assert!(storage.approve(None, &approval).await.unwrap());
    let code = digest("code g");
    storage.count_code_failure(&code).await.unwrap();
    let (found, grant) = storage.code(&code).await.unwrap().unwrap();
    assert_eq!(found, Code { failures: 1, ..approval.code });
    assert_eq!(grant, approval.grant);
    assert!(storage.redeem_code(&code, "g", &issued("j1", Some("r1")), NOW).await.unwrap());
    assert!(!storage.redeem_code(&code, "g", &issued("j2", Some("r2")), NOW).await.unwrap());
    assert!(storage.is_access_token_active("j1", NOW).await.unwrap());
    assert!(!storage.is_access_token_active("j2", NOW).await.unwrap(), "nothing of the second is stored");
    assert!(storage.refresh_token(&digest("r2")).await.unwrap().is_none());
    assert_eq!(storage.code(&code).await.unwrap().unwrap().0.redeemed_at, Some(NOW));
}

async fn refresh_tokens_rotate_once(storage: &dyn Storage) {
    let rotate = async |from: &str, salt: &str, issued: Issued| {
        storage.rotate(&digest(from), salt, "g", &issued, NOW).await.unwrap()
    };
    assert!(rotate("r1", "salt", issued("j3", Some("r3"))).await);
    assert!(!rotate("r1", "other", issued("j4", Some("r4"))).await);
    assert!(!rotate("unknown", "salt", issued("j5", Some("r5"))).await);
    let (old, _) = storage.refresh_token(&digest("r1")).await.unwrap().unwrap();
    assert_eq!(old.rotation.map(|rotation| (rotation.at, rotation.salt)), Some((NOW, "salt".into())));
    let (new, grant) = storage.refresh_token(&digest("r3")).await.unwrap().unwrap();
    assert_eq!((new.rotation, grant.id.as_str()), (None, "g"));
    assert!(storage.refresh_token(&digest("r4")).await.unwrap().is_none());
}

async fn revocation(storage: &dyn Storage) {
    storage.revoke_access_token("j3", "another client", NOW).await.unwrap();
    assert!(storage.is_access_token_active("j3", NOW).await.unwrap());
    storage.revoke_access_token("j3", "c", NOW).await.unwrap();
    assert!(!storage.is_access_token_active("j3", NOW).await.unwrap());
    assert!(storage.is_access_token_active("j1", NOW).await.unwrap(), "that token only");
    assert!(!storage.is_access_token_active("j1", NOW.plus_seconds(100)).await.unwrap(), "expired");

    storage.approve(None, &approval("h")).await.unwrap();
    storage.revoke_grant("g", NOW).await.unwrap();
    storage.revoke_grant("h", NOW).await.unwrap();
    storage.revoke_grant("h", NOW.plus_seconds(5)).await.unwrap();
    assert!(!storage.is_access_token_active("j1", NOW).await.unwrap());
    let revoked_at =
        async |token: &str| storage.refresh_token(&digest(token)).await.unwrap().unwrap().1.revoked_at;
    assert_eq!(revoked_at("r3").await, Some(NOW));
    assert!(!storage.rotate(&digest("r3"), "s", "g", &issued("j6", Some("r6")), NOW).await.unwrap());
    assert!(!storage.redeem_code(&digest("code h"), "h", &issued("j7", None), NOW).await.unwrap());
    assert_eq!(
        storage.code(&digest("code h")).await.unwrap().unwrap().1.revoked_at,
        Some(NOW),
        "the first time counts"
    );
}

async fn consents_add_up_until_redirects_change(storage: &dyn Storage) {
    let scopes = async || {
        storage
            .consent("u", "c", "https://gw.test/mcp")
            .await
            .unwrap()
            .map(|consent| consent.scopes.to_string())
    };
    assert_eq!(scopes().await.as_deref(), Some("a b"));
    assert!(storage.has_consented("u", "c").await.unwrap());
    assert!(!storage.has_consented("u", "d").await.unwrap());
    assert!(storage.consent("u", "c", "https://gw.test/third").await.unwrap().is_none());
    let mut more = approval("i");
    more.grant.scopes = ScopeSet::parse("c").unwrap();
    storage.approve(None, &more).await.unwrap();
    assert_eq!(scopes().await.as_deref(), Some("a b c"));
    let mut moved = approval("k");
    moved.grant.scopes = ScopeSet::parse("d").unwrap();
    moved.client.redirect_uris = vec![RedirectUri::parse("https://moved.test/cb").unwrap()];
    storage.approve(None, &moved).await.unwrap();
    assert_eq!(scopes().await.as_deref(), Some("d"));
    // and the client is kept as it was seen last, used now
    let seen = storage.client("c", NOW.plus_seconds(1_000_000)).await.unwrap().unwrap();
    assert_eq!(seen.redirect_uris, moved.client.redirect_uris);
}

async fn purging_takes_what_is_over(storage: &dyn Storage) {
    storage.insert_client(&client("unused", NOW), 100).await.unwrap();
    storage.purge(NOW.plus_seconds(99), LONG_AGO).await.unwrap();
    assert!(storage.code(&digest("code g")).await.unwrap().is_some());
    assert!(storage.client("unused", LONG_AGO).await.unwrap().is_some());
    storage.purge(NOW.plus_seconds(2000), NOW).await.unwrap();
    for code in ["code g", "code h", "code i", "code k"] {
        assert!(storage.code(&digest(code)).await.unwrap().is_none(), "{code}");
    }
    assert!(storage.refresh_token(&digest("r3")).await.unwrap().is_none());
    assert!(storage.client("unused", LONG_AGO).await.unwrap().is_none());
    assert!(storage.client("c", LONG_AGO).await.unwrap().is_some(), "used");
    assert!(storage.has_consented("u", "c").await.unwrap());
}

/// The cases, in an order in which each finds what it needs.
async fn contract(storage: &dyn Storage) {
    users_and_sessions(storage).await;
    one_first_signing_key(storage).await;
    clients_and_their_eviction(storage).await;
    transactions_end_once(storage).await;
    codes_are_redeemed_once(storage).await;
    refresh_tokens_rotate_once(storage).await;
    revocation(storage).await;
    consents_add_up_until_redirects_change(storage).await;
    purging_takes_what_is_over(storage).await;
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("contract.db");
    let storage = super::sqlite::SqliteStorage::open(&file).await.unwrap();
    contract(&storage).await;
    storage.close().await;
    // opened again, the tables are as they were left
    let storage = super::sqlite::SqliteStorage::open(&file).await.unwrap();
    super::Accounts::user_by_name(&storage, "alice").await.unwrap().unwrap();
}
