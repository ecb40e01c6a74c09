//! Who may pass. Every route needs a user's token unless it stands in one of the lists below.

use std::sync::Arc;

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use shared::tokens::{bearer, is_allowed};

use super::{
    audit::{self, Call},
    rate_limit,
};
use crate::{
    error::{Error, Result},
    http::{
        context::{Identity, RequestContext},
        respond::NO_CREDENTIALS,
    },
};

/// Routes that anyone may call. This list should only ever shrink.
pub const PUBLIC_ROUTES: &[&str] = &[
    "/",
    "/api.js",
    "/app.js",
    "/style.css",
    "/texts.js",
    "/docs",
    "/docs.js",
    "/api/config",
    "/api/health",
    "/api/openapi.json",
];

/// Routes that nodes call, with the join token.
pub const NODE_ROUTES: &[&str] =
    &["/api/nodes/register", "/api/nodes/{id}/heartbeat", "/api/nodes/{id}"];

/// Routes that a monitoring system may call with its own token; an admin's token opens them too.
pub const METRICS_ROUTES: &[&str] = &["/api/metrics"];

/// Beginnings of the routes whose every POST has a node work.
const GENERATION_ROUTES: [&str; 4] =
    ["/api/generate/", "/api/images/", "/api/ai-assistant/", "/api/content-ideas/"];

/// Lets a request through to its route if its credentials allow it, and records what became of it.
pub async fn guard(mut request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    let Some(context) = extensions.get::<Arc<RequestContext>>().map(Arc::clone) else {
        return Error::internal("a request came past the outer middleware").into_response();
    };
    // Without a match there is nothing to guard: the fallback says 404.
    let Some(route) = extensions.get::<MatchedPath>().cloned() else {
        return next.run(request).await;
    };
    let method = request.method().clone();
    let mut user_id = None;
    let response = match admit(&context, &method, route.as_str(), request.headers()).await {
        Ok(identity) => {
            if let Some(Identity::User(caller)) = &identity {
                user_id = Some(caller.user_id);
            }
            if let Some(identity) = identity {
                request.extensions_mut().insert(identity);
            }
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    let status = response.status().as_u16();
    audit::record(&context, &Call { method: &method, route: route.as_str(), user_id, status });
    response
}

async fn admit(
    context: &RequestContext,
    method: &Method,
    route: &str,
    headers: &HeaderMap,
) -> Result<Option<Identity>> {
    if PUBLIC_ROUTES.contains(&route) {
        return Ok(None);
    }
    let header = headers
        .get(header::AUTHORIZATION)
        .ok_or(Error::Unauthenticated { reason: NO_CREDENTIALS })?;
    let token = header.to_str().ok().and_then(bearer);
    let token = token.ok_or(Error::Unauthenticated { reason: "not a bearer token" })?;
    let config = &context.state.config;
    if NODE_ROUTES.contains(&route) {
        let is_known = is_allowed(token, std::slice::from_ref(&config.node_join_token.0));
        let reason = "not the join token";
        return if is_known {
            Ok(Some(Identity::Node))
        } else {
            Err(Error::Unauthenticated { reason })
        };
    }
    if METRICS_ROUTES.contains(&route)
        && is_allowed(token, std::slice::from_ref(&config.metrics_token.0))
    {
        return Ok(Some(Identity::Metrics));
    }
    let caller = context.state.tokens.verify(token).await?;
    let is_generation =
        method == Method::POST && GENERATION_ROUTES.iter().any(|prefix| route.starts_with(prefix));
    rate_limit::by_user(context, &caller, is_generation).await?;
    Ok(Some(Identity::User(caller)))
}
