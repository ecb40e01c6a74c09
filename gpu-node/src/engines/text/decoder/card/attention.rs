//! Attention of a group's rows to their cached tokens, by plain products.

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::ops::softmax_last_dim;

use super::{
    BLOCK_TOKENS,
    batch::{Batch, Group},
    layer::LayerCache,
};

/// Numbers in the scores of one product, of which a few copies live at once: a gigabyte each.
pub(super) const SCORES_AT_ONCE: usize = 1 << 28;

/// Attention of one layer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attention {
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_width: usize,
    pub(super) window: Option<usize>,
    pub(super) scores_at_once: usize,
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
        let &Self { heads, kv_heads, head_width, window, scores_at_once } = self;
        let (count, shared) = (group.sequences, heads / kv_heads);
        let rows = group.rows.dim(0)? / count;
        let queries = queries
            .index_select(&group.rows, 0)?
            .reshape((count, rows, kv_heads, shared, head_width))?
            .permute((0, 2, 3, 1, 4))?;
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
        let most = (scores_at_once / (count * heads * group.tokens).max(1)).max(1);
        let mixed = (0..rows)
            .step_by(most)
            .map(|first| {
                let some = most.min(rows - first);
                let (queries, mask) =
                    (queries.narrow(3, first, some)?, mask.narrow(3, first, some)?);
                self.mix_rows(&queries, (&keys, &values), &mask)
            })
            .collect::<Result<Vec<_>>>()?;
        Tensor::cat(&mixed, 3)?
            .permute((0, 3, 1, 2, 4))?
            .reshape((count * rows, heads * head_width))
    }

    /// From `(sequences, heads of keys, heads that share them, rows, width)` to the same shape.
    fn mix_rows(
        &self,
        queries: &Tensor,
        (keys, values): (&Tensor, &Tensor),
        mask: &Tensor,
    ) -> Result<Tensor> {
        let (count, kv_heads, shared, rows, width) = queries.dims5()?;
        let tokens = keys.dim(2)?;
        // The heads that share keys are rows of one product.
        let queries = queries.contiguous()?.reshape((count, kv_heads, shared * rows, width))?;
        let scale = 1.0 / (width as f64).sqrt();
        let scores = (queries.matmul(&keys.t()?)?.to_dtype(DType::F32)? * scale)?
            .reshape((count, kv_heads, shared, rows, tokens))?
            .broadcast_add(mask)?;
        let shares = softmax_last_dim(&scores)?.to_dtype(values.dtype())?;
        shares
            .reshape((count, kv_heads, shared * rows, tokens))?
            .matmul(values)?
            .reshape((count, kv_heads, shared, rows, width))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;
    use crate::engines::text::{
        config::DecoderConfig,
        model::{SequenceRows, WantedLogits},
    };

    #[test]
    fn a_prompt_in_parts_sees_the_same_as_at_once() {
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny/llama");
        let config = DecoderConfig::read(&tiny).unwrap();
        let wanted = WantedLogits::Last;
        let (prompt, next, late) = (vec![1; 70], [1], [1]);
        let sequences = [
            SequenceRows { tokens: &prompt, start: 0, blocks: &[1, 0], wanted },
            SequenceRows { tokens: &next, start: 5, blocks: &[2], wanted },
            SequenceRows { tokens: &late, start: 100, blocks: &[4, 3], wanted },
        ];
        let place = (DType::F32, &Device::Cpu);
        let batch = Batch::new(&config, (&sequences, &[]), place).unwrap();
        assert_eq!(batch.groups.len(), 2);
        let width = config.kv_heads * config.head_width;
        let random =
            |rows, width| Tensor::randn(0.0_f32, 1.0, (rows, width), &Device::Cpu).unwrap();
        let cache = LayerCache {
            keys: random(5 * BLOCK_TOKENS, width),
            values: random(5 * BLOCK_TOKENS, width),
        };
        let queries = random(72, config.heads * config.head_width);
        let mixed = |scores_at_once| {
            let DecoderConfig { heads, kv_heads, head_width, .. } = config;
            let window = config.layers[0].window;
            let attention = Attention { heads, kv_heads, head_width, window, scores_at_once };
            let mixed = attention.forward(&queries, &cache, &batch).unwrap();
            mixed.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let whole = mixed(SCORES_AT_ONCE);
        for parts in [mixed(1), mixed(config.heads * 70 * 9)] {
            let worst = whole.iter().zip(&parts).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-5, "differs by {worst}");
        }
    }
}
