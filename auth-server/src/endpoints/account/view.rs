//! What the account page shows.

use super::{UNUSED_SECONDS, form_token};
use crate::{
    app::App,
    endpoints::browser::SignedIn,
    model::{
        grant::{Connected, GrantKind},
        place::Place,
        scope::OFFLINE_ACCESS,
        secret::Digest,
        session::Session,
        user_agent::browser_name,
    },
    outside::Timestamp,
    pages::{
        self, Frame, Problem,
        account::{AccountPage, ConnectedApp, GivenAccess, Notice, ShownSession},
        consent::ShownResource,
        parts::Provenance,
    },
};

pub(super) async fn page(
    app: &App,
    signed_in: &SignedIn,
    notice: Option<Notice>,
) -> Result<AccountPage, Problem> {
    let now = app.now();
    let connected = app.storage.connected(&signed_in.user.id, now).await?;
    let sessions = app.storage.sessions(&signed_in.user.id, now).await?;
    let unused_since = now.plus_seconds(-UNUSED_SECONDS);
    Ok(AccountPage {
        frame: Frame::new(app),
        action: format!("{}{}", app.issuer.path(), Place::Account.path()),
        password: format!("{}{}", app.issuer.path(), Place::Password.path()),
        csrf: form_token(signed_in).expose().to_owned(),
        username: signed_in.user.name.clone(),
        notice,
        unused: connected.iter().filter(|found| last_use(found) <= unused_since).count(),
        apps: apps(app, connected),
        sessions: sessions.iter().map(|session| shown_session(session, signed_in)).collect(),
    })
}

fn last_use(connected: &Connected) -> Timestamp {
    connected.last_used_at.unwrap_or(connected.grant.created_at)
}

/// A heading for each client, below it what it was given each time; both with the newest first.
fn apps(app: &App, connected: Vec<Connected>) -> Vec<ConnectedApp> {
    let mut apps: Vec<ConnectedApp> = Vec::new();
    for found in connected {
        let client_id = found.grant.client_id.clone();
        let access = given_access(app, &found);
        match apps.iter_mut().find(|app| app.client_id == client_id) {
            Some(app) => app.accesses.push(access),
            None => apps.push(ConnectedApp {
                name: found.shown.name,
                origin: Provenance::of(&found.shown.origin, &client_id, None),
                client_id,
                accesses: vec![access],
            }),
        }
    }
    apps
}

fn given_access(
    app: &App,
    Connected { grant, shown, last_used_at, last_address }: &Connected,
) -> GivenAccess {
    let resources: Vec<_> = grant.resources.iter().map(|url| (url, app.resource(url))).collect();
    let words = |scope: &str| app.words_of(scope, &grant.resources).unwrap_or_else(|| scope.to_owned());
    GivenAccess {
        id: grant.id.clone(),
        resources: resources
            .iter()
            .map(|(url, resource)| match resource {
                Some(resource) => ShownResource::new(resource),
                None => ShownResource { name: (*url).clone(), url: (*url).clone(), learns: Vec::new() },
            })
            .collect(),
        permissions: grant.scopes.iter().filter(|scope| *scope != OFFLINE_ACCESS).map(words).collect(),
        given: pages::date(grant.created_at),
        until: pages::date(grant.expires_at),
        last_used: last_used_at.map(pages::moment),
        last_address: last_address.clone(),
        is_device: grant.kind == GrantKind::DeviceCode,
        answered_to: shown.answered_to.as_ref().map(crate::model::redirect::RedirectUri::target),
    }
}

fn shown_session(session: &Session, signed_in: &SignedIn) -> ShownSession {
    ShownSession {
        name: session_name(session),
        browser: browser_name(&session.user_agent),
        address: session.address.clone(),
        since: pages::moment(session.authenticated_at),
        is_this: session.digest.matches(&signed_in.session.digest),
    }
}

/// What a form calls a session by. Not what it is stored under: a page shows nothing that a look-up could be made with.
pub(super) fn session_name(session: &Session) -> String {
    Digest::of(session.digest.as_str().as_bytes()).as_str().to_owned()
}
