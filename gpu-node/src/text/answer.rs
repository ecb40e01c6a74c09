//! An answer on its way: a run's events, read by the model's own reader, one continuation apart from the other.

use tokio::sync::watch;

use super::{
    language::{AnswerPart, ReadAnswer},
    runner::{RunEvent, TextRun},
};
use crate::{
    engines::text::request::{FinishReason, TextEvent, TokenLogprob},
    scheduler::Failure,
};

/// What an answer says on the way.
#[derive(Debug, Clone, PartialEq)]
pub enum AnswerEvent {
    /// The prompt is read.
    Started { prompt_tokens: usize, cached_tokens: usize },
    /// More of one continuation.
    More { choice: usize, parts: Vec<AnswerPart>, logprobs: Vec<TokenLogprob> },
    /// One continuation is over.
    Ended { choice: usize, reason: EndReason, tokens: usize, reasoning: String },
}

/// Why a continuation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    Stop,
    Length,
    /// It ends with calls that the caller must answer.
    ToolCalls,
}

/// How many answers of this node are on their way, for whoever waits for the last one.
#[derive(Debug, Clone)]
pub struct OpenAnswers(watch::Sender<usize>);

impl Default for OpenAnswers {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl OpenAnswers {
    pub(super) fn open(&self) -> OpenAnswer {
        self.0.send_modify(|count| *count += 1);
        OpenAnswer(self.0.clone())
    }

    /// Waits until no answer is on its way.
    pub async fn wait_until_idle(&self) {
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}

/// One answer, counted until it is dropped.
#[derive(Debug)]
pub(super) struct OpenAnswer(watch::Sender<usize>);

impl Drop for OpenAnswer {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// A request under way, its pieces told apart. Dropping it cancels the run.
pub struct TextAnswer {
    run: TextRun,
    _open: OpenAnswer,
    choices: Vec<Choice>,
    held: Option<AnswerEvent>,
    has_ended: bool,
}

struct Choice {
    reader: Option<Box<dyn ReadAnswer>>,
    has_called: bool,
    reasoning: String,
}

impl TextAnswer {
    /// One reader per continuation, or none where the text is handed on as it comes.
    pub(super) fn new(
        run: TextRun,
        readers: Vec<Option<Box<dyn ReadAnswer>>>,
        open: OpenAnswer,
    ) -> Self {
        let choice = |reader| Choice { reader, has_called: false, reasoning: String::new() };
        let choices = readers.into_iter().map(choice).collect();
        Self { run, _open: open, choices, held: None, has_ended: false }
    }

    /// What comes next; `None` after the end.
    pub async fn next(&mut self) -> Option<Result<AnswerEvent, Failure>> {
        if let Some(held) = self.held.take() {
            return Some(Ok(held));
        }
        while !self.has_ended {
            let Some(event) = self.run.events.recv().await else {
                self.has_ended = true;
                return Some(Err(Failure::panicked()));
            };
            match event {
                RunEvent::Said(said) => {
                    if let Some(event) = self.read(said) {
                        return Some(Ok(event));
                    }
                }
                RunEvent::Ended(outcome) => {
                    self.has_ended = true;
                    return outcome.err().map(Err);
                }
            }
        }
        None
    }

    fn read(&mut self, said: TextEvent) -> Option<AnswerEvent> {
        match said {
            TextEvent::Started { prompt_tokens, cached_tokens } => {
                Some(AnswerEvent::Started { prompt_tokens, cached_tokens })
            }
            TextEvent::Piece { choice, text, logprobs } => {
                let parts = self.choices.get_mut(choice)?.read(&text);
                let is_empty = parts.is_empty() && logprobs.is_empty();
                (!is_empty).then_some(AnswerEvent::More { choice, parts, logprobs })
            }
            TextEvent::Ended { choice, reason, tokens } => {
                let state = self.choices.get_mut(choice)?;
                let parts = state.finish();
                let reason = match reason {
                    FinishReason::Stop if state.has_called => EndReason::ToolCalls,
                    FinishReason::Stop => EndReason::Stop,
                    FinishReason::Length => EndReason::Length,
                };
                let reasoning = std::mem::take(&mut state.reasoning);
                let ended = AnswerEvent::Ended { choice, reason, tokens, reasoning };
                if parts.is_empty() {
                    return Some(ended);
                }
                self.held = Some(ended);
                Some(AnswerEvent::More { choice, parts, logprobs: Vec::new() })
            }
        }
    }
}

impl Choice {
    fn read(&mut self, text: &str) -> Vec<AnswerPart> {
        let parts = match &mut self.reader {
            Some(reader) => reader.read(text),
            None if text.is_empty() => Vec::new(),
            None => vec![AnswerPart::Content(text.to_owned())],
        };
        self.note(parts)
    }

    fn finish(&mut self) -> Vec<AnswerPart> {
        let parts = self.reader.as_mut().map(|reader| reader.finish()).unwrap_or_default();
        self.note(parts)
    }

    fn note(&mut self, parts: Vec<AnswerPart>) -> Vec<AnswerPart> {
        for part in &parts {
            match part {
                AnswerPart::ToolCall { .. } => self.has_called = true,
                AnswerPart::Reasoning(text) => self.reasoning.push_str(text),
                AnswerPart::Content(_) | AnswerPart::Arguments(_) => {}
            }
        }
        parts
    }
}
