//! A whole completion.

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use serde_json::Value;
use shared::node::text::{Completion, CompletionChoice, CompletionLogprobs, FinishReason, Usage};

use crate::{
    engines::text::request::TokenLogprob,
    error::{Error, Result},
    http::openai::head::{Head, token_score},
    text::{AnswerEvent, AnswerPart, EndReason, TextAnswer},
};

/// What the continuations of all prompts have in common.
pub(super) struct Assembly {
    pub(super) head: Head,
    /// Continuations given, of each prompt.
    pub(super) kept: usize,
    /// Continuations made, of each prompt.
    pub(super) made: usize,
    pub(super) wants_logprobs: bool,
    /// What stands before each prompt's continuations.
    pub(super) echoed: Vec<String>,
}

impl Assembly {
    /// An answer or a chunk of one.
    pub(super) fn completion(
        &self,
        choices: Vec<CompletionChoice>,
        usage: Option<Option<Usage>>,
    ) -> Completion {
        Completion {
            id: self.head.id.clone(),
            object: "text_completion".to_owned(),
            created: self.head.created,
            model: self.head.model.clone(),
            choices,
            system_fingerprint: self.head.fingerprint.clone(),
            usage,
        }
    }
}

#[derive(Default)]
struct Continuation {
    text: String,
    scores: Scores,
    finish_reason: Option<FinishReason>,
}

impl Continuation {
    fn mean_logprob(&self) -> f32 {
        let logprobs = &self.scores.columns.token_logprobs;
        if logprobs.is_empty() {
            return f32::MIN;
        }
        logprobs.iter().sum::<f32>() / logprobs.len() as f32
    }
}

/// Begins with one prompt when it is polled.
pub(super) type Start = BoxFuture<'static, Result<TextAnswer>>;

/// Prompts of one request that run at once: many more would take every place of the model.
pub(super) const PROMPTS_AT_ONCE: usize = 16;

/// Waits for the end of every continuation; where more were made than are kept, the likeliest stay.
pub(super) async fn collect(assembly: Assembly, starts: Vec<Start>) -> Result<Completion> {
    let mut usage = Usage::default();
    let mut choices = Vec::with_capacity(starts.len() * assembly.kept);
    let made = assembly.made;
    let runs: Vec<BoxFuture<'static, _>> =
        starts.into_iter().map(|start| run(start, made).boxed()).collect();
    let mut runs = stream::iter(runs).buffered(PROMPTS_AT_ONCE).enumerate();
    while let Some((prompt, run)) = runs.next().await {
        let (mut made, events) = run?;
        events.iter().for_each(|event| count(&mut usage, event));
        if assembly.made > assembly.kept {
            // Stable, so that of two equally likely ones the first is kept.
            made.sort_by(|left, right| right.mean_logprob().total_cmp(&left.mean_logprob()));
            made.truncate(assembly.kept);
        }
        let echoed = assembly.echoed.get(prompt).map_or("", String::as_str);
        for continuation in made {
            let Some(finish_reason) = continuation.finish_reason else {
                return Err(Error::Internal { cause: "a continuation had no end".to_owned() });
            };
            choices.push(CompletionChoice {
                index: choices.len(),
                text: format!("{echoed}{}", continuation.text),
                logprobs: assembly.wants_logprobs.then_some(continuation.scores.columns),
                finish_reason: Some(finish_reason),
            });
        }
    }
    Ok(assembly.completion(choices, Some(Some(usage))))
}

/// Runs one prompt to its end: its continuations, and the events that tell of tokens.
async fn run(start: Start, made: usize) -> Result<(Vec<Continuation>, Vec<AnswerEvent>)> {
    let mut made: Vec<Continuation> = (0..made).map(|_| Continuation::default()).collect();
    let (mut answer, mut events) = (start.await?, Vec::new());
    while let Some(event) = answer.next().await {
        let event = event?;
        if !matches!(event, AnswerEvent::More { .. }) {
            events.push(event.clone());
        }
        add(&mut made, event);
    }
    Ok((made, events))
}

fn add(made: &mut [Continuation], event: AnswerEvent) {
    match event {
        AnswerEvent::Started { .. } => {}
        AnswerEvent::More { choice, parts, logprobs } => {
            if let Some(continuation) = made.get_mut(choice) {
                continuation.text.push_str(&text_of(parts));
                continuation.scores.add(&logprobs);
            }
        }
        AnswerEvent::Ended { choice, reason, .. } => {
            if let Some(continuation) = made.get_mut(choice) {
                continuation.finish_reason = Some(finish_reason(reason));
            }
        }
    }
}

/// Adds what an event says of tokens.
pub(super) fn count(usage: &mut Usage, event: &AnswerEvent) {
    match event {
        AnswerEvent::Started { prompt_tokens, cached_tokens } => {
            usage.prompt_tokens += prompt_tokens;
            usage.prompt_tokens_details.cached_tokens += cached_tokens;
        }
        AnswerEvent::More { .. } => {}
        AnswerEvent::Ended { tokens, .. } => usage.completion_tokens += tokens,
    }
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens;
}

/// The text of an answer that nobody told apart.
pub(super) fn text_of(parts: Vec<AnswerPart>) -> String {
    let text = |part| match part {
        AnswerPart::Content(text) => text,
        _ => String::new(),
    };
    parts.into_iter().map(text).collect()
}

/// Why a continuation ended, on the wire.
pub(super) fn finish_reason(reason: EndReason) -> FinishReason {
    match reason {
        EndReason::Length => FinishReason::Length,
        EndReason::Stop | EndReason::ToolCalls => FinishReason::Stop,
    }
}

/// Scores in columns, with the place of each token in its continuation.
#[derive(Debug, Default)]
pub(super) struct Scores {
    columns: CompletionLogprobs,
    offset: usize,
}

impl Scores {
    /// Adds a row per token.
    pub(super) fn add(&mut self, logprobs: &[TokenLogprob]) {
        for logprob in logprobs {
            let chosen = token_score(&logprob.token);
            let top = logprob.top.iter().map(token_score);
            self.columns.text_offset.push(self.offset);
            self.offset += chosen.token.chars().count();
            self.columns.tokens.push(chosen.token);
            self.columns.token_logprobs.push(chosen.logprob);
            let top = top.map(|score| (score.token, Value::from(score.logprob))).collect();
            self.columns.top_logprobs.push(top);
        }
    }

    /// What was added since the last time.
    pub(super) fn take(&mut self) -> CompletionLogprobs {
        std::mem::take(&mut self.columns)
    }
}
