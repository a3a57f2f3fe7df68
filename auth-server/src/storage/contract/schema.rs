//! The tables: made anew or brought up to date, they are the same, and those of a newer server are left alone.

use super::*;

async fn opened_again_the_tables_are_as_they_were_left(engine: Engine) {
    let fresh = engine.fresh().await;
    with_a_grant(&fresh.database).await;
    fresh.database.close().await;
    let again = Database::open(&fresh.url, Schema::Check).await.unwrap();
    assert_eq!(again.grant("g").await.unwrap(), Some(approval("g", client("c", NOW)).grant));
}

async fn tables_of_a_newer_server_are_left_alone(engine: Engine) {
    let fresh = engine.fresh().await;
    fresh
        .database
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'from the future', TRUE, '', 0)",
        )
        .await;
    fresh.database.close().await;
    for schema in [Schema::Migrate, Schema::Check] {
        let error = Database::open(&fresh.url, schema).await.unwrap_err().to_string();
        assert!(error.contains("version 99") && error.contains("newer"), "{error}");
    }
}

async fn tables_of_the_first_version_are_brought_up_to_date(engine: Engine) {
    let dir = tempfile::tempdir().unwrap();
    let url = engine.url(&dir).await;
    let old = Database::open_at_version(&url, 1).await;
    for statement in [
        "INSERT INTO users (id, name, password_hash, created_at) VALUES ('u', 'alice', 'h', 1)",
        "INSERT INTO clients (id, origin, metadata, registered_at) VALUES ('c', 'registration', '{}', 7)",
        "INSERT INTO grants (id, user_id, client_id, resources, scopes, refresh, created_at, expires_at) \
         VALUES ('g', 'u', 'c', 'https://gw.test/mcp', 'a b', 1, 1000000, 1001000), \
                ('h', 'u', 'conf', 'https://gw.test/mcp', 'a', 0, 1000000, 1001000)",
        "INSERT INTO refresh_tokens (digest, grant_id, expires_at) VALUES ('r', 'g', 1000500)",
        "INSERT INTO codes (digest, grant_id, redirect_uri, code_challenge, expires_at) VALUES \
         ('k', 'h', 'https://a.test/cb', 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 1000060)",
    ] {
        old.execute(statement).await;
    }
    old.close().await;
    let error = Database::open(&url, Schema::Check).await.unwrap_err().to_string();
    assert!(error.contains("mcp-auth-server migrate"), "{error}");

    let migrated = Database::open(&url, Schema::Migrate).await.unwrap();
    let token = Digest::stored("r".into());
    for grant_id in [None, Some("g".to_owned())] {
        let name = RefreshTokenName { grant_id, digest: token.clone() };
        assert!(migrated.refresh_token(&name).await.unwrap().is_some(), "{name:?}");
    }
    let unnamed = RefreshTokenName { grant_id: None, digest: token.clone() };
    let (_, grant) = migrated.refresh_token(&unnamed).await.unwrap().unwrap();
    assert_eq!((grant.id.as_str(), grant.kind), ("g", GrantKind::AuthorizationCode));
    assert!(migrated.code(&Digest::stored("k".into())).await.unwrap().is_some());
    let origins: Vec<_> =
        migrated.connected("u", NOW).await.unwrap().into_iter().map(|found| found.shown.origin).collect();
    assert_eq!(origins, [Origin::Registration, Origin::Administrator]);
    assert!(migrated.rotate(&token, "salt", "g", &issued("j", Some("s")), &used()).await.unwrap());
    // the old one for its retry window; its successor by its grant alone
    assert!(migrated.refresh_token(&unnamed).await.unwrap().is_some());
    assert!(migrated.refresh_token(&refresh_name("s")).await.unwrap().is_some());
    let unnamed = RefreshTokenName { grant_id: None, ..refresh_name("s") };
    assert!(migrated.refresh_token(&unnamed).await.unwrap().is_none());
    assert_eq!(migrated.columns().await, engine.fresh().await.database.columns().await);
}

