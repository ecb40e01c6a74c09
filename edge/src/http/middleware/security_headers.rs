//! Headers that tell browsers what not to do with an answer.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::config::Environment;

/// For answers that are data: nothing in them may run or be framed. A page brings its own policy.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
const TWO_YEARS: &str = "max-age=63072000; includeSubDomains";

/// Adds them; what a route has set itself stays.
pub fn apply(headers: &mut HeaderMap, environment: Environment) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(DATA_POLICY));
    // Answers are somebody's: no cache may keep one unless its route says so.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if environment != Environment::Local {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(TWO_YEARS));
    }
}
