//! The assistant's tools: from a request to what the AI service wrote, in the product's own shape.

use shared::{
    api::creator_tools::{CreateMessage, GeneratedMessage, OptimizePrice, PriceAdvice},
    language::Language,
};

use crate::{
    domains::ai::{
        orders::{message_order, price_order},
        service::{AiService, Asked},
    },
    error::{Error, Result},
    ports::{
        system::rfc3339,
        text::{CacheState, TextAnswer},
    },
};

/// Has a private message written.
pub async fn create_message(
    ai: &AiService,
    asked: &Asked,
    ask: &CreateMessage,
    language: Language,
) -> Result<(GeneratedMessage, CacheState)> {
    let answered = ai.answer(asked, message_order(ask, language, &ai.model)).await?;
    let TextAnswer::Message { message } = answered.answer else {
        return Err(Error::internal("an answer of another shape than a message"));
    };
    let generated_at = rfc3339(answered.written_ms);
    Ok((GeneratedMessage { message, language, generated_at }, answered.cache))
}

/// Has a price considered.
pub async fn optimize_price(
    ai: &AiService,
    asked: &Asked,
    ask: &OptimizePrice,
    language: Language,
) -> Result<(PriceAdvice, CacheState)> {
    let answered = ai.answer(asked, price_order(ask, language, &ai.model)).await?;
    let TextAnswer::Pricing { price } = answered.answer else {
        return Err(Error::internal("an answer of another shape than a price"));
    };
    let advice = PriceAdvice {
        recommended_price: price.recommended_price,
        min_price: price.min_price,
        max_price: price.max_price,
        currency: ask.currency.clone(),
        reasoning: price.reasoning,
        generated_at: rfc3339(answered.written_ms),
    };
    Ok((advice, answered.cache))
}
