//! The table of contents: every path that this server answers.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::State,
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use tower_http::{
    cors::{AllowHeaders, Any, CorsLayer},
    set_header::SetResponseHeaderLayer,
};

use crate::{
    app::App,
    endpoints::{
        account::{self, password},
        authorize, consent, device, device_page, introspect, jwks, login, logout, metadata, par, paths,
        register::{self, manage},
        revoke, status, token, userinfo,
    },
    metrics::Endpoints,
    model::place::Place,
    pages::{self, Problem},
    rates::{self, Purpose},
    refusals, slow,
    wire::error::{ApiError, ErrorCode},
};

const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
const OPEN_ID: &str = "/.well-known/openid-configuration";

/// All routes of the server, counted where somebody wants to know.
pub(crate) fn router(app: Arc<App>, body: Duration, counted: Option<Endpoints>) -> Router {
    let below = app.issuer.path().to_owned();
    let at = |path: &str| format!("{below}{path}");
    let limit = |purpose| middleware::from_fn_with_state((Arc::clone(&app), purpose), rates::limit);

    // for any program, browser apps included
    let mut api = Router::new()
        // RFC 8414 §3.1: the well-known part comes before the issuer's path
        .route(&format!("{AUTHORIZATION_SERVER}{below}"), get(metadata::metadata))
        .route(&format!("{OPEN_ID}{below}"), get(metadata::metadata))
        .route(&at(paths::JWKS), get(jwks::jwks))
        .route(&at(paths::TOKEN), post(token::token).layer(limit(Purpose::Token)))
        .route(&at(paths::REVOKE), post(revoke::revoke).layer(limit(Purpose::Revocation)))
        .route(&at(paths::INTROSPECT), post(introspect::introspect).layer(limit(Purpose::Introspection)))
        .route(&at(paths::DEVICE), post(device::device).layer(limit(Purpose::Device)))
        .route(&at(paths::PAR), post(par::par).layer(limit(Purpose::Pushed)))
        .route(&format!("{}{{list}}", at(paths::STATUS)), get(status::status))
        .route(
            &at(paths::USERINFO),
            get(userinfo::userinfo).post(userinfo::userinfo).layer(limit(Purpose::UserInfo)),
        );
    if !below.is_empty() {
        // OpenID Connect Discovery §4: it comes after
        api = api.route(&at(OPEN_ID), get(metadata::metadata));
    }
    if app.clients.dynamic_registration {
        api = api.route(&at(paths::REGISTER), post(register::register));
        if app.clients.registration.is_managed {
            let of_one = get(manage::show)
                .put(manage::replace)
                .delete(manage::delete)
                .layer(limit(Purpose::Management));
            api = api.route(&at(&format!("{}/{{id}}", paths::REGISTER)), of_one);
        }
    }
    let api = api.method_not_allowed_fallback(api_method_not_allowed).layer(cors());

    // for users; no other origin may read any of it (OAuth 2.1 §3.1)
    let pages = Router::new()
        .route(&at(paths::AUTHORIZE), get(authorize::authorize).layer(limit(Purpose::Authorization)))
        .route(&at(paths::LOGIN), get(login::show).post(login::submit).layer(limit(Purpose::Page)))
        .route(&at(paths::LOGOUT), get(logout::show).post(logout::submit).layer(limit(Purpose::Page)))
        .route(&at(paths::CONSENT), get(consent::show).post(consent::submit).layer(limit(Purpose::Page)))
        .route(
            &at(Place::Device.path()),
            get(device_page::show).post(device_page::submit).layer(limit(Purpose::Page)),
        )
        .route(
            &at(Place::Account.path()),
            get(account::show).post(account::submit).layer(limit(Purpose::Page)),
        )
        .route(
            &at(Place::Password.path()),
            get(password::show).post(password::submit).layer(limit(Purpose::Page)),
        )
        .route(paths::CHANGE_PASSWORD, get(password::well_known))
        .route(&at(pages::STYLE_PATH), get(pages::style))
        .method_not_allowed_fallback(method_not_allowed);

    // what every response has, whatever it is; pages bring more of their own
    let always = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
    let transport = app.issuer.is_https().then_some(pages::STRICT_TRANSPORT_SECURITY);
    let all = api
        .merge(pages)
        .fallback(not_found)
        .layer(always(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(always(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"))
        .layer(SetResponseHeaderLayer::if_not_present(header::STRICT_TRANSPORT_SECURITY, transport))
        .layer(middleware::from_fn_with_state(body, slow::limit))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), refusals::log))
        .with_state(app);
    match counted {
        Some(endpoints) => all.layer(middleware::from_fn_with_state(endpoints, Endpoints::count)),
        None => all,
    }
}

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            header::WWW_AUTHENTICATE,
            header::RETRY_AFTER,
            HeaderName::from_static("dpop-nonce"),
        ])
}

/// Clients probe many paths, and some stumble over anything but JSON; people see a page.
async fn not_found(State(app): State<Arc<App>>, uri: Uri, headers: HeaderMap) -> Response {
    let below = |prefix: &str| uri.path().starts_with(prefix);
    let is_api = below("/.well-known/") || below(&format!("{}/oauth2/", app.issuer.path()));
    if !is_api && is_for_a_person(&headers) {
        return Problem::not_found().into_page(&app);
    }
    ApiError::new(ErrorCode::NotFound, "there is nothing at this path")
        .with_status(StatusCode::NOT_FOUND)
        .into_response()
}

async fn method_not_allowed(State(app): State<Arc<App>>) -> Response {
    Problem::method_not_allowed().into_page(&app)
}

async fn api_method_not_allowed() -> ApiError {
    ApiError::new(ErrorCode::InvalidRequest, "this method is not for this path")
        .with_status(StatusCode::METHOD_NOT_ALLOWED)
}

/// Browsers that open an address name HTML first of all; programs take anything, or JSON.
fn is_for_a_person(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|accepted| accepted.split(',').any(|kind| kind.trim().starts_with("text/html")))
}
