//! Every route of the edge, and what happens around them, in the order of execution.

use std::{
    convert::Infallible,
    sync::{Arc, LazyLock},
};

use axum::{
    Router,
    extract::Request,
    middleware::from_fn,
    response::{IntoResponse, Response},
};
use tower_service::Service;

use crate::{
    domains::{
        admin, ai_assistant, content_ideas, credits, docs, fleet, health, images, jobs, metrics,
        outbox, pages, scenes,
    },
    error::Error,
    http::{
        context::RequestContext,
        middleware::{
            alias, auth, cors, problem, rate_limit, request_id, security_headers, server_timing,
        },
        routes::Routes,
    },
    state::AppState,
};

/// All routes.
pub fn routes() -> Routes {
    Routes::new()
        .merge(health::routes())
        .merge(metrics::routes())
        .merge(scenes::routes())
        .merge(images::routes())
        .merge(jobs::routes())
        .merge(content_ideas::routes())
        .merge(ai_assistant::routes())
        .merge(credits::routes())
        .merge(outbox::routes())
        .merge(fleet::routes())
        .merge(admin::routes())
        .merge(docs::routes())
        .merge(pages::routes())
}

/// Built once: it holds nothing of any request. The ports travel with the request, in its context.
static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let not_found = || async { Error::NotFound.into_response() };
    routes().into_router().fallback(not_found).layer(from_fn(auth::guard))
});

/// Answers one request.
pub async fn serve(state: Arc<AppState>, mut request: Request) -> Response {
    let context = Arc::new(RequestContext::open(state, &request));
    let (config, method) = (Arc::clone(&context.state.config), request.method().clone());
    let origin = cors::allowed_origin(&config, request.headers());

    let mut response = match cors::preflight(&method, request.headers()) {
        Some(answer) => answer,
        None => match rate_limit::by_ip(&context).await {
            Ok(()) => {
                alias::resolve(request.uri_mut());
                request.extensions_mut().insert(Arc::clone(&context));
                // Then, around the route: auth → rate limits per user → the handler → audit.
                ROUTER
                    .clone()
                    .call(request)
                    .await
                    .unwrap_or_else(|never: Infallible| match never {})
            }
            Err(error) => error.into_response(),
        },
    };

    problem::fill_in(&context, &method, &mut response);
    let headers = response.headers_mut();
    cors::apply(headers, origin);
    server_timing::apply(headers, context.age_ms());
    security_headers::apply(headers, config.environment);
    request_id::apply(headers, &context.request_id);
    response
}
