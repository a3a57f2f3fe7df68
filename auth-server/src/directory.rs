//! Finding a client by its id: the administrator's, then documents, then registrations.

use crate::{
    app::App,
    model::{
        audit::{AuditEvent, AuditKind},
        client::{Client, Origin},
    },
    outbound::NotHad,
    storage::{RegisteredClient, StorageError},
    throttle::Exceeded,
};

/// Seconds after which a registration that nobody ever used is forgotten.
pub(crate) const UNUSED_SECONDS: i64 = 24 * 3600;

/// Seconds after which it is stored once more that a document holds.
const KEPT_AGAIN_SECONDS: i64 = 3600;

/// Why there is no client to go on with.
#[derive(Debug)]
pub(crate) enum Missing {
    /// No such client; for documents, whatever the reason.
    Unknown,
    /// It registered itself, and an administrator has to approve of it.
    Waiting,
    Busy(Exceeded),
    Storage(StorageError),
}

impl From<StorageError> for Missing {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// The client that starts an authorization. May fetch a document.
pub(crate) async fn for_authorization(app: &App, id: &str) -> Result<Client, Missing> {
    // the administrator's word comes first, even for an id that is a URL
    if let Some(client) = app.clients.registered.get(id) {
        return Ok(client.clone());
    }
    if is_document_id(id) {
        let documents = app.documents.as_ref().ok_or(Missing::Unknown)?;
        return match documents.client(id).await {
            Ok(client) => Ok(client),
            Err(NotHad::Busy(exceeded)) => {
                let event = AuditEvent::new(AuditKind::LimitReached, app.now()).detail("limit", "fetches");
                app.record_limit(exceeded, event).await;
                Err(Missing::Busy(exceeded))
            }
            Err(_) => Err(Missing::Unknown),
        };
    }
    let found = stored(app, id).await?.ok_or(Missing::Unknown)?;
    if found.approved_at.is_some() { Ok(found.client) } else { Err(Missing::Waiting) }
}

/// The client that comes to the token endpoint. A document is asked for only if somebody signed in with it before: then it
/// is the client's word on how it proves itself, and where it cannot be had, the word that it gave last counts.
pub(crate) async fn for_token(app: &App, id: &str) -> Result<Option<Client>, StorageError> {
    if let Some(client) = app.clients.registered.get(id) {
        return Ok(Some(client.clone()));
    }
    if !is_document_id(id) {
        return approved(app, id).await;
    }
    let Some(documents) = &app.documents else { return Ok(None) };
    let Some(last) = approved(app, id).await? else { return Ok(None) };
    let Some(client) = documents.still(last.clone(), app.now()).await else { return Ok(None) };
    if is_worth_keeping(&last, &client) {
        app.storage.renew_document(&client).await?;
    }
    Ok(Some(client))
}

/// Whether what was heard of a document must be stored: if it says something else, or if it says the same some time
/// after, which counts when its server is down the next time.
fn is_worth_keeping(last: &Client, client: &Client) -> bool {
    let age = client.registered_at.seconds_since(last.registered_at);
    let same = Client { registered_at: last.registered_at, ..client.clone() } == *last;
    age > 0 && (!same || age >= KEPT_AGAIN_SECONDS)
}

async fn approved(app: &App, id: &str) -> Result<Option<Client>, StorageError> {
    let found = stored(app, id).await?;
    Ok(found.filter(|found| found.approved_at.is_some()).map(|found| found.client))
}

async fn stored(app: &App, id: &str) -> Result<Option<RegisteredClient>, StorageError> {
    let found = app.storage.client(id, app.now().plus_seconds(-UNUSED_SECONDS)).await?;
    // one that was the administrator's, and is no longer in the configuration, is nobody's
    Ok(found.filter(|found| found.client.origin != Origin::Administrator))
}

/// Ids that this server gives never begin like this.
fn is_document_id(id: &str) -> bool {
    id.starts_with("https://")
}
