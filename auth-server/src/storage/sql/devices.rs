//! Devices that wait for a user.

use async_trait::async_trait;

use super::{
    Database,
    statement::{Row, sql},
    tokens::{grant, grant_columns, insert_approval, insert_issued, use_grant},
    writer::Outcome::{Keep, Undo},
};
use crate::{
    model::{
        device::{Device, DeviceState, Polled, SLOW_DOWN_SECONDS},
        grant::{Approval, Use},
        secret::Digest,
    },
    outside::Timestamp,
    storage::{Devices, Issued, Result, StorageError},
};

#[async_trait]
impl Devices for Database {
    async fn insert_device(&self, device: &Device) -> Result<bool> {
        let statement = sql("INSERT INTO devices \
             (digest, user_code, client_id, content, created_at, expires_at, poll_seconds, state) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (user_code) DO NOTHING")
        .bind(&device.digest)
        .bind(&device.user_code)
        .bind(&device.client_id)
        .bind(&device.content)
        .bind(device.created_at)
        .bind(device.expires_at)
        .bind(device.poll_seconds)
        .bind(device.state.as_str());
        Ok(self.change(statement).await? == 1)
    }

    async fn device_by_user_code(&self, user_code: &Digest, now: Timestamp) -> Result<Option<Device>> {
        let statement =
            sql("SELECT * FROM devices WHERE user_code = $1 AND state = 'waiting' AND expires_at > $2")
                .bind(user_code)
                .bind(now);
        self.find(statement, device).await
    }

    async fn approve_device(&self, digest: &Digest, approval: &Approval, now: Timestamp) -> Result<bool> {
        let (digest, approval) = (digest.clone(), approval.clone());
        self.write(move |mut database| {
            Box::pin(async move {
                if !insert_approval(&mut database, &approval).await? {
                    return Ok(Undo(false));
                }
                let waited = sql("UPDATE devices SET state = 'approved', grant_id = $2 \
                     WHERE digest = $1 AND state = 'waiting' AND expires_at > $3")
                .bind(&digest)
                .bind(&approval.grant.id)
                .bind(now)
                .execute(&mut database)
                .await?;
                Ok(if waited == 1 { Keep(true) } else { Undo(false) })
            })
        })
        .await
    }

    async fn deny_device(&self, digest: &Digest, now: Timestamp) -> Result<bool> {
        let statement = sql("UPDATE devices SET state = 'denied' \
             WHERE digest = $1 AND state = 'waiting' AND expires_at > $2")
        .bind(digest)
        .bind(now);
        Ok(self.change(statement).await? == 1)
    }

    async fn poll_device(&self, digest: &Digest, client_id: &str, now: Timestamp) -> Result<Option<Polled>> {
        let (digest, client_id) = (digest.clone(), client_id.to_owned());
        self.write(move |mut database| {
            Box::pin(async move {
                // the new wait counts from now, whether this question came too soon or not
                let slowed = sql("UPDATE devices SET poll_seconds = poll_seconds + $4, polled_at = $3 \
                     WHERE digest = $1 AND client_id = $2 AND polled_at IS NOT NULL AND $3 < polled_at + poll_seconds")
                .bind(&digest)
                .bind(&client_id)
                .bind(now)
                .bind(SLOW_DOWN_SECONDS)
                .execute(&mut database)
                .await?;
                if slowed == 0 {
                    sql("UPDATE devices SET polled_at = $3 WHERE digest = $1 AND client_id = $2")
                        .bind(&digest)
                        .bind(&client_id)
                        .bind(now)
                        .execute(&mut database)
                        .await?;
                }
                let row = sql(concat!(
                    "SELECT d.digest, d.user_code, d.client_id AS device_client_id, d.content, d.created_at, \
                     d.expires_at, d.poll_seconds, d.state, ",
                    grant_columns!(),
                    " FROM devices d LEFT JOIN grants g ON g.id = d.grant_id WHERE d.digest = $1 AND d.client_id = $2"
                ))
                .bind(&digest)
                .bind(&client_id)
                .optional(&mut database)
                .await?;
                let Some(row) = row else { return Ok(Undo(None)) };
                let given = row.optional_text("grant_id")?.is_some();
                Ok(Keep(Some(Polled {
                    device: Device { client_id, ..device_without_client(&row)? },
                    too_soon: slowed == 1,
                    grant: if given { Some(grant(&row)?) } else { None },
                })))
            })
        })
        .await
    }

    async fn redeem_device(
        &self,
        digest: &Digest,
        grant_id: &str,
        issued: &Issued,
        used: &Use,
    ) -> Result<bool> {
        let (digest, grant_id, issued, used) =
            (digest.clone(), grant_id.to_owned(), issued.clone(), used.clone());
        self.write(move |mut database| {
            Box::pin(async move {
                if !use_grant(&mut database, &grant_id, &used).await? {
                    return Ok(Undo(false));
                }
                let redeemed = sql("UPDATE devices SET state = 'redeemed' \
                     WHERE digest = $1 AND grant_id = $2 AND state = 'approved'")
                .bind(&digest)
                .bind(&grant_id)
                .execute(&mut database)
                .await?;
                if redeemed != 1 {
                    return Ok(Undo(false));
                }
                insert_issued(&mut database, &grant_id, &issued).await?;
                Ok(Keep(true))
            })
        })
        .await
    }
}

fn device(row: &Row) -> Result<Device> {
    Ok(Device { client_id: row.text("client_id")?, ..device_without_client(row)? })
}

/// Beside a grant, `client_id` is the grant's.
fn device_without_client(row: &Row) -> Result<Device> {
    let state = row.text("state")?;
    Ok(Device {
        digest: row.digest("digest")?,
        user_code: row.digest("user_code")?,
        client_id: String::new(),
        content: row.text("content")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        poll_seconds: row.integer("poll_seconds")?,
        state: DeviceState::parse(&state)
            .ok_or_else(|| StorageError::new(format!("no state of a device: `{state}`")))?,
    })
}
