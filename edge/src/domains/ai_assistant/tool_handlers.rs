//! The assistant's tools over HTTP, each in the product's envelope.

use axum::response::Response;
use shared::{
    api::{
        creator_tools::{CreateMessage, GeneratedMessage, OptimizePrice, PriceAdvice},
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

/// Have a private message written.
#[utoipa::path(post, path = "/api/ai-assistant/tools/message-generator", tag = "assistant", request_body = CreateMessage,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the first answer.")),
    responses(
    (status = 200, body = Envelope<GeneratedMessage>, headers(("X-Chandelle-Cache" = String, description = "hit, miss or shared"))),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
    (status = "5XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn create_message(
    State(state): State,
    caller: Caller,
    how: AskedHow,
    order: IdempotentJson<CreateMessage>,
) -> Result<Response> {
    let ai = AiService::from(state.as_ref());
    let (ai, how, who) = (&ai, &how, &caller);
    let create = |id, ask: CreateMessage| async move {
        let language = ask.language.or(how.language).unwrap_or_default();
        let asked = Asked::new(id, who, how.request_id.clone(), how.asked_ms, how.is_fresh);
        let (message, cache) = service::create_message(ai, &asked, &ask, language).await?;
        Ok(enveloped(message, cache, how, ai.clock.as_ref()))
    };
    order.answer_once(&state, &caller, create).await
}

/// Have a price considered.
#[utoipa::path(post, path = "/api/ai-assistant/tools/pricing-optimizer", tag = "assistant", request_body = OptimizePrice,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeat with the same key gets the first answer.")),
    responses(
    (status = 200, body = Envelope<PriceAdvice>, headers(("X-Chandelle-Cache" = String, description = "hit, miss or shared"))),
    (status = "4XX", body = ErrorBody, content_type = "application/problem+json"),
    (status = "5XX", body = ErrorBody, content_type = "application/problem+json"),
))]
pub async fn optimize_price(
    State(state): State,
    caller: Caller,
    how: AskedHow,
    order: IdempotentJson<OptimizePrice>,
) -> Result<Response> {
    let ai = AiService::from(state.as_ref());
    let (ai, how, who) = (&ai, &how, &caller);
    let create = |id, ask: OptimizePrice| async move {
        let language = ask.language.or(how.language).unwrap_or_default();
        let asked = Asked::new(id, who, how.request_id.clone(), how.asked_ms, how.is_fresh);
        let (advice, cache) = service::optimize_price(ai, &asked, &ask, language).await?;
        Ok(enveloped(advice, cache, how, ai.clock.as_ref()))
    };
    order.answer_once(&state, &caller, create).await
}
