//! Content ideas over HTTP.

use axum::response::Response;
use shared::{
    api::{
        creator_tools::{ContentIdeas, CreateContentIdeas},
        envelope::Envelope,
    },
    errors::ErrorBody,
};

use super::service;
use crate::{
    caller::Caller,
    domains::ai::service::{AiService, Asked},
    error::Result,
    http::{
        asked::{AskedHow, enveloped},
        extract::State,
        idempotency::IdempotentJson,
    },
};

/// Have content ideas written for a creator's profile.
///
/// 1. No node has the model, or all are full: 503. 2. No credits left: 402; too many texts under way: 429.
/// 3. The model's answer can't be used, twice: 502. 4. 200 with the ideas, perhaps fewer than asked for.
#[utoipa::path(post, path = "/api/content-ideas/generate", tag = "creator tools", request_body = CreateContentIdeas,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the first answer."),
        ("Accept-Language" = Option<String>, Header, description = "fr, en, es, it or de, if the body names none."),
        ("Cache-Control" = Option<String>, Header, description = "`no-cache` has it written anew."),
    ),
    responses(
    (status = 200, body = Envelope<ContentIdeas>, headers(("X-Chandelle-Cache" = String, description = "hit, miss or shared"))),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
    (status = "5XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn create_content_ideas(
    state: State,
    caller: Caller,
    how: AskedHow,
    order: IdempotentJson<CreateContentIdeas>,
) -> Result<Response> {
    answer(state, caller, how, order).await
}

/// Have content ideas written: the assistant's name for `POST /api/content-ideas/generate`.
#[utoipa::path(post, path = "/api/ai-assistant/tools/content-ideas", tag = "assistant", request_body = CreateContentIdeas,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the first answer.")),
    responses(
    (status = 200, body = Envelope<ContentIdeas>, headers(("X-Chandelle-Cache" = String, description = "hit, miss or shared"))),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
    (status = "5XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn suggest_content_ideas(
    state: State,
    caller: Caller,
    how: AskedHow,
    order: IdempotentJson<CreateContentIdeas>,
) -> Result<Response> {
    answer(state, caller, how, order).await
}

/// Both names of the route.
async fn answer(
    State(state): State,
    caller: Caller,
    how: AskedHow,
    order: IdempotentJson<CreateContentIdeas>,
) -> Result<Response> {
    let ai = AiService::from(state.as_ref());
    let (ai, how, who) = (&ai, &how, &caller);
    let create = |id, ask: CreateContentIdeas| async move {
        let language = ask.language.or(how.language).unwrap_or_default();
        let asked = Asked::new(id, who, how.request_id.clone(), how.asked_ms, how.is_fresh);
        let wanted = (language, ai.model.as_str());
        let (ideas, cache) = service::create_content_ideas(ai, &asked, &ask, wanted).await?;
        Ok(enveloped(ideas, cache, how, ai.clock.as_ref()))
    };
    order.answer_once(&state, &caller, create).await
}
