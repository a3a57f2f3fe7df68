//! What the server keeps, as traits by subject. Each verb is atomic: it happens as a whole or not at all, whatever runs
//! at the same time, on this server or on another one. `sql` implements them for SQLite and for PostgreSQL; the contract
//! suite says what any implementation must do, and is run on both.

#[cfg(test)]
mod contract;
pub(crate) mod sql;

use std::fmt;

use async_trait::async_trait;

use crate::{
    metrics,
    model::{
        audit::{AuditEvent, StoredEvent},
        client::Client,
        device::{Device, Polled},
        grant::{AccessToken, Approval, Code, Connected, Consent, Grant, RefreshToken, Shown, Use},
        presented::{AccessTokenName, RefreshTokenName},
        secret::Digest,
        session::{PasswordChange, Session, SignIn, User},
    },
    outside::Timestamp,
};

/// The database failed. Never the fault of the request; told to nobody but the log.
#[derive(Debug, thiserror::Error)]
#[error("the database failed")]
pub(crate) struct StorageError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl StorageError {
    pub(crate) fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        metrics::count_database_error();
        Self(source.into())
    }

    /// Whether a transaction was broken off for the sake of another one, which it stood in the way of: a deadlock, or what
    /// could not be as if one had come after the other. Nothing of it was kept, and it can be tried again.
    fn gave_way(&self) -> bool {
        let error = self.0.downcast_ref().and_then(sqlx::Error::as_database_error);
        error
            .and_then(sqlx::error::DatabaseError::code)
            .is_some_and(|code| code == "40P01" || code == "40001")
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
    /// By name.
    async fn users(&self) -> Result<Vec<User>>;
    /// Changes what is said about a user: address and attributes, not the password. False if there is no such user.
    async fn update_user(&self, user: &User) -> Result<bool>;
    /// Gives a user another password and ends what the old one began: every session and every grant. False if there is no
    /// such user.
    async fn set_password(&self, user_id: &str, password_hash: &str, now: Timestamp) -> Result<bool>;
    /// As `set_password`, where the user does so: their session goes on under another id. False, and nothing stored, if
    /// that session is over, or the password that was verified is not theirs any more.
    async fn change_password(&self, change: &PasswordChange, now: Timestamp) -> Result<bool>;
    /// Disables a user, which ends every session and grant, or enables one again. False if there is no such user.
    async fn set_user_disabled(&self, user_id: &str, disabled: bool, now: Timestamp) -> Result<bool>;
    /// Removes a user and everything of theirs. Grants stay without anything personal while access tokens of theirs may
    /// still be asked for; what the audit says stays, under an id that is nobody's. False if there is no such user.
    async fn delete_user(&self, user_id: &str, now: Timestamp) -> Result<bool>;
    /// Starts a session, ends the one that it replaces in the same browser, and remembers the browser. False, and nothing
    /// stored, if the password that was verified is not the user's any more, or the user may not sign in.
    async fn sign_in(&self, sign_in: &SignIn) -> Result<bool>;
    /// The session with its user, if it has not expired at `now` and the user is not disabled.
    async fn session(&self, digest: &Digest, now: Timestamp) -> Result<Option<(Session, User)>>;
    /// The sessions of a user, the newest first.
    async fn sessions(&self, user_id: &str, now: Timestamp) -> Result<Vec<Session>>;
    /// Ends a session, and with it the codes that were given in it and not used yet.
    async fn delete_session(&self, digest: &Digest) -> Result<()>;
    /// Ends the sessions of a user, all but one that may be kept, and their codes as above. Returns how many there were.
    async fn delete_sessions(&self, user_id: &str, keep: Option<&Digest>) -> Result<u64>;
    /// The user whom another issuer's assertions name.
    async fn user_by_identity(&self, issuer: &str, subject: &str) -> Result<Option<User>>;
    /// Notes whom another issuer's assertions name, and creates the user where `user` is new. Returns the one whom they
    /// name now: whoever was noted first.
    async fn link_identity(
        &self,
        issuer: &str,
        subject: &str,
        user: &User,
        now: Timestamp,
    ) -> Result<Option<User>>;
    /// The user with an address that was verified, if there is exactly one.
    async fn user_by_verified_email(&self, email: &str) -> Result<Option<User>>;
    async fn is_browser_known(&self, user_id: &str, browser: &Digest) -> Result<bool>;
}

