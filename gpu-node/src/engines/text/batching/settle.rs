//! After a pass: tokens are chosen, right guesses kept, choices forked, and who has ended leaves.

use rayon::prelude::*;

use super::{
    batch::{Batch, BatchEvent, News, RequestId, Step},
    sequence::{Age, Sequence},
    step::Part,
    writer::Writer,
};
use crate::engines::{
    EngineError,
    text::{
        model::{Logits, WantedLogits},
        request::{FinishReason, TextEvent, TextUsage},
    },
};

/// Choosing from fewer rows than this is not worth a second thread.
const ROWS_PER_THREAD: usize = 4;

/// A pass that went well.
pub(super) struct Pass {
    pub(super) parts: Vec<Part>,
    pub(super) logits: Logits,
}

/// Whether a continuation goes on.
type Written = Result<Option<FinishReason>, EngineError>;

/// One sequence with its rows of logits, and what they came to.
struct Choosing<'a> {
    part: &'a Part,
    sequence: &'a mut Sequence,
    rows: Vec<&'a mut [f32]>,
    /// The other choices of its request, when this pass ends their common prompt.
    unforked: Vec<Writer>,
    forked: Vec<Forked>,
    computed: usize,
    outcome: Written,
}

/// Another choice with its first tokens.
struct Forked {
    writer: Writer,
    tokens: Vec<u32>,
    outcome: Written,
}

/// What one sequence's pass came to, once the borrowed rows are gone.
struct Chosen {
    age: Age,
    computed: usize,
    accepted: usize,
    outcome: Written,
    forked: Vec<Forked>,
}

impl Choosing<'_> {
    fn choose(&mut self) {
        if let Some(row) = self.rows.first() {
            for mut writer in std::mem::take(&mut self.unforked) {
                let mut tokens = self.sequence.tokens.clone();
                let outcome = writer.write(&mut row.to_vec(), &mut tokens);
                self.forked.push(Forked { writer, tokens, outcome });
            }
        }
        self.outcome = self.write();
        let accepted = self.accepted();
        self.sequence.writer.note_guess(self.part.guesses, accepted);
    }

    /// Each row whose tokens were right gives the next token, exactly as a pass of its own would have.
    fn write(&mut self) -> Written {
        let Part { start, rows: ref fed, wanted, .. } = *self.part;
        let first = if wanted == WantedLogits::All { 0 } else { fed.len() - 1 };
        let Sequence { tokens, writer, .. } = &mut *self.sequence;
        let is_right = |tokens: &[u32], at: usize| tokens.get(start + at) == Some(&fed[at]);
        self.computed = start + (fed.len() - self.part.guesses);
        for (at, row) in (first..).zip(&mut self.rows) {
            if at >= self.computed - start && !is_right(tokens, at) {
                break;
            }
            self.computed = self.computed.max(start + at + 1);
            // A grammar may have forced what this row would be asked for.
            if start + at + 1 == tokens.len()
                && let Some(reason) = writer.write(row, tokens)?
            {
                return Ok(Some(reason));
            }
        }
        Ok(None)
    }

    /// Guesses that were right.
    fn accepted(&self) -> usize {
        let Part { start, ref rows, guesses, .. } = *self.part;
        (self.computed - start).saturating_sub(rows.len() - guesses)
    }

    fn into_chosen(self) -> Chosen {
        Chosen {
            age: self.sequence.age,
            computed: self.computed,
            accepted: self.accepted(),
            outcome: self.outcome,
            forked: self.forked,
        }
    }
}

impl Batch {
    pub(super) fn settle(&mut self, pass: Pass, step: &mut Step) {
        for chosen in self.choose(pass, step) {
            self.take_in(chosen, step);
        }
    }

