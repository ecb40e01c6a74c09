//! The request's id: the caller's own when it is harmless to log, or else a new one.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::ports::system::Random;

const MAX_CHARS: usize = 64;

pub static HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id under which this request is logged and answered.
pub fn choose(headers: &HeaderMap, random: &dyn Random) -> String {
    let given = headers.get(&HEADER).and_then(|value| value.to_str().ok());
    match given.filter(|id| is_sane(id)) {
        Some(id) => id.to_owned(),
        None => uuid::Builder::from_random_bytes(random.bytes()).into_uuid().simple().to_string(),
    }
}

fn is_sane(id: &str) -> bool {
    (1..=MAX_CHARS).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Tells the caller.
pub fn apply(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(HEADER.clone(), value);
    }
}
