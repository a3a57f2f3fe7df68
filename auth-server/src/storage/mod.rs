//! What the server keeps, as traits by subject. `sqlite` implements them; the contract suite says what any
//! implementation must do, so that a second database is held to the same words.

#[cfg(test)]
mod contract;
pub(crate) mod sqlite;

use std::fmt;

use async_trait::async_trait;

use crate::{
    model::{
        client::Client,
        grant::{AccessToken, Approval, Code, Consent, Grant, RefreshToken},
        secret::Digest,
        session::{Session, User},
    },
    outside::Timestamp,
};

/// The database failed. Never the fault of the request; told to nobody but the log.
#[derive(Debug, thiserror::Error)]
#[error("the database failed")]
pub(crate) struct StorageError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl StorageError {
    pub(crate) fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

pub(crate) type Result<T> = std::result::Result<T, StorageError>;

/// Users and their sessions.
#[async_trait]
pub(crate) trait Accounts {
    /// False if the name is taken.
    async fn insert_user(&self, user: &User) -> Result<bool>;
    async fn user_by_name(&self, name: &str) -> Result<Option<User>>;
    async fn user(&self, id: &str) -> Result<Option<User>>;
    /// Starts a session and ends the one that it replaces in the same browser.
    async fn insert_session(&self, session: &Session, replaces: Option<&Digest>) -> Result<()>;
    /// The session with its user, if it has not expired at `now`.
    async fn session(&self, digest: &Digest, now: Timestamp) -> Result<Option<(Session, User)>>;
    async fn delete_session(&self, digest: &Digest) -> Result<()>;
    async fn remember_browser(&self, user_id: &str, browser: &Digest, now: Timestamp) -> Result<()>;
    async fn is_browser_known(&self, user_id: &str, browser: &Digest) -> Result<bool>;
}

/// A signing key as stored: PKCS#8 in base64.
#[derive(Clone)]
pub(crate) struct StoredKey {
    pub(crate) kid: String,
    pub(crate) algorithm: String,
    pub(crate) pkcs8: secrecy::SecretString,
    pub(crate) created_at: Timestamp,
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Signing keys.
#[async_trait]
pub(crate) trait Keys {
    /// Oldest first.
    async fn signing_keys(&self) -> Result<Vec<StoredKey>>;
    /// Stores `key` unless there is one already; two servers that start at once end up with the same one.
    async fn insert_first_signing_key(&self, key: &StoredKey) -> Result<()>;
}

/// Clients that registered themselves, and snapshots of documents that a user said yes to.
#[async_trait]
pub(crate) trait Clients {
    /// Stores a client that registered itself. Beyond `max_unused` clients without a single grant, the oldest go.
    async fn insert_client(&self, client: &Client, max_unused: i64) -> Result<()>;
    /// A client, unless it was registered before `unused_since` and never used.
    async fn client(&self, id: &str, unused_since: Timestamp) -> Result<Option<Client>>;
}

/// An authorization request that waits for its user.
#[derive(Clone, Debug)]
pub(crate) struct StoredTransaction {
    pub(crate) digest: Digest,
    /// The browser that may continue it.
    pub(crate) browser: Digest,
    /// The request and the client, as JSON.
    pub(crate) content: String,
    /// The session that was signed in to within this transaction.
    pub(crate) session: Option<Digest>,
    pub(crate) expires_at: Timestamp,
}

/// Transactions.
#[async_trait]
pub(crate) trait Transactions {
    async fn insert_transaction(&self, transaction: &StoredTransaction) -> Result<()>;
    async fn transaction(&self, digest: &Digest, now: Timestamp) -> Result<Option<StoredTransaction>>;
    async fn set_transaction_session(&self, digest: &Digest, session: &Digest) -> Result<()>;
    /// Ends a transaction without a grant. False if it was already ended.
    async fn end_transaction(&self, digest: &Digest) -> Result<bool>;
}

/// The tokens that one request to the token endpoint issues.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) access: AccessToken,
    pub(crate) refresh: Option<RefreshToken>,
}

/// Grants, codes, tokens and consents.
#[async_trait]
pub(crate) trait Grants {
    /// Ends the transaction and stores the grant with its code, and that the user consented, all or nothing. False,
    /// and nothing stored, if the transaction was already ended.
    async fn approve(&self, transaction: Option<&Digest>, approval: &Approval) -> Result<bool>;
    async fn code(&self, digest: &Digest) -> Result<Option<(Code, Grant)>>;
    async fn count_code_failure(&self, digest: &Digest) -> Result<()>;
    /// Redeems a code and stores what it buys, all or nothing. False, and nothing stored, if it was redeemed before or
    /// its grant is revoked.
    async fn redeem_code(
        &self,
        digest: &Digest,
        grant_id: &str,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<bool>;
    async fn refresh_token(&self, digest: &Digest) -> Result<Option<(RefreshToken, Grant)>>;
    /// Rotates a refresh token and stores its successor, all or nothing. False, and nothing stored, if it was rotated
    /// before or its grant is revoked.
    async fn rotate(
        &self,
        digest: &Digest,
        salt: &str,
        grant_id: &str,
        issued: &Issued,
        now: Timestamp,
    ) -> Result<bool>;
    async fn insert_access_token(&self, grant_id: &str, token: &AccessToken) -> Result<()>;
    async fn revoke_grant(&self, grant_id: &str, now: Timestamp) -> Result<()>;
    /// Revokes one access token of a client.
    async fn revoke_access_token(&self, jti: &str, client_id: &str, now: Timestamp) -> Result<()>;
    /// Whether an access token was issued here, and neither it nor its grant was revoked.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "what an introspection endpoint asks; the contract suite holds it")
    )]
    async fn is_access_token_active(&self, jti: &str, now: Timestamp) -> Result<bool>;
    async fn consent(&self, user_id: &str, client_id: &str, resource: &str) -> Result<Option<Consent>>;
    /// Whether the user ever said yes to the client.
    async fn has_consented(&self, user_id: &str, client_id: &str) -> Result<bool>;
}

/// Everything, with the upkeep that a running server does now and then.
#[async_trait]
pub(crate) trait Storage:
    Accounts + Keys + Clients + Transactions + Grants + Send + Sync + fmt::Debug
{
    /// Removes what expired before `now`, and clients registered before `unused_since` that were never used.
    async fn purge(&self, now: Timestamp, unused_since: Timestamp) -> Result<()>;
    /// Waits for running statements and closes.
    async fn close(&self);
}
