//! What any storage must do, run on SQLite and on PostgreSQL.

mod accounts;
mod clients;
mod devices;
mod grants;
mod housekeeping;
mod schema;

use secrecy::SecretString;
use tempfile::TempDir;

use super::{
    Accounts as _, Clients as _, Devices as _, Grants as _, Housekeeping as _, Issued, Keys as _,
    RegisteredClient, Registering, Room, StoredTransaction, Transactions as _,
    sql::{Database, Schema},
};
use crate::{
    config::DatabaseUrl,
    model::{
        client::{Authentication, Client, Origin},
        grant::{AccessToken, Approval, Code, Grant, GrantKind, RefreshToken, Use},
        pkce::CodeChallenge,
        presented::{AccessTokenName, RefreshTokenName},
        redirect::RedirectUri,
        scope::ScopeSet,
        secret::Digest,
        session::User,
    },
    outside::Timestamp,
};

const NOW: Timestamp = Timestamp::from_unix_seconds(1_000_000);
const LONG_AGO: Timestamp = Timestamp::from_unix_seconds(0);

/// A database of its own, empty.
pub(in crate::storage) struct Fresh {
    url: DatabaseUrl,
    pub(in crate::storage) database: Database,
    _dir: TempDir,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::storage) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    async fn url(self, dir: &TempDir) -> DatabaseUrl {
        match self {
            Self::Sqlite => DatabaseUrl::Sqlite(dir.path().join("contract.db")),
            Self::Postgres => DatabaseUrl::Postgres(new_postgres_database().await),
        }
    }

    pub(in crate::storage) async fn fresh(self) -> Fresh {
        let dir = tempfile::tempdir().unwrap();
        let url = self.url(&dir).await;
        let database = Database::open(&url, Schema::Migrate).await.unwrap();
        Fresh { url, database, _dir: dir }
    }
}

/// A new schema on the server that the tests were given.
#[expect(clippy::disallowed_methods, reason = "which server there is for tests is a matter of the machine")]
async fn new_postgres_database() -> SecretString {
    use sqlx::{Connection as _, Executor as _};

    let server = std::env::var("TEST_POSTGRES_URL").expect(
        "TEST_POSTGRES_URL names no PostgreSQL server: run ./test, or \
         `export TEST_POSTGRES_URL=$(auth-server/tests/postgres start)`",
    );
    let mut bytes = [0; 8];
    crate::outside::Rng::fill(&crate::outside::SystemRng, &mut bytes).unwrap();
    let name = format!("contract_{}", u64::from_be_bytes(bytes));
    let mut connection = sqlx::PgConnection::connect(&server).await.unwrap();
    let create = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {name}"));
    connection.execute(create).await.unwrap();
    let mut url = url::Url::parse(&server).unwrap();
    // a schema takes a tenth of the room of a database
    url.query_pairs_mut().append_pair("options[search_path]", &name);
    SecretString::from(url.as_str())
}

/// Runs each case on a database of its own, of either kind.
macro_rules! on_both {
    ($($case:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test]
            async fn $case() {
                super::$case(&crate::storage::contract::Engine::Sqlite.fresh().await.database).await;
            })+
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(&crate::storage::contract::Engine::Postgres.fresh().await.database).await;
            })+
        }
    };
}
use on_both;

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// The name of the token that [`access`] makes.
fn access_name(jti: &str) -> AccessTokenName {
    AccessTokenName { issued_at: NOW, digest: digest(jti) }
}

/// The name of a refresh token of the grant `g`.
fn refresh_name(text: &str) -> RefreshTokenName {
    RefreshTokenName { grant_id: Some("g".into()), digest: digest(text) }
}

fn user(id: &str, name: &str) -> User {
    User {
        id: id.into(),
        name: name.into(),
        password_hash: "hash".into(),
        email: Some("a@b.test".into()),
        email_verified: true,
        attributes: [("tier".to_owned(), "gold".to_owned())].into(),
        created_at: NOW,
        disabled_at: None,
    }
}

