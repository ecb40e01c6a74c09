//! From situations to answers: the only place that knows which status and which words an [`Error`] becomes.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use shared::errors::{ErrorBody, ErrorCode};

use crate::{
    error::Error,
    ports::{
        NativeResponse,
        system::{LimitedAction, NativeBody, Upstream},
    },
};

/// The reason of a request that brought no credentials at all: RFC 6750 gives it no error code.
pub const NO_CREDENTIALS: &str = "no credentials";

/// An error answer under way: the outermost middleware logs it, names the request and writes the body.
#[derive(Clone)]
pub(crate) struct Problem {
    pub(crate) body: ErrorBody,
    /// For the log only; absent when the answer is a kept one.
    pub(crate) error: Option<Arc<Error>>,
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let body = self.body();
        let mut response = status(body.status).into_response();
        self.add_headers(response.headers_mut());
        response.extensions_mut().insert(Problem { body, error: Some(Arc::new(self)) });
        response
    }
}

impl Error {
    /// The body a caller gets, but for the request's own path and id.
    pub(crate) fn body(&self) -> ErrorBody {
        let of = |status, code, detail: &str| ErrorBody::new(code, status, detail);
        match self {
            Self::Malformed { detail } => of(400, ErrorCode::InvalidRequest, detail),
            Self::Invalid(errors) => ErrorBody {
                errors: errors.clone(),
                ..of(
                    422,
                    ErrorCode::InvalidRequest,
                    "Some fields are not valid; `errors` lists all of them.",
                )
            },
            Self::Unauthenticated { .. } => {
                of(401, ErrorCode::Unauthenticated, "A valid bearer token is needed.")
            }
            Self::Forbidden => of(403, ErrorCode::Forbidden, "You may not do this."),
            Self::NotFound => {
                of(404, ErrorCode::NotFound, "There is nothing here that you may see.")
            }
            Self::Conflict { detail } => of(409, ErrorCode::Conflict, detail),
            // The node behind us failed at it, not the edge; an order under a new key makes a new job.
            Self::JobFailed { detail } => of(502, ErrorCode::Unavailable, detail),
            Self::KeyReused => of(
                422,
                ErrorCode::InvalidRequest,
                "This Idempotency-Key was used with another request; use a new key for a new request.",
            ),
            Self::NoCredit { balance, reserved } => ErrorBody::new(
                ErrorCode::PaymentRequired,
                402,
                format!(
                    "Your balance is {balance}, and {reserved} of it is held for jobs under way."
                ),
            ),
            Self::BodyTooLarge { max_bytes } => ErrorBody::new(
                ErrorCode::PayloadTooLarge,
                413,
                format!("The body may have at most {max_bytes} bytes."),
            ),
            Self::UnsupportedMediaType { expected } => ErrorBody::new(
                ErrorCode::UnsupportedMediaType,
                415,
                format!("The body must be {expected}, and its Content-Type must say so."),
            ),
            Self::RateLimited { policy, limit, retry_after_s } => ErrorBody::new(
                ErrorCode::RateLimited,
                429,
                format!("The limit `{policy}` is {limit}. Try again in {retry_after_s} s."),
            ),
            Self::Overloaded { what, retry_after_s } => ErrorBody::new(
                ErrorCode::Overloaded,
                503,
                format!("Busy: {what}. Try again in {retry_after_s} s."),
            ),
            Self::Unavailable { what, retry_after_s, .. } => ErrorBody::new(
                ErrorCode::Unavailable,
                503,
                format!("Out of reach: {what}. Try again in {retry_after_s} s."),
            ),
            Self::Internal { .. } => of(
                500,
                ErrorCode::Internal,
                "Something went wrong here; it was recorded under this request_id.",
            ),
        }
    }

    fn add_headers(&self, headers: &mut axum::http::HeaderMap) {
        match self {
            Self::Unauthenticated { reason } => {
                let challenge = if *reason == NO_CREDENTIALS {
                    "Bearer"
                } else {
                    "Bearer error=\"invalid_token\""
                };
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
            Self::RateLimited { policy, limit, retry_after_s } => {
                headers.insert(header::RETRY_AFTER, (*retry_after_s).into());
                let window = LimitedAction::ALL.iter().find(|action| action.policy() == *policy);
                let window =
                    window.map_or(String::new(), |action| format!(";w={}", action.window_s()));
                insert(headers, "ratelimit-policy", &format!("\"{policy}\";q={limit}{window}"));
                insert(headers, "ratelimit", &format!("\"{policy}\";r=0;t={retry_after_s}"));
            }
            Self::Overloaded { retry_after_s, .. } | Self::Unavailable { retry_after_s, .. } => {
                headers.insert(header::RETRY_AFTER, (*retry_after_s).into());
            }
            _ => {}
        }
    }
}

fn insert(headers: &mut axum::http::HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

pub(crate) fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

impl IntoResponse for NativeResponse {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            NativeBody::Bytes(bytes) => Body::from(bytes).into_response(),
            upstream @ NativeBody::Upstream(_) => {
                let mut response = Body::empty().into_response();
                response.extensions_mut().insert(Upstream::new(upstream));
                response
            }
        };
        *response.status_mut() = status(self.status);
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) =
                (axum::http::HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}
