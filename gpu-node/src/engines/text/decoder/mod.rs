//! The decoder of the Llama, Mistral and Qwen families (Touvron et al. 2023, <https://arxiv.org/abs/2302.13971>).

mod cpu;
mod safetensors;

use std::fmt::Debug;

use candle_core::Tensor;

pub use self::{cpu::CpuDecoder, safetensors::SafetensorsSource};
use super::model::{SequenceRows, WantedLogits};
use crate::engines::EngineError;

/// A place in the decoder whose hidden states are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tap {
    /// After so many layers, without the final norm; 0 is the embedding.
    AfterLayers(usize),
    /// After the last layer and the final norm.
    Normed,
}

impl Tap {
    fn layers(self, count: usize) -> usize {
        match self {
            Self::AfterLayers(layers) => layers,
            Self::Normed => count,
        }
    }
}

/// A decoder as the text encoder of other models: no cache, no logits.
pub trait HiddenStates: Debug + Send + Sync {
    /// Numbers per token.
    fn hidden(&self) -> usize;

    /// For each tap `(tokens of all sequences, hidden)`; layers after the last tap are not computed.
    fn hidden_states(&self, sequences: &[&[u32]], taps: &[Tap])
    -> Result<Vec<Tensor>, EngineError>;
}

/// Rows, counted over all sequences, that become logits.
fn wanted_rows(sequences: &[SequenceRows<'_>]) -> impl Iterator<Item = usize> {
    let mut end = 0;
    sequences.iter().flat_map(move |sequence| {
        let start = end;
        end += sequence.tokens.len();
        match sequence.wanted {
            WantedLogits::None => end..end,
            WantedLogits::Last => end.saturating_sub(1).max(start)..end,
            WantedLogits::All => start..end,
        }
    })
}
