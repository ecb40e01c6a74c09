//! One block of Z-Image: attention and a gated feed-forward part, each between two norms.

use candle_core::{Result, Tensor};
use candle_nn::{VarBuilder, ops::silu};

use super::config::TransformerConfig;
use crate::engines::layers::{AxisRope, Linear, RmsNorm, attention};

#[derive(Debug)]
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    query_norm: RmsNorm,
    key_norm: RmsNorm,
    heads: usize,
}

impl Attention {
    fn load(config: &TransformerConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let linear = |name: &str| Linear::load_no_bias(config.width, config.width, vb.pp(name));
        // The norms of the heads keep this constant whatever the configuration says of the others.
        let norm = |name: &str| RmsNorm::load(config.head_width(), 1e-5, vb.pp(name));
        Ok(Self {
            query: linear("to_q")?,
            key: linear("to_k")?,
            value: linear("to_v")?,
            out: linear("to_out.0")?,
            query_norm: norm("norm_q")?,
            key_norm: norm("norm_k")?,
            heads: config.heads,
        })
    }

    fn forward(&self, xs: &Tensor, rope: &AxisRope) -> Result<Tensor> {
        let turned = |linear: &Linear, norm: &RmsNorm| -> Result<Tensor> {
            let heads = norm.forward_heads(&linear.forward(xs)?)?;
            rope.forward(&heads)?.flatten_from(2)
        };
        let q = turned(&self.query, &self.query_norm)?;
        let k = turned(&self.key, &self.key_norm)?;
        self.out.forward(&attention((&q, &k, &self.value.forward(xs)?), self.heads, false)?)
    }
}

#[derive(Debug)]
struct FeedForward {
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl FeedForward {
    fn load(config: &TransformerConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let (width, inner) = (config.width, config.feed_forward());
        Ok(Self {
            gate: Linear::load_no_bias(width, inner, vb.pp("w1"))?,
            up: Linear::load_no_bias(width, inner, vb.pp("w3"))?,
            down: Linear::load_no_bias(inner, width, vb.pp("w2"))?,
        })
    }

    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.down.forward(&(silu(&self.gate.forward(xs)?)? * self.up.forward(xs)?)?)
    }
}

/// What the moment of the denoising does to a block, each `(1, 1, width)`.
struct Modulation {
    attention_scale: Tensor,
    attention_gate: Tensor,
    inner_scale: Tensor,
    inner_gate: Tensor,
}

/// A block; those that refine the caption alone know nothing of the moment.
#[derive(Debug)]
pub(super) struct Block {
    attention: Attention,
    feed_forward: FeedForward,
    attention_norms: [RmsNorm; 2],
    inner_norms: [RmsNorm; 2],
    modulation: Option<Linear>,
}

impl Block {
    pub(super) fn load(
        config: &TransformerConfig,
        is_modulated: bool,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let norm = |name: &str| RmsNorm::load(config.width, config.norm_eps, vb.pp(name));
        let modulation = is_modulated.then(|| {
            Linear::load(config.time_width(), 4 * config.width, vb.pp("adaLN_modulation.0"))
        });
        Ok(Self {
            attention: Attention::load(config, vb.pp("attention"))?,
            feed_forward: FeedForward::load(config, vb.pp("feed_forward"))?,
            attention_norms: [norm("attention_norm1")?, norm("attention_norm2")?],
            inner_norms: [norm("ffn_norm1")?, norm("ffn_norm2")?],
            modulation: modulation.transpose()?,
        })
    }

    /// The tokens after this block; `time` is the embedded moment.
    pub(super) fn forward(
        &self,
        xs: &Tensor,
        rope: &AxisRope,
        time: Option<&Tensor>,
    ) -> Result<Tensor> {
        let modulation = self.modulation(time)?;
        let [before, after] = &self.attention_norms;
        let mut inner = before.forward(xs)?;
        if let Some(modulation) = &modulation {
            inner = inner.broadcast_mul(&modulation.attention_scale)?;
        }
        let mut change = after.forward(&self.attention.forward(&inner, rope)?)?;
        if let Some(modulation) = &modulation {
            change = change.broadcast_mul(&modulation.attention_gate)?;
        }
        let xs = (xs + change)?;
        let [before, after] = &self.inner_norms;
        let mut inner = before.forward(&xs)?;
        if let Some(modulation) = &modulation {
            inner = inner.broadcast_mul(&modulation.inner_scale)?;
        }
        let mut change = after.forward(&self.feed_forward.forward(&inner)?)?;
        if let Some(modulation) = &modulation {
            change = change.broadcast_mul(&modulation.inner_gate)?;
        }
        xs + change
    }

    fn modulation(&self, time: Option<&Tensor>) -> Result<Option<Modulation>> {
        let (Some(linear), Some(time)) = (&self.modulation, time) else { return Ok(None) };
        let parts = linear.forward(time)?.unsqueeze(1)?.chunk(4, 2)?;
        Ok(Some(Modulation {
            attention_scale: (&parts[0] + 1.0)?,
            attention_gate: parts[1].tanh()?,
            inner_scale: (&parts[2] + 1.0)?,
            inner_gate: parts[3].tanh()?,
        }))
    }
}
