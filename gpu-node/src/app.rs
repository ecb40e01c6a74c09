//! Every route of the node and the middleware around them: read this first.

use std::{future::Future, io};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};
use shared::limits::JSON_BODY_MAX_BYTES;
use tokio::net::TcpListener;
use tower::ServiceBuilder;

use crate::{
    http::{
        middleware::{auth, log, request_id},
        openai::{answer_as_openai, chat, completions, embeddings, models},
        respond,
        routes::{health, jobs, metrics},
    },
    state::AppState,
};

/// The routes that need no token; every other answers 401 without one, as do unknown paths.
pub const PUBLIC_ROUTES: &[&str] = &["/health/live", "/health/ready"];

/// The routes whose errors have OpenAI's shape.
pub const OPENAI_ROUTES: &[&str] =
    &["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/v1/models/{id}"];

/// The node's routes, ready to serve.
pub fn router(state: AppState) -> Router {
    // In the order a request meets them.
    let middleware = ServiceBuilder::new()
        .layer(from_fn(request_id::add_request_id))
        .layer(from_fn_with_state(state.clone(), log::log_request))
        .layer(from_fn(answer_as_openai))
        .layer(from_fn_with_state(state.clone(), auth::require_token))
        .layer(DefaultBodyLimit::max(JSON_BODY_MAX_BYTES));
    Router::new()
        .route("/v1/jobs", post(jobs::create_job))
        .route("/v1/jobs/{id}", get(jobs::find_job).delete(jobs::delete_job))
        .route("/v1/jobs/{id}/events", get(jobs::follow_job))
        .route("/v1/jobs/{id}/artifacts/{index}", get(jobs::fetch_artifact))
        .route("/v1/chat/completions", post(chat::create_chat_completion))
        .route("/v1/completions", post(completions::create_completion))
        .route("/v1/embeddings", post(embeddings::create_embeddings))
        .route("/v1/models", get(models::list_models))
        .route("/v1/models/{id}", get(models::find_model))
        .route("/metrics", get(metrics::show_metrics))
        .route("/health/live", get(health::is_live))
        .route("/health/ready", get(health::is_ready))
        .fallback(respond::unknown_path)
        .method_not_allowed_fallback(respond::wrong_method)
        .layer(middleware)
        .with_state(state)
}

/// Answers requests until `stop`, then finishes those under way.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router(state)).with_graceful_shutdown(stop).await
}
