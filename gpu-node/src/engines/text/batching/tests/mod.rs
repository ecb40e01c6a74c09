//! What a batch must never change: the answers. The oracle knows no cache, no blocks and no other request.

mod ends;
mod same_answer;
mod stress;
mod structured;
mod trouble;

use std::{collections::HashMap, sync::Arc};

use super::{
    Batch, BatchSettings, News, RequestId, StepFigures,
    fake_model::{FakeModel, Mood, Taste, loaded, logits_after},
};
use crate::engines::{
    EngineError,
    text::request::{FinishReason, TextEvent, TextInput, TextUsage},
};

/// One continuation as it was told.
#[derive(Debug, Clone, Default, PartialEq)]
struct Told {
    text: String,
    ended: Option<(FinishReason, usize)>,
}

/// One request as it was told.
#[derive(Debug, Default)]
struct Answer {
    choices: Vec<Told>,
    outcome: Option<Result<TextUsage, EngineError>>,
}

/// A batch under test, and what it told so far.
struct Bench {
    batch: Batch,
    mood: Arc<Mood>,
    answers: HashMap<u64, Answer>,
    figures: StepFigures,
    is_broken: bool,
    last_id: u64,
}

impl Bench {
    fn new(settings: BatchSettings, taste: Taste) -> Self {
        let mood = Arc::default();
        Self {
            batch: Batch::new(loaded(taste, &mood), settings).unwrap(),
            mood,
            answers: HashMap::new(),
            figures: StepFigures::default(),
            is_broken: false,
            last_id: 0,
        }
    }

    fn admit(&mut self, input: &TextInput) -> u64 {
        self.last_id += 1;
        self.batch.admit(RequestId(self.last_id), input.clone()).unwrap();
        self.last_id
    }

    fn step(&mut self) {
        let step = self.batch.step();
        self.is_broken |= step.is_broken;
        let (sum, new) = (&mut self.figures, step.figures);
        sum.read_tokens += new.read_tokens;
        sum.cached_tokens += new.cached_tokens;
        sum.written_tokens += new.written_tokens;
        sum.guessed_tokens += new.guessed_tokens;
        sum.accepted_tokens += new.accepted_tokens;
        sum.preempted += new.preempted;
        for event in step.events {
            let answer = self.answers.entry(event.request.0).or_default();
            assert!(answer.outcome.is_none(), "nothing comes after the end");
            match event.news {
                News::Emitted(said) => hear(&mut answer.choices, said),
                News::Completed(usage) => answer.outcome = Some(Ok(usage)),
                News::Failed(error) => answer.outcome = Some(Err(error)),
            }
        }
    }

    /// Runs these requests, letting each in as soon as there is a place, and gives what was told of each.
    fn run(&mut self, inputs: &[TextInput]) -> Vec<Answer> {
        let mut waiting = inputs.iter().peekable();
        let mut ids = Vec::new();
        while waiting.peek().is_some() || !self.batch.is_idle() {
            while let Some(input) = waiting.next_if(|input| self.batch.has_place(input.choices)) {
                ids.push(self.admit(input));
            }
            self.step();
        }
        assert_eq!(self.batch.used_blocks().0, 0, "a block was not given back");
        ids.iter().map(|id| self.answers.remove(id).unwrap_or_default()).collect()
    }
}

fn hear(choices: &mut Vec<Told>, said: TextEvent) {
    let (TextEvent::Piece { choice, .. } | TextEvent::Ended { choice, .. }) = said else { return };
    if choices.len() <= choice {
        choices.resize(choice + 1, Told::default());
    }
    match said {
        TextEvent::Started { .. } => {}
        TextEvent::Piece { text, .. } => choices[choice].text.push_str(&text),
        TextEvent::Ended { reason, tokens, .. } => choices[choice].ended = Some((reason, tokens)),
    }
}

/// What each choice must be: one token after the other, from the whole history each time.
fn oracle(input: &TextInput, taste: Taste) -> Vec<Told> {
    let batch = Bench::new(super::fake_model::settings(50), taste).batch;
    let max_tokens = input.max_tokens.min(200 - input.prompt.len());
    let writers = batch.writers(input, max_tokens).unwrap();
    let answer = |mut writer: super::writer::Writer| {
        let mut tokens = input.prompt.clone();
        let mut told = Told::default();
        while told.ended.is_none() {
            let mut row = logits_after(&tokens, taste);
            let ended = writer.write(&mut row, &mut tokens).unwrap();
            told.text.push_str(&writer.take_piece().0);
            told.ended = ended.map(|reason| (reason, writer.written()));
        }
        told
    };
    writers.into_iter().map(answer).collect()
}

/// Every answer is the oracle's.
fn assert_same(answers: &[Answer], inputs: &[TextInput], taste: Taste) {
    for (index, (answer, input)) in answers.iter().zip(inputs).enumerate() {
        assert!(matches!(answer.outcome, Some(Ok(_))), "{index}: {:?}", answer.outcome);
        assert_eq!(answer.choices, oracle(input, taste), "request {index}");
    }
}
