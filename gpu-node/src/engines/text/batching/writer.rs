//! What writes one continuation: chooses each token, follows the grammar, turns tokens into text, knows the end.

use std::sync::Arc;

use crate::engines::{
    EngineError,
    text::{
        grammar::Grammar,
        request::{FinishReason, TextInput, TokenLogprob},
        sampling::{Chosen, Sampler},
        speculation::PromptLookup,
        vocabulary::{StopMatcher, TokenStream, Vocabulary},
    },
};

/// After wrong guesses so many tokens pass before the next, at most.
const LONGEST_PAUSE: usize = 64;

pub(super) struct Writer {
    vocabulary: Arc<Vocabulary>,
    sampler: Sampler,
    grammar: Option<Grammar>,
    stream: TokenStream,
    stops: StopMatcher,
    end_tokens: Vec<u32>,
    max_tokens: usize,
    /// Forced tokens are chosen like all others where their probabilities are asked for.
    may_force: bool,
    written: usize,
    reported: usize,
    text: String,
    logprobs: Vec<TokenLogprob>,
    pause: Pause,
}

/// When to guess: less often where guesses were wrong.
#[derive(Debug, Default)]
struct Pause {
    length: usize,
    until: usize,
}

impl Writer {
    pub(super) fn new(
        input: &TextInput,
        choice: usize,
        max_tokens: usize,
        grammar: Option<Grammar>,
        vocabulary: &Arc<Vocabulary>,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            sampler: Sampler::new(&input.sampling, choice, &input.prompt)?,
            grammar,
            stream: match input.continues {
                true => TokenStream::continuing(),
                false => TokenStream::new(vocabulary),
            },
            stops: StopMatcher::new(&input.stop),
            end_tokens: input.end_tokens.clone(),
            max_tokens,
            may_force: input.sampling.logprobs.is_none(),
            written: 0,
            reported: 0,
            text: String::new(),
            logprobs: Vec::new(),
            pause: Pause::default(),
            vocabulary: vocabulary.clone(),
        })
    }

    /// Tokens written so far, the one that ended it included.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// Chooses the next token from a row of logits; the grammar may add what must follow. Says whether that was the end.
    pub(super) fn write(
        &mut self,
        row: &mut [f32],
        tokens: &mut Vec<u32>,
    ) -> Result<Option<FinishReason>, EngineError> {
        let mask = self.grammar.as_mut().map(Grammar::mask).transpose()?;
        let Chosen { token, logprobs } = self.sampler.choose(row, mask.as_ref())?;
        if let Some(logprobs) = logprobs.filter(|_| !self.end_tokens.contains(&token)) {
            let score = |(id, logprob)| self.vocabulary.score(id, logprob);
            let top = logprobs.top.into_iter().map(score).collect();
            self.logprobs.push(TokenLogprob { token: score((token, logprobs.chosen)), top });
        }
        if let Some(reason) = self.accept(token, tokens)? {
            return Ok(Some(reason));
        }
        if self.may_force
            && let Some(grammar) = &mut self.grammar
        {
            for token in grammar.forced_tokens() {
                if let Some(reason) = self.accept(token, tokens)? {
                    return Ok(Some(reason));
                }
            }
        }
        Ok(None)
    }

    fn accept(
        &mut self,
        token: u32,
        tokens: &mut Vec<u32>,
    ) -> Result<Option<FinishReason>, EngineError> {
        tokens.push(token);
        self.written += 1;
        self.sampler.accept(token);
        if self.end_tokens.contains(&token) {
            self.finish_text();
            return Ok(Some(FinishReason::Stop));
        }
        let piece = self.stream.push(&self.vocabulary, token);
        let piece = self.stops.push(&piece);
        self.text.push_str(&piece);
        if self.stops.has_stopped() {
            return Ok(Some(FinishReason::Stop));
        }
        if let Some(grammar) = &mut self.grammar {
            grammar.accept(token)?;
            if grammar.is_finished() {
                self.finish_text();
                return Ok(Some(FinishReason::Stop));
            }
        }
        if self.written >= self.max_tokens {
            self.finish_text();
            return Ok(Some(FinishReason::Length));
        }
        Ok(None)
    }

    /// No more tokens come: what was held back is text after all.
    fn finish_text(&mut self) {
        let rest = self.stream.finish();
        let rest = self.stops.push(&rest);
        self.text.push_str(&rest);
        let held = self.stops.finish();
        self.text.push_str(&held);
    }

    /// What was written since the last call, for the reader.
    pub(super) fn take_piece(&mut self) -> (String, Vec<TokenLogprob>) {
        (std::mem::take(&mut self.text), std::mem::take(&mut self.logprobs))
    }

    /// How many tokens were written since the last call.
    pub(super) fn take_new_tokens(&mut self) -> usize {
        self.written - std::mem::replace(&mut self.reported, self.written)
    }

    /// What probably comes next, to be checked by the model; nothing where guessing did not pay.
    pub(super) fn guess<'a>(&self, tokens: &'a [u32], most: usize) -> &'a [u32] {
        let left = self.max_tokens.saturating_sub(self.written + 1);
        let guesses = most.min(left);
        if guesses == 0 || self.written < self.pause.until {
            return &[];
        }
        PromptLookup { guesses, ..PromptLookup::default() }.guess(tokens)
    }

    /// How the last guess was.
    pub(super) fn note_guess(&mut self, guessed: usize, accepted: usize) {
        if guessed == 0 {
            return;
        }
        let pause = &mut self.pause;
        pause.length = match accepted {
            0 => (pause.length * 2).clamp(1, LONGEST_PAUSE),
            _ => 0,
        };
        pause.until = self.written + pause.length;
    }
}
