//! Embedding models: texts as tokens in, a vector of length 1 for each out.

mod bert;
mod bert_on_card;
mod embedder;
mod pooling;

pub use embedder::{Embedder, EmbeddingShape};
pub use pooling::Pooling;

use super::Engine;

/// Names the code that made a vector: only vectors of one model and version may be compared.
pub const ENGINE_VERSION: &str = concat!("chandelle-embeddings/", env!("CARGO_PKG_VERSION"));

/// Texts to turn into vectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddingInput {
    /// Tokens of each text, those that the model wants at its ends included.
    pub texts: Vec<Vec<u32>>,
    /// Shorter vectors than the model's own; only some models learned to give them.
    pub dimensions: Option<usize>,
}

/// How many texts are done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddingProgress {
    pub texts: usize,
    pub of: usize,
}

/// The vectors in the order of the texts.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbeddingOutput {
    pub vectors: Vec<Vec<f32>>,
    /// Tokens read, of all texts.
    pub tokens: usize,
}

/// Any embedding model, behind one type, so that one kind of lane holds them all.
pub type EmbeddingEngine = Box<
    dyn Engine<Input = EmbeddingInput, Event = EmbeddingProgress, Output = EmbeddingOutput> + Send,
>;
