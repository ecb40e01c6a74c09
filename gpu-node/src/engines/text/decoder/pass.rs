//! What both backends ask of the sequences of a pass before they compute.

use super::{PaddedPrompt, Tap};
use crate::engines::{
    EngineError,
    text::{
        config::DecoderConfig,
        model::{SequenceRows, WantedLogits},
    },
};

/// How much a cache holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct CacheSize {
    pub(super) blocks: usize,
    pub(super) block_tokens: usize,
}

/// Refuses tokens that do not exist and sequences that have no place in the cache.
pub(super) fn check(
    sequences: &[SequenceRows<'_>],
    vocab_size: usize,
    cache: CacheSize,
) -> Result<(), EngineError> {
    for sequence in sequences {
        if let Some(token) = sequence.tokens.iter().find(|token| **token as usize >= vocab_size) {
            return Err(EngineError::InvalidInput(format!("there is no token {token}")));
        }
        let (end, blocks) = (sequence.start + sequence.tokens.len(), sequence.blocks.len());
        if end > blocks * cache.block_tokens {
            return Err(EngineError::Failed(format!("{end} tokens in {blocks} cache blocks")));
        }
        if let Some(block) = sequence.blocks.iter().find(|block| **block as usize >= cache.blocks) {
            let count = cache.blocks;
            return Err(EngineError::Failed(format!("cache block {block} of {count}")));
        }
    }
    Ok(())
}

/// Rows, counted over all sequences, that become logits.
pub(super) fn wanted_rows(sequences: &[SequenceRows<'_>]) -> impl Iterator<Item = usize> {
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

/// The last token that the one at `position` sees; the last `padding` tokens of a sequence are seen by none.
pub(super) fn last_seen(sequence: &SequenceRows<'_>, padding: usize, position: usize) -> usize {
    let end = (sequence.start + sequence.tokens.len()).saturating_sub(padding);
    position.min(end.saturating_sub(1))
}

/// Runs `work` on whole prompts, each with cache blocks of its own; its second argument is how many there are.
pub(super) fn with_own_blocks<R>(
    prompts: &[PaddedPrompt<'_>],
    block_tokens: usize,
    work: impl FnOnce(&[SequenceRows<'_>], usize) -> R,
) -> R {
    let needed = |tokens: &[u32]| tokens.len().div_ceil(block_tokens);
    let count: usize = prompts.iter().map(|prompt| needed(prompt.tokens)).sum();
    let blocks: Vec<u32> = (0..count as u32).collect();
    let mut rest = blocks.as_slice();
    let sequences: Vec<SequenceRows<'_>> = prompts
        .iter()
        .map(|prompt| {
            let (own, others) = rest.split_at(needed(prompt.tokens));
            rest = others;
            SequenceRows {
                tokens: prompt.tokens,
                start: 0,
                blocks: own,
                wanted: WantedLogits::None,
            }
        })
        .collect();
    work(&sequences, count)
}

/// How many layers must be computed for all the taps.
pub(super) fn last_layer(taps: &[Tap], config: &DecoderConfig) -> Result<usize, EngineError> {
    let count = config.layers.len();
    let last = taps.iter().map(|tap| tap.layers(count)).max().unwrap_or(0);
    if last > count {
        return Err(EngineError::Failed(format!("layer {last} of {count} is wanted")));
    }
    Ok(last)
}
