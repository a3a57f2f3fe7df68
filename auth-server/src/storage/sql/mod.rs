//! SQLite, embedded, and PostgreSQL, for several servers: the verbs are written once, in the SQL that both understand.
//!
//! What differs is here and in `writer`: SQLite has one writer, which makes many pieces of work durable together, and a
//! few readers; PostgreSQL has a pool and locks rows by itself.

mod accounts;
mod clients;
mod devices;
mod file;
mod grants;
mod housekeeping;
mod keys;
mod migrations;
mod readers;
mod sign_in;
mod statement;
#[cfg(test)]
mod tests;
mod tokens;
mod transactions;
mod writer;

use std::{path::Path, sync::Mutex, time::Duration};

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, PgPool, Postgres,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgConnection, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::{
    task::JoinHandle,
    time::{error::Elapsed, timeout},
};

use self::{
    file::OpenFile,
    readers::Readers,
    statement::{Connection, Statement},
    writer::{Outcome, Work, Writer},
};
use super::{Result, StorageError};
use crate::config::DatabaseUrl;

/// Connections to PostgreSQL.
const CONNECTIONS: u32 = 16;
/// How long a request waits for a connection, and for SQLite's lock where another program has it.
const TO_CONNECT: Duration = Duration::from_secs(2);
/// How long it then waits for its work to be done. Where the database is down, whoever asks is told soon.
const TO_WORK: Duration = Duration::from_secs(3);
/// As long, for what nobody waits for.
const AT_LEISURE: Duration = Duration::from_mins(1);
/// How long a server that starts waits for a database that starts as well.
const TO_START: Duration = Duration::from_secs(10);
/// How often a transaction is tried that PostgreSQL broke off for the sake of another one.
const ATTEMPTS: u32 = 4;
/// PostgreSQL ends what this server gave up, so that nobody waits for its locks; a minute for [`AT_LEISURE`].
const LET_GO: &str = "SET statement_timeout = '5s'; SET idle_in_transaction_session_timeout = '5s'";
const LET_GO_LATER: &str = "SET LOCAL statement_timeout = '60s'";

/// The database.
#[derive(Debug)]
pub(crate) struct Database {
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Sqlite {
        file: OpenFile,
        readers: Readers,
        /// Absent once it is closed.
        writer: Mutex<Option<Writer>>,
        writing: Mutex<Option<JoinHandle<()>>>,
    },
    Postgres(PgPool),
}

/// What may be done to the tables when a database is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schema {
    /// They are brought up to date.
    Migrate,
    /// They must be up to date.
    Check,
}

impl Database {
    /// Connects, and creates SQLite's file where there is none.
    ///
    /// # Errors
    /// When the database cannot be reached, or its tables are not those of this version.
    pub(crate) async fn open(url: &DatabaseUrl, schema: Schema) -> anyhow::Result<Self> {
        let engine = match url {
            DatabaseUrl::Sqlite(file) => connect_sqlite(file, Some(schema)).await?,
            DatabaseUrl::Postgres(url) => connect_postgres(url, Some(schema)).await?,
        };
        Ok(Self { engine })
    }

