//! SQLite's one writer. What arrives while a transaction is being made durable goes into the next one together, so that
//! many clients share the wait for the disk (group commit); each piece of work still succeeds or fails by itself.

use futures_util::future::BoxFuture;
use sqlx::{Connection as _, sqlite::SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::{
    file::OpenFile,
    statement::{Connection, sql},
};
use crate::storage::{Result, StorageError};

/// Pieces of work in one transaction. More would keep the first one waiting for no gain.
const TOGETHER: usize = 64;
/// Pieces of work that wait; whoever comes beyond waits outside, which slows the sender down.
const WAITING: usize = 1024;

/// What becomes of what a piece of work wrote.
pub(super) enum Outcome<T> {
    /// It is made durable before the answer is given.
    Keep(T),
    /// It is undone: the answer is that nothing happened.
    Undo(T),
}

/// Work on the database: all or nothing. It can be done again, where the database asks for that.
pub(super) trait Work<T>:
    for<'c> FnOnce(Connection<'c>) -> BoxFuture<'c, Result<Outcome<T>>> + Clone + Send + Sync + 'static
{
}

impl<T, W> Work<T> for W where
    W: for<'c> FnOnce(Connection<'c>) -> BoxFuture<'c, Result<Outcome<T>>> + Clone + Send + Sync + 'static
{
}

/// Says to the one who asked how it ended, once it is known whether the transaction was committed.
type Answer = Box<dyn FnOnce(std::result::Result<(), String>) + Send>;

/// Work whose result has found its way into an [`Answer`], with whether what it wrote is kept.
type Job = Box<dyn for<'c> FnOnce(Connection<'c>) -> BoxFuture<'c, (bool, Answer)> + Send>;

/// A handle to the task that writes.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
}

impl Writer {
    /// Starts the task. It ends, and closes the connection, when the last handle is gone.
    pub(super) fn start(connection: SqliteConnection, file: OpenFile) -> (Self, tokio::task::JoinHandle<()>) {
        let (jobs, waiting) = mpsc::channel(WAITING);
        (Self { jobs }, tokio::spawn(run(connection, file, waiting)))
    }

    /// Does the work. Once it has begun, it goes on even if nobody waits for it any more.
    pub(super) async fn write<T: Send + 'static>(&self, work: impl Work<T>) -> Result<T> {
        let (tell, told) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            if tell.is_closed() {
                // whoever gave up was told that nothing happened
                let nobody: Answer = Box::new(|_| {});
                return Box::pin(async move { (false, nobody) });
            }
            let working = work(connection);
            Box::pin(async move {
                let done = working.await;
                let keep = matches!(done, Ok(Outcome::Keep(_)));
                let answer: Answer = Box::new(move |committed| {
                    let result = match (done, committed) {
                        (Ok(Outcome::Undo(value)), _) | (Ok(Outcome::Keep(value)), Ok(())) => Ok(value),
                        (Ok(Outcome::Keep(_)), Err(reason)) => Err(StorageError::new(reason)),
                        (Err(error), _) => Err(error),
                    };
                    // nobody waits for it any more: that changes nothing about what was done
                    let _ = tell.send(result);
                });
                (keep, answer)
            })
        });
        let gone = |_| StorageError::new("the database was closed");
        self.jobs.send(job).await.map_err(|_| StorageError::new("the database was closed"))?;
        told.await.map_err(gone)?
    }
}

async fn run(mut connection: SqliteConnection, file: OpenFile, mut waiting: mpsc::Receiver<Job>) {
    let mut batch = Vec::with_capacity(TOGETHER);
    while waiting.recv_many(&mut batch, TOGETHER).await > 0 {
        let mut answers = Vec::with_capacity(batch.len());
        let committed = commit(&mut connection, &file, &mut batch, &mut answers).await;
        if committed.is_err() {
            // what is left of the transaction; that there is nothing to roll back is no news
            let _ = control(&mut connection, "ROLLBACK").await;
        }
        let committed = committed.map_err(|error| format!("not committed: {error:?}"));
        for answer in answers {
            answer(committed.clone());
        }
        // those that the failure kept from being started learn it by their channel
        batch.clear();
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(error = &error as &dyn std::error::Error, "the database was not closed in good order");
    }
}

async fn commit(
    connection: &mut SqliteConnection,
    file: &OpenFile,
    batch: &mut Vec<Job>,
    answers: &mut Vec<Answer>,
) -> Result<()> {
    file.check()?;
    // takes the write lock at once: a transaction that reads first and writes later would fail instead of waiting
    control(connection, "BEGIN IMMEDIATE").await?;
    if batch.len() == 1 {
        let mut keep_any = false;
        for job in batch.drain(..) {
            let (keep, answer) = job(Connection::Sqlite(connection)).await;
            answers.push(answer);
            keep_any = keep;
        }
        return control(connection, if keep_any { "COMMIT" } else { "ROLLBACK" }).await;
    }
    for job in batch.drain(..) {
        control(connection, "SAVEPOINT piece").await?;
        let (keep, answer) = job(Connection::Sqlite(connection)).await;
        answers.push(answer);
        if !keep {
            control(connection, "ROLLBACK TO piece").await?;
        }
        control(connection, "RELEASE piece").await?;
    }
    control(connection, "COMMIT").await
}

async fn control(connection: &mut SqliteConnection, text: &'static str) -> Result<()> {
    sql(text).execute(&mut Connection::Sqlite(connection)).await.map(drop)
}
