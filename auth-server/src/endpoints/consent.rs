//! `GET` and `POST /consent`: the user decides.

use std::{collections::BTreeSet, sync::Arc};

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
    transaction::{self, Allowed, Open, Pending},
};
use crate::{
    app::App,
    model::{
        audit::{AuditEvent, AuditKind},
        consent::{self, Choice, NotAChoice},
        consent_rules::Basis,
        place::Place,
    },
    pages::{
        self, Frame, Problem,
        consent::{ConsentPage, ShownResource, fields, shown_groups},
        parts::{Destination, ShownClient},
    },
    wire::{error::ErrorCode, params::Params},
};

const STEP: &str = "consent";
const NOTHING_TICKED: &str = "Leave at least one permission ticked, or deny.";

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
    let signed_in = signed_in.ok_or_else(Problem::no_transaction)?;
    if let Some(basis) = transaction::without_asking(app, &signed_in.user.id, &open.pending).await? {
        let allowed = Allowed { scopes: open.pending.request.scopes.clone(), basis };
        let to =
            transaction::approve(app, &signed_in, open.pending, allowed, Some(&open.stored.digest)).await?;
        return Ok(pages::redirect(app, &to));
    }
    page(app, StatusCode::OK, &open, &signed_in, None).await
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
    let params = form::read_with_boxes(headers, body).await?;
    let field = |name| params.one(name).map_err(|_| Problem::malformed());
    let browser = browser::browser(app, &jar);
    let open = transaction::open(app, browser.as_ref(), field("transaction")?).await?;
    let signed_in = browser::signed_in(app, &jar).await?;
    if open.needs_login(signed_in.as_ref(), app.now()) {
        return Ok(pages::redirect(app, &open.page(app, paths::LOGIN)));
    }
    let signed_in = signed_in.ok_or_else(Problem::no_transaction)?;
    // derived from the session, so that a page shown to one user cannot be answered as another
    let token = transaction::form_token(&signed_in.secret, STEP, &open.secret);
    if !field("csrf")?.is_some_and(|given| token.matches(given)) {
        return Err(Problem::forged());
    }
    match field("decision")? {
        Some("allow") => {
            let scopes = match consent::granted(&open.pending.request.scopes, &choice(&params)) {
                Ok(scopes) => scopes,
                Err(NotAChoice::NotOffered) => return Err(Problem::malformed()),
                Err(NotAChoice::Nothing) => {
                    return page(app, StatusCode::BAD_REQUEST, &open, &signed_in, Some(NOTHING_TICKED)).await;
                }
            };
            let allowed = Allowed { scopes, basis: Basis::Asked };
            let to = transaction::approve(app, &signed_in, open.pending, allowed, Some(&open.stored.digest))
                .await?;
            Ok(pages::redirect(app, &to))
        }
        Some("deny") => deny(app, &signed_in, &open).await,
        Some("switch") => {
            app.storage.delete_session(&signed_in.session.digest).await?;
            let jar = jar.add(browser::no_session_cookie(app));
            Ok((jar, pages::redirect(app, &open.page(app, paths::LOGIN))).into_response())
        }
        _ => Err(Problem::malformed()),
    }
}

/// The user's click is what sends the error, so that any client may be answered.
async fn deny(app: &App, signed_in: &SignedIn, open: &Open) -> Result<Response, Problem> {
    if !app.storage.end_transaction(&open.stored.digest).await? {
        return Err(Problem::no_transaction());
    }
    let event = AuditEvent::new(AuditKind::ConsentDenied, app.now()).user(&signed_in.user.id);
    app.record(event.client(&open.pending.client.id)).await;
    let request = &open.pending.request;
    let parameters = [("error", ErrorCode::AccessDenied.as_str()), ("error_description", "the user refused")];
    let to = transaction::answer(app, &request.redirect_uri, request.state.as_deref(), &parameters);
    Ok(pages::redirect(app, &to))
}

/// What the boxes of the form say.
fn choice(params: &Params) -> Choice<'_> {
    let ticked: BTreeSet<_> = params.names_after(fields::BOX_PREFIX).collect();
    if ticked.is_empty() && !params.has(fields::BOXES) { Choice::AsAsked } else { Choice::Ticked(ticked) }
}

async fn page(
    app: &App,
    status: StatusCode,
    open: &Open,
    signed_in: &SignedIn,
    problem: Option<&'static str>,
) -> Result<Response, Problem> {
    let Pending { client, request, .. } = &open.pending;
    let resources: Vec<_> = request.resources.iter().filter_map(|url| app.resource(url)).collect();
    let describe = |scope: &str| app.describe(scope, &request.resources);
    let earlier = transaction::earlier_consent(app, &signed_in.user.id, &open.pending).await?;
    let page = ConsentPage {
        frame: Frame::new(app),
        action: format!("{}{}", app.issuer.path(), paths::CONSENT),
        transaction: open.secret.expose().to_owned(),
        csrf: transaction::form_token(&signed_in.secret, STEP, &open.secret).expose().to_owned(),
        client: ShownClient::new(client),
        destination: Destination::new(client, &request.redirect_uri),
        resources: resources.into_iter().map(|resource| ShownResource::new(resource)).collect(),
        groups: shown_groups(consent::permissions(&request.scopes, earlier.as_ref(), describe)),
        stays_signed_in: request.wants_refresh(client).then(|| app.stays_signed_in(&request.resources)),
        username: signed_in.user.name.clone(),
        account: app.issuer.endpoint(Place::Account.path()),
        problem,
    };
    Ok(pages::render(app, status, &page))
}
