//! The handler of `POST /v1/completions`.

use axum::{extract::State, response::Response};

use super::{
    answer::{Assembly, collect},
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
    let mut answers: Vec<TextAnswer> = Vec::with_capacity(call.prompts.len());
    for prompt in call.prompts {
        let order = CompletionOrder { prompt, generation: call.generation.clone() };
        let language = language.clone();
        answers.push(start_completion(text, language, &state.open_answers, order).await?);
    }
    if !call.streaming.is_wanted {
        let completion = collect(assembly, answers).await?;
        return Ok(answer(&completion, &without_effect));
    }
    // Until here a failure has a status of its own, and another node can be asked.
    let mut first = Vec::with_capacity(answers.len());
    for answer in &mut answers {
        let event = answer.next().await;
        let silent = || Error::Internal { cause: "the run said nothing".to_owned() };
        first.push(event.ok_or_else(silent)?.map_err(Error::from)?);
    }
    let mut stream = CompletionStream::new(assembly, answers, call.streaming.include_usage);
    for (prompt, event) in first.into_iter().enumerate() {
        stream.take(prompt, event);
    }
    Ok(with_notes(respond(stream), &without_effect))
}

fn echoed(prompts: &[Prompt], echo: bool, language: &dyn Language) -> Vec<String> {
    let text = |prompt: &Prompt| match prompt {
        _ if !echo => String::new(),
        Prompt::Text(text) => text.clone(),
        Prompt::Tokens(tokens) => language.decode(tokens),
    };
    prompts.iter().map(text).collect()
}
