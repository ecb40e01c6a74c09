//! Lets a request through when its route is public or its bearer token is one of ours.

use axum::{
    extract::{MatchedPath, Request, State},
    http::header,
    middleware::Next,
    response::Response,
};

use super::PUBLIC_ROUTES;
use crate::{error::Error, state::AppState};

/// Denies by default: what is not listed as public needs a token, unknown paths included.
pub async fn require_token(
    State(state): State<AppState>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let is_public = request
        .extensions()
        .get::<MatchedPath>()
        .is_some_and(|path| PUBLIC_ROUTES.contains(&path.as_str()));
    let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if is_public || state.access.allows(header) {
        Ok(next.run(request).await)
    } else {
        Err(Error::Unauthenticated)
    }
}
