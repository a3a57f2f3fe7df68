//! `GET /oauth2/status/{list}`: which access tokens are revoked (draft-ietf-oauth-status-list §8).

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};

use crate::{
    app::App,
    issue::internal,
    wire::error::{ApiError, ErrorCode},
};

/// Handles the request.
pub(crate) async fn status(
    State(app): State<Arc<App>>,
    Path(list): Path<String>,
) -> Result<Response, ApiError> {
    let none = ApiError::new(ErrorCode::NotFound, "there is no such list").with_status(StatusCode::NOT_FOUND);
    // a list has one address
    let number: i64 = list.parse().map_err(|_| none)?;
    if number.to_string() != list {
        return Err(none);
    }
    let signed = app.status_lists.signed(&app, number).await.map_err(|error| internal(&error))?;
    let signed = signed.ok_or(none)?;
    let headers = [
        (header::CONTENT_TYPE, "application/statuslist+jwt"),
        // whoever keeps a copy goes by its `ttl`; one more between us and them would add to that
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, signed.to_string()).into_response())
}
