//! The decoder of the Llama, Mistral and Qwen families (Touvron et al. 2023, <https://arxiv.org/abs/2302.13971>).
//!
//! Two backends compute the same: `cpu` with our own kernels, `card` with candle's tensors.

mod card;
mod cpu;
mod pass;
mod routing;
mod safetensors;

use std::fmt::Debug;

use candle_core::{DType, Tensor};

pub use self::{card::CardDecoder, cpu::CpuDecoder, safetensors::SafetensorsSource};
use super::{config::DecoderConfig, model::TextModel, weights::WeightSource};
use crate::engines::{Devices, EngineError};

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

/// A prompt that padding fills up to a fixed length, as some models were trained.
#[derive(Debug, Clone, Copy)]
pub struct PaddedPrompt<'a> {
    pub tokens: &'a [u32],
    /// The last so many tokens are padding: each sees the prompt before it and is seen by none, not even itself.
    pub padding: usize,
}

/// A decoder as the text encoder of other models: no cache, no logits.
pub trait HiddenStates: Debug + Send + Sync {
    /// Numbers per token.
    fn hidden(&self) -> usize;

    /// For each tap `(tokens of all prompts, hidden)`; layers after the last tap are not computed.
    fn hidden_states(
        &self,
        sequences: &[&[u32]],
        taps: &[Tap],
    ) -> Result<Vec<Tensor>, EngineError> {
        let whole: Vec<PaddedPrompt<'_>> =
            sequences.iter().map(|tokens| PaddedPrompt { tokens, padding: 0 }).collect();
        self.padded_hidden_states(&whole, taps)
    }

    /// As `hidden_states`, with the states of the padding among them.
    fn padded_hidden_states(
        &self,
        prompts: &[PaddedPrompt<'_>],
        taps: &[Tap],
    ) -> Result<Vec<Tensor>, EngineError>;
}

/// Any decoder: it continues texts, or gives its hidden states.
pub trait Decoder: TextModel + HiddenStates {}

impl<D: TextModel + HiddenStates> Decoder for D {}

/// Loads a decoder from any source: on a card in bf16, on the CPU as the file has it.
pub fn place_decoder(
    config: DecoderConfig,
    source: &dyn WeightSource,
    devices: &Devices,
) -> Result<Box<dyn Decoder>, EngineError> {
    let device = devices.compute();
    if device.is_cpu() {
        return Ok(Box::new(CpuDecoder::load(config, source)?));
    }
    Ok(Box::new(CardDecoder::load(config, source, (DType::BF16, device))?))
}
