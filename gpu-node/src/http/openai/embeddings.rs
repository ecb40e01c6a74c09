//! `POST /v1/embeddings`.

use axum::{extract::State, response::Response};
use base64::{Engine, prelude::BASE64_STANDARD};
use shared::node::embeddings::{Embedding, EmbeddingValues, EmbeddingsAnswer, EmbeddingsUsage};

use super::{
    fields::Fields,
    head::{Asked, answer, find_model, read_call, wrong_kind},
    parameters::EMBEDDINGS,
    prompts::read_prompts,
};
use crate::{
    catalog::ServedLane,
    error::Result,
    http::extract::JsonBody,
    state::AppState,
    text::{EmbeddingOrder, Prompt, embed},
};

/// Texts of one request, as OpenAI bounds them.
const INPUTS_MAX: usize = 2_048;

/// An embeddings request that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingsCall {
    pub order: EmbeddingOrder,
    pub is_base64: bool,
}

/// Reads the whole body.
pub fn read_embeddings(fields: &mut Fields<'_, '_>) -> EmbeddingsCall {
    let order = EmbeddingOrder {
        model: fields.text("model"),
        inputs: read_prompts(fields, "input", INPUTS_MAX),
        dimensions: fields.count("dimensions", 1, u32::MAX),
    };
    let empty = |input: &Prompt| match input {
        Prompt::Text(text) => text.is_empty(),
        Prompt::Tokens(tokens) => tokens.is_empty(),
    };
    if order.inputs.iter().any(empty) {
        fields.reject("input", "empty", "must not hold an empty text");
    }
    let format = fields.word("encoding_format", &["float", "base64"], "");
    EmbeddingsCall { order, is_base64: format == Some("base64") }
}

/// `POST /v1/embeddings`: a vector per text, in their order.
pub async fn create_embeddings(
    State(state): State<AppState>,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let Asked { call, without_effect } = read_call(&body, EMBEDDINGS, read_embeddings)?;
    let model = find_model(&state, &call.order.model)?;
    let ServedLane::Embeddings(served) = &model.lane else {
        return Err(wrong_kind(model, "embeddings"));
    };
    let vocabulary = served.vocabulary.get().await?;
    let embedded = embed(&*served.runner, vocabulary, &state.open_answers, call.order).await?;
    let encode = |vector: Vec<f32>| match call.is_base64 {
        false => EmbeddingValues::Float(vector),
        true => {
            let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
            EmbeddingValues::Base64(BASE64_STANDARD.encode(bytes))
        }
    };
    let data = embedded.vectors.into_iter().enumerate().map(|(index, vector)| Embedding {
        object: "embedding".to_owned(),
        index,
        embedding: encode(vector),
    });
    let body = EmbeddingsAnswer {
        object: "list".to_owned(),
        data: data.collect(),
        model: model.manifest.name.clone(),
        usage: EmbeddingsUsage { prompt_tokens: embedded.tokens, total_tokens: embedded.tokens },
    };
    Ok(answer(&body, &without_effect))
}