    /// Reads. What several statements of `work` see need not be of one moment.
    async fn read<T>(
        &self,
        work: impl for<'c> FnOnce(Connection<'c>) -> BoxFuture<'c, Result<T>> + Send,
    ) -> Result<T> {
        match &self.engine {
            Engine::Sqlite { file, readers, .. } => {
                file.check()?;
                let mut reader = readers.lend().await?;
                work(reader.connection()?).await
            }
            Engine::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                let done = timeout(TO_WORK, work(Connection::Postgres(&mut connection))).await;
                in_time(connection, done)
            }
        }
    }

    /// Writes in a transaction, which is durable when this returns.
    async fn write<T: Send + 'static>(&self, work: impl Work<T>) -> Result<T> {
        self.write_within(TO_WORK, work).await
    }

    async fn write_within<T: Send + 'static>(&self, patience: Duration, work: impl Work<T>) -> Result<T> {
        match &self.engine {
            Engine::Sqlite { writer, .. } => {
                let writer =
                    lock(writer).clone().ok_or_else(|| StorageError::new("the database is closed"))?;
                let done = timeout(TO_CONNECT + patience, writer.write(work)).await;
                done.unwrap_or_else(|_| Err(too_late()))
            }
            Engine::Postgres(pool) => {
                let mut attempt = 1;
                loop {
                    let mut connection = pool.acquire().await?;
                    let transaction = in_transaction(&mut connection, patience, work.clone());
                    let done = timeout(patience, transaction).await;
                    match in_time(connection, done) {
                        Err(error) if attempt < ATTEMPTS && error.gave_way() => {
                            tracing::debug!(attempt, "a transaction gave way to another one");
                            attempt += 1;
                        }
                        done => return done,
                    }
                }
            }
        }
    }

    /// The one row that a statement finds.
    async fn find<T: Send>(
        &self,
        statement: Statement<'_>,
        understand: impl FnOnce(&statement::Row) -> Result<T> + Send,
    ) -> Result<Option<T>> {
        let row = match &self.engine {
            Engine::Sqlite { file, readers, .. } => {
                file.check()?;
                statement.optional(&mut readers.lend().await?.connection()?).await?
            }
            Engine::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                let mut asked = Connection::Postgres(&mut connection);
                let done = timeout(TO_WORK, statement.optional(&mut asked)).await;
                in_time(connection, done)?
            }
        };
        row.as_ref().map(understand).transpose()
    }

    /// Every row that a statement finds.
    async fn list<T: Send>(
        &self,
        statement: Statement<'_>,
        understand: impl Fn(&statement::Row) -> Result<T> + Send,
    ) -> Result<Vec<T>> {
        let rows = match &self.engine {
            Engine::Sqlite { file, readers, .. } => {
                file.check()?;
                statement.all(&mut readers.lend().await?.connection()?).await?
            }
            Engine::Postgres(pool) => {
                let mut connection = pool.acquire().await?;
                let mut asked = Connection::Postgres(&mut connection);
                let done = timeout(TO_WORK, statement.all(&mut asked)).await;
                in_time(connection, done)?
            }
        };
        rows.iter().map(understand).collect()
    }

    /// Runs one statement that writes, and returns how many rows it changed.
    async fn change(&self, statement: Statement<'_>) -> Result<u64> {
        self.change_within(TO_WORK, statement).await
    }

    async fn change_within(&self, patience: Duration, statement: Statement<'_>) -> Result<u64> {
        let statement = statement.owned();
        self.write_within(patience, move |mut database| {
            Box::pin(async move { Ok(Outcome::Keep(statement.execute(&mut database).await?)) })
        })
        .await
    }

    /// A database whose tables are those of an earlier version.
    #[cfg(test)]
    pub(crate) async fn open_at_version(url: &DatabaseUrl, version: usize) -> Self {
        migrations::to_version(url, version).await;
        let engine = match url {
            DatabaseUrl::Sqlite(file) => connect_sqlite(file, None).await.unwrap(),
            DatabaseUrl::Postgres(url) => connect_postgres(url, None).await.unwrap(),
        };
        Self { engine }
    }

    /// Runs a statement of a test.
    #[cfg(test)]
    pub(crate) async fn execute(&self, text: &'static str) {
        self.change(statement::sql(text)).await.unwrap();
    }

    /// Every column of every table, with its type, and every index.
    #[cfg(test)]
    pub(crate) async fn columns(&self) -> Vec<String> {
        let text = match self.engine {
            Engine::Sqlite { .. } => {
                "SELECT m.name || '.' || COALESCE(c.name || ' ' || c.type || ' ' || c.\"notnull\", '') \
                AS name FROM sqlite_master m LEFT JOIN pragma_table_info(m.name) c ORDER BY 1"
            }
            Engine::Postgres(_) => {
                "SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable AS name \
                FROM information_schema.columns WHERE table_schema = current_schema() \
                UNION ALL SELECT indexname || ' ' || tablename FROM pg_indexes WHERE schemaname = current_schema() \
                AND indexname NOT LIKE '%_pkey' ORDER BY 1"
            }
        };
        self.list(statement::sql(text), |row| row.text("name")).await.unwrap()
    }

    async fn close_all(&self) {
        match &self.engine {
            Engine::Sqlite { readers, writer, writing, .. } => {
                drop(lock(writer).take());
                readers.close().await;
                let task = lock(writing).take();
                if let Some(task) = task
                    && let Err(error) = task.await
                {
                    tracing::error!(error = &error as &dyn std::error::Error, "the writer broke off");
                }
            }
            Engine::Postgres(pool) => pool.close().await,
        }
    }
}

