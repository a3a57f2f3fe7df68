//! The tables, version by version. A database that a newer server has changed is left alone.

use std::borrow::Cow;

use sqlx::{
    AssertSqlSafe, PgPool, SqlSafeStr as _,
    migrate::{Migrate as _, MigrateError, Migration, MigrationType, Migrator},
    sqlite::SqliteConnection,
};

use super::Schema;

/// In the order in which they were made; what was released is never changed again.
const VERSIONS: [(&str, &str); 7] = [
    ("base", include_str!("../../../migrations/0001_base.sql")),
    ("grants of every kind", include_str!("../../../migrations/0002_grants_of_every_kind.sql")),
    ("derived grants", include_str!("../../../migrations/0003_derived_grants.sql")),
    ("keys as long as needed", include_str!("../../../migrations/0004_keys_as_long_as_needed.sql")),
    ("counting registrations", include_str!("../../../migrations/0005_counting_registrations.sql")),
    ("tokens beside their like", include_str!("../../../migrations/0006_tokens_beside_their_like.sql")),
    ("clients that are forgotten", include_str!("../../../migrations/0007_clients_that_are_forgotten.sql")),
];

/// What stands in the text of the versions for what is not the same in both databases.
type Dialect = [(&'static str, &'static str); 3];
const SQLITE: Dialect = [
    ("SERIAL_KEY", "INTEGER PRIMARY KEY AUTOINCREMENT"),
    (") WITHOUT_ROWID;", ") WITHOUT ROWID;"),
    ("LOCK_GRANTS_AND_TOKENS;", ""),
];
const POSTGRES: Dialect = [
    ("SERIAL_KEY", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
    (") WITHOUT_ROWID;", ");"),
    (
        "LOCK_GRANTS_AND_TOKENS;",
        "LOCK TABLE grants IN SHARE ROW EXCLUSIVE MODE; \
         LOCK TABLE access_tokens, refresh_tokens IN ACCESS EXCLUSIVE MODE;",
    ),
];

/// Tables that this server cannot work with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemaError {
    #[error(
        "the database has tables of version {found}, and this server knows only up to version {known}: it was used by a \
         newer one. Run that one, or restore a copy from before"
    )]
    Newer { found: i64, known: i64 },
    #[error(
        "the database has tables of version {found}, and this server needs version {known}: run `mcp-auth-server migrate`"
    )]
    Older { found: i64, known: i64 },
    #[error("the tables of the database cannot be brought up to date")]
    Failed(#[from] MigrateError),
}

pub(super) async fn for_sqlite(connection: &mut SqliteConnection, schema: Schema) -> Result<(), SchemaError> {
    let migrator = migrator(&SQLITE, VERSIONS.len());
    connection.ensure_migrations_table(&migrator.table_name).await?;
    let applied = connection.list_applied_migrations(&migrator.table_name).await?;
    check(applied.iter().map(|applied| applied.version).max(), schema)?;
    if schema == Schema::Migrate {
        migrator.run_direct(None, &mut *connection, false).await?;
    }
    Ok(())
}

pub(super) async fn for_postgres(pool: &PgPool, schema: Schema) -> Result<(), SchemaError> {
    let migrator = migrator(&POSTGRES, VERSIONS.len());
    let mut connection = pool.acquire().await.map_err(MigrateError::Execute)?;
    // several servers may start at once
    connection.lock().await?;
    connection.ensure_migrations_table(&migrator.table_name).await?;
    let applied = connection.list_applied_migrations(&migrator.table_name).await?;
    let checked = check(applied.iter().map(|applied| applied.version).max(), schema);
    connection.unlock().await?;
    checked?;
    if schema == Schema::Migrate {
        migrator.run(pool).await?;
    }
    Ok(())
}

fn check(found: Option<i64>, schema: Schema) -> Result<(), SchemaError> {
    let known = i64::try_from(VERSIONS.len()).unwrap_or(i64::MAX);
    let found = found.unwrap_or(0);
    if found > known {
        return Err(SchemaError::Newer { found, known });
    }
    if found < known && schema == Schema::Check {
        return Err(SchemaError::Older { found, known });
    }
    Ok(())
}

/// The first `count` versions, in the SQL of one database.
fn migrator(dialect: &Dialect, count: usize) -> Migrator {
    let migrations = VERSIONS.iter().zip(1..).take(count).map(|((name, text), version)| {
        let text =
            dialect.iter().fold((*text).to_owned(), |text, (word, meaning)| text.replace(word, meaning));
        let text = AssertSqlSafe(text).into_sql_str();
        Migration::new(version, Cow::Borrowed(*name), MigrationType::Simple, text, false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// Makes the tables of an earlier version.
#[cfg(test)]
pub(super) async fn to_version(url: &crate::config::DatabaseUrl, version: usize) {
    use sqlx::Connection as _;

    match url {
        crate::config::DatabaseUrl::Sqlite(file) => {
            let url = format!("sqlite://{}?mode=rwc", file.display());
            let mut connection = SqliteConnection::connect(&url).await.unwrap();
            migrator(&SQLITE, version).run_direct(None, &mut connection, false).await.unwrap();
            connection.close().await.unwrap();
        }
        crate::config::DatabaseUrl::Postgres(url) => {
            let url = secrecy::ExposeSecret::expose_secret(url);
            let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
            migrator(&POSTGRES, version).run_direct(None, &mut connection, false).await.unwrap();
        }
    }
}
