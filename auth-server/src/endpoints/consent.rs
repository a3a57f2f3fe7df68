//! `GET` and `POST /consent`: the user decides.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use axum_extra::extract::CookieJar;
use http::{HeaderMap, StatusCode};

use super::{
    browser::{self, SignedIn},
    form, paths,
    transaction::{self, Open},
};
use crate::{
    app::App,
    model::scope::OFFLINE_ACCESS,
    pages::{self, ConsentPage, Permission, Problem, ShownResource},
    wire::{error::ErrorCode, params::Params},
};

const STEP: &str = "consent";

/// Shows what is asked for, or goes on where the user allowed the same before.
pub(crate) async fn show(State(app): State<Arc<App>>, RawQuery(query): RawQuery, jar: CookieJar) -> Response {
    match show_page(&app, query.as_deref().unwrap_or_default(), &jar).await {
        Ok(response) => response,
        Err(problem) => problem.into_page(&app),
    }
}

async fn show_page(app: &App, query: &str, jar: &CookieJar) -> Result<Response, Problem> {
    let params = Params::parse(query).map_err(|_| Problem::malformed())?;
    let browser = browser::browser(app, jar);
    let open = transaction::open(app, browser.as_ref(), params.one("transaction").ok().flatten()).await?;
    let signed_in = browser::signed_in(app, jar).await?;
    if open.needs_login(signed_in.as_ref(), app.now()) {
        return Ok(pages::redirect(app, &open.page(app, paths::LOGIN)));
    }
    let signed_in = signed_in.ok_or(Problem::no_transaction())?;
    if transaction::is_consented(app, &signed_in.user.id, &open.pending).await? {
        let to =
            transaction::approve(app, &signed_in.user.id, open.pending, Some(&open.stored.digest)).await?;
        return Ok(pages::redirect(app, &to));
    }
    Ok(page(app, &open, &signed_in))
}

/// Takes the decision.
pub(crate) async fn submit(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    jar: CookieJar,
    body: Body,
) -> Response {
    match decide(&app, &headers, jar, body).await {
        Ok(response) => response,
        Err(problem) => problem.into_page(&app),
    }
}

async fn decide(app: &App, headers: &HeaderMap, jar: CookieJar, body: Body) -> Result<Response, Problem> {
    browser::check_form_origin(app, headers)?;
    let params = form::read(headers, body).await.map_err(|_| Problem::malformed())?;
    let field = |name| params.one(name).map_err(|_| Problem::malformed());
    let browser = browser::browser(app, &jar);
    let open = transaction::open(app, browser.as_ref(), field("transaction")?).await?;
    let signed_in = browser::signed_in(app, &jar).await?;
    if open.needs_login(signed_in.as_ref(), app.now()) {
        return Ok(pages::redirect(app, &open.page(app, paths::LOGIN)));
    }
    let signed_in = signed_in.ok_or(Problem::no_transaction())?;
    // derived from the session, so that a page shown to one user cannot be answered as another
    let token = transaction::form_token(&signed_in.secret, STEP, &open.secret);
    if !field("csrf")?.is_some_and(|given| token.matches(given)) {
        return Err(Problem::forged());
    }
    match field("decision")? {
        Some("allow") => {
            let to = transaction::approve(app, &signed_in.user.id, open.pending, Some(&open.stored.digest))
                .await?;
            Ok(pages::redirect(app, &to))
        }
        Some("deny") => deny(app, &open).await,
        Some("switch") => {
            app.storage.delete_session(&signed_in.session.digest).await?;
            let jar = jar.add(browser::no_session_cookie(app));
            Ok((jar, pages::redirect(app, &open.page(app, paths::LOGIN))).into_response())
        }
        _ => Err(Problem::malformed()),
    }
}

/// The user's click is what sends the error, so that any client may be answered.
async fn deny(app: &App, open: &Open) -> Result<Response, Problem> {
    if !app.storage.end_transaction(&open.stored.digest).await? {
        return Err(Problem::no_transaction());
    }
    tracing::info!(client.id = open.pending.client.id, "authorization denied by the user");
    let request = &open.pending.request;
    let parameters = [("error", ErrorCode::AccessDenied.as_str()), ("error_description", "the user refused")];
    let to = transaction::answer(app, &request.redirect_uri, request.state.as_deref(), &parameters);
    Ok(pages::redirect(app, &to))
}

fn page(app: &App, open: &Open, signed_in: &SignedIn) -> Response {
    let request = &open.pending.request;
    let resources: Vec<_> = request.resources.iter().filter_map(|url| app.resource(url)).collect();
    let words = |scope: &str| {
        resources
            .iter()
            .find_map(|resource| resource.catalogue().description(scope).map(str::to_owned))
            .unwrap_or_else(|| scope.to_owned())
    };
    let permissions = request
        .scopes
        .iter()
        .filter(|scope| *scope != OFFLINE_ACCESS)
        .map(|scope| Permission { scope: scope.to_owned(), words: words(scope) })
        .collect();
    let page = ConsentPage {
        style: pages::style_url(app),
        action: format!("{}{}", app.issuer.path(), paths::CONSENT),
        transaction: open.secret.expose().to_owned(),
        csrf: transaction::form_token(&signed_in.secret, STEP, &open.secret).expose().to_owned(),
        client: (&open.pending.client).into(),
        target: request.redirect_uri.target(),
        resources_in_words: resources
            .iter()
            .map(|resource| resource.name())
            .collect::<Vec<_>>()
            .join(" and "),
        resources: resources
            .iter()
            .map(|resource| ShownResource {
                name: resource.name().to_owned(),
                url: resource.url().to_owned(),
            })
            .collect(),
        permissions,
        stays_signed_in: request.wants_refresh(&open.pending.client),
        stays_signed_in_days: (app.tokens.refresh_max / 86_400).max(1),
        username: signed_in.user.name.clone(),
    };
    pages::render(app, StatusCode::OK, &page)
}
