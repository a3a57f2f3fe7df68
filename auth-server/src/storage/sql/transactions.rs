//! Authorization requests that wait for their user, and those that were pushed.

use async_trait::async_trait;

use super::{
    Database,
    statement::sql,
    writer::Outcome::{Keep, Undo},
};
use crate::{
    model::secret::Digest,
    outside::Timestamp,
    storage::{PushedRequest, Result, StoredTransaction, Transactions},
};

#[async_trait]
impl Transactions for Database {
    async fn insert_transaction(&self, transaction: &StoredTransaction) -> Result<()> {
        let statement =
            sql("INSERT INTO transactions (digest, browser_digest, content, session_digest, expires_at) \
             VALUES ($1, $2, $3, $4, $5)")
            .bind(&transaction.digest)
            .bind(&transaction.browser)
            .bind(&transaction.content)
            .bind(transaction.session.as_ref())
            .bind(transaction.expires_at);
        self.change(statement).await.map(drop)
    }

    async fn transaction(&self, digest: &Digest, now: Timestamp) -> Result<Option<StoredTransaction>> {
        let statement =
            sql("SELECT * FROM transactions WHERE digest = $1 AND expires_at > $2").bind(digest).bind(now);
        self.find(statement, |row| {
            Ok(StoredTransaction {
                digest: row.digest("digest")?,
                browser: row.digest("browser_digest")?,
                content: row.text("content")?,
                session: row.optional_text("session_digest")?.map(Digest::stored),
                expires_at: row.time("expires_at")?,
            })
        })
        .await
    }

    async fn end_transaction(&self, digest: &Digest) -> Result<bool> {
        Ok(self.change(sql("DELETE FROM transactions WHERE digest = $1").bind(digest)).await? == 1)
    }

    async fn insert_pushed_request(&self, request: &PushedRequest) -> Result<()> {
        let statement = sql(
            "INSERT INTO pushed_requests (digest, client_id, content, expires_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(&request.digest)
        .bind(&request.client_id)
        .bind(&request.content)
        .bind(request.expires_at);
        self.change(statement).await.map(drop)
    }

    async fn take_pushed_request(
        &self,
        digest: &Digest,
        client_id: &str,
        now: Timestamp,
    ) -> Result<Option<String>> {
        let (digest, client_id) = (digest.clone(), client_id.to_owned());
        self.write(move |mut database| {
            Box::pin(async move {
                let row = sql(
                    "DELETE FROM pushed_requests WHERE digest = $1 AND client_id = $2 AND expires_at > $3 \
                     RETURNING content",
                )
                .bind(&digest)
                .bind(&client_id)
                .bind(now)
                .optional(&mut database)
                .await?;
                match row {
                    Some(row) => Ok(Keep(Some(row.text("content")?))),
                    None => Ok(Undo(None)),
                }
            })
        })
        .await
    }
}
