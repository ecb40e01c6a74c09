//! A streamed chat answer: role, pieces, the reason of each end, the usage if it was asked for, `[DONE]`.

use std::sync::Arc;

use rand::{Rng, distr::Alphanumeric};
use shared::node::text::{
    ChatChunk, ChatDelta, ChatLogprobs, ChunkChoice, FinishReason, FunctionCallDelta, Role,
    ToolCallDelta, Usage,
};

use super::answer::{SERVICE_TIER, call_id, chat_logprobs, count, finish_reason, token_logprob};
use crate::{
    engines::text::request::TokenLogprob,
    http::openai::{
        events::{Outbox, Streamed},
        generation::Streaming,
        head::Head,
    },
    text::{AnswerEvent, AnswerPart, Language, TextAnswer},
};

/// Chunks of the same multiple of this many letters tell a listener nothing about their words.
const OBFUSCATION_STEP: usize = 32;

pub(super) struct ChatStream {
    head: Head,
    answer: TextAnswer,
    streaming: Streaming,
    language: Arc<dyn Language>,
    usage: Usage,
    /// Tool calls begun, by continuation.
    calls: Vec<usize>,
    outbox: Outbox,
}

impl ChatStream {
    pub(super) fn new(
        head: Head,
        answer: TextAnswer,
        streaming: Streaming,
        language: Arc<dyn Language>,
    ) -> Self {
        Self {
            head,
            answer,
            streaming,
            language,
            usage: Usage::default(),
            calls: Vec::new(),
            outbox: Outbox::default(),
        }
    }

    /// Says who speaks, once per continuation.
    pub(super) fn open(&mut self, choices: usize) {
        self.calls = vec![0; choices];
        for index in 0..choices {
            let delta = ChatDelta {
                role: Some(Role::Assistant),
                content: Some(String::new()),
                ..ChatDelta::default()
            };
            self.push_choice(index, delta, None, None);
        }
    }

    /// Puts what an event says into chunks.
    pub(super) fn take(&mut self, event: AnswerEvent) {
        count(&mut self.usage, &event, &*self.language);
        match event {
            AnswerEvent::Started { .. } => {}
            AnswerEvent::More { choice, parts, logprobs } => {
                self.push_parts(choice, parts, &logprobs);
            }
            AnswerEvent::Ended { choice, reason, .. } => {
                let reason = finish_reason(reason);
                self.push_choice(choice, ChatDelta::default(), None, Some(reason));
            }
        }
    }

    fn push_parts(&mut self, index: usize, parts: Vec<AnswerPart>, logprobs: &[TokenLogprob]) {
        let scores = || chat_logprobs(logprobs.iter().map(token_logprob).collect());
        let mut logprobs = (!logprobs.is_empty()).then(scores);
        if parts.is_empty() {
            let delta = ChatDelta { content: Some(String::new()), ..ChatDelta::default() };
            self.push_choice(index, delta, logprobs.take(), None);
        }
        for part in parts {
            let delta = match part {
                AnswerPart::Content(text) => {
                    ChatDelta { content: Some(text), ..ChatDelta::default() }
                }
                AnswerPart::Reasoning(text) => {
                    ChatDelta { reasoning_content: Some(text), ..ChatDelta::default() }
                }
                AnswerPart::ToolCall { name } => self.begin_call(index, name),
                AnswerPart::Arguments(text) => self.go_on_with_call(index, text),
            };
            self.push_choice(index, delta, logprobs.take(), None);
        }
    }

    fn begin_call(&mut self, index: usize, name: String) -> ChatDelta {
        let Some(calls) = self.calls.get_mut(index) else { return ChatDelta::default() };
        *calls += 1;
        let call = ToolCallDelta {
            index: *calls - 1,
            id: Some(call_id()),
            r#type: Some("function".to_owned()),
            function: FunctionCallDelta { name: Some(name), arguments: String::new() },
        };
        ChatDelta { tool_calls: vec![call], ..ChatDelta::default() }
    }

    fn go_on_with_call(&self, index: usize, arguments: String) -> ChatDelta {
        let calls = self.calls.get(index).copied().unwrap_or(0);
        let function = FunctionCallDelta { name: None, arguments };
        let call =
            ToolCallDelta { index: calls.saturating_sub(1), id: None, r#type: None, function };
        ChatDelta { tool_calls: vec![call], ..ChatDelta::default() }
    }

    fn push_choice(
        &mut self,
        index: usize,
        delta: ChatDelta,
        logprobs: Option<ChatLogprobs>,
        finish_reason: Option<FinishReason>,
    ) {
        let obfuscation = self.streaming.include_obfuscation.then(|| obfuscate(&delta));
        let choice = ChunkChoice { index, delta, logprobs, finish_reason };
        let usage = self.streaming.include_usage.then_some(None);
        let chunk = self.chunk(vec![choice], usage, obfuscation);
        self.outbox.push(&chunk);
    }

    fn chunk(
        &self,
        choices: Vec<ChunkChoice>,
        usage: Option<Option<Usage>>,
        obfuscation: Option<String>,
    ) -> ChatChunk {
        ChatChunk {
            id: self.head.id.clone(),
            object: "chat.completion.chunk".to_owned(),
            created: self.head.created,
            model: self.head.model.clone(),
            choices,
            system_fingerprint: self.head.fingerprint.clone(),
            service_tier: SERVICE_TIER.to_owned(),
            usage,
            obfuscation,
        }
    }
}

impl Streamed for ChatStream {
    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    async fn advance(&mut self) {
        match self.answer.next().await {
            Some(Ok(event)) => self.take(event),
            Some(Err(failure)) => self.outbox.fail(&failure.into()),
            None => {
                if self.streaming.include_usage {
                    let chunk = self.chunk(Vec::new(), Some(Some(self.usage)), None);
                    self.outbox.push(&chunk);
                }
                self.outbox.finish();
            }
        }
    }
}

/// Letters that bring what a chunk says to a round length.
fn obfuscate(delta: &ChatDelta) -> String {
    let texts = [&delta.content, &delta.reasoning_content].into_iter().flatten();
    let arguments = delta.tool_calls.iter().map(|call| &call.function.arguments);
    let length: usize = texts.chain(arguments).map(String::len).sum();
    let missing = OBFUSCATION_STEP - length % OBFUSCATION_STEP;
    rand::rng().sample_iter(Alphanumeric).take(missing).map(char::from).collect()
}
