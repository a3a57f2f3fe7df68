//! An authorization request on its way through the pages.

use serde::{Deserialize, Serialize};

use super::{
    browser::{self, SignedIn},
    paths,
};
use crate::{
    app::App,
    model::{
        arrival::Arrival,
        audit::{AuditEvent, AuditKind},
        client::Client,
        consent_rules::{self, Basis},
        grant::{Approval, Code, Grant, GrantKind},
        redirect::RedirectUri,
        request::AuthorizationRequest,
        scope::ScopeSet,
        secret::{Digest, Secret, identifier},
    },
    outside::Timestamp,
    pages::Problem,
    storage::{StorageError, StoredTransaction},
};

/// Seconds that a user has to sign in and decide.
const LIFETIME_SECONDS: i64 = 15 * 60;

/// What is kept on the server while the user decides.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The client as it was when the request came.
    pub(super) client: Client,
    pub(super) request: AuthorizationRequest,
    /// How the browser came with it.
    #[serde(default)]
    pub(super) arrival: Arrival,
}

/// That a request may be answered with a code.
pub(super) struct Allowed {
    /// What of the request's scopes.
    pub(super) scopes: ScopeSet,
    pub(super) basis: Basis,
}

/// A pending request that this browser started.
pub(super) struct Open {
    pub(super) secret: Secret,
    pub(super) stored: StoredTransaction,
    pub(super) pending: Pending,
}

/// Stores a request and returns the secret that names it.
pub(super) async fn begin(app: &App, browser: &Secret, pending: &Pending) -> Result<Secret, Problem> {
    let secret = Secret::generate(&*app.outside.rng)?;
    let stored = StoredTransaction {
        digest: secret.digest(),
        browser: browser.digest(),
        content: serde_json::to_string(pending).map_err(StorageError::new)?,
        session: None,
        expires_at: app.now().plus_seconds(LIFETIME_SECONDS),
    };
    app.storage.insert_transaction(&stored).await?;
    Ok(secret)
}

/// Finds what was stored, for the browser that started it and for no other.
pub(super) async fn open(
    app: &App,
    browser: Option<&Secret>,
    transaction: Option<&str>,
) -> Result<Open, Problem> {
    let (Some(browser), Some(transaction)) = (browser, transaction) else {
        return Err(Problem::no_transaction());
    };
    let secret = Secret::received(transaction);
    let stored =
        app.storage.transaction(&secret.digest(), app.now()).await?.ok_or_else(Problem::no_transaction)?;
    if !stored.browser.matches(&browser.digest()) {
        return Err(Problem::no_transaction());
    }
    let pending = serde_json::from_str(&stored.content).map_err(StorageError::new)?;
    Ok(Open { secret, stored, pending })
}

impl Open {
    /// Whether the user must sign in before deciding.
    pub(super) fn needs_login(&self, signed_in: Option<&SignedIn>, now: Timestamp) -> bool {
        needs_login(&self.pending.request, self.stored.session.as_ref(), signed_in, now)
    }

    /// The page for a step of this transaction.
    pub(super) fn page(&self, app: &App, path: &str) -> String {
        page(app, path, &self.secret)
    }
}

/// The URL of a step, relative to the host.
pub(super) fn page(app: &App, path: &str, transaction: &Secret) -> String {
    // the secret is base64url, which needs no encoding
    format!("{}{path}?transaction={}", app.issuer.path(), transaction.expose())
}

/// `prompt=login` and `max_age` (OpenID Connect Core §3.1.2.1) ask for a sign-in within the transaction itself, whatever
/// the clock says about an earlier one.
pub(super) fn needs_login(
    request: &AuthorizationRequest,
    signed_in_within: Option<&Digest>,
    signed_in: Option<&SignedIn>,
    now: Timestamp,
) -> bool {
    let Some(signed_in) = signed_in else { return true };
    let too_old =
        request.max_age.is_some_and(|max| now.seconds_since(signed_in.session.authenticated_at) >= max);
    let within = signed_in_within.is_some_and(|session| session.matches(&signed_in.session.digest));
    (request.prompt.login || too_old) && !within
}

/// What was allowed at a resource, and what that implies there: whoever may do one thing is not asked about a part of it.
fn reach(app: &App, resource: &str, allowed: &ScopeSet) -> ScopeSet {
    app.resource(resource).map_or_else(|| allowed.clone(), |resource| resource.catalogue().reach(allowed))
}

