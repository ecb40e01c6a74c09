//! Streamed completions: all prompts' continuations at once, told apart by their index.

use futures_util::{
    StreamExt,
    stream::{self, BoxStream, SelectAll},
};
use shared::node::text::{CompletionChoice, Usage};

use super::answer::{Assembly, Scores, count, finish_reason, text_of};
use crate::{
    http::openai::events::{Outbox, Streamed},
    scheduler::Failure,
    text::{AnswerEvent, TextAnswer},
};

type Numbered = (usize, Result<AnswerEvent, Failure>);

pub(super) struct CompletionStream {
    assembly: Assembly,
    answers: SelectAll<BoxStream<'static, Numbered>>,
    include_usage: bool,
    usage: Usage,
    scores: Vec<Scores>,
    outbox: Outbox,
}

impl CompletionStream {
    pub(super) fn new(assembly: Assembly, answers: Vec<TextAnswer>, include_usage: bool) -> Self {
        let scores = (0..answers.len() * assembly.kept).map(|_| Scores::default()).collect();
        let numbered = |(prompt, answer): (usize, TextAnswer)| {
            stream::unfold(answer, move |mut answer| async move {
                answer.next().await.map(|event| ((prompt, event), answer))
            })
            .boxed()
        };
        let answers = answers.into_iter().enumerate().map(numbered).collect();
        let (usage, outbox) = (Usage::default(), Outbox::default());
        Self { assembly, answers, include_usage, usage, scores, outbox }
    }

    /// Puts what an event of that prompt says into chunks.
    pub(super) fn take(&mut self, prompt: usize, event: AnswerEvent) {
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

impl Streamed for CompletionStream {
    fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    async fn advance(&mut self) {
        match self.answers.next().await {
            Some((prompt, Ok(event))) => self.take(prompt, event),
            Some((_, Err(failure))) => self.outbox.fail(&failure.into()),
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
