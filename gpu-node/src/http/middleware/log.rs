//! One log line and one count per request. Never a header, a query or a body: they may hold tokens and prompts.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};

use super::{PUBLIC_ROUTES, path::without_keys, request_id::RequestId};
use crate::{error::Error, http::respond::Problem, state::AppState};

/// Runs inside the request id's middleware and outside everything that can fail.
pub async fn log_request(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0.clone());

    let response = next.run(request).await;

    let route = matched.as_ref().map_or("unknown", MatchedPath::as_str);
    let status = response.status().as_u16();
    state.metrics.request_answered(known_method(method.as_str()), route, status);
    let line = Line {
        request_id: request_id.unwrap_or_default(),
        method: method.as_str(),
        path: &without_keys(&path),
        status,
        duration_ms: began.elapsed().as_millis() as u64,
    };
    match response.extensions().get::<Problem>().map(|problem| &problem.error) {
        Some(Error::Internal { cause }) => line.error(cause),
        Some(error) => line.refused(error),
        // Probes come every few seconds and say nothing while all is well.
        None if PUBLIC_ROUTES.contains(&route) => line.quiet(),
        None => line.served(),
    }
    response
}

/// A method is the caller's text, so only those we serve become a label.
fn known_method(method: &str) -> &str {
    match method {
        "GET" | "HEAD" | "POST" | "DELETE" => method,
        _ => "other",
    }
}

struct Line<'a> {
    request_id: String,
    method: &'a str,
    path: &'a str,
    status: u16,
    duration_ms: u64,
}

macro_rules! write_line {
    ($level:ident, $line:expr $(, $name:ident = $value:expr)?) => {
        tracing::$level!(
            request_id = %$line.request_id, method = $line.method, path = $line.path,
            status = $line.status, duration_ms = $line.duration_ms, $($name = %$value,)? "request"
        )
    };
}

impl Line<'_> {
    fn served(&self) {
        write_line!(info, self);
    }

    fn quiet(&self) {
        write_line!(debug, self);
    }

    fn refused(&self, error: &Error) {
        write_line!(info, self, error = error);
    }

    fn error(&self, cause: &str) {
        write_line!(error, self, cause = cause);
    }
}