/// What the user allowed the client before, at all resources of the request together: the part that a new consent adds
/// to is what it has in common with them. `None` where there is nothing to add to.
pub(super) async fn earlier_consent(
    app: &App,
    user_id: &str,
    pending: &Pending,
) -> Result<Option<ScopeSet>, StorageError> {
    let Pending { client, request, .. } = pending;
    let mut allowed: Option<ScopeSet> = None;
    for resource in &request.resources {
        let earlier = app.storage.consent(user_id, &client.id, resource).await?;
        // one that was given for other redirect URIs is void
        let Some(earlier) = earlier.filter(|consent| consent.stands_for(client)) else {
            continue;
        };
        allowed = Some(allowed.unwrap_or_default().union(&reach(app, resource, &earlier.scopes)));
    }
    Ok(allowed)
}

/// Why the request of this user needs no page, if it needs none.
pub(super) async fn without_asking(
    app: &App,
    user_id: &str,
    pending: &Pending,
) -> Result<Option<Basis>, StorageError> {
    let Pending { client, request, arrival } = pending;
    let mut earlier_covers = true;
    for resource in &request.resources {
        let earlier = app.storage.consent(user_id, &client.id, resource).await?;
        earlier_covers &= earlier.is_some_and(|consent| {
            consent.stands_for(client) && request.scopes.is_subset(&reach(app, resource, &consent.scopes))
        });
    }
    Ok(consent_rules::without_asking(client, request, *arrival, earlier_covers, &app.consent_rules))
}

/// Ends the transaction with a grant; the answer for the client carries the code.
pub(super) async fn approve(
    app: &App,
    SignedIn { session, user, .. }: &SignedIn,
    pending: Pending,
    Allowed { scopes, basis }: Allowed,
    transaction: Option<&Digest>,
) -> Result<String, Problem> {
    let Pending { client, request, .. } = pending;
    let now = app.now();
    let code = Secret::generate(&*app.outside.rng)?;
    let refresh = request.wants_refresh(&client);
    let lifetime = app.grant_lifetime(&request.resources, refresh);
    let grant = Grant {
        id: identifier(&*app.outside.rng)?,
        kind: GrantKind::AuthorizationCode,
        user_id: Some(user.id.clone()),
        client_id: client.id.clone(),
        resources: request.resources.clone(),
        refresh,
        scopes,
        parent_id: None,
        key_thumbprint: request.key_thumbprint,
        actor: None,
        authenticated_at: Some(session.authenticated_at),
        created_at: now,
        expires_at: now.plus_seconds(lifetime),
        revoked_at: None,
    };
    let stored_code = Code {
        digest: code.digest(),
        redirect_uri: request.redirect_uri.clone(),
        challenge: request.code_challenge,
        nonce: request.nonce,
        expires_at: now.plus_seconds(app.tokens.code),
        failures: 0,
        redeemed_at: None,
    };
    // what was decided without the user must not count as the user's word once the rule is gone
    let asked = (basis == Basis::Asked).then_some(request.scopes);
    let approval = Approval { grant, client, code: Some(stored_code), asked };
    if !app.storage.approve(transaction, &approval).await? {
        return Err(Problem::no_transaction());
    }
    let event = match basis {
        Basis::Asked => AuditEvent::new(AuditKind::ConsentGiven, now),
        Basis::Earlier => {
            AuditEvent::new(AuditKind::ConsentAutomatic, now).detail("because", "an earlier consent stands")
        }
        // counted as people count the tables of the file
        Basis::Rule(index) => AuditEvent::new(AuditKind::ConsentAutomatic, now)
            .detail("because", &format!("consent.auto {}", index + 1)),
    };
    let event = event.of_grant(&approval.grant);
    let resources = approval.grant.resources.join(" ");
    app.record(event.detail("scopes", &approval.grant.scopes).detail("resources", &resources)).await;
    Ok(answer(app, &request.redirect_uri, request.state.as_deref(), &[("code", code.expose())]))
}

/// The client's redirect URI with an answer in it. `iss` is in every one (RFC 9207 §2).
pub(super) fn answer(
    app: &App,
    to: &RedirectUri,
    state: Option<&str>,
    parameters: &[(&str, &str)],
) -> String {
    let mut all = parameters.to_vec();
    if let Some(state) = state {
        all.push(("state", state));
    }
    all.push(("iss", app.issuer.as_str()));
    to.with_parameters(&all)
}

/// The token of one form: only the browser that holds `key` in a cookie can have been given it.
pub(super) fn form_token(key: &Secret, step: &str, transaction: &Secret) -> Secret {
    browser::form_token(key, step, transaction.expose())
}

/// The next step for a transaction.
pub(super) const fn next_step(needs_login: bool) -> &'static str {
    if needs_login { paths::LOGIN } else { paths::CONSENT }
}
