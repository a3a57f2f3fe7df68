//! The form that a page of this server sends back.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{FromRequest, Request},
    response::Response,
};
use axum_extra::extract::CookieJar;
use http::{HeaderMap, header};
use mcp_auth_runtime::serve::PeerAddr;

use super::{
    browser::{self, SignedIn},
    form,
};
use crate::{app::App, model::secret::Secret, pages::Problem, peer::client_address, wire::params::Params};

/// A form whose headers do not say that another site sent it. That it came from a page of ours is known only once its
/// token was checked, by [`Posted::check`] or [`Posted::of_user`].
pub(crate) struct Posted {
    pub(super) jar: CookieJar,
    pub(super) address: IpAddr,
    headers: HeaderMap,
    params: Params,
}

impl FromRequest<Arc<App>> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Response> {
        Self::read(request, app).await.map_err(|problem| problem.into_page(app))
    }
}

impl Posted {
    async fn read(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let headers = parts.headers;
        browser::check_form_origin(app, &headers)?;
        let Some(PeerAddr(peer)) = parts.extensions.get() else {
            return Err(anyhow::anyhow!("a request without an address").into());
        };
        let address = client_address(*peer, &headers, &app.trusted_proxies);
        let params = form::read(&headers, body).await?;
        Ok(Self { jar: CookieJar::from_headers(&headers), address, headers, params })
    }

    pub(super) const fn params(&self) -> &Params {
        &self.params
    }

    pub(super) fn field(&self, name: &str) -> Result<Option<&str>, Problem> {
        self.params.one(name).map_err(|_| Problem::malformed())
    }

    /// Refuses the form unless it carries the token of the page that it must have come from.
    pub(super) fn check(&self, token: &Secret) -> Result<(), Problem> {
        if self.field("csrf")?.is_some_and(|given| token.matches(given)) {
            Ok(())
        } else {
            Err(Problem::forged())
        }
    }

    /// The user whose page it came from; nobody where the session is over.
    pub(super) async fn of_user(
        &self,
        app: &App,
        token: impl FnOnce(&SignedIn) -> Secret,
    ) -> Result<Option<SignedIn>, Problem> {
        let Some(signed_in) = browser::signed_in(app, &self.jar).await? else { return Ok(None) };
        self.check(&token(&signed_in))?;
        Ok(Some(signed_in))
    }

    pub(super) fn user_agent(&self) -> &str {
        self.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
