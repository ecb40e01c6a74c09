//! Errors in OpenAI's shape, on the routes that are OpenAI's.

use std::time::Instant;

use axum::{
    body::Body,
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::Response,
};
use shared::{
    errors::FieldError,
    node::text::{ErrorAnswer, ErrorDetail},
};

use crate::{app::is_openai, error::Error, http::respond::Problem};

const PROCESSING_MS: HeaderName = HeaderName::from_static("openai-processing-ms");

/// Writes errors and the time taken as OpenAI does, where the route is one of its own.
pub async fn answer_as_openai(request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>();
    if !path.is_some_and(|path| is_openai(path.as_str())) {
        return next.run(request).await;
    }
    let began = Instant::now();
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().get_mut::<Problem>() {
        problem.body = None;
        let (status, answer) = describe(&problem.error);
        *response.status_mut() = status;
        if let Ok(bytes) = serde_json::to_vec(&answer) {
            *response.body_mut() = Body::from(bytes);
            let headers = response.headers_mut();
            headers.remove(header::CONTENT_LENGTH);
            let json = HeaderValue::from_static("application/json");
            headers.insert(header::CONTENT_TYPE, json);
        }
    }
    let took = HeaderValue::from(began.elapsed().as_millis() as u64);
    response.headers_mut().insert(PROCESSING_MS, took);
    response
}

/// The status and the body of an error.
pub(super) fn describe(error: &Error) -> (StatusCode, ErrorAnswer) {
    let invalid = "invalid_request_error";
    let plain = |status, kind: &str, code: Option<&str>| {
        (status, detail(error.to_string(), kind, None, code))
    };
    match error {
        Error::MalformedJson(_) | Error::MalformedForm(_) | Error::BodyCutShort => {
            plain(StatusCode::BAD_REQUEST, invalid, None)
        }
        Error::InvalidFields(errors) => (StatusCode::BAD_REQUEST, describe_fields(errors)),
        Error::RefusedByModel(text) => {
            (StatusCode::BAD_REQUEST, detail(text.clone(), invalid, None, Some("invalid_value")))
        }
        Error::ContextTooLong { .. } | Error::PromptTooLong(_) => {
            plain(StatusCode::BAD_REQUEST, invalid, Some("context_length_exceeded"))
        }
        Error::UnknownModel(name) => {
            let text = format!("The model `{name}` does not exist on this node");
            let body = detail(text, invalid, Some("model"), Some("model_not_found"));
            (StatusCode::NOT_FOUND, body)
        }
        Error::UnsupportedMediaType | Error::NeitherFormNorJson | Error::NotAForm => {
            plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, invalid, Some("unsupported_media_type"))
        }
        Error::BodyTooLarge { .. } => {
            plain(StatusCode::PAYLOAD_TOO_LARGE, invalid, Some("request_too_large"))
        }
        Error::BodyTooSlow => plain(StatusCode::REQUEST_TIMEOUT, invalid, Some("request_timeout")),
        Error::Unauthenticated => {
            let text = "Incorrect API key provided: a valid bearer token is needed".to_owned();
            let body = detail(text, invalid, None, Some("invalid_api_key"));
            (StatusCode::UNAUTHORIZED, body)
        }
        Error::NotFound(_) => plain(StatusCode::NOT_FOUND, invalid, Some("not_found")),
        Error::MethodNotAllowed => {
            plain(StatusCode::METHOD_NOT_ALLOWED, invalid, Some("method_not_allowed"))
        }
        Error::Conflict(_) => plain(StatusCode::CONFLICT, invalid, Some("conflict")),
        Error::QueueFull { .. } => {
            plain(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("rate_limit_exceeded"))
        }
        Error::Unavailable { .. } => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "server_error", Some("service_unavailable"))
        }
        Error::Internal { .. } => {
            plain(StatusCode::INTERNAL_SERVER_ERROR, "server_error", Some("internal_error"))
        }
    }
}

/// All that is wrong in the message; the first of it in `param` and `code`.
fn describe_fields(errors: &[FieldError]) -> ErrorAnswer {
    let texts: Vec<String> = errors.iter().map(describe_field).collect();
    let first = errors.first();
    let param = first.map(|error| param_of(&error.pointer)).filter(|param| !param.is_empty());
    let code = match first.map_or("", |error| error.code.as_str()) {
        "unknown" => "unknown_parameter",
        "missing" => "missing_required_parameter",
        "type" => "invalid_type",
        "unsupported" => "unsupported_parameter",
        "schema" => "invalid_json_schema",
        _ => "invalid_value",
    };
    detail(texts.join("; "), "invalid_request_error", param.as_deref(), Some(code))
}

fn describe_field(error: &FieldError) -> String {
    match param_of(&error.pointer).as_str() {
        "" => format!("the body {}", error.detail),
        param => format!("'{param}' {}", error.detail),
    }
}

/// `/messages/0/content` as OpenAI writes it: `messages[0].content`.
fn param_of(pointer: &str) -> String {
    let mut param = String::new();
    for step in pointer.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        if !param.is_empty() && !step.is_empty() && step.bytes().all(|b| b.is_ascii_digit()) {
            param.push_str(&format!("[{step}]"));
            continue;
        }
        if !param.is_empty() {
            param.push('.');
        }
        param.push_str(&step);
    }
    param
}

fn detail(message: String, kind: &str, param: Option<&str>, code: Option<&str>) -> ErrorAnswer {
    ErrorAnswer {
        error: ErrorDetail {
            message,
            r#type: kind.to_owned(),
            param: param.map(str::to_owned),
            code: code.map(str::to_owned),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_becomes_a_param_as_openai_writes_it() {
        assert_eq!(param_of("/messages/0/content/1/type"), "messages[0].content[1].type");
        assert_eq!(param_of("/model"), "model");
        assert_eq!(param_of("/a~1b/7"), "a/b[7]");
        assert_eq!(param_of(""), "");
    }
}
