//! The transformer inside the UNet: pixels attend to each other, then to the text.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::engines::layers::{
    GroupNorm, LayerNorm, Linear, attention, from_tokens, geglu, map_size, to_tokens,
};

/// The sizes of one transformer.
#[derive(Debug, Clone, Copy)]
pub(super) struct TransformerConfig {
    pub(super) channels: usize,
    pub(super) heads: usize,
    pub(super) depth: usize,
    pub(super) text_width: usize,
    pub(super) groups: usize,
}

/// As `use_linear_projection` says, the projections are 1 × 1 convolutions or linear layers: the same
/// numbers in files of another shape, which [`Linear`] reads both.
#[derive(Debug)]
pub(super) struct SpatialTransformer {
    norm: GroupNorm,
    proj_in: Linear,
    blocks: Vec<Block>,
    proj_out: Linear,
}

impl SpatialTransformer {
    pub(super) fn load(config: TransformerConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let TransformerConfig { channels, groups, depth, .. } = config;
        let blocks = vb.pp("transformer_blocks");
        Ok(Self {
            norm: GroupNorm::load(groups, channels, 1e-6, vb.pp("norm"))?,
            proj_in: Linear::load(channels, channels, vb.pp("proj_in"))?,
            blocks: (0..depth)
                .map(|index| Block::load(config, blocks.pp(index)))
                .collect::<Result<_>>()?,
            proj_out: Linear::load(channels, channels, vb.pp("proj_out"))?,
        })
    }

    pub(super) fn forward(&self, xs: &Tensor, text: &Tensor) -> Result<Tensor> {
        let mut tokens = self.proj_in.forward(&to_tokens(&self.norm.forward(xs)?)?)?;
        for block in &self.blocks {
            tokens = block.forward(&tokens, text)?;
        }
        xs + from_tokens(&self.proj_out.forward(&tokens)?, map_size(xs)?)?
    }
}

#[derive(Debug)]
struct Block {
    norm1: LayerNorm,
    to_pixels: CrossAttention,
    norm2: LayerNorm,
    to_text: CrossAttention,
    norm3: LayerNorm,
    expand: Linear,
    contract: Linear,
}

impl Block {
    fn load(config: TransformerConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let TransformerConfig { channels, heads, text_width, .. } = config;
        let norm = |name: &str| LayerNorm::load(channels, 1e-5, vb.pp(name));
        Ok(Self {
            norm1: norm("norm1")?,
            to_pixels: CrossAttention::load((channels, channels), heads, vb.pp("attn1"))?,
            norm2: norm("norm2")?,
            to_text: CrossAttention::load((channels, text_width), heads, vb.pp("attn2"))?,
            norm3: norm("norm3")?,
            expand: Linear::load(channels, 8 * channels, vb.pp("ff.net.0.proj"))?,
            contract: Linear::load(4 * channels, channels, vb.pp("ff.net.2"))?,
        })
    }

    fn forward(&self, xs: &Tensor, text: &Tensor) -> Result<Tensor> {
        let normed = self.norm1.forward(xs)?;
        let xs = (xs + self.to_pixels.forward(&normed, &normed)?)?;
        let xs = (&xs + self.to_text.forward(&self.norm2.forward(&xs)?, text)?)?;
        let hidden = geglu(&self.expand.forward(&self.norm3.forward(&xs)?)?)?;
        &xs + self.contract.forward(&hidden)?
    }
}

#[derive(Debug)]
struct CrossAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    heads: usize,
}

impl CrossAttention {
    fn load((channels, context): (usize, usize), heads: usize, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            query: Linear::load_no_bias(channels, channels, vb.pp("to_q"))?,
            key: Linear::load_no_bias(context, channels, vb.pp("to_k"))?,
            value: Linear::load_no_bias(context, channels, vb.pp("to_v"))?,
            out: Linear::load(channels, channels, vb.pp("to_out.0"))?,
            heads,
        })
    }

    fn forward(&self, xs: &Tensor, context: &Tensor) -> Result<Tensor> {
        let (q, k) = (self.query.forward(xs)?, self.key.forward(context)?);
        let v = self.value.forward(context)?;
        self.out.forward(&attention((&q, &k, &v), self.heads, false)?)
    }
}
