//! Everything that runs on one model together: who is in, who has to wait for blocks, who is done.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use super::{
    blocks::BlockPool,
    sequence::{Age, Sequence},
    settings::BatchSettings,
    writer::Writer,
};
use crate::engines::{
    EngineError,
    text::{
        grammar::{Grammar, GrammarCompiler},
        model::TextModel,
        request::{TextEvent, TextInput, TextUsage},
        vocabulary::Vocabulary,
    },
};

/// A model in memory, the words it knows, and what follows their grammars.
pub struct LoadedText {
    pub model: Box<dyn TextModel>,
    pub vocabulary: Arc<Vocabulary>,
    pub grammars: Arc<GrammarCompiler>,
}

/// One request of a batch; later ones have greater numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What became known of one request in a step.
#[derive(Debug)]
pub struct BatchEvent {
    pub request: RequestId,
    pub news: News,
}

/// What a step tells of a request; the last two end it.
#[derive(Debug)]
pub enum News {
    Emitted(TextEvent),
    Completed(TextUsage),
    Failed(EngineError),
}

/// One step's news and figures.
#[derive(Debug, Default)]
pub struct Step {
    pub events: Vec<BatchEvent>,
    pub figures: StepFigures,
    /// The model cannot be used any more; [`Batch::replace_model`] goes on with another.
    pub is_broken: bool,
}

/// What one step did, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepFigures {
    /// Sequences of the pass.
    pub sequences: usize,
    /// Prompt tokens that were computed.
    pub read_tokens: usize,
    /// Prompt tokens that an earlier request had computed.
    pub cached_tokens: usize,
    /// Tokens that were chosen or forced by a grammar.
    pub written_tokens: usize,
    /// Tokens that were guessed, and how many of them were right.
    pub guessed_tokens: usize,
    pub accepted_tokens: usize,
    /// Sequences that gave way because no block was left.
    pub preempted: usize,
}

/// What the choices of one request have in common.
pub(super) struct Request {
    pub(super) usage: TextUsage,
    pub(super) choices_left: usize,
    /// The other choices, until the prompt is read.
    pub(super) unforked: Vec<Writer>,
    pub(super) has_started: bool,
}

/// A model and the sequences it runs together.
pub struct Batch {
    pub(super) model: Box<dyn TextModel>,
    pub(super) settings: BatchSettings,
    pub(super) pool: BlockPool,
    /// In the order of their age; each has room for all its tokens.
    pub(super) running: Vec<Sequence>,
    /// New or preempted, in the order of their age; they hold no blocks.
    pub(super) outside: VecDeque<Sequence>,
    pub(super) requests: HashMap<u64, Request>,
    /// Of the step to come.
    pub(super) figures: StepFigures,
    vocabulary: Arc<Vocabulary>,
    grammars: Arc<GrammarCompiler>,
    context_tokens: usize,
}

impl Batch {
    /// Makes the model's cache as large as the settings allow.
    pub fn new(loaded: LoadedText, settings: BatchSettings) -> Result<Self, EngineError> {
        let LoadedText { mut model, vocabulary, grammars } = loaded;
        let shape = model.shape().clone();
        let count = settings.block_count(&shape);
        if count == 0 {
            let (have, need) = (settings.cache_bytes, shape.block_bytes);
            return Err(EngineError::OutOfMemory(format!(
                "a cache of {have} bytes has no room for one block of {need}"
            )));
        }
        model.allocate_blocks(count)?;
        Ok(Self {
            model,
            context_tokens: settings.context_tokens(&shape),
            pool: BlockPool::new(count, shape.block_tokens),
            settings,
            running: Vec::new(),
            outside: VecDeque::new(),
            requests: HashMap::new(),
            figures: StepFigures::default(),
            vocabulary,
            grammars,
        })
    }

    /// Goes on with another model of the same shape; what runs is computed again.
    pub fn replace_model(&mut self, mut model: Box<dyn TextModel>) -> Result<(), EngineError> {
        self.send_all_outside();
        model.allocate_blocks(self.pool.count())?;
        self.model = model;
        Ok(())
    }

