//! Every route of the node and the middleware around them: read this first.

use std::{future::Future, io, pin::pin, time::Duration};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{get, post},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use shared::limits::{IMAGE_BODY_MAX_BYTES, JSON_BODY_MAX_BYTES};
use tokio::{net::TcpListener, time};
use tower::ServiceBuilder;

use crate::{
    http::{
        extract::body_limit,
        middleware::{auth, log, request_id},
        openai::{answer_as_openai, chat, completions, embeddings, images, models},
        respond,
        routes::{health, jobs, metrics},
    },
    state::AppState,
};

/// How long a caller may take over the head of a request: slower ones only hold connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// After an accept that failed, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The routes that need no token; every other answers 401 without one, as do unknown paths.
pub const PUBLIC_ROUTES: &[&str] = &["/health/live", "/health/ready"];

/// The routes whose errors have OpenAI's shape.
pub const OPENAI_ROUTES: &[&str] = &[
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/models",
    "/v1/models/{id}",
];

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
        .route("/v1/jobs", post(jobs::create_job).layer(body_limit(IMAGE_BODY_MAX_BYTES)))
        .route("/v1/jobs/{id}", get(jobs::find_job).delete(jobs::delete_job))
        .route("/v1/jobs/{id}/events", get(jobs::follow_job))
        .route("/v1/jobs/{id}/artifacts/{index}", get(jobs::fetch_artifact))
        .route("/v1/chat/completions", post(chat::create_chat_completion))
        .route("/v1/completions", post(completions::create_completion))
        .route("/v1/embeddings", post(embeddings::create_embeddings))
        .route("/v1/images/generations", post(images::create_image))
        .route("/v1/images/edits", post(images::edit_image).layer(body_limit(IMAGE_BODY_MAX_BYTES)))
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

/// Answers requests until `stop`, then finishes those under way. Like `axum::serve`, which can't limit the time of heads.
pub async fn serve(
    listener: TcpListener,
    state: AppState,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let service = TowerToHyperService::new(router(state));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let open = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection = http.serve_connection(TokioIo::new(stream), service.clone());
        let connection = open.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke off");
            }
        });
    }
    drop(listener);
    open.shutdown().await;
    Ok(())
}
