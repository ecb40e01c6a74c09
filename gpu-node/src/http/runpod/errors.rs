//! Errors on RunPod's routes: `{"error": "…"}`, the status by its number.

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use serde_json::json;

use crate::{app::is_openai, dialects::input::in_words, error::Error, http::respond::Problem};

/// Every route of RunPod's begins with it.
const PREFIX: &str = "/v2/{endpoint}/";

/// Writes errors as RunPod's callers read them, where the route is RunPod's.
pub async fn answer_as_runpod(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    let is_runpod =
        path.is_some_and(|path| path.as_str().starts_with(PREFIX) && !is_openai(path.as_str()));
    let mut response = next.run(request).await;
    if !is_runpod {
        return response;
    }
    let mut answer = None;
    if let Some(problem) = response.extensions_mut().get_mut::<Problem>()
        && let Some(body) = problem.body.take()
    {
        let words = match &problem.error {
            Error::InvalidFields(errors) => in_words(errors),
            _ => body.detail,
        };
        answer = Some((status_of(&problem.error), json!({ "error": words }).to_string()));
    }
    if let Some((status, text)) = answer {
        *response.status_mut() = status.unwrap_or(response.status());
        *response.body_mut() = Body::from(text);
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

/// RunPod knows few statuses: what is wrong with a request is 400.
fn status_of(error: &Error) -> Option<StatusCode> {
    match error {
        Error::InvalidFields(_) | Error::Conflict(_) => Some(StatusCode::BAD_REQUEST),
        _ => None,
    }
}
