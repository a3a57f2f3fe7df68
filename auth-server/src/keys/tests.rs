use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::*;
use crate::{
    config::DatabaseUrl,
    outside::ManualClock,
    storage::sql::{Database, Schema},
};

const ISSUER: &str = "https://as.test";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    iss: String,
    exp: i64,
}

fn claims(iss: &str) -> Claims {
    Claims { iss: iss.to_owned(), exp: 1 }
}

struct House {
    storage: Arc<dyn Storage>,
    clock: Arc<ManualClock>,
    _dir: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(dir.path().join("keys.db"));
        let storage = Arc::new(Database::open(&url, Schema::Migrate).await.unwrap());
        let clock = Arc::new(ManualClock::new(Timestamp::from_unix_seconds(1_000_000)));
        Self { storage, clock, _dir: dir }
    }

    async fn server(&self) -> SigningKeys {
        let schedule =
            Schedule { algorithms: vec![Algorithm::Es256], rotate_after: None, publish_before: 3600 };
        let settings = Settings { schedule, sealing: None, longest_lifetime: 900 };
        SigningKeys::start(Arc::clone(&self.storage), Arc::clone(&self.clock) as _, settings).await.unwrap()
    }

    /// A key that signs at once, as after a leak.
    async fn rotate(&self, server: &SigningKeys) {
        admin::rotate(&*self.storage, &server.settings, true, self.clock.now()).await.unwrap();
    }
}

#[tokio::test]
async fn what_another_server_signed_a_moment_ago_is_read() {
    let house = House::new().await;
    let (one, two) = (house.server().await, house.server().await);
    house.clock.advance_seconds(1);
    house.rotate(&one).await;
    one.look_after().await.unwrap();
    let token = one.sign(TokenType::Id, &claims(ISSUER)).unwrap();
    assert_eq!(two.published().keys.len(), 1, "else nothing is shown");
    assert_eq!(two.read_own(TokenType::Id, &token, ISSUER).await, Some(claims(ISSUER)));
    assert_eq!(two.published().keys.len(), 2);
}

#[tokio::test]
async fn names_of_keys_that_nobody_has_are_not_looked_up_each_time() {
    let house = House::new().await;
    let (one, two) = (house.server().await, house.server().await);
    // a token by a key that is not in the database
    let stranger = House::new().await.server().await;
    let forged = stranger.sign(TokenType::Id, &claims(ISSUER)).unwrap();
    assert_eq!(two.read_own::<Claims>(TokenType::Id, &forged, ISSUER).await, None);
    house.clock.advance_seconds(1);
    house.rotate(&one).await;
    one.look_after().await.unwrap();
    let token = one.sign(TokenType::Id, &claims(ISSUER)).unwrap();
    house.clock.advance_seconds(UNKNOWN_KEY_PAUSE - 2);
    assert_eq!(two.read_own::<Claims>(TokenType::Id, &token, ISSUER).await, None, "too soon");
    house.clock.advance_seconds(1);
    assert_eq!(two.read_own(TokenType::Id, &token, ISSUER).await, Some(claims(ISSUER)));
}

#[tokio::test]
async fn only_what_this_server_signed_as_that_and_in_its_own_name_is_read() {
    let house = House::new().await;
    let server = house.server().await;
    for kind in [TokenType::Access, TokenType::Id, TokenType::StatusList] {
        let token = server.sign(kind, &claims(ISSUER)).unwrap();
        for read_as in [TokenType::Access, TokenType::Id, TokenType::StatusList] {
            let read: Option<Claims> = server.read_own(read_as, &token, ISSUER).await;
            assert_eq!(read.is_some(), kind == read_as, "{kind:?} as {read_as:?}");
        }
        for issuer in ["https://as.test/", "https://evil.test", ""] {
            let foreign = server.sign(kind, &claims(issuer)).unwrap();
            assert_eq!(server.read_own::<Claims>(kind, &foreign, ISSUER).await, None, "{issuer}");
        }
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        parts[2] = server.sign(kind, &claims("x")).unwrap().split('.').nth(2).unwrap().to_owned();
        for altered in [parts.join("."), format!("{}.{}.", parts[0], parts[1]), "x".to_owned(), String::new()]
        {
            assert_eq!(server.read_own::<Claims>(kind, &altered, ISSUER).await, None, "{altered}");
        }
    }
}

#[tokio::test]
async fn a_database_that_fails_leaves_the_keys_at_hand() {
    let house = House::new().await;
    let server = house.server().await;
    house.storage.close().await;
    server.look_after().await.unwrap_err();
    let token = server.sign(TokenType::Access, &claims(ISSUER)).unwrap();
    assert!(server.read_own::<Claims>(TokenType::Access, &token, ISSUER).await.is_some());
}

#[tokio::test]
async fn rows_that_are_no_keys_of_ours_are_refused() {
    let house = House::new().await;
    let server = house.server().await;
    let good = house.storage.signing_keys().await.unwrap().remove(0);
    let row = |kid: &str, algorithm: &str, pkcs8: &str| StoredKey {
        kid: kid.to_owned(),
        algorithm: algorithm.to_owned(),
        pkcs8: pkcs8.into(),
        ..good.clone()
    };
    for (kid, bad) in [
        ("another algorithm", row("another algorithm", "HS256", "c2VjcmV0")),
        ("no base64", row("no base64", "ES256", "%%%")),
        ("no key", row("no key", "ES256", "c2VjcmV0")),
        (
            "of another kind",
            StoredKey { kid: "of another kind".into(), algorithm: "EdDSA".into(), ..good.clone() },
        ),
    ] {
        assert!(house.storage.insert_signing_key(&bad, Some(house.clock.now())).await.unwrap());
        let error = format!("{:#}", server.look_after().await.unwrap_err());
        assert!(error.contains(kid), "{error}");
        assert!(house.storage.delete_signing_key(kid).await.unwrap());
    }
    server.look_after().await.unwrap();
}
