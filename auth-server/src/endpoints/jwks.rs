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
    ([(header::CACHE_CONTROL, "public, max-age=300")], Json(app.keys.published())).into_response()
}
