//! `/oauth2/logout` (OpenID Connect RP-Initiated Logout 1.0): an app sends its user here to sign out of this server.
//!
//! What ends is the session in this browser. Grants stay: an app that was allowed something is removed on the account page.
//! Whatever the request says, the browser is sent on only to what the client registered, and to a client that nobody vouches
//! for only by a click, or from a session that the client proves it knows.

use std::{net::IpAddr, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use axum_extra::extract::CookieJar;
use http::{HeaderMap, StatusCode};
use mcp_auth_runtime::serve::PeerAddr;

use super::{
    browser::{self, SignedIn},
    form, paths,
};
use crate::{
    app::App,
    directory,
    keys::TokenType,
    model::{
        audit::{AuditEvent, AuditKind},
        client::Client,
        place::Place,
        redirect::RedirectUri,
        secret::Secret,
    },
    pages::{
        self, Frame, Problem,
        logout::{GoBack, LogoutPage, SignedOutPage},
        parts::ShownClient,
    },
    peer::client_address,
    wire::{params::Params, token::IdTokenHint},
};

const STEP: &str = "logout";
const MAX_STATE_BYTES: usize = 4096;

/// What is understood of a request. Parts that do not hold are left out: the user may sign out all the same, and is sent
/// nowhere.
struct Asked {
    /// Whom an id token of this server names, expired or not.
    subject: Option<String>,
    client: Option<Client>,
    /// One of the client's own, with `state`.
    target: Option<Target>,
}

struct Target {
    uri: RedirectUri,
    /// Where the browser goes.
    href: String,
}

/// A request of an app, by a link.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(PeerAddr(peer)): Extension<PeerAddr>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    jar: CookieJar,
) -> Response {
    let address = client_address(peer, &headers, &app.trusted_proxies);
    match answer(&app, address, query.as_deref().unwrap_or_default(), jar).await {
        Ok(response) => response,
        Err(problem) => problem.into_page(&app),
    }
}

async fn answer(app: &App, address: IpAddr, query: &str, jar: CookieJar) -> Result<Response, Problem> {
    let params = Params::parse(query).map_err(|_| Problem::malformed())?;
    let asked = Asked::read(app, &params).await?;
    let Some(signed_in) = browser::signed_in(app, &jar).await? else {
        // who is signed out already may have been sent by anybody
        return Ok(signed_out(app, &asked, false));
    };
    // an id token is what the client was told about this very user
    if asked.subject.as_ref() == Some(&signed_in.user.id) && asked.client.is_some() {
        return end(app, address, &signed_in, &asked, jar).await;
    }
    Ok(confirmation(app, &params, &asked, &signed_in))
}

/// A request of an app by a form, or the user's answer to the question.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    Extension(PeerAddr(peer)): Extension<PeerAddr>,
    headers: HeaderMap,
    jar: CookieJar,
    body: Body,
) -> Response {
    let address = client_address(peer, &headers, &app.trusted_proxies);
    match decide(&app, address, &headers, jar, body).await {
        Ok(response) => response,
        Err(problem) => problem.into_page(&app),
    }
}

async fn decide(
    app: &App,
    address: IpAddr,
    headers: &HeaderMap,
    jar: CookieJar,
    body: Body,
) -> Result<Response, Problem> {
    let params = form::read(headers, body).await?;
    let field = |name| params.one(name).map_err(|_| Problem::malformed());
    let Some(decision) = field("decision")? else {
        // the session cookie does not come with the form of another site, and does with the page that it leads to
        let to = format!("{}{}?{}", app.issuer.path(), paths::LOGOUT, params.encoded());
        return Ok(pages::redirect(app, &to));
    };
    browser::check_form_origin(app, headers)?;
    let asked = Asked::read(app, &params).await?;
    let Some(signed_in) = browser::signed_in(app, &jar).await? else {
        return Ok(signed_out(app, &asked, false));
    };
    if !field("csrf")?.is_some_and(|given| form_token(&signed_in, &params).matches(given)) {
        return Err(Problem::forged());
    }
    match decision {
        "sign-out" => end(app, address, &signed_in, &asked, jar).await,
        "stay" => Ok(pages::redirect(app, &format!("{}{}", app.issuer.path(), Place::Account.path()))),
        _ => Err(Problem::malformed()),
    }
}