    /// Positions that a request may use here, prompt and answer together.
    pub fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    /// Nothing runs and nothing waits inside.
    pub fn is_idle(&self) -> bool {
        self.requests.is_empty()
    }

    /// Sequences that run, those that gave way for a while included.
    pub fn sequences(&self) -> usize {
        self.running.len() + self.outside.len()
    }

    /// Requests that run.
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Blocks that hold something for a running sequence, and all there are.
    pub fn used_blocks(&self) -> (usize, usize) {
        (self.pool.count() - self.pool.available(), self.pool.count())
    }

    /// Whether a request of so many choices may come in: nobody inside waits for blocks, and there is a place.
    pub fn has_place(&self, choices: usize) -> bool {
        let unforked: usize = self.requests.values().map(|request| request.unforked.len()).sum();
        let taken = self.running.len() + unforked;
        self.outside.is_empty() && (taken == 0 || taken + choices <= self.settings.max_sequences)
    }

    /// Takes the request in; it waits inside until there are blocks for its prompt.
    pub fn admit(&mut self, id: RequestId, input: TextInput) -> Result<(), EngineError> {
        let prompt_tokens = input.prompt.len();
        let limit = self.context_tokens;
        if prompt_tokens == 0 {
            return Err(EngineError::InvalidInput("the prompt is empty".to_owned()));
        }
        if prompt_tokens >= limit {
            return Err(EngineError::TooLong(format!(
                "the prompt has {prompt_tokens} tokens, this model reads {limit} with the answer"
            )));
        }
        let vocab_size = self.model.shape().vocab_size;
        if let Some(token) = input.prompt.iter().find(|&&token| token as usize >= vocab_size) {
            let reason = format!("the model has no token {token}");
            return Err(EngineError::InvalidInput(reason));
        }
        let max_tokens = input.max_tokens.min(limit - prompt_tokens);
        let mut writers = self.writers(&input, max_tokens)?;
        let unforked = writers.split_off(1);
        let request = Request {
            usage: TextUsage { prompt_tokens, ..TextUsage::default() },
            choices_left: unforked.len() + 1,
            unforked,
            has_started: false,
        };
        self.requests.insert(id.0, request);
        let age = Age { request: id.0, choice: 0 };
        for writer in writers {
            self.outside.push_back(Sequence::new(age, input.prompt.clone(), writer));
        }
        self.let_in();
        Ok(())
    }

    /// One writer per choice.
    pub(super) fn writers(
        &self,
        input: &TextInput,
        max_tokens: usize,
    ) -> Result<Vec<Writer>, EngineError> {
        let constraint = input.constraint.as_ref();
        let grammar = constraint.map(|wanted| self.grammars.compile(wanted)).transpose()?;
        (0..input.choices.max(1))
            .map(|choice| {
                let grammar = grammar.as_ref().map(Grammar::fork);
                Writer::new(input, choice, max_tokens, grammar, &self.vocabulary)
            })
            .collect()
    }

    /// Ends a request without a word, and frees what it held.
    pub fn remove(&mut self, id: RequestId) {
        self.requests.remove(&id.0);
        self.outside.retain(|sequence| sequence.age.request != id.0);
        let pool = &mut self.pool;
        self.running.retain_mut(|sequence| {
            let is_other = sequence.age.request != id.0;
            if !is_other {
                sequence.leave(pool);
            }
            is_other
        });
    }

    /// The youngest gives its blocks back, and waits outside for others.
    pub(super) fn preempt_youngest(&mut self) {
        if let Some(mut sequence) = self.running.pop() {
            sequence.leave(&mut self.pool);
            let place = self.outside.partition_point(|other| other.age < sequence.age);
            self.outside.insert(place, sequence);
        }
    }

    /// Nothing in the cache is to be trusted; what runs begins anew when it comes back in.
    pub(super) fn send_all_outside(&mut self) {
        self.pool.distrust_all();
        while !self.running.is_empty() {
            self.preempt_youngest();
        }
    }
}
