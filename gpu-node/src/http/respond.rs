//! From a situation to its HTTP answer: the only such match.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use shared::errors::{ErrorBody, ErrorCode};

use crate::error::Error;

/// An answer's error, carried in its extensions: the middleware logs the situation and writes the body.
#[derive(Clone)]
pub struct Problem {
    /// `None` once the answer has a body of another protocol.
    pub body: Option<ErrorBody>,
    pub error: Error,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let (status, code) = match &self {
            Self::MalformedJson(_) | Self::MalformedForm(_) | Self::BodyCutShort => {
                (StatusCode::BAD_REQUEST, ErrorCode::InvalidRequest)
            }
            Self::InvalidFields(_)
            | Self::ContextTooLong { .. }
            | Self::PromptTooLong(_)
            | Self::RefusedByModel(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, ErrorCode::InvalidRequest)
            }
            Self::UnsupportedMediaType | Self::NeitherFormNorJson | Self::NotAForm => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, ErrorCode::UnsupportedMediaType)
            }
            Self::BodyTooLarge { .. } => {
                (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::PayloadTooLarge)
            }
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, ErrorCode::InvalidRequest),
            Self::Unauthenticated => (StatusCode::UNAUTHORIZED, ErrorCode::Unauthenticated),
            Self::NotFound(_) | Self::UnknownModel(_) => {
                (StatusCode::NOT_FOUND, ErrorCode::NotFound)
            }
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::MethodNotAllowed),
            Self::Conflict(_) => (StatusCode::CONFLICT, ErrorCode::Conflict),
            Self::QueueFull { .. } => (StatusCode::TOO_MANY_REQUESTS, ErrorCode::Overloaded),
            Self::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unavailable),
            Self::Internal { .. } => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Internal),
        };
        let mut body = ErrorBody::new(code, status.as_u16(), self.to_string());
        if let Self::InvalidFields(errors) = &self {
            body.errors.clone_from(errors);
        }
        let mut response = status.into_response();
        if let Some((name, value)) = extra_header(&self) {
            response.headers_mut().insert(name, value);
        }
        response.extensions_mut().insert(Problem { body: Some(body), error: self });
        response
    }
}

fn extra_header(error: &Error) -> Option<(HeaderName, HeaderValue)> {
    match error {
        Error::Unauthenticated => {
            Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
        }
        Error::QueueFull { retry_after_ms } | Error::Unavailable { retry_after_ms, .. } => {
            // The header counts whole seconds; rounding down would call the client back too early.
            Some((header::RETRY_AFTER, HeaderValue::from(retry_after_ms.div_ceil(1000).max(1))))
        }
        _ => None,
    }
}

/// Answers paths that do not exist.
pub async fn unknown_path() -> Error {
    Error::NotFound("path")
}

/// Answers methods that a path does not take; the router adds `Allow`.
pub async fn wrong_method() -> Error {
    Error::MethodNotAllowed
}