    fn choose(&mut self, pass: Pass, step: &mut Step) -> Vec<Chosen> {
        let Pass { parts, mut logits } = pass;
        let count = logits.rows();
        let mut rows = logits.rows_mut();
        let mut choosing = Vec::with_capacity(parts.len());
        let mut parts = parts.iter().peekable();
        for sequence in &mut self.running {
            let Some(part) = parts.next_if(|part| part.age == sequence.age) else { continue };
            step.figures.guessed_tokens += part.guesses;
            if sequence.is_reading() {
                step.figures.read_tokens += part.rows.len();
            }
            let request = self.requests.get_mut(&sequence.age.request);
            let unforked = match request {
                Some(request) if part.logits() > 0 => std::mem::take(&mut request.unforked),
                _ => Vec::new(),
            };
            choosing.push(Choosing {
                rows: rows.by_ref().take(part.logits()).collect(),
                unforked,
                forked: Vec::new(),
                computed: part.start + part.rows.len(),
                outcome: Ok(None),
                part,
                sequence,
            });
        }
        if count < ROWS_PER_THREAD {
            choosing.iter_mut().for_each(Choosing::choose);
        } else {
            choosing.par_iter_mut().for_each(Choosing::choose);
        }
        choosing.into_iter().map(Choosing::into_chosen).collect()
    }

    fn take_in(&mut self, chosen: Chosen, step: &mut Step) {
        let Chosen { age, computed, accepted, outcome, forked } = chosen;
        // It is gone when another choice of its request failed in this pass.
        let Ok(at) = self.find(age) else { return };
        step.figures.accepted_tokens += accepted;
        let ended = match outcome {
            Ok(ended) => ended,
            Err(error) => return self.fail_alone(at, error, step),
        };
        let sequence = &mut self.running[at];
        sequence.set_computed(computed, &mut self.pool);
        if !sequence.has_read_prompt() {
            return;
        }
        self.tell_start(age.request, step);
        let mut all = vec![(age, ended)];
        for (choice, Forked { writer, tokens, outcome }) in (1..).zip(forked) {
            let ended = match outcome {
                Ok(ended) => ended,
                Err(error) => return self.fail_alone(at, error, step),
            };
            let mut fork = self.running[at].fork(choice, writer, &mut self.pool);
            fork.tokens = tokens;
            all.push((fork.age, ended));
            self.running.insert(at + choice, fork);
        }
        for (age, ended) in all {
            self.tell_progress(age, ended, step);
        }
    }

    fn find(&self, age: Age) -> Result<usize, usize> {
        self.running.binary_search_by_key(&age, |sequence| sequence.age)
    }

    fn tell_start(&mut self, id: u64, step: &mut Step) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if !std::mem::replace(&mut request.has_started, true) {
            let TextUsage { prompt_tokens, cached_tokens, .. } = request.usage;
            tell(id, TextEvent::Started { prompt_tokens, cached_tokens }, step);
        }
    }

    fn tell_progress(&mut self, age: Age, ended: Option<FinishReason>, step: &mut Step) {
        let (Ok(at), id, choice) = (self.find(age), age.request, age.choice) else { return };
        let writer = &mut self.running[at].writer;
        step.figures.written_tokens += writer.take_new_tokens();
        let (text, logprobs) = writer.take_piece();
        if !text.is_empty() || !logprobs.is_empty() {
            tell(id, TextEvent::Piece { choice, text, logprobs }, step);
        }
        let Some(reason) = ended else { return };
        let tokens = writer.written();
        tell(id, TextEvent::Ended { choice, reason, tokens }, step);
        self.running.remove(at).leave(&mut self.pool);
        let Some(request) = self.requests.get_mut(&id) else { return };
        request.usage.written_tokens += tokens;
        request.choices_left -= 1;
        if request.choices_left == 0 {
            let news = News::Completed(request.usage);
            self.requests.remove(&id);
            step.events.push(BatchEvent { request: RequestId(id), news });
        }
    }

    /// What one request's rows hold is no reason to doubt the others'.
    fn fail_alone(&mut self, at: usize, error: EngineError, step: &mut Step) {
        let sequence = &self.running[at];
        let request = RequestId(sequence.age.request);
        self.pool.distrust(sequence.blocks());
        self.fail(request, error, step);
    }
}

fn tell(request: u64, event: TextEvent, step: &mut Step) {
    let request = RequestId(request);
    step.events.push(BatchEvent { request, news: News::Emitted(event) });
}