fn client(id: &str, registered_at: Timestamp) -> Client {
    Client {
        id: id.into(),
        name: "Name".into(),
        redirect_uris: vec![RedirectUri::parse("https://a.test/cb").unwrap()],
        post_logout_redirect_uris: Vec::new(),
        authentication: Authentication::Secret { digest: digest("secret"), basic: true, post: false },
        grant_types: crate::model::grant_type::interactive(),
        restrictions: crate::model::client::Restrictions::default(),
        origin: Origin::Registration,
        links: crate::model::client::Links::default(),
        service: crate::model::client::Service::default(),
        registered_at,
    }
}

fn registered(id: &str, registered_at: Timestamp) -> RegisteredClient {
    RegisteredClient {
        client: client(id, registered_at),
        management: Some(digest(&format!("manages {id}"))),
        approved_at: Some(registered_at),
    }
}

/// Room for as many as a test needs.
const ROOM: Room = Room { unused: 100, total: 100 };

fn approval(id: &str, client: Client) -> Approval {
    Approval {
        grant: Grant {
            id: id.into(),
            kind: GrantKind::AuthorizationCode,
            parent_id: None,
            user_id: Some("u".into()),
            client_id: client.id.clone(),
            resources: vec!["https://gw.test/mcp".into(), "https://gw.test/other".into()],
            scopes: ScopeSet::parse("a b").unwrap(),
            refresh: true,
            key_thumbprint: None,
            actor: None,
            authenticated_at: Some(NOW),
            created_at: NOW,
            expires_at: NOW.plus_seconds(1000),
            revoked_at: None,
        },
        code: Some(Code {
            digest: digest(&format!("code {id}")),
            redirect_uri: RedirectUri::parse("https://a.test/cb").unwrap(),
            challenge: CodeChallenge::from_request(Some(&"A".repeat(43)), Some("S256")).unwrap(),
            nonce: Some("n".into()),
            expires_at: NOW.plus_seconds(60),
            failures: 0,
            redeemed_at: None,
        }),
        asked: Some(ScopeSet::parse("a b").unwrap()),
        client,
    }
}

fn access(jti: &str) -> AccessToken {
    AccessToken {
        digest: digest(jti),
        jti: jti.into(),
        audience: "https://gw.test/mcp".into(),
        scopes: ScopeSet::parse("a").unwrap(),
        issued_at: NOW,
        expires_at: NOW.plus_seconds(100),
        status_index: jti.bytes().map(i64::from).sum(),
        key_thumbprint: Some("thumbprint".into()),
        revoked_at: None,
    }
}

fn issued(jti: &str, refresh: Option<&str>) -> Issued {
    Issued {
        access: access(jti),
        refresh: refresh.map(|text| RefreshToken {
            digest: digest(text),
            expires_at: NOW.plus_seconds(500),
            rotation: None,
        }),
    }
}

fn used() -> Use {
    Use { at: NOW, address: "203.0.113.1".into(), binds_to: Some("key".into()) }
}

/// Alice, a client, and a grant `g` of hers.
async fn with_a_grant(storage: &Database) {
    assert!(storage.insert_user(&user("u", "alice")).await.unwrap());
    storage.insert_client(&registered("c", NOW), ROOM, None).await.unwrap();
    assert!(storage.approve(None, &approval("g", client("c", NOW))).await.unwrap());
}

fn transaction(name: &str) -> StoredTransaction {
    StoredTransaction {
        digest: digest(name),
        browser: digest("b"),
        content: "content".into(),
        session: None,
        expires_at: NOW.plus_seconds(10),
    }
}

async fn is_active(storage: &Database, jti: &str) -> bool {
    let found = storage.access_token(&access_name(jti)).await.unwrap();
    found.is_some_and(|(token, grant)| token.revoked_at.is_none() && grant.revoked_at.is_none())
}