async fn tokens_of_the_fifth_version_are_as_good_as_before(engine: Engine) {
    let dir = tempfile::tempdir().unwrap();
    let url = engine.url(&dir).await;
    let old = Database::open_at_version(&url, 5).await;
    for statement in [
        "INSERT INTO users (id, name, password_hash, created_at) VALUES ('u', 'alice', 'h', 1)",
        "INSERT INTO grants (id, kind, user_id, client_id, client_name, client_origin, resources, scopes, refresh, \
         created_at, expires_at) VALUES ('g', 'authorization_code', 'u', 'c', 'Name', 'registration', \
         'https://gw.test/mcp', 'a', 1, 1000000, 1001000)",
        "INSERT INTO refresh_tokens (digest, grant_id, expires_at, rotated_at, successor_salt) \
         VALUES ('r', 'g', 1000500, 1000001, 'salt')",
        "INSERT INTO access_tokens (digest, jti, grant_id, audience, scopes, issued_at, expires_at, status_index, \
         key_thumbprint, revoked_at) \
         VALUES ('a', 'j', 'g', 'https://gw.test/mcp', 'a', 1000000, 1000100, 7, 'thumbprint', 1000050)",
    ] {
        old.execute(statement).await;
    }
    old.close().await;

    let migrated = Database::open(&url, Schema::Migrate).await.unwrap();
    let name = RefreshTokenName { grant_id: None, digest: Digest::stored("r".into()) };
    let (token, _) = migrated.refresh_token(&name).await.unwrap().unwrap();
    assert_eq!(token.expires_at, NOW.plus_seconds(500));
    let rotation = token.rotation.map(|rotation| (rotation.at, rotation.salt));
    assert_eq!(rotation, Some((NOW.plus_seconds(1), "salt".into())));
    let name = AccessTokenName { issued_at: NOW, digest: Digest::stored("a".into()) };
    let (token, grant) = migrated.access_token(&name).await.unwrap().unwrap();
    let revoked_at = Some(NOW.plus_seconds(50));
    assert_eq!(token, AccessToken { digest: name.digest, status_index: 7, revoked_at, ..access("j") });
    assert_eq!(grant.id, "g");
}

mod on_sqlite {
    use super::Engine;

    #[tokio::test]
    async fn opened_again_the_tables_are_as_they_were_left() {
        super::opened_again_the_tables_are_as_they_were_left(Engine::Sqlite).await;
    }

    #[tokio::test]
    async fn tables_of_a_newer_server_are_left_alone() {
        super::tables_of_a_newer_server_are_left_alone(Engine::Sqlite).await;
    }

    #[tokio::test]
    async fn tables_of_the_first_version_are_brought_up_to_date() {
        super::tables_of_the_first_version_are_brought_up_to_date(Engine::Sqlite).await;
    }

    #[tokio::test]
    async fn tokens_of_the_fifth_version_are_as_good_as_before() {
        super::tokens_of_the_fifth_version_are_as_good_as_before(Engine::Sqlite).await;
    }
}

mod on_postgres {
    use super::Engine;

    #[tokio::test]
    async fn opened_again_the_tables_are_as_they_were_left() {
        super::opened_again_the_tables_are_as_they_were_left(Engine::Postgres).await;
    }

    #[tokio::test]
    async fn tables_of_a_newer_server_are_left_alone() {
        super::tables_of_a_newer_server_are_left_alone(Engine::Postgres).await;
    }

    #[tokio::test]
    async fn tables_of_the_first_version_are_brought_up_to_date() {
        super::tables_of_the_first_version_are_brought_up_to_date(Engine::Postgres).await;
    }

    #[tokio::test]
    async fn tokens_of_the_fifth_version_are_as_good_as_before() {
        super::tokens_of_the_fifth_version_are_as_good_as_before(Engine::Postgres).await;
    }

    /// Several servers that start at once on an empty database.
    #[tokio::test(flavor = "multi_thread")]
    async fn servers_that_start_at_once_make_the_tables_once() {
        let dir = tempfile::tempdir().unwrap();
        let url = Engine::Postgres.url(&dir).await;
        let opening = (0..5).map(|_| super::Database::open(&url, super::Schema::Migrate));
        for opened in futures_util::future::join_all(opening).await {
            opened.unwrap();
        }
    }
}