/// A signing key as stored: PKCS#8 in base64, encrypted where there is a key for that.
#[derive(Clone)]
pub(crate) struct StoredKey {
    pub(crate) kid: String,
    pub(crate) algorithm: String,
    pub(crate) pkcs8: secrecy::SecretString,
    /// Names the key that `pkcs8` is encrypted with.
    pub(crate) sealed_with: Option<String>,
    pub(crate) created_at: Timestamp,
    /// Published from its creation, it signs from then on.
    pub(crate) activates_at: Timestamp,
    /// When the last of what it signed has expired.
    pub(crate) needed_until: Timestamp,
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
    /// Stores `key` unless there is one of its algorithm that was made after `unless_after`; two servers that want a new
    /// key at once end up with the same one. False if there was one.
    async fn insert_signing_key(&self, key: &StoredKey, unless_after: Option<Timestamp>) -> Result<bool>;
    /// Replaces the stored form of a private key, as when it is encrypted with another key.
    async fn reseal_signing_key(&self, key: &StoredKey) -> Result<()>;
    /// Notes that a key is needed until then, or longer if that was noted before.
    async fn prolong_signing_key(&self, kid: &str, needed_until: Timestamp) -> Result<()>;
    async fn delete_signing_key(&self, kid: &str) -> Result<bool>;
}

/// A client that registered itself, with what only its registrar knows of it.
#[derive(Clone, Debug)]
pub(crate) struct RegisteredClient {
    pub(crate) client: Client,
    /// Of the token that manages the registration (RFC 7592), where there is one.
    pub(crate) management: Option<Digest>,
    /// Absent while an administrator has to approve it.
    pub(crate) approved_at: Option<Timestamp>,
}

/// How many clients that registered themselves there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// That nobody ever signed in with.
    pub(crate) unused: i64,
    pub(crate) total: i64,
}

/// What became of a registration. Unless it was stored, nothing was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registering {
    Stored,
    /// Its initial access token is none, is over or is used up.
    NotAdmitted,
    /// There are as many clients as there may be, and all are in use.
    NoRoom,
}

/// A client in a list for the administrator.
#[derive(Clone, Debug)]
pub(crate) struct ListedClient {
    pub(crate) client: Client,
    pub(crate) approved_at: Option<Timestamp>,
    pub(crate) last_used_at: Option<Timestamp>,
    /// Grants that are still good.
    pub(crate) grants: i64,
}

/// A token that admits registrations, in a list for the administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedInitialAccessToken {
    pub(crate) digest: Digest,
    /// What it was made for.
    pub(crate) note: String,
    pub(crate) uses_left: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// How a client is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClientUsage {
    pub(crate) last_used_at: Option<Timestamp>,
    /// Grants that are still good.
    pub(crate) grants: i64,
}

