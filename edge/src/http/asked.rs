//! How a text was asked for, beside its body: in which language, whether an old answer will do, from which event on.

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use shared::{
    api::envelope::{Envelope, Meta},
    language::Language,
};

use super::extract::context;
use crate::{
    error::{Error, Result},
    ports::{
        system::{Clock, rfc3339},
        text::CacheState,
    },
};

/// Says whether an answer was kept (`hit`), written for this request (`miss`) or for the same one of a moment ago.
pub static CACHE_STATE: HeaderName = HeaderName::from_static("x-chandelle-cache");

/// What the headers of a request for a text say.
#[derive(Debug, Clone)]
pub struct AskedHow {
    pub request_id: String,
    pub asked_ms: u64,
    /// From `Accept-Language`.
    pub language: Option<Language>,
    /// `Cache-Control: no-cache`.
    pub is_fresh: bool,
    pub last_event_id: Option<u64>,
}

impl<S: Sync> FromRequestParts<S> for AskedHow {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let context = context(parts)?;
        let languages = text(&parts.headers, &header::ACCEPT_LANGUAGE);
        let cache = text(&parts.headers, &header::CACHE_CONTROL).unwrap_or_default();
        let is_fresh = |directive: &str| {
            matches!(directive.trim().to_ascii_lowercase().as_str(), "no-cache" | "no-store")
        };
        let last_event_id = parts.headers.get("last-event-id");
        Ok(Self {
            request_id: context.request_id.clone(),
            asked_ms: context.started_ms,
            language: languages.and_then(Language::from_accept_language),
            is_fresh: cache.split(',').any(is_fresh),
            last_event_id: last_event_id.and_then(|value| value.to_str().ok()?.parse().ok()),
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The envelope around an answer, with the state of the cache in its header.
pub fn enveloped<T: serde::Serialize>(
    data: T,
    cache: CacheState,
    how: &AskedHow,
    clock: &dyn Clock,
) -> Response {
    let now_ms = clock.now_ms();
    let meta = Meta {
        request_id: how.request_id.clone(),
        timestamp: rfc3339(now_ms),
        duration: now_ms.saturating_sub(how.asked_ms),
    };
    let mut response = Json(Envelope { success: true, data, meta }).into_response();
    mark(&mut response, cache);
    response
}

/// Puts the state of the cache into the header.
pub fn mark(response: &mut Response, cache: CacheState) {
    response.headers_mut().insert(CACHE_STATE.clone(), HeaderValue::from_static(cache.as_str()));
}
