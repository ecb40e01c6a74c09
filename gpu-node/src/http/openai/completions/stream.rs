//! Streamed completions: all prompts' continuations at once, told apart by their index.

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use shared::node::text::{CompletionChoice, Usage};

use super::answer::{Assembly, PROMPTS_AT_ONCE, Scores, Start, count, finish_reason, text_of};
use crate::{
    error::{Error, Result},
    http::openai::events::{Outbox, Streamed},
    text::{AnswerEvent, TextAnswer},
};

type Numbered = (usize, Result<AnswerEvent>);

pub(super) struct CompletionStream {
    assembly: Assembly,
    events: BoxStream<'static, Numbered>,
    include_usage: bool,
    usage: Usage,
    scores: Vec<Scores>,
    outbox: Outbox,
}

impl CompletionStream {
    pub(super) fn new(assembly: Assembly, starts: Vec<Start>, include_usage: bool) -> Self {
        let scores = (0..starts.len() * assembly.kept).map(|_| Scores::default()).collect();
        let numbered = |(prompt, start): (usize, Start)| {
            stream::once(start).flat_map(said).map(move |event| (prompt, event)).boxed()
        };
        let events = stream::iter(starts.into_iter().enumerate().map(numbered))
            .flatten_unordered(PROMPTS_AT_ONCE)
            .boxed();
        let (usage, outbox) = (Usage::default(), Outbox::default());
        Self { assembly, events, include_usage, usage, scores, outbox }
    }

    /// Waits for the first word of any prompt.
    pub(super) async fn begin(&mut self) -> Result<()> {
        let silent = || Error::Internal { cause: "the run said nothing".to_owned() };
        let (prompt, event) = self.events.next().await.ok_or_else(silent)?;
        self.take(prompt, event?);
        Ok(())
    }

    /// Puts what an event of that prompt says into chunks.
    fn take(&mut self, prompt: usize, event: AnswerEvent) {
        count(&mut self.usage, &event);
        let first = prompt * self.assembly.kept;
        match event {
            AnswerEvent::Started { .. } => self.open(prompt),
            AnswerEvent::More { choice, parts, logprobs } => {
                let index = first + choice;
                let logprobs = match self.scores.get_mut(index) {
                    Some(scores) if self.assembly.wants_logprobs => {
                        scores.add(&logprobs);
                        Some(scores.take())
                    }
                    _ => None,
                };
                let text = text_of(parts);
                self.push(CompletionChoice { index, text, logprobs, finish_reason: None });
            }
            AnswerEvent::Ended { choice, reason, .. } => self.push(CompletionChoice {
                index: first + choice,
                text: String::new(),
                logprobs: None,
                finish_reason: Some(finish_reason(reason)),
            }),
        }
    }

    /// Gives the prompt back before its continuations, where that was asked for.
    fn open(&mut self, prompt: usize) {
        let text = self.assembly.echoed.get(prompt).cloned().unwrap_or_default();
        if text.is_empty() {
            return;
        }
        for choice in 0..self.assembly.kept {
            let index = prompt * self.assembly.kept + choice;
            let text = text.clone();
            self.push(CompletionChoice { index, text, logprobs: None, finish_reason: None });
        }
    }

    fn push(&mut self, choice: CompletionChoice) {
        let usage = self.include_usage.then_some(None);
        self.outbox.push(&self.assembly.completion(vec![choice], usage));
    }
}

/// All that one prompt's run says, or why it did not begin.
fn said(begun: Result<TextAnswer>) -> BoxStream<'static, Result<AnswerEvent>> {
    match begun {
        Ok(answer) => stream::unfold(answer, |mut answer| async move {
            answer.next().await.map(|event| (event.map_err(Error::from), answer))
        })
        .boxed(),
        Err(error) => stream::iter([Err(error)]).boxed(),
    }
}

impl Streamed for CompletionStream {
    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    async fn advance(&mut self) {
        match self.events.next().await {
            Some((prompt, Ok(event))) => self.take(prompt, event),
            Some((_, Err(error))) => self.outbox.fail(&error),
            None => {
                if self.include_usage {
                    let usage = Some(Some(self.usage));
                    self.outbox.push(&self.assembly.completion(Vec::new(), usage));
                }
                self.outbox.finish();
            }
        }
    }
}
