//! Errors on Replicate's routes: problems as everywhere on this node, in the words that Replicate's callers look for.

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};

use crate::{dialects::input::in_words, error::Error, http::respond::Problem};

const PREFIXES: &[&str] = &[
    "/v1/predictions",
    "/v1/deployments/",
    "/v1/webhooks/",
    "/v1/files",
    "/v1/models/{owner}/{name}",
];

/// Puts what is wrong into `detail`, the one member that Replicate's clients show.
pub async fn answer_as_replicate(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let is_replicate =
        path.is_some_and(|path| PREFIXES.iter().any(|prefix| path.as_str().starts_with(prefix)));
    let mut response = next.run(request).await;
    if is_replicate
        && let Some(problem) = response.extensions_mut().get_mut::<Problem>()
        && let Some(body) = &mut problem.body
    {
        match &problem.error {
            Error::InvalidFields(errors) => body.detail = in_words(errors),
            Error::QueueFull { retry_after_ms } => {
                let seconds = retry_after_ms.div_ceil(1000).max(1);
                body.detail =
                    format!("Request was throttled. Your rate limit resets in ~{seconds}s.");
            }
            _ => {}
        }
    }
    response
}
