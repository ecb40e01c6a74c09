//! The handler of `POST /v1/completions`.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use tokio::time;

use super::{
    answer::{Assembly, Start, collect},
    read_completion,
    stream::CompletionStream,
};
use crate::{
    error::{Error, Result},
    http::{
        extract::JsonBody,
        openai::{
            events::respond,
            head::{Asked, Head, answer, find_text, read_call, with_notes},
            parameters::COMPLETIONS,
        },
    },
    state::AppState,
    text::{CompletionOrder, Language, Prompt, TextAnswer, start_completion},
};

/// A place for a later prompt of the same request is free as soon as an earlier one has ended.
const PAUSE: Duration = Duration::from_millis(50);

/// `POST /v1/completions`: the continuations of every prompt, whole or as a stream.
pub async fn create_completion(
    State(state): State<AppState>,
    JsonBody(body): JsonBody,
) -> Result<Response> {
    let Asked { call, without_effect } = read_call(&body, COMPLETIONS, read_completion)?;
    let (model, text) = find_text(&state, &call.model)?;
    let language = text.language.get().await?;
    let assembly = Assembly {
        head: Head::new("cmpl", model),
        kept: call.kept,
        made: call.generation.choices,
        wants_logprobs: call.wants_logprobs,
        echoed: echoed(&call.prompts, call.echo, &*language),
    };
    let starts = call.prompts.into_iter().enumerate().map(|(index, prompt)| -> Start {
        let (state, model, language) = (state.clone(), call.model.clone(), language.clone());
        let order = CompletionOrder { prompt, generation: call.generation.clone() };
        Box::pin(async move { start(&state, &model, language, order, index > 0).await })
    });
    let starts: Vec<Start> = starts.collect();
    if !call.streaming.is_wanted {
        let completion = collect(assembly, starts).await?;
        return Ok(answer(&completion, &without_effect));
    }
    let mut stream = CompletionStream::new(assembly, starts, call.streaming.include_usage);
    // Until here a failure has a status of its own, and another node can be asked.
    stream.begin().await?;
    Ok(with_notes(respond(stream), &without_effect))
}

/// Begins with one prompt. Only the first of a request is refused when the model is busy: the others wait for it.
async fn start(
    state: &AppState,
    model: &str,
    language: Arc<dyn Language>,
    order: CompletionOrder,
    waits: bool,
) -> Result<TextAnswer> {
    let (_, text) = find_text(state, model)?;
    loop {
        let begun =
            start_completion(text, language.clone(), &state.open_answers, order.clone()).await;
        match begun {
            Err(Error::QueueFull { .. }) if waits => time::sleep(PAUSE).await,
            other => return other,
        }
    }
}

fn echoed(prompts: &[Prompt], echo: bool, language: &dyn Language) -> Vec<String> {
    let text = |prompt: &Prompt| match prompt {
        _ if !echo => String::new(),
        Prompt::Text(text) => text.clone(),
        Prompt::Tokens(tokens) => language.decode(tokens),
    };
    prompts.iter().map(text).collect()
}
