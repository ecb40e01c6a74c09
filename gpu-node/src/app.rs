//! Every route of the node and the middleware around them: read this first.

use std::{future::Future, io, pin::pin, time::Duration};

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
    routing::{MethodRouter, get, post},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use shared::limits::{EMBEDDINGS_BODY_MAX_BYTES, IMAGE_BODY_MAX_BYTES, JSON_BODY_MAX_BYTES};
use tokio::{net::TcpListener, time};
use tower::ServiceBuilder;

use crate::{
    http::{
        body::{LargeBodies, body_limit},
        middleware::{auth, log, request_id},
        openai::{answer_as_openai, chat, completions, embeddings, images, models},
        replicate, respond,
        routes::{health, jobs, metrics},
        runpod,
    },
    state::AppState,
};

/// How long a caller may take over the head of a request: slower ones only hold connections.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// After an accept that failed, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

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

/// RunPod's own bounds for bodies.
const RUN_MAX: usize = 10 * 1024 * 1024;
const RUNSYNC_MAX: usize = 20 * 1024 * 1024;

/// Where RunPod has OpenAI's routes.
const RUNPOD_OPENAI: &str = "/v2/{endpoint}/openai";

/// Whether a route is one of OpenAI's, at its own place or RunPod's.
pub fn is_openai(route: &str) -> bool {
    OPENAI_ROUTES.contains(&route.strip_prefix(RUNPOD_OPENAI).unwrap_or(route))
}

/// Many texts at once are more than other bodies hold.
fn embed() -> MethodRouter<AppState> {
    post(embeddings::create_embeddings).layer(body_limit(EMBEDDINGS_BODY_MAX_BYTES))
}

/// The node's routes, ready to serve.
pub fn router(state: AppState) -> Router {
    // In the order a request meets them.
    let middleware = ServiceBuilder::new()
        .layer(from_fn(request_id::add_request_id))
        .layer(from_fn_with_state(state.clone(), log::log_request))
        .layer(from_fn(answer_as_openai))
        .layer(from_fn(runpod::answer_as_runpod))
        .layer(from_fn(replicate::answer_as_replicate))
        .layer(from_fn_with_state(state.clone(), auth::require_token))
        .layer(DefaultBodyLimit::max(JSON_BODY_MAX_BYTES))
        .layer(Extension(LargeBodies::default()));
    Router::new()
        .route("/v1/jobs", post(jobs::create_job).layer(body_limit(IMAGE_BODY_MAX_BYTES)))
        .route("/v1/jobs/{id}", get(jobs::find_job).delete(jobs::delete_job))
        .route("/v1/jobs/{id}/events", get(jobs::follow_job))
        .route("/v1/jobs/{id}/artifacts/{index}", get(jobs::fetch_artifact))
        .route("/v1/chat/completions", post(chat::create_chat_completion))
        .route("/v1/completions", post(completions::create_completion))
        .route("/v1/embeddings", embed())
        .route("/v1/images/generations", post(images::create_image))
        .route("/v1/images/edits", post(images::edit_image).layer(body_limit(IMAGE_BODY_MAX_BYTES)))
        .route("/v1/models", get(models::list_models))
        .route("/v1/models/{id}", get(models::find_model))
        .merge(runpod_routes(&state))
        .merge(replicate_routes())
        .route("/metrics", get(metrics::show_metrics))
        .route("/health/live", get(health::is_live))
        .route("/health/ready", get(health::is_ready))
        .fallback(respond::unknown_path)
        .method_not_allowed_fallback(respond::wrong_method)
        .layer(middleware)
        .with_state(state)
}

/// RunPod's serverless routes; an endpoint is a model.
fn runpod_routes(state: &AppState) -> Router<AppState> {
    let edits = post(images::edit_image).layer(body_limit(IMAGE_BODY_MAX_BYTES));
    let openai = Router::new()
        .route("/v2/{endpoint}/openai/v1/chat/completions", post(chat::create_chat_completion))
        .route("/v2/{endpoint}/openai/v1/completions", post(completions::create_completion))
        .route("/v2/{endpoint}/openai/v1/embeddings", embed())
        .route("/v2/{endpoint}/openai/v1/images/generations", post(images::create_image))
        .route("/v2/{endpoint}/openai/v1/images/edits", edits)
        .route("/v2/{endpoint}/openai/v1/models", get(runpod::list_models))
        .route_layer(from_fn_with_state(state.clone(), runpod::check_endpoint));
    Router::new()
        .route("/v2/{endpoint}/run", post(runpod::create_async).layer(body_limit(RUN_MAX)))
        .route("/v2/{endpoint}/runsync", post(runpod::create_sync).layer(body_limit(RUNSYNC_MAX)))
        .route("/v2/{endpoint}/status/{id}", get(runpod::status))
        .route("/v2/{endpoint}/status-sync/{id}", get(runpod::status_sync))
        .route("/v2/{endpoint}/stream/{id}", get(runpod::follow))
        .route("/v2/{endpoint}/cancel/{id}", post(runpod::cancel))
        .route("/v2/{endpoint}/retry/{id}", post(runpod::retry))
        .route("/v2/{endpoint}/purge-queue", post(runpod::purge))
        .route("/v2/{endpoint}/health", get(runpod::check_health))
        .merge(openai)
}

/// Replicate's predictions and what their clients look up.
fn replicate_routes() -> Router<AppState> {
    let (create, list) = (replicate::create_prediction, replicate::list_predictions);
    let create_for_model = post(replicate::create_for_model);
    let limit = || body_limit(IMAGE_BODY_MAX_BYTES);
    let upload = post(replicate::create_file).layer(body_limit(replicate::UPLOAD_BODY_MAX_BYTES));
    Router::new()
        .route("/v1/predictions", post(create).layer(limit()).get(list))
        .route("/v1/predictions/{id}", get(replicate::find_prediction))
        .route("/v1/predictions/{id}/cancel", post(replicate::cancel_prediction))
        .route("/v1/models/{owner}/{name}", get(replicate::find_model))
        .route("/v1/models/{owner}/{name}/predictions", create_for_model.clone().layer(limit()))
        .route("/v1/models/{owner}/{name}/versions", get(replicate::list_versions))
        .route("/v1/models/{owner}/{name}/versions/{version}", get(replicate::find_version))
        .route("/v1/deployments/{owner}/{name}/predictions", create_for_model.layer(limit()))
        .route("/v1/webhooks/default/secret", get(replicate::show_secret))
        .route("/v1/files", upload.get(replicate::list_files))
        .route("/v1/files/{id}", get(replicate::find_file).delete(replicate::delete_file))
        .route("/v1/files/{id}/{key}/stream", get(replicate::stream_events))
        .route("/v1/files/{id}/{key}/{name}", get(replicate::fetch_file))
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
