//! The border between what decides the next step and what computes it: several sequences, one forward pass.

use crate::engines::EngineError;

/// What a batch must know about a model before it runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelShape {
    /// Scores per row of logits; may be more than the tokenizer has tokens.
    pub vocab_size: usize,
    /// Positions the model was made for.
    pub context_tokens: usize,
    /// Tokens whose keys and values one block of the cache holds.
    pub block_tokens: usize,
    /// Memory of one block over all layers.
    pub block_bytes: usize,
}

/// Which rows of a sequence's new tokens are turned into logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedLogits {
    /// The prompt goes on in a later step.
    None,
    /// The next token is chosen from the last row.
    Last,
    /// Every row: guessed tokens are checked.
    All,
}

/// One sequence's part of a forward pass.
#[derive(Debug, Clone, Copy)]
pub struct SequenceRows<'a> {
    /// The new tokens, at positions `start..start + tokens.len()`.
    pub tokens: &'a [u32],
    /// Tokens whose keys and values are in `blocks` already.
    pub start: usize,
    /// The cache blocks of the sequence in order; they have room for all its tokens, the new ones included.
    pub blocks: &'a [u32],
    pub wanted: WantedLogits,
}

/// Scores of the wanted rows, in the order of the sequences and of their tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Logits {
    values: Vec<f32>,
    vocab_size: usize,
}

impl Logits {
    /// `values` holds whole rows of `vocab_size`.
    pub fn new(values: Vec<f32>, vocab_size: usize) -> Self {
        Self { values, vocab_size }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.values.len() / self.vocab_size.max(1)
    }

    /// One row, to be changed in place by biases, penalties and masks.
    pub fn row_mut(&mut self, row: usize) -> Option<&mut [f32]> {
        self.values.get_mut(row * self.vocab_size..(row + 1) * self.vocab_size)
    }

    /// All rows, to be changed in place.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        self.values.chunks_exact_mut(self.vocab_size.max(1))
    }

    /// One row.
    pub fn row(&self, row: usize) -> Option<&[f32]> {
        self.values.get(row * self.vocab_size..(row + 1) * self.vocab_size)
    }
}

/// A decoder with its paged cache of keys and values.
pub trait TextModel: Send {
    /// What never changes after loading.
    fn shape(&self) -> &ModelShape;

    /// Makes a cache of that many blocks, numbered from 0; what an earlier one held is gone.
    fn allocate_blocks(&mut self, count: usize) -> Result<(), EngineError>;

    /// Computes the new tokens of all sequences in one pass and adds them to the cache.
    ///
    /// A row's result does not depend on the other sequences of the batch on the CPU, bit by bit.
    fn forward(&mut self, sequences: &[SequenceRows<'_>]) -> Result<Logits, EngineError>;
}

impl<M: TextModel + ?Sized> TextModel for Box<M> {
    fn shape(&self) -> &ModelShape {
        (**self).shape()
    }

    fn allocate_blocks(&mut self, count: usize) -> Result<(), EngineError> {
        (**self).allocate_blocks(count)
    }

    fn forward(&mut self, sequences: &[SequenceRows<'_>]) -> Result<Logits, EngineError> {
        (**self).forward(sequences)
    }
}
