//! The cache of all layers of one decoder.

use crate::engines::text::{
    decoder::pass::CacheSize,
    kernels::{BLOCK_TOKENS, BlockShape, LayerCache},
};

/// Keys and values of all sequences, in blocks that a sequence need not own in order.
#[derive(Debug, Default)]
pub(super) struct PagedCache {
    pub(super) layers: Vec<LayerCache>,
    blocks: usize,
}

impl PagedCache {
    pub(super) fn new(layers: usize, blocks: usize, shape: BlockShape) -> Self {
        Self { layers: (0..layers).map(|_| LayerCache::new(blocks, shape)).collect(), blocks }
    }

    pub(super) fn size(&self) -> CacheSize {
        CacheSize { blocks: self.blocks, block_tokens: BLOCK_TOKENS }
    }
}
