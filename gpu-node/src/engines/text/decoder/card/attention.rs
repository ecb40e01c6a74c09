//! Attention of a group's rows to their cached tokens, by plain products.

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::ops::softmax_last_dim;

use super::{
    BLOCK_TOKENS,
    batch::{Batch, Group},
    layer::LayerCache,
};

/// Attention of one layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attention {
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_width: usize,
    pub(super) window: Option<usize>,
}

impl Attention {
    /// From queries `(rows, heads · width)` to the mixed values in the same shape.
    pub(super) fn forward(
        &self,
        queries: &Tensor,
        cache: &LayerCache,
        batch: &Batch,
    ) -> Result<Tensor> {
        let groups = batch.groups.iter();
        let mixed: Vec<Tensor> =
            groups.map(|group| self.mix(queries, cache, group)).collect::<Result<_>>()?;
        Tensor::cat(&mixed, 0)?.index_select(&batch.order, 0)
    }

    fn mix(&self, queries: &Tensor, cache: &LayerCache, group: &Group) -> Result<Tensor> {
        let &Self { heads, kv_heads, head_width, window } = self;
        let (count, shared) = (group.sequences, heads / kv_heads);
        let rows = group.rows.dim(0)? / count;
        // The heads that share keys are rows of one product.
        let queries = queries
            .index_select(&group.rows, 0)?
            .reshape((count, rows, kv_heads, shared, head_width))?
            .permute((0, 2, 3, 1, 4))?
            .contiguous()?
            .reshape((count, kv_heads, shared * rows, head_width))?;
        let gather = |kept: &Tensor| -> Result<Tensor> {
            kept.index_select(&group.blocks, 0)?
                .reshape((count, (), kv_heads, head_width))?
                .narrow(1, 0, group.tokens)?
                .transpose(1, 2)?
                .contiguous()
        };
        let blocks = |kept: &Tensor| kept.reshape(((), BLOCK_TOKENS * kv_heads * head_width));
        let keys = gather(&blocks(&cache.keys)?)?;
        let values = gather(&blocks(&cache.values)?)?;
        let Some(mask) = group.mask(window) else { bail!("attention: no mask for {window:?}") };
        let scale = 1.0 / (head_width as f64).sqrt();
        let scores = (queries.matmul(&keys.t()?)?.to_dtype(DType::F32)? * scale)?
            .reshape((count, kv_heads, shared, rows, group.tokens))?
            .broadcast_add(mask)?;
        let shares = softmax_last_dim(&scores)?.to_dtype(values.dtype())?;
        shares
            .reshape((count, kv_heads, shared * rows, group.tokens))?
            .matmul(&values)?
            .reshape((count, kv_heads, shared, rows, head_width))?
            .permute((0, 3, 1, 2, 4))?
            .reshape((count * rows, heads * head_width))
    }
}
