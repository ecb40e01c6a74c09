//! `Server-Timing`: how long the edge took, for the browser's own tools.

use axum::http::{HeaderMap, HeaderValue};

/// Adds the whole duration. In the Worker the clock stands still between two calls to the outside.
pub fn apply(headers: &mut HeaderMap, took_ms: u64) {
    if let Ok(value) = HeaderValue::try_from(format!("total;dur={took_ms}")) {
        headers.insert("server-timing", value);
    }
}
