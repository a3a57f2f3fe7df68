//! How often one address may come, by what it comes for. Counted before anything is read or looked up.

use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use mcp_auth_runtime::{network::Network, serve::PeerAddr};

use crate::{
    app::App,
    config::RatesPerMinute,
    model::audit::{AuditEvent, AuditKind},
    outside::Timestamp,
    pages::Problem,
    peer::{AddressBlock, client_address},
    throttle::{Exceeded, Throttle},
    wire::error::ApiError,
};

const WINDOW_SECONDS: i64 = 60;

/// What somebody comes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A request for authorization: one that is well-formed leaves a row behind for a quarter of an hour.
    Authorization,
    /// A page, or the form of one.
    Page,
    Token,
    Introspection,
    Revocation,
    Pushed,
    Device,
    UserInfo,
    /// A client's own registration (RFC 7592).
    Management,
}

impl Purpose {
    /// As the audit has it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Authorization => "authorizations",
            Self::Page => "pages",
            Self::Token => "token requests",
            Self::Introspection => "introspections",
            Self::Revocation => "revocations",
            Self::Pushed => "pushed requests",
            Self::Device => "device requests",
            Self::UserInfo => "userinfo requests",
            Self::Management => "registration management",
        }
    }
}

/// The counters.
#[derive(Debug)]
pub(crate) struct Rates {
    authorizations: Throttle<Network>,
    pages: Throttle<Network>,
    tokens: Throttle<Network>,
    introspections: Throttle<Network>,
    revocations: Throttle<Network>,
    pushed: Throttle<Network>,
    devices: Throttle<Network>,
    user_info: Throttle<Network>,
    management: Throttle<Network>,
    /// Addresses by which very many people come: none of this counts for them.
    egresses: Vec<AddressBlock>,
}

impl Rates {
    pub(crate) fn new(limits: &RatesPerMinute, egresses: Vec<AddressBlock>) -> Self {
        let per_minute = |limit| Throttle::new(limit, WINDOW_SECONDS);
        Self {
            authorizations: per_minute(limits.authorizations),
            pages: per_minute(limits.pages),
            tokens: per_minute(limits.tokens),
            introspections: per_minute(limits.introspections),
            revocations: per_minute(limits.revocations),
            pushed: per_minute(limits.pushed),
            devices: per_minute(limits.devices),
            user_info: per_minute(limits.user_info),
            management: per_minute(limits.management),
            egresses,
        }
    }

    fn admit(&self, purpose: Purpose, address: IpAddr, now: Timestamp) -> Result<(), Exceeded> {
        if self.egresses.iter().any(|block| block.contains(address)) {
            return Ok(());
        }
        self.of(purpose).admit(&Network::of(address), now)
    }

    const fn of(&self, purpose: Purpose) -> &Throttle<Network> {
        match purpose {
            Purpose::Authorization => &self.authorizations,
            Purpose::Page => &self.pages,
            Purpose::Token => &self.tokens,
            Purpose::Introspection => &self.introspections,
            Purpose::Revocation => &self.revocations,
            Purpose::Pushed => &self.pushed,
            Purpose::Device => &self.devices,
            Purpose::UserInfo => &self.user_info,
            Purpose::Management => &self.management,
        }
    }
}

/// Middleware that turns away who comes too often.
pub(crate) async fn limit(
    State((app, purpose)): State<(Arc<App>, Purpose)>,
    request: Request,
    next: Next,
) -> Response {
    let Some(PeerAddr(peer)) = request.extensions().get() else {
        tracing::error!("a request without an address");
        return ApiError::unavailable().into_response();
    };
    let address = client_address(*peer, request.headers(), &app.trusted_proxies);
    let Err(exceeded) = app.rates.admit(purpose, address, app.now()) else {
        return next.run(request).await;
    };
    app.record_limit(exceeded, limit_reached(purpose.as_str(), address, app.now())).await;
    match purpose {
        Purpose::Authorization | Purpose::Page => Problem::too_many(exceeded).into_page(&app),
        _ => ApiError::too_many_requests(exceeded.retry_after_seconds).into_response(),
    }
}

/// The event that says so.
pub(crate) fn limit_reached(limit: &'static str, address: IpAddr, now: Timestamp) -> AuditEvent {
    AuditEvent::new(AuditKind::LimitReached, now).address(&address).detail("limit", limit)
}
