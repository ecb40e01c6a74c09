//! Gives each request an id, and puts it on the answer and in the body of an error.

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::Next,
    response::Response,
};
use shared::errors::PROBLEM_JSON;

use super::path::without_keys;
use crate::http::respond::Problem;

/// The header that carries it, both ways.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const MAX_CHARS: usize = 128;

/// The id of one request: the caller's own if it looks like one, so that logs of edge and node meet.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// Also the place where an error becomes a body: only here are the path and the id both known.
pub async fn add_request_id(mut request: Request, next: Next) -> Response {
    let sent = request.headers().get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
    let id = sent
        .filter(|id| is_plain(id))
        .map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
    request.extensions_mut().insert(RequestId(id.clone()));
    let path = request.uri().path().to_owned();

    let mut response = next.run(request).await;

    let problem = response.extensions_mut().remove::<Problem>();
    if let Some(mut body) = problem.and_then(|problem| problem.body) {
        body.instance = without_keys(&path).into_owned();
        body.request_id.clone_from(&id);
        if let Ok(bytes) = serde_json::to_vec(&body) {
            *response.body_mut() = Body::from(bytes);
            let headers = response.headers_mut();
            headers.remove(header::CONTENT_LENGTH);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        }
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

fn is_plain(id: &str) -> bool {
    (1..=MAX_CHARS).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_forge_a_log_line_is_replaced() {
        assert!(is_plain("018f-A_b.c:d"));
        for forged in ["", "a b", "a\u{e9}", "a\"b", &"x".repeat(129)] {
            assert!(!is_plain(forged), "{forged}");
        }
    }
}
