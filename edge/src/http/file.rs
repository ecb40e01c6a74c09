//! A file that is compiled in: its type, its `ETag`, and 304 for whoever has it already.

use std::sync::OnceLock;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};

/// One file.
pub struct File {
    content_type: &'static str,
    text: &'static str,
    etag: OnceLock<String>,
}

impl File {
    pub const fn new(content_type: &'static str, text: &'static str) -> Self {
        Self { content_type, text, etag: OnceLock::new() }
    }

    pub const fn html(text: &'static str) -> Self {
        Self::new("text/html; charset=utf-8", text)
    }

    pub const fn script(text: &'static str) -> Self {
        Self::new("text/javascript; charset=utf-8", text)
    }

    /// The file, or the news that it has not changed.
    pub fn answer(&self, request: &HeaderMap) -> Response {
        let etag = self.etag.get_or_init(|| {
            let digest = Sha256::digest(self.text);
            let half = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
            format!("\"{}\"", half.collect::<String>())
        });
        let is_known = request
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|field| field.split(','))
            .any(|known| matches!(known.trim().trim_start_matches("W/"), tag if tag == etag || tag == "*"));
        let mut response = if is_known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            Body::from(self.text).into_response()
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        // Browsers ask again each time, which costs them an empty 304.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, no-cache"));
        if let Ok(etag) = HeaderValue::from_str(etag) {
            headers.insert(header::ETAG, etag);
        }
        response
    }
}
