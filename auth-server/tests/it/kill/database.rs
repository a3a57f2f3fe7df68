//! What must be true of the database at any moment.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sqlx::{Connection as _, PgConnection, Row as _, SqliteConnection};

/// What there must be none of.
const NONE: [(&str, &str); 4] = [
    (
        "sessions without exactly one refresh token that was not used yet",
        "SELECT COUNT(*) AS n FROM grants g WHERE g.revoked_at IS NULL \
         AND EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.grant_id = g.id) \
         AND (SELECT COUNT(*) FROM refresh_tokens r WHERE r.grant_id = g.id AND r.rotated_at IS NULL) <> 1",
    ),
    (
        "codes that were redeemed without tokens, or the reverse",
        "SELECT COUNT(*) AS n FROM codes c WHERE (c.redeemed_at IS NOT NULL) \
         <> EXISTS (SELECT 1 FROM refresh_tokens r WHERE r.grant_id = c.grant_id)",
    ),
    (
        "access tokens that outlive the revocation of their grant",
        "SELECT COUNT(*) AS n FROM access_tokens a JOIN grants g ON g.id = a.grant_id \
         WHERE g.revoked_at IS NOT NULL AND a.revoked_at IS NULL",
    ),
    (
        "access tokens that share a place in a status list",
        "SELECT COUNT(*) AS n FROM (SELECT status_index FROM access_tokens GROUP BY status_index \
         HAVING COUNT(*) > 1) AS shared",
    ),
];

/// The server's database, as the test looks at it.
pub(super) enum Database {
    Sqlite(String),
    Postgres(String),
}

impl Database {
    pub(super) fn new(postgres: Option<&str>, dir: &Path) -> Self {
        match postgres {
            Some(url) => Self::Postgres(url.to_owned()),
            None => Self::Sqlite(format!("sqlite://{}", dir.join("auth-server.db").display())),
        }
    }

    pub(super) async fn check(&self) {
        for (what, statement) in NONE {
            assert_eq!(self.number(statement, None).await, 0, "{what}");
        }
        if let Self::Sqlite(_) = self {
            let broken = "SELECT COUNT(*) AS n FROM pragma_integrity_check WHERE integrity_check <> 'ok'";
            assert_eq!(self.number(broken, None).await, 0, "the file is damaged");
        }
    }

    /// Whether a refresh token has a successor.
    pub(super) async fn is_rotated(&self, token: &str) -> bool {
        let (_, secret) = token.split_once('.').unwrap();
        let digest = URL_SAFE_NO_PAD.encode(digest(&SHA256, secret.as_bytes()));
        let statement =
            "SELECT COUNT(*) AS n FROM refresh_tokens WHERE digest = $1 AND rotated_at IS NOT NULL";
        self.number(statement, Some(&digest)).await == 1
    }

    async fn number(&self, statement: &'static str, value: Option<&str>) -> i64 {
        match self {
            Self::Sqlite(url) => {
                let mut connection = SqliteConnection::connect(url).await.unwrap();
                let query = value.into_iter().fold(sqlx::query(statement), sqlx::query::Query::bind);
                query.fetch_one(&mut connection).await.unwrap().get("n")
            }
            Self::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let query = value.into_iter().fold(sqlx::query(statement), sqlx::query::Query::bind);
                query.fetch_one(&mut connection).await.unwrap().get("n")
            }
        }
    }
}