impl Asked {
    async fn read(app: &App, params: &Params) -> Result<Self, Problem> {
        let field = |name| params.one(name).map_err(|_| Problem::malformed());
        let hint: Option<IdTokenHint> = match field("id_token_hint")? {
            Some(token) => app.keys.read_own(TokenType::Id, token, app.issuer.as_str()).await,
            None => None,
        };
        let named = field("client_id")?;
        let nobody = Self { subject: None, client: None, target: None };
        // §2: the two must not contradict each other
        let client_id = match (&hint, named) {
            (Some(hint), Some(named)) if hint.aud != named => return Ok(nobody),
            (Some(hint), _) => hint.aud.as_str(),
            (None, Some(named)) => named,
            (None, None) => return Ok(nobody),
        };
        // fetches no document of a client that nobody here signed in with
        let Some(client) = directory::for_token(app, client_id).await? else { return Ok(nobody) };
        let target = match field("post_logout_redirect_uri")? {
            Some(uri) => target(&client, uri, field("state")?),
            None => None,
        };
        Ok(Self { subject: hint.map(|hint| hint.sub), client: Some(client), target })
    }

    /// The way back, for who is signed out.
    fn way_back(&self) -> Option<GoBack> {
        let (client, target) = (self.client.as_ref()?, self.target.as_ref()?);
        Some(GoBack {
            client: ShownClient::new(client),
            target: target.uri.target(),
            href: target.href.clone(),
        })
    }
}

/// §3: what the client registered, byte for byte.
fn target(client: &Client, requested: &str, state: Option<&str>) -> Option<Target> {
    let Some(uri) = client.post_logout_redirect_uris.iter().find(|own| own.as_str() == requested) else {
        tracing::info!(client.id = client.id, "a post_logout_redirect_uri that is not registered");
        return None;
    };
    let state = state.filter(|state| state.len() <= MAX_STATE_BYTES);
    let href = state.map_or_else(|| uri.to_string(), |state| uri.with_parameters(&[("state", state)]));
    Some(Target { uri: uri.clone(), href })
}

/// Ends the session and answers, where somebody decided who may: the user, or a client that this user signed in with.
async fn end(
    app: &App,
    address: IpAddr,
    signed_in: &SignedIn,
    asked: &Asked,
    jar: CookieJar,
) -> Result<Response, Problem> {
    app.storage.delete_session(&signed_in.session.digest).await?;
    let mut event =
        AuditEvent::new(AuditKind::SignedOut, app.now()).user(&signed_in.user.id).address(&address);
    if let Some(client) = &asked.client {
        event = event.client(&client.id);
    }
    app.record(event).await;
    let jar = jar.add(browser::no_session_cookie(app));
    Ok((jar, signed_out(app, asked, true)).into_response())
}

/// `is_wanted`: the user, or an id token of theirs, has just ended a session for this.
fn signed_out(app: &App, asked: &Asked, is_wanted: bool) -> Response {
    if let (Some(client), Some(target)) = (&asked.client, &asked.target)
        && (is_wanted || client.may_be_redirected_to_unasked())
    {
        return pages::redirect(app, &target.href);
    }
    let page = SignedOutPage {
        frame: Frame::new(app),
        account: app.issuer.endpoint(Place::Account.path()),
        back: asked.way_back(),
    };
    pages::render(app, StatusCode::OK, &page)
}

fn confirmation(app: &App, params: &Params, asked: &Asked, signed_in: &SignedIn) -> Response {
    let kept = |name: &'static str| params.one(name).ok().flatten().map(|value| (name, value.to_owned()));
    let page = LogoutPage {
        frame: Frame::new(app),
        action: format!("{}{}", app.issuer.path(), paths::LOGOUT),
        csrf: form_token(signed_in, params).expose().to_owned(),
        fields: CONTEXT.into_iter().filter_map(kept).collect(),
        username: signed_in.user.name.clone(),
        account: app.issuer.endpoint(Place::Account.path()),
        back: asked.way_back(),
    };
    pages::render(app, StatusCode::OK, &page)
}

/// What a question was about, and its answer is for.
const CONTEXT: [&str; 4] = ["id_token_hint", "client_id", "post_logout_redirect_uri", "state"];

/// For one session and one request: a page that was shown for one app cannot be sent for another.
fn form_token(signed_in: &SignedIn, params: &Params) -> Secret {
    let context: Vec<_> =
        CONTEXT.iter().map(|name| params.one(name).ok().flatten().unwrap_or_default()).collect();
    browser::form_token(&signed_in.secret, STEP, &context.join("\n"))
}
