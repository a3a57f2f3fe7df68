//! `GET /oauth2/jwks`: the public halves of the signing keys (RFC 7517 §5).

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;

use crate::app::App;

/// Handles the request.
pub(crate) async fn jwks(State(app): State<Arc<App>>) -> Response {
    let cached = format!("public, max-age={}", app.keys.published_max_age());
    ([(header::CACHE_CONTROL, cached)], Json(app.keys.published())).into_response()
}
