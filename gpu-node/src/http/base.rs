//! Where a caller reaches this node: links in answers begin with it.

use std::convert::Infallible;

use axum::{
    extract::FromRequestParts,
    http::{header, request::Parts},
};

use crate::state::AppState;

/// As configured, or as the request itself came. No slash at its end.
pub struct BaseUrl(pub String);

impl FromRequestParts<AppState> for BaseUrl {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        if let Some(url) = &state.public_url {
            return Ok(Self(url.to_string()));
        }
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let host = header(header::HOST).unwrap_or("localhost");
        // A proxy that speaks TLS for us says so.
        let scheme = match parts.headers.get("x-forwarded-proto") {
            Some(value) if value == "https" => "https",
            _ => "http",
        };
        Ok(Self(format!("{scheme}://{host}")))
    }
}
