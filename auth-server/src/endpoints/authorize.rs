//! `GET /oauth2/authorize` (RFC 6749 §4.1.1, OAuth 2.1 §4.1).
//!
//! A mistake in the client or its redirect URI is shown to the user, never redirected. Any other is sent to the client;
//! but where nobody vouches for the client, only when the user asks for it.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use axum_extra::extract::CookieJar;
use http::{HeaderMap, StatusCode};

use super::{
    browser::{self, SignedIn},
    par,
    transaction::{self, Allowed, Pending},
};
use crate::{
    app::App,
    directory::{self, Missing},
    model::{
        arrival::Arrival,
        client::Client,
        grant_type::GrantType,
        redirect::RedirectUri,
        request::{AuthorizationRequest, Refused},
        text,
    },
    pages::{self, Frame, Problem, consent::LeavePage, parts::ShownClient},
    refusals,
    wire::{error::ErrorCode, params::Params},
};

/// Characters of a refused client id or redirect URI that are logged.
const MAX_LOGGED_CHARS: usize = 2048;

/// Handles the request.
pub(crate) async fn authorize(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    jar: CookieJar,
) -> Response {
    let arrival = browser::arrival(&headers);
    match answer(&app, query.as_deref().unwrap_or_default(), arrival, jar).await {
        Ok(response) => response,
        Err(problem) => problem.into_page(&app),
    }
}

async fn answer(app: &App, query: &str, arrival: Arrival, jar: CookieJar) -> Result<Response, Problem> {
    let params = Params::parse(query).map_err(|_| Problem::malformed())?;
    let client_id = params.one("client_id").ok().flatten().ok_or_else(Problem::malformed)?;
    refusals::named(client_id);
    let client = directory::for_authorization(app, client_id).await.map_err(|missing| match missing {
        Missing::Unknown => {
            let asked = text::for_developers(client_id, MAX_LOGGED_CHARS);
            tracing::info!(asked, "authorization request of an unknown client");
            Problem::unknown_client()
        }
        Missing::Waiting => Problem::waiting_for_approval(client_id),
        Missing::Busy(exceeded) => Problem::too_many(exceeded),
        Missing::Storage(error) => error.into(),
    })?;
    // RFC 9126 §4: what was pushed counts, and nothing beside it
    let request_uri = params.one("request_uri").ok().flatten().and_then(par::secret);
    let is_pushed = request_uri.is_some();
    let params = match request_uri {
        Some(request_uri) => {
            par::take(app, &request_uri, &client.id).await?.ok_or_else(Problem::no_transaction)?
        }
        None => params,
    };
    let requested = params.one("redirect_uri").map_err(|_| Problem::redirect_uri(&client, None))?;
    let redirect_uri = match requested {
        Some(requested) => client.redirect_uri(requested),
        None => client.sole_redirect_uri().cloned(),
    }
    .ok_or_else(|| {
        tracing::info!(
            client.id = client.id,
            received = requested.map(|uri| text::for_developers(uri, MAX_LOGGED_CHARS)),
            registered = ?client.redirect_uris,
            "authorization request with an unregistered redirect URI"
        );
        Problem::redirect_uri(&client, requested)
    })?;

    let signed_in = browser::signed_in(app, &jar).await?;
    let request = may_ask(&client, is_pushed)
        .and_then(|()| AuthorizationRequest::read(&params, redirect_uri.clone(), &client, &app.resources));
    let request = match request {
        Ok(request) => request,
        Err(refused) => {
            let state = params.one("state").ok().flatten();
            return refuse(app, &client, &redirect_uri, state, refused, signed_in.as_ref()).await;
        }
    };
    let needs_login = transaction::needs_login(&request, None, signed_in.as_ref(), app.now());
    let pending = Pending { client, request, arrival };
    if pending.request.prompt.none {
        return without_pages(app, pending, signed_in.filter(|_| !needs_login)).await;
    }
    let (browser, jar) = browser::browser_or_new(app, jar)?;
    let transaction = transaction::begin(app, &browser, &pending).await?;
    let next = transaction::page(app, transaction::next_step(needs_login), &transaction);
    Ok((jar, pages::redirect(app, &next)).into_response())
}

/// Whether the client may sign users in, and may ask in this way.
fn may_ask(client: &Client, is_pushed: bool) -> Result<(), Refused> {
    if !client.may_use(GrantType::AuthorizationCode) {
        return Err(Refused::new(ErrorCode::UnauthorizedClient, "this client does not sign users in"));
    }
    if client.restrictions.pushed_requests && !is_pushed {
        return Err(Refused::new(ErrorCode::InvalidRequest, "this client pushes its requests"));
    }
    Ok(())
}

/// `prompt=none`: an answer at once, or an error.
async fn without_pages(
    app: &App,
    pending: Pending,
    signed_in: Option<SignedIn>,
) -> Result<Response, Problem> {
    let refused = match &signed_in {
        None => Refused::new(ErrorCode::LoginRequired, "the user must sign in"),
        Some(signed_in) => {
            if let Some(basis) = transaction::without_asking(app, &signed_in.user.id, &pending).await? {
                let allowed = Allowed { scopes: pending.request.scopes.clone(), basis };
                let to = transaction::approve(app, signed_in, pending, allowed, None).await?;
                return Ok(pages::redirect(app, &to));
            }
            Refused::new(ErrorCode::ConsentRequired, "the user must consent")
        }
    };
    let Pending { client, request, .. } = &pending;
    if !is_trusted_with_redirects(app, client, signed_in.as_ref()).await? {
        return Err(Problem::sign_in_needed());
    }
    refuse(app, client, &request.redirect_uri, request.state.as_deref(), refused, signed_in.as_ref()).await
}

/// Sends an error to the client, or lets the user do so.
async fn refuse(
    app: &App,
    client: &Client,
    redirect_uri: &RedirectUri,
    state: Option<&str>,
    refused: Refused,
    signed_in: Option<&SignedIn>,
) -> Result<Response, Problem> {
    tracing::info!(
        client.id = client.id,
        error = refused.code.as_str(),
        reason = refused.description,
        "authorization request refused"
    );
    let parameters = [("error", refused.code.as_str()), ("error_description", refused.description)];
    let href = transaction::answer(app, redirect_uri, state, &parameters);
    if is_trusted_with_redirects(app, client, signed_in).await? {
        return Ok(pages::redirect(app, &href));
    }
    let page = LeavePage {
        frame: Frame::new(app),
        client: ShownClient::new(client),
        description: refused.description,
        error: refused.code.as_str(),
        target: redirect_uri.target(),
        href,
    };
    Ok(pages::render(app, StatusCode::BAD_REQUEST, &page))
}

/// Whether a redirect may come before anything that the user does: for the administrator's clients, and for those that
/// this user allowed something before.
async fn is_trusted_with_redirects(
    app: &App,
    client: &Client,
    signed_in: Option<&SignedIn>,
) -> Result<bool, Problem> {
    if client.may_be_redirected_to_unasked() {
        return Ok(true);
    }
    match signed_in {
        Some(signed_in) => Ok(app.storage.has_consented(&signed_in.user.id, &client.id).await?),
        None => Ok(false),
    }
}
