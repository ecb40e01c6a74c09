//! The handler of `POST /v1/chat/completions`.

use axum::{extract::State, response::Response};

use super::{answer::collect, read_chat, stream::ChatStream};
use crate::{
    error::{Error, Result},
    http::{
        extract::JsonBody,
        openai::{
            events::respond,
            head::{Asked, Head, answer, find_text, read_call, with_notes},
            parameters::CHAT,
        },
    },
    state::AppState,
    text::start_chat,
};

/// `POST /v1/chat/completions`: the answer whole, or as a stream once its first words are certain to come.
pub async fn create_chat_completion(
    State(state): State<AppState>,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let Asked { call, without_effect } = read_call(&body, CHAT, read_chat)?;
    let (model, text) = find_text(&state, &call.order.model)?;
    let language = text.language.get().await?;
    let head = Head::new("chatcmpl", model);
    let choices = call.order.generation.choices;
    let mut running = start_chat(text, language.clone(), &state.open_answers, call.order).await?;
    if !call.streaming.is_wanted {
        let completion = collect(head, running, choices, &*language).await?;
        return Ok(answer(&completion, &without_effect));
    }
    // Until here a failure has a status of its own, and another node can be asked.
    let first = match running.next().await {
        Some(first) => first.map_err(Error::from)?,
        None => return Err(Error::Internal { cause: "the run said nothing".to_owned() }),
    };
    let mut stream = ChatStream::new(head, running, call.streaming, language);
    stream.open(choices);
    stream.take(first);
    Ok(with_notes(respond(stream), &without_effect))
}
