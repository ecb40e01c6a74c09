//! Keys and values of all sequences, in blocks that a sequence need not own in order.

use super::{attention::Place, lanes::LANES};

/// Tokens of one block: two vectors of keys.
pub(crate) const BLOCK_TOKENS: usize = 2 * LANES;

/// The cache of one layer. A block holds, per head, keys as `width × BLOCK_TOKENS`, so that one query meets
/// sixteen keys at once, and values as `BLOCK_TOKENS × width`.
#[derive(Debug, Default)]
pub(crate) struct LayerCache {
    pub(crate) keys: Vec<f32>,
    pub(crate) values: Vec<f32>,
}

/// Sizes of one block in one layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockShape {
    pub(crate) kv_heads: usize,
    pub(crate) head_width: usize,
}

impl BlockShape {
    /// Numbers per head: as many keys as values.
    pub(crate) fn head(self) -> usize {
        self.head_width * BLOCK_TOKENS
    }

    /// Numbers of keys, or of values.
    pub(crate) fn block(self) -> usize {
        self.kv_heads * self.head()
    }

    /// Memory of a block in one layer.
    pub(crate) fn bytes(self) -> usize {
        2 * self.block() * size_of::<f32>()
    }
}

impl LayerCache {
    pub(crate) fn new(blocks: usize, shape: BlockShape) -> Self {
        let empty = || vec![0.0; blocks * shape.block()];
        Self { keys: empty(), values: empty() }
    }

    /// Stores keys and values of all rows, each at its place.
    pub(crate) fn store_all(
        &mut self,
        shape: BlockShape,
        places: &[Place<'_>],
        (keys, values): (&[f32], &[f32]),
    ) {
        let width = shape.kv_heads * shape.head_width;
        let rows = keys.chunks_exact(width).zip(values.chunks_exact(width));
        for (place, row) in places.iter().zip(rows) {
            let block = place.blocks[place.position / BLOCK_TOKENS] as usize;
            self.store(shape, (block, place.position % BLOCK_TOKENS), row);
        }
    }

    /// Stores one token's keys and values, all heads one after the other.
    fn store(
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