async fn in_transaction<T>(
    connection: &mut PgConnection,
    patience: Duration,
    work: impl Work<T>,
) -> Result<T> {
    let mut transaction = connection.begin().await?;
    if patience > TO_WORK {
        transaction.execute(LET_GO_LATER).await?;
    }
    match work(Connection::Postgres(&mut transaction)).await? {
        Outcome::Keep(value) => {
            transaction.commit().await?;
            Ok(value)
        }
        Outcome::Undo(value) => {
            transaction.rollback().await?;
            Ok(value)
        }
    }
}

/// What was done, if it was done in time. A connection that did not answer is not used again: nobody knows what it is in
/// the middle of, and it may be one to nowhere. Without its client, PostgreSQL undoes what was not committed.
fn in_time<T>(
    connection: PoolConnection<Postgres>,
    done: std::result::Result<Result<T>, Elapsed>,
) -> Result<T> {
    done.unwrap_or_else(|_| {
        drop(connection.detach());
        Err(too_late())
    })
}

fn too_late() -> StorageError {
    StorageError::new("the database did not answer in time")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn connect_sqlite(file: &Path, schema: Option<Schema>) -> anyhow::Result<Engine> {
    create_private(file)?;
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        // a redeemed code or a revocation must survive a power cut
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(TO_CONNECT)
        // what was replaced, such as a private key that is encrypted by now, does not stay in the free part of a page
        .pragma("secure_delete", "FAST")
        // slow statements are seen in the metrics; their text in the log helps nobody
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    if let Some(schema) = schema {
        migrations::for_sqlite(&mut connection, schema).await?;
    }
    let file = OpenFile::new(file)?;
    let (writer, writing) = Writer::start(connection, file.clone());
    let readers = Readers::connect(options).await?;
    Ok(Engine::Sqlite { file, readers, writer: Mutex::new(Some(writer)), writing: Mutex::new(Some(writing)) })
}

async fn connect_postgres(url: &SecretString, schema: Option<Schema>) -> anyhow::Result<Engine> {
    let options: PgConnectOptions = url.expose_secret().parse()?;
    let options = options.disable_statement_logging();
    // two connections: one for the lock of whoever changes the tables, one to change them
    let first = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(TO_START)
        .acquire_slow_threshold(TO_START)
        .connect_with(options.clone())
        .await?;
    if let Some(schema) = schema {
        migrations::for_postgres(&first, schema).await?;
    }
    first.close().await;
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(TO_CONNECT)
        .after_connect(|connection, _| Box::pin(async move { connection.execute(LET_GO).await.map(drop) }))
        .connect_lazy_with(options);
    timeout(TO_START, first_connection(&pool)).await.context("PostgreSQL gave no connection in time")??;
    Ok(Engine::Postgres(pool))
}

/// Waits for a connection for longer than a request does.
async fn first_connection(pool: &PgPool) -> sqlx::Result<()> {
    loop {
        match pool.acquire().await {
            Err(sqlx::Error::PoolTimedOut) => {}
            done => return done.map(drop),
        }
    }
}

/// Creates the file readable by its owner only: it holds the signing key and the password hashes.
fn create_private(file: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map(drop)
}
