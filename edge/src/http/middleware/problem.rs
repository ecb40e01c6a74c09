//! Error answers get their body and their line in the log here, once, where the request's id is known.

use axum::{
    body::Body,
    http::{HeaderValue, Method, StatusCode, header},
    response::Response,
};
use shared::errors::{ErrorBody, ErrorCode, PROBLEM_JSON};

use crate::http::{context::RequestContext, respond::Problem};

/// Writes the body of an error answer; others stay as they are.
pub fn fill_in(context: &RequestContext, method: &Method, response: &mut Response) {
    let Some(problem) = problem_of(response) else { return };
    log(context, &problem);
    let body = ErrorBody {
        instance: context.path.clone(),
        request_id: context.request_id.clone(),
        ..problem.body
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    response.headers_mut().remove(header::CONTENT_LENGTH);
    *response.body_mut() = match serde_json::to_vec(&body) {
        Ok(text) if method != Method::HEAD => Body::from(text),
        _ => Body::empty(),
    };
}

fn problem_of(response: &mut Response) -> Option<Problem> {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Some(problem);
    }
    // The router's own answer, which has `Allow` and nothing else.
    (response.status() == StatusCode::METHOD_NOT_ALLOWED).then(|| Problem {
        body: ErrorBody::new(
            ErrorCode::MethodNotAllowed,
            405,
            "This path does not take this method; `Allow` lists those it takes.",
        ),
        error: None,
    })
}

fn log(context: &RequestContext, problem: &Problem) {
    let (request_id, path, status) = (&context.request_id, &context.path, problem.body.status);
    match &problem.error {
        Some(error) if status >= 500 => {
            tracing::error!(request_id, path, status, %error, "a request failed");
        }
        // The caller was told; a line each would cost more than the refusal, and flood the log.
        Some(error) => tracing::debug!(request_id, path, status, %error, "a request was refused"),
        None => tracing::debug!(request_id, path, status, "a request was refused"),
    }
}
