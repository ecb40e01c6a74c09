//! One step: let in who fits, make room for who runs, plan the pass, compute it, take its results in.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    batch::{Batch, BatchEvent, News, RequestId, Step},
    sequence::Age,
    settle::Pass,
};
use crate::engines::{
    EngineError,
    text::model::{Logits, SequenceRows, WantedLogits},
};

/// Prompts get at least this part of a step, however many sequences write.
const READING_PART: usize = 4;

/// What one sequence computes in a pass.
pub(super) struct Part {
    pub(super) age: Age,
    pub(super) start: usize,
    /// The sequence's own tokens from `start` on, then guesses.
    pub(super) rows: Vec<u32>,
    pub(super) guesses: usize,
    pub(super) wanted: WantedLogits,
}

impl Part {
    /// Rows of logits that the pass gives for it.
    pub(super) fn logits(&self) -> usize {
        match self.wanted {
            WantedLogits::None => 0,
            WantedLogits::Last => 1,
            WantedLogits::All => self.rows.len(),
        }
    }
}

impl Batch {
    /// One pass of the model, and what follows from it; nothing when nothing runs.
    pub fn step(&mut self) -> Step {
        self.let_in();
        self.make_room();
        let parts = self.plan();
        let figures = std::mem::take(&mut self.figures);
        let mut step = Step { figures, ..Step::default() };
        if parts.is_empty() {
            return step;
        }
        step.figures.sequences = parts.len();
        match self.compute(&parts) {
            Ok(logits) => self.settle(Pass { parts, logits }, &mut step),
            Err((error, has_panicked)) => self.fail_pass(&parts, &error, has_panicked, &mut step),
        }
        step
    }

    /// In the order of their age, so that nobody is overtaken for ever.
    pub(super) fn let_in(&mut self) {
        while let Some(mut sequence) = self.outside.pop_front() {
            // Without a spare block for each that runs, who comes in would soon be sent out again.
            let Some(known) = sequence.enter(self.running.len(), &mut self.pool) else {
                self.outside.push_front(sequence);
                return;
            };
            if let Some(request) = self.requests.get_mut(&sequence.age.request)
                && !request.has_started
            {
                request.usage.cached_tokens = known;
                self.figures.cached_tokens += known;
            }
            let place = self.running.partition_point(|other| other.age < sequence.age);
            self.running.insert(place, sequence);
        }
    }

    /// Every sequence gets blocks for the tokens it has; when there are none, the youngest gives way.
    fn make_room(&mut self) {
        let mut at = 0;
        while at < self.running.len() {
            let tokens = self.running[at].tokens.len();
            if self.running[at].make_room(tokens, &mut self.pool) {
                at += 1;
            } else {
                self.preempt_youngest();
                self.figures.preempted += 1;
            }
        }
    }

    fn plan(&mut self) -> Vec<Part> {
        let writing = self.running.iter().filter(|sequence| !sequence.is_reading());
        let (writers, tokens) =
            writing.fold((0, 0), |(count, sum), one| (count + 1, sum + one.pending()));
        let step_tokens = self.settings.step_tokens.max(1);
        let mut left = step_tokens.saturating_sub(tokens).max(step_tokens.div_ceil(READING_PART));
        let may_guess = writers == self.running.len() && writers <= self.settings.guess_sequences;
        let mut parts = Vec::with_capacity(self.running.len());
        for sequence in &mut self.running {
            let (start, pending) = (sequence.computed, sequence.pending());
            let mut count = pending;
            if sequence.is_reading() {
                count = pending.min(left);
                left -= count;
            }
            if count == 0 {
                continue;
            }
            let mut rows = sequence.tokens[start..start + count].to_vec();
            if may_guess {
                rows.extend(sequence.writer.guess(&sequence.tokens, self.settings.guess_tokens));
                // Guesses are worth a free block, but nobody's place.
                if !sequence.make_room(start + rows.len(), &mut self.pool) {
                    rows.truncate(count);
                }
            }
            let guesses = rows.len() - count;
            let wanted = match guesses {
                0 if count < pending => WantedLogits::None,
                0 => WantedLogits::Last,
                _ => WantedLogits::All,
            };
            parts.push(Part { age: sequence.age, start, rows, guesses, wanted });
        }
        parts
    }

    fn compute(&mut self, parts: &[Part]) -> Result<Logits, (EngineError, bool)> {
        let rows: Vec<SequenceRows<'_>> = self
            .running
            .iter()
            .filter_map(|sequence| {
                let part = parts.binary_search_by_key(&sequence.age, |part| part.age).ok()?;
                let Part { start, rows, wanted, .. } = &parts[part];
                Some(SequenceRows {
                    tokens: rows,
                    start: *start,
                    blocks: sequence.blocks(),
                    wanted: *wanted,
                })
            })
            .collect();
        let model = &mut self.model;
        // A model that panicked is never called again: `is_broken` says so.
        let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| model.forward(&rows))) else {
            let error = EngineError::Failed("the model stopped unexpectedly".to_owned());
            return Err((error, true));
        };
        let logits = outcome.map_err(|error| (error, false))?;
        let expected: usize = parts.iter().map(Part::logits).sum();
        if logits.rows() != expected {
            let reason = format!("the model gave {} rows for {expected}", logits.rows());
            return Err((EngineError::Failed(reason), false));
        }
        Ok(logits)
    }

    /// Those in the pass fail; the others compute what they had once more, with a fresh cache.
    fn fail_pass(&mut self, parts: &[Part], error: &EngineError, panicked: bool, step: &mut Step) {
        let mut failed: Vec<u64> = parts.iter().map(|part| part.age.request).collect();
        failed.dedup();
        for id in failed {
            self.fail(RequestId(id), error.clone(), step);
        }
        self.send_all_outside();
        step.is_broken = panicked || self.model.allocate_blocks(self.pool.count()).is_err();
    }

    pub(super) fn fail(&mut self, request: RequestId, error: EngineError, step: &mut Step) {
        self.remove(request);
        step.events.push(BatchEvent { request, news: News::Failed(error) });
    }
}
