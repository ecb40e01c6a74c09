//! The assistant over HTTP: its answer as server-sent events.

use axum::{
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use shared::{api::assistant::AskAssistant, errors::ErrorBody, ids::JobId};

use crate::{
    caller::Caller,
    domains::ai::{
        orders::assistant_order,
        service::{AiService, Asked},
    },
    error::Result,
    http::{
        asked::{AskedHow, mark},
        extract::{PathId, State},
        idempotency::IdempotentJson,
    },
    ports::{NativeResponse, text::OpenedText},
};

/// Ask the assistant: `AnswerEvent`s as server-sent events.
///
/// 1. No node has the model, or all are full: 503. 2. No credits left: 402; too many texts under way: 429.
/// 3. A node that fails before its first word is replaced by another one, at most twice.
/// 4. 200 with the first word: `delta` events, then `usage`, then `done`, or `error` if the node broke off.
///
/// The same request again with `Last-Event-ID` goes on after that event, as does a `GET` at `Location`. An answer that
/// nobody listens to for 15 seconds is stopped.
#[utoipa::path(post, path = "/api/ai-assistant/generate", tag = "assistant", request_body = AskAssistant,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the same run's events."),
        ("Last-Event-ID" = Option<u64>, Header, description = "Events after this one."),
        ("Accept-Language" = Option<String>, Header, description = "fr, en, es, it or de, if the body names none."),
        ("Cache-Control" = Option<String>, Header, description = "`no-cache` has it written anew."),
    ),
    responses(
    (status = 200, content_type = "text/event-stream", body = String, headers(
        ("X-Chandelle-Cache" = String, description = "hit, miss or shared"),
        ("Location" = String, description = "Where the same events can be had again."),
    )),
    (status = 204, description = "The end was seen already."),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
    (status = "5XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn ask_assistant(
    State(state): State,
    caller: Caller,
    how: AskedHow,
    order: IdempotentJson<AskAssistant>,
) -> Result<Response> {
    let ai = AiService::from(state.as_ref());
    let (ai, how, who) = (&ai, &how, &caller);
    let open = |id, ask: AskAssistant| async move {
        let language = ask.language.or(how.language).unwrap_or_default();
        let asked = Asked::new(id, who, how.request_id.clone(), how.asked_ms, how.is_fresh);
        let order = assistant_order(&ask, language, &ai.model);
        ai.stream(&asked, order, how.last_event_id).await.map(stream_response)
    };
    order.open_once(&state, &caller, open).await
}

fn stream_response(opened: OpenedText) -> Response {
    let mut response = opened.stream.into_response();
    mark(&mut response, opened.cache);
    let location = format!("/api/ai-assistant/runs/{}/events", opened.run_id);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Go on listening to an answer of the caller's, or hear it again.
#[utoipa::path(get, path = "/api/ai-assistant/runs/{id}/events", tag = "assistant", params(
    ("id" = JobId, Path),
    ("Last-Event-ID" = Option<u64>, Header, description = "Events after this one."),
), responses(
    (status = 200, content_type = "text/event-stream", body = String),
    (status = 204, description = "The end was seen already: an `EventSource` stops."),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
    (status = "5XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn watch_answer(
    State(state): State,
    caller: Caller,
    PathId(id): PathId<JobId>,
    how: AskedHow,
) -> Result<NativeResponse> {
    AiService::from(state.as_ref()).resume(&caller, id, how.last_event_id).await
}
