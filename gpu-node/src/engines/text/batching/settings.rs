//! What a batch may take and do.

use crate::engines::text::model::ModelShape;

/// How large the cache is and how much one step does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchSettings {
    /// Memory for keys and values.
    pub cache_bytes: u64,
    /// Most positions of one request; the model's own when absent.
    pub context_tokens: Option<usize>,
    /// Tokens that one pass computes: what writes comes first, prompts fill the rest.
    pub step_tokens: usize,
    /// Sequences that run together.
    pub max_sequences: usize,
    /// Tokens guessed per sequence and pass; 0 never guesses.
    pub guess_tokens: usize,
    /// Guesses cost what they do not save once more sequences than this run.
    pub guess_sequences: usize,
}

impl BatchSettings {
    /// What suits a processor, or a card when `is_card`.
    pub fn new(cache_bytes: u64, is_card: bool) -> Self {
        Self {
            cache_bytes,
            context_tokens: None,
            step_tokens: if is_card { 2048 } else { 512 },
            max_sequences: if is_card { 256 } else { 32 },
            guess_tokens: if is_card { 8 } else { 4 },
            guess_sequences: if is_card { 4 } else { 1 },
        }
    }

    /// Blocks that the cache's memory holds; no more than all places could use.
    pub(super) fn block_count(&self, shape: &ModelShape) -> usize {
        let affordable = self.cache_bytes / (shape.block_bytes as u64).max(1);
        usize::try_from(affordable).unwrap_or(usize::MAX).min(u32::MAX as usize)
    }

    /// Positions that one request may use: no more than the model knows, the settings allow, the cache holds.
    pub(super) fn context_tokens(&self, shape: &ModelShape) -> usize {
        let cached = self.block_count(shape).saturating_mul(shape.block_tokens);
        shape.context_tokens.min(cached).min(self.context_tokens.unwrap_or(usize::MAX))
    }
}
