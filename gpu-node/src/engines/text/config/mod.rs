//! The shape of a decoder, whatever file it was read from.

mod huggingface;
mod rope;

use candle_core::{Result, bail};
pub use rope::{Rope, RopeScaling};

/// More than any model has: what follows allocates by these numbers, and a file may say anything.
const LAYERS_MAX: usize = 1024;
const VOCAB_SIZE_MAX: usize = 4 << 20;

/// Refuses a number of layers or tokens that no model has.
pub(super) fn check_sizes(layers: usize, vocab_size: usize) -> Result<()> {
    if layers > LAYERS_MAX || vocab_size > VOCAB_SIZE_MAX {
        bail!("{layers} layers and {vocab_size} tokens are more than any model has");
    }
    Ok(())
}

/// What one decoder of the Llama, Mistral and Qwen families computes.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderConfig {
    pub vocab_size: usize,
    /// Numbers per token between the layers.
    pub hidden: usize,
    pub heads: usize,
    /// Heads of keys and values; several query heads share one.
    pub kv_heads: usize,
    pub head_width: usize,
    /// Width inside a dense feed-forward layer.
    pub feed_forward: usize,
    pub layers: Vec<LayerConfig>,
    pub experts: Option<ExpertsConfig>,
    pub norm_eps: f32,
    pub rope: Rope,
    /// Positions the model was made for.
    pub context_tokens: usize,
    /// The embedding also turns hidden states into logits.
    pub has_tied_embeddings: bool,
    pub biases: Biases,
    /// Queries and keys are normalised per head, as in Qwen3.
    pub has_head_norms: bool,
    /// Tokens that end an answer.
    pub end_tokens: Vec<u32>,
}

/// What may differ from layer to layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LayerConfig {
    /// A token sees so many tokens, itself included; `None` sees all.
    pub window: Option<usize>,
    /// The feed-forward layer is a choice of experts.
    pub is_sparse: bool,
}

/// Which projections add a bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Biases {
    pub qkv: bool,
    pub output: bool,
    pub feed_forward: bool,
}

/// The sparse layers of a mixture of experts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpertsConfig {
    pub count: usize,
    /// Experts that each token is sent to.
    pub per_token: usize,
    /// Width inside one expert.
    pub width: usize,
    /// The chosen experts' shares are scaled to a sum of 1.
    pub normalises_shares: bool,
}

impl DecoderConfig {
    /// Width of all query heads together.
    pub fn query_width(&self) -> usize {
        self.heads * self.head_width
    }

    /// Width of all key heads together.
    pub fn key_width(&self) -> usize {
        self.kv_heads * self.head_width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_no_model_has_are_refused() {
        assert!(check_sizes(126, 262_144).is_ok());
        assert!(check_sizes(4_000_000_000, 100).is_err());
        assert!(check_sizes(4, 4_000_000_000).is_err());
    }
}
