//! Where a decoder's weights come from, whatever the format of the file.
//!
//! Names are those of the Hugging Face checkpoints without the leading `model.`: `embed_tokens.weight`,
//! `layers.0.self_attn.q_proj.weight`, `layers.0.mlp.experts.3.up_proj.weight`, `norm.weight`, `lm_head.weight`.

use std::fmt::Debug;

use candle_core::{DType, Device, Tensor};

use crate::engines::EngineError;

/// A matrix of `outputs × inputs` on the CPU, dense or compressed.
pub trait Projection: Debug + Send + Sync {
    /// Numbers in a row that goes in.
    fn inputs(&self) -> usize;

    /// Numbers in a row that comes out.
    fn outputs(&self) -> usize;

    /// Memory the matrix takes.
    fn bytes(&self) -> usize;

    /// `out[row] = matrix · xs[row]` for all rows, on all threads.
    ///
    /// A row's result is the same, bit by bit, whatever the other rows are and however many.
    fn forward(&self, xs: &[f32], out: &mut [f32]);

    /// Writes row `index` of the matrix itself: its weights for one output, or one token's embedding.
    fn copy_row(&self, index: usize, out: &mut [f32]);
}

/// The weights of one model by name. Rows of `q_proj` and `k_proj` are in the order that rotates halves.
pub trait WeightSource {
    /// Whether the file has it.
    fn contains(&self, name: &str) -> bool;

    /// A matrix to multiply with on the CPU; `shape` is outputs and inputs.
    fn projection(
        &self,
        name: &str,
        shape: (usize, usize),
    ) -> Result<Box<dyn Projection>, EngineError>;

    /// A norm's scales or a bias.
    fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, EngineError>;

    /// The same weights as a dense tensor, for a card.
    fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        place: (DType, &Device),
    ) -> Result<Tensor, EngineError>;
}
