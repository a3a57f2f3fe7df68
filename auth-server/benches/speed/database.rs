//! Databases with many grants, filled with large transactions, which is no part of the product.

use std::path::Path;

use sqlx::{
    Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{RESOURCE, tokens};

/// Rows of each table for one statement.
const ROWS: u64 = 5000;

/// A connection like those of the server.
pub(crate) async fn open(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("secure_delete", "FAST");
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// Stores `count` grants, each with an unused refresh token and an access token.
pub(crate) async fn fill(file: &Path, count: u64, now: i64) {
    let mut connection = open(file).await;
    sqlx::query("PRAGMA cache_size = -400000").execute(&mut connection).await.unwrap();
    let user = "INSERT INTO users (id, name, password_hash, created_at) VALUES ('u1', 'alice', '', $1)";
    sqlx::query(user).bind(now).execute(&mut connection).await.unwrap();
    let mut first = 0;
    while first < count {
        let end = count.min(first + ROWS);
        let rows: Vec<_> = (first..end)
            .map(|number| {
                let access = tokens::digest_of(&tokens::access(number));
                (
                    tokens::grant(number),
                    tokens::refresh_digest(number),
                    access,
                    number,
                    tokens::issued_at(number),
                )
            })
            .collect();
        let rows = serde_json::to_string(&rows).unwrap();
        let mut transaction = connection.begin().await.unwrap();
        for statement in [
            "INSERT INTO grants (id, kind, user_id, client_id, client_name, client_origin, resources, scopes, refresh, \
             authenticated_at, created_at, expires_at) SELECT value ->> 0, 'authorization_code', 'u1', 'pub1', \
             'Public One', 'administrator', $3, 'mcp:read', 1, $2, $2, $2 + 15552000 FROM json_each($1)",
            "INSERT INTO refresh_tokens (digest, grant_id, names_grant, expires_at) \
             SELECT value ->> 1, value ->> 0, 1, $2 + 2592000 FROM json_each($1) WHERE $3 IS NOT NULL",
            "INSERT INTO access_tokens (digest, jti, grant_id, audience, scopes, issued_at, expires_at, status_index) \
             SELECT value ->> 2, value ->> 0, value ->> 0, $3, 'mcp:read', value ->> 4, $2 + 86400, value ->> 3 \
             FROM json_each($1)",
        ] {
            sqlx::query(statement)
                .bind(&rows)
                .bind(now)
                .bind(RESOURCE)
                .execute(&mut *transaction)
                .await
                .unwrap();
        }
        transaction.commit().await.unwrap();
        first = end;
    }
    let counted = "INSERT INTO counters (name, value) VALUES ('status', $1)";
    sqlx::query(counted).bind(i64::try_from(count).unwrap()).execute(&mut connection).await.unwrap();
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