/// Clients that registered themselves, and snapshots of documents that a user said yes to.
#[async_trait]
pub(crate) trait Clients {
    /// Stores a client that registered itself, for one use of an initial access token where `admission` is one. Where there
    /// is no room, the oldest that nobody ever signed in with go.
    async fn insert_client(
        &self,
        client: &RegisteredClient,
        room: Room,
        admission: Option<&Digest>,
    ) -> Result<Registering>;
    /// A client, unless nobody signed in with it although it could since before `unused_since`.
    async fn client(&self, id: &str, unused_since: Timestamp) -> Result<Option<RegisteredClient>>;
    /// Replaces the registration of a client and its management token; unless `approved`, it waits for approval again.
    /// False if `current` is not its token.
    async fn replace_client(
        &self,
        client: &Client,
        management: &Digest,
        current: &Digest,
        approved: bool,
    ) -> Result<bool>;
    /// Keeps what the document of a client says now. Nothing happens unless a user said yes to the client before.
    async fn renew_document(&self, client: &Client) -> Result<()>;
    /// Removes a client with its grants and consents. False if there was none.
    async fn delete_client(&self, id: &str, now: Timestamp) -> Result<bool>;
    /// False if there is no such client.
    async fn approve_client(&self, id: &str, now: Timestamp) -> Result<bool>;
    /// A client as it is listed.
    async fn listed_client(&self, id: &str, now: Timestamp) -> Result<Option<ListedClient>>;
    /// How a client is used, also one that is in the configuration alone.
    async fn client_usage(&self, id: &str, now: Timestamp) -> Result<ClientUsage>;
    /// The most recently registered first; only those that wait for approval, or all.
    async fn clients(&self, limit: i64, waiting: bool, now: Timestamp) -> Result<Vec<ListedClient>>;
    async fn insert_initial_access_token(
        &self,
        digest: &Digest,
        note: &str,
        uses: i64,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<()>;
    /// What a token that still admits registrations was made for.
    async fn initial_access_token(&self, digest: &Digest, now: Timestamp) -> Result<Option<String>>;
    /// Those that still admit registrations, newest first.
    async fn initial_access_tokens(&self, now: Timestamp) -> Result<Vec<ListedInitialAccessToken>>;
    /// Ends one. False if it is not there any more.
    async fn delete_initial_access_token(&self, digest: &Digest) -> Result<bool>;
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

/// A request that a client pushed (RFC 9126).
#[derive(Clone, Debug)]
pub(crate) struct PushedRequest {
    /// Of the secret in its `request_uri`.
    pub(crate) digest: Digest,
    pub(crate) client_id: String,
    /// Its parameters as a form.
    pub(crate) content: String,
    pub(crate) expires_at: Timestamp,
}

/// Requests on their way through the pages.
#[async_trait]
pub(crate) trait Transactions {
    async fn insert_transaction(&self, transaction: &StoredTransaction) -> Result<()>;
    async fn transaction(&self, digest: &Digest, now: Timestamp) -> Result<Option<StoredTransaction>>;
    /// Ends a transaction without a grant. False if it was already ended.
    async fn end_transaction(&self, digest: &Digest) -> Result<bool>;
    async fn insert_pushed_request(&self, request: &PushedRequest) -> Result<()>;
    /// The parameters that `client_id` pushed: once, and only to that client.
    async fn take_pushed_request(
        &self,
        digest: &Digest,
        client_id: &str,
        now: Timestamp,
    ) -> Result<Option<String>>;
}

/// Devices that wait for a user (RFC 8628).
#[async_trait]
pub(crate) trait Devices {
    /// False if the user code is taken.
    async fn insert_device(&self, device: &Device) -> Result<bool>;
    /// The device that a user code names, if it still waits.
    async fn device_by_user_code(&self, user_code: &Digest, now: Timestamp) -> Result<Option<Device>>;
    /// Stores what the user gave a device, once. False, and nothing stored, if it no longer waits, or its client is not the
    /// same any more.
    async fn approve_device(&self, device: &Digest, approval: &Approval, now: Timestamp) -> Result<bool>;
    /// False if it no longer waits.
    async fn deny_device(&self, device: &Digest, now: Timestamp) -> Result<bool>;
    /// A device of this client asks: counts it, and says whether it was too soon. Its code may have expired.
    async fn poll_device(&self, digest: &Digest, client_id: &str, now: Timestamp) -> Result<Option<Polled>>;
    /// As [`Grants::redeem_code`].
    async fn redeem_device(
        &self,
        digest: &Digest,
        grant_id: &str,
        issued: &Issued,
        used: &Use,
    ) -> Result<bool>;
}

/// The tokens that one request to the token endpoint issues.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) access: AccessToken,
    pub(crate) refresh: Option<RefreshToken>,
}

/// Which grants are meant.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    /// The one with this id.
    Grant(String),
    OfUser(String),
    OfClient(String),
    OfUserAndClient {
        user_id: String,
        client_id: String,
    },
    /// Those of a user that were not used after an instant.
    Unused {
        user_id: String,
        since: Timestamp,
    },
}

