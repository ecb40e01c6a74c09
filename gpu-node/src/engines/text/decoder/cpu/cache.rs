//! Keys and values of all sequences, in blocks that a sequence need not own in order.

use super::lanes::LANES;
use crate::engines::text::decoder::pass::CacheSize;

/// Tokens of one block: two vectors of keys.
pub(super) const BLOCK_TOKENS: usize = 2 * LANES;

/// The cache of one layer. A block holds, per head, keys as `width × BLOCK_TOKENS`, so that one query meets
/// sixteen keys at once, and values as `BLOCK_TOKENS × width`.
#[derive(Debug, Default)]
pub(super) struct LayerCache {
    pub(super) keys: Vec<f32>,
    pub(super) values: Vec<f32>,
}

/// The cache of a whole model.
#[derive(Debug, Default)]
pub(super) struct PagedCache {
    pub(super) layers: Vec<LayerCache>,
    blocks: usize,
}

/// Sizes of one block in one layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockShape {
    pub(super) kv_heads: usize,
    pub(super) head_width: usize,
}

impl BlockShape {
    /// Numbers per head: as many keys as values.
    pub(super) fn head(self) -> usize {
        self.head_width * BLOCK_TOKENS
    }

    /// Numbers of keys, or of values.
    pub(super) fn block(self) -> usize {
        self.kv_heads * self.head()
    }

    /// Memory of a block in one layer.
    pub(super) fn bytes(self) -> usize {
        2 * self.block() * size_of::<f32>()
    }
}

impl PagedCache {
    pub(super) fn new(layers: usize, blocks: usize, shape: BlockShape) -> Self {
        let size = blocks * shape.block();
        let layer = || LayerCache { keys: vec![0.0; size], values: vec![0.0; size] };
        Self { layers: (0..layers).map(|_| layer()).collect(), blocks }
    }

    pub(super) fn size(&self) -> CacheSize {
        CacheSize { blocks: self.blocks, block_tokens: BLOCK_TOKENS }
    }
}

impl LayerCache {
    /// Stores one token's keys and values, all heads one after the other.
    pub(super) fn store(
        &mut self,
        shape: BlockShape,
        (block, slot): (usize, usize),
        (keys, values): (&[f32], &[f32]),
    ) {
        let heads = keys.chunks_exact(shape.head_width).zip(values.chunks_exact(shape.head_width));
        for (head, (keys, values)) in heads.enumerate() {
            let start = block * shape.block() + head * shape.head();
            let column = self.keys[start..start + shape.head()].iter_mut().skip(slot);
            for (kept, key) in column.step_by(BLOCK_TOKENS).zip(keys) {
                *kept = *key;
            }
            let start = start + slot * shape.head_width;
            self.values[start..start + shape.head_width].copy_from_slice(values);
        }
    }
}
