//! A whole chat answer.

use shared::node::text::{
    ChatAnswer, ChatChoice, ChatCompletion, ChatLogprobs, CompletionTokensDetails, FinishReason,
    FunctionCall, PromptTokensDetails, Role, TokenLogprob, ToolCall, Usage,
};

use crate::{
    engines::text::request,
    error::{Error, Result},
    http::openai::head::{Head, token_score},
    text::{AnswerEvent, AnswerPart, EndReason, Language, TextAnswer},
};

/// The tier that everyone is served in.
pub(super) const SERVICE_TIER: &str = "default";

#[derive(Default)]
struct Choice {
    content: String,
    reasoning: String,
    tool_calls: Vec<ToolCall>,
    logprobs: Option<Vec<TokenLogprob>>,
    finish_reason: Option<FinishReason>,
}

/// Waits for the end of every continuation.
pub(super) async fn collect(
    head: Head,
    mut answer: TextAnswer,
    choices: usize,
    language: &dyn Language,
) -> Result<ChatCompletion> {
    let mut collected: Vec<Choice> = (0..choices).map(|_| Choice::default()).collect();
    let mut usage = Usage::default();
    while let Some(event) = answer.next().await {
        let event = event?;
        count(&mut usage, &event, language);
        match event {
            AnswerEvent::Started { .. } => {}
            AnswerEvent::More { choice, parts, logprobs } => {
                if let Some(choice) = collected.get_mut(choice) {
                    choice.add(parts, &logprobs);
                }
            }
            AnswerEvent::Ended { choice, reason, .. } => {
                if let Some(choice) = collected.get_mut(choice) {
                    choice.finish_reason = Some(finish_reason(reason));
                }
            }
        }
    }
    let choices = collected.into_iter().enumerate().map(|(index, choice)| choice.finish(index));
    Ok(ChatCompletion {
        id: head.id,
        object: "chat.completion".to_owned(),
        created: head.created,
        model: head.model,
        choices: choices.collect::<Result<_>>()?,
        usage,
        system_fingerprint: head.fingerprint,
        service_tier: SERVICE_TIER.to_owned(),
    })
}

impl Choice {
    fn add(&mut self, parts: Vec<AnswerPart>, logprobs: &[request::TokenLogprob]) {
        for part in parts {
            match part {
                AnswerPart::Content(text) => self.content.push_str(&text),
                AnswerPart::Reasoning(text) => self.reasoning.push_str(&text),
                AnswerPart::ToolCall { name } => self.tool_calls.push(ToolCall {
                    id: call_id(),
                    r#type: "function".to_owned(),
                    function: FunctionCall { name, arguments: String::new() },
                }),
                AnswerPart::Arguments(text) => {
                    if let Some(call) = self.tool_calls.last_mut() {
                        call.function.arguments.push_str(&text);
                    }
                }
            }
        }
        if !logprobs.is_empty() {
            self.logprobs.get_or_insert_default().extend(logprobs.iter().map(token_logprob));
        }
    }

    fn finish(self, index: usize) -> Result<ChatChoice> {
        let Some(finish_reason) = self.finish_reason else {
            return Err(Error::Internal { cause: "a continuation had no end".to_owned() });
        };
        let has_content = !self.content.is_empty() || self.tool_calls.is_empty();
        Ok(ChatChoice {
            index,
            message: ChatAnswer {
                role: Role::Assistant,
                content: has_content.then_some(self.content),
                reasoning_content: Some(self.reasoning).filter(|text| !text.is_empty()),
                refusal: None,
                tool_calls: self.tool_calls,
            },
            logprobs: self.logprobs.map(chat_logprobs),
            finish_reason,
        })
    }
}

/// Adds what an event says of tokens.
pub(super) fn count(usage: &mut Usage, event: &AnswerEvent, language: &dyn Language) {
    match event {
        AnswerEvent::Started { prompt_tokens, cached_tokens } => {
            usage.prompt_tokens = *prompt_tokens;
            usage.prompt_tokens_details =
                PromptTokensDetails { cached_tokens: *cached_tokens, audio_tokens: 0 };
        }
        AnswerEvent::More { .. } => {}
        AnswerEvent::Ended { tokens, reasoning, .. } => {
            usage.completion_tokens += tokens;
            let CompletionTokensDetails { reasoning_tokens, .. } =
                &mut usage.completion_tokens_details;
            if !reasoning.is_empty() {
                let count = language.encode(reasoning).map_or(0, |tokens| tokens.len());
                *reasoning_tokens += count.min(*tokens);
            }
        }
    }
    usage.total_tokens = usage.prompt_tokens + usage.completion_tokens;
}

/// Why an answer ended, on the wire.
pub(super) fn finish_reason(reason: EndReason) -> FinishReason {
    match reason {
        EndReason::Stop => FinishReason::Stop,
        EndReason::Length => FinishReason::Length,
        EndReason::ToolCalls => FinishReason::ToolCalls,
    }
}

/// A fresh name for a tool call.
pub(super) fn call_id() -> String {
    format!("call_{}", &uuid::Uuid::new_v4().simple().to_string()[..24])
}

/// Scores on the wire.
pub(super) fn chat_logprobs(content: Vec<TokenLogprob>) -> ChatLogprobs {
    ChatLogprobs { content: Some(content), refusal: None }
}

/// One token's score on the wire.
pub(super) fn token_logprob(logprob: &request::TokenLogprob) -> TokenLogprob {
    TokenLogprob {
        token: token_score(&logprob.token),
        top_logprobs: logprob.top.iter().map(token_score).collect(),
    }
}