/// Grants, codes, tokens and consents.
#[async_trait]
pub(crate) trait Grants {
    /// Ends the transaction and stores the grant with its code, and that the user consented, all or nothing. False,
    /// and nothing stored, if the transaction was already ended, or the client registered itself and is not the same any
    /// more.
    async fn approve(&self, transaction: Option<&Digest>, approval: &Approval) -> Result<bool>;
    async fn code(&self, digest: &Digest) -> Result<Option<(Code, Grant)>>;
    async fn count_code_failure(&self, digest: &Digest) -> Result<()>;
    /// Redeems a code and stores what it buys, all or nothing. False, and nothing stored, if it was redeemed before or
    /// its grant is revoked.
    async fn redeem_code(&self, digest: &Digest, grant_id: &str, issued: &Issued, used: &Use)
    -> Result<bool>;
    async fn refresh_token(&self, name: &RefreshTokenName) -> Result<Option<(RefreshToken, Grant)>>;
    /// Rotates a refresh token and stores its successor, all or nothing. False, and nothing stored, if it was rotated
    /// before or its grant is revoked.
    async fn rotate(
        &self,
        digest: &Digest,
        salt: &str,
        grant_id: &str,
        issued: &Issued,
        used: &Use,
    ) -> Result<bool>;
    /// Stores a grant that comes without a code, and its tokens. False, and nothing stored, if the grant that it is
    /// derived from is revoked.
    async fn insert_grant(&self, grant: &Grant, shown: &Shown, issued: &Issued, used: &Use) -> Result<bool>;
    /// One more access token of a grant. False, and nothing stored, if the grant is revoked.
    async fn insert_access_token(&self, grant_id: &str, token: &AccessToken) -> Result<bool>;
    /// An access token that was issued here, with its grant, whatever became of them.
    async fn access_token(&self, name: &AccessTokenName) -> Result<Option<(AccessToken, Grant)>>;
    /// Revokes one access token of a client.
    async fn revoke_access_token(
        &self,
        name: &AccessTokenName,
        client_id: &str,
        now: Timestamp,
    ) -> Result<bool>;
    /// The grant with an id, whatever became of it.
    async fn grant(&self, id: &str) -> Result<Option<Grant>>;
    /// Revokes grants, with every token of theirs. Returns the ids of those that were good until now.
    async fn revoke_grants(&self, which: &Which, now: Timestamp) -> Result<Vec<String>>;
    /// The grants of a user that are still good, the newest first.
    async fn connected(&self, user_id: &str, now: Timestamp) -> Result<Vec<Connected>>;
    async fn consent(&self, user_id: &str, client_id: &str, resource: &str) -> Result<Option<Consent>>;
    /// Whether the user ever said yes to the client.
    async fn has_consented(&self, user_id: &str, client_id: &str) -> Result<bool>;
    /// As `revoke_grants`, where the user removes the apps: that they said yes to those is forgotten, so that they must
    /// ask again.
    async fn remove_apps(&self, which: &Which, now: Timestamp) -> Result<Vec<String>>;
    /// The places in the status lists, from `first` and before `end`, of tokens that were revoked and had not expired at
    /// `since`.
    async fn revoked_statuses(&self, first: i64, end: i64, since: Timestamp) -> Result<Vec<i64>>;
}

/// What several servers share, and what a running server does now and then.
#[async_trait]
pub(crate) trait Housekeeping {
    /// Whether this is the first time that something is used that may be used once. It is remembered until
    /// `expires_at`.
    async fn use_once(&self, digest: &Digest, expires_at: Timestamp, now: Timestamp) -> Result<bool>;
    /// Takes `count` numbers that nobody else gets, and returns the first.
    async fn take_numbers(&self, counter: &str, count: i64) -> Result<i64>;
    /// How many numbers were taken.
    async fn numbers_taken(&self, counter: &str) -> Result<i64>;
    /// Whether `holder` may do what the lease is for until `until`: nobody else has it, or theirs is over.
    async fn lease(&self, name: &str, holder: &str, now: Timestamp, until: Timestamp) -> Result<bool>;
    async fn insert_audit_event(&self, event: &AuditEvent) -> Result<()>;
    /// Events after a sequence number, in order.
    async fn audit_events(&self, after: i64, limit: i64) -> Result<Vec<StoredEvent>>;
    /// The sequence number of the event that is `count` from the last.
    async fn audit_events_but_last(&self, count: i64) -> Result<i64>;
    /// Removes what expired before `now` (access tokens while nobody can take them for good any more), clients registered before `unused_since` that were never used, and audit
    /// events from before `audit_since`.
    async fn purge(&self, now: Timestamp, unused_since: Timestamp, audit_since: Timestamp) -> Result<()>;
    /// Everything that is kept about a user, without secrets.
    async fn user_data(&self, user_id: &str) -> Result<Option<serde_json::Value>>;
    /// Whether the database answers.
    async fn ping(&self) -> Result<()>;
    /// Waits for running statements and closes.
    async fn close(&self);
}

/// Everything.
pub(crate) trait Storage:
    Accounts + Keys + Clients + Transactions + Devices + Grants + Housekeeping + Send + Sync + fmt::Debug
{
}

impl<S> Storage for S where
    S: Accounts + Keys + Clients + Transactions + Devices + Grants + Housekeeping + Send + Sync + fmt::Debug
{
}
