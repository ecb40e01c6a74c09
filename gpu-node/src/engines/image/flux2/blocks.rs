//! The two kinds of blocks of FLUX.2: words and picture with weights of their own, then as one row of tokens.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::{VarBuilder, ops::silu};

use super::config::TransformerConfig;
use crate::engines::layers::{AxisRope, Linear, RmsNorm, attention, modulated_norm};

/// What the moment of the denoising does to one part of a block, each `(batch, width)`. All blocks share it.
#[derive(Debug)]
pub(super) struct Modulation {
    pub(super) shift: Tensor,
    pub(super) scale: Tensor,
    pub(super) gate: Tensor,
}

impl Modulation {
    fn norm(&self, xs: &Tensor, eps: f64) -> Result<Tensor> {
        modulated_norm(xs, (&self.scale, &self.shift), eps)
    }

    /// `xs + gate · change`.
    fn add(&self, xs: &Tensor, change: &Tensor) -> Result<Tensor> {
        within_range(&(xs + change.broadcast_mul(&self.gate.unsqueeze(1)?)?)?)
    }
}

/// In f16 the streams may grow beyond its largest number.
fn within_range(xs: &Tensor) -> Result<Tensor> {
    if xs.dtype() == DType::F16 { xs.clamp(-65_504.0, 65_504.0) } else { Ok(xs.clone()) }
}

/// The first half of the last dimension through SiLU, times the second.
fn gated_half(xs: &Tensor) -> Result<Tensor> {
    let halves = xs.chunk(2, D::Minus1)?;
    silu(&halves[0].contiguous()?)? * &halves[1]
}

/// Queries, keys and values before they are turned.
#[derive(Debug)]
struct Projections {
    linears: [Linear; 3],
    norms: [RmsNorm; 2],
}

impl Projections {
    fn load(
        config: &TransformerConfig,
        linears: [&str; 3],
        norms: [&str; 2],
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let width = config.width();
        let linear = |name: &str| Linear::load_no_bias(width, width, vb.pp(name));
        let norm = |name: &str| RmsNorm::load(config.head_width, config.norm_eps, vb.pp(name));
        let [query, key, value] = linears;
        Ok(Self {
            linears: [linear(query)?, linear(key)?, linear(value)?],
            norms: [norm(norms[0])?, norm(norms[1])?],
        })
    }

    /// Queries and keys `(batch, tokens, heads, width)`, values with all heads in one row.
    fn forward(&self, xs: &Tensor) -> Result<[Tensor; 3]> {
        let [query, key, value] = &self.linears;
        Ok([
            self.norms[0].forward_heads(&query.forward(xs)?)?,
            self.norms[1].forward_heads(&key.forward(xs)?)?,
            value.forward(xs)?,
        ])
    }
}

fn turned_attention([q, k, v]: [Tensor; 3], rope: &AxisRope) -> Result<Tensor> {
    let heads = q.dim(2)?;
    let turned = |xs: &Tensor| rope.forward(xs)?.flatten_from(2);
    attention((&turned(&q)?, &turned(&k)?, &v), heads, false)
}

#[derive(Debug)]
struct FeedForward {
    up: Linear,
    down: Linear,
}

impl FeedForward {
    fn load(config: &TransformerConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let (width, inner) = (config.width(), config.feed_forward);
        Ok(Self {
            up: Linear::load_no_bias(width, 2 * inner, vb.pp("linear_in"))?,
            down: Linear::load_no_bias(inner, width, vb.pp("linear_out"))?,
        })
    }

    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.down.forward(&gated_half(&self.up.forward(xs)?)?)
    }
}

/// One stream of a double block.
#[derive(Debug)]
struct Stream {
    projections: Projections,
    out: Linear,
    feed_forward: FeedForward,
}

/// Words and picture look at both, each through its own weights.
#[derive(Debug)]
pub(super) struct DoubleBlock {
    words: Stream,
    picture: Stream,
    eps: f64,
}

impl DoubleBlock {
    pub(super) fn load(config: &TransformerConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let width = config.width();
        let attention = vb.pp("attn");
        let out = |name: &str| Linear::load_no_bias(width, width, attention.pp(name));
        let projections = |linears, norms| Projections::load(config, linears, norms, &attention);
        Ok(Self {
            words: Stream {
                projections: projections(
                    ["add_q_proj", "add_k_proj", "add_v_proj"],
                    ["norm_added_q", "norm_added_k"],
                )?,
                out: out("to_add_out")?,
                feed_forward: FeedForward::load(config, vb.pp("ff_context"))?,
            },
            picture: Stream {
                projections: projections(["to_q", "to_k", "to_v"], ["norm_q", "norm_k"])?,
                out: out("to_out.0")?,
                feed_forward: FeedForward::load(config, vb.pp("ff"))?,
            },
            eps: config.norm_eps,
        })
    }

    /// Words and picture after this block; each has a modulation for its attention and one for the rest.
    pub(super) fn forward(
        &self,
        (words, picture): (&Tensor, &Tensor),
        (words_change, picture_change): (&[Modulation; 2], &[Modulation; 2]),
        rope: &AxisRope,
    ) -> Result<(Tensor, Tensor)> {
        let of_words = self.words.projections.forward(&words_change[0].norm(words, self.eps)?)?;
        let of_picture =
            self.picture.projections.forward(&picture_change[0].norm(picture, self.eps)?)?;
        let [q, k, v] =
            [0, 1, 2].map(|index| Tensor::cat(&[&of_words[index], &of_picture[index]], 1));
        let seen = turned_attention([q?, k?, v?], rope)?;
        let count = words.dim(1)?;
        let words =
            self.words.forward(words, &seen.narrow(1, 0, count)?, words_change, self.eps)?;
        let seen = seen.narrow(1, count, picture.dim(1)?)?;
        Ok((words, self.picture.forward(picture, &seen, picture_change, self.eps)?))
    }
}

impl Stream {
    fn forward(
        &self,
        xs: &Tensor,
        seen: &Tensor,
        [attention, rest]: &[Modulation; 2],
        eps: f64,
    ) -> Result<Tensor> {
        let xs = attention.add(xs, &self.out.forward(seen)?)?;
        rest.add(&xs, &self.feed_forward.forward(&rest.norm(&xs, eps)?)?)
    }
}

/// Attention and feed-forward side by side, between one projection in and one out.
#[derive(Debug)]
pub(super) struct SingleBlock {
    all_in: Linear,
    all_out: Linear,
    norms: [RmsNorm; 2],
    width: usize,
    eps: f64,
}

impl SingleBlock {
    pub(super) fn load(config: &TransformerConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let (width, inner) = (config.width(), config.feed_forward);
        let vb = vb.pp("attn");
        let norm = |name: &str| RmsNorm::load(config.head_width, config.norm_eps, vb.pp(name));
        Ok(Self {
            all_in: Linear::load_no_bias(width, 3 * width + 2 * inner, vb.pp("to_qkv_mlp_proj"))?,
            all_out: Linear::load_no_bias(width + inner, width, vb.pp("to_out"))?,
            norms: [norm("norm_q")?, norm("norm_k")?],
            width,
            eps: config.norm_eps,
        })
    }

    /// The tokens of words and picture after this block.
    pub(super) fn forward(
        &self,
        xs: &Tensor,
        change: &Modulation,
        rope: &AxisRope,
    ) -> Result<Tensor> {
        let all = self.all_in.forward(&change.norm(xs, self.eps)?)?;
        let part = |index: usize| all.narrow(2, index * self.width, self.width);
        let q = self.norms[0].forward_heads(&part(0)?)?;
        let k = self.norms[1].forward_heads(&part(1)?)?;
        let seen = turned_attention([q, k, part(2)?], rope)?;
        let start = 3 * self.width;
        let inner = gated_half(&all.narrow(2, start, all.dim(2)? - start)?)?;
        change.add(xs, &self.all_out.forward(&Tensor::cat(&[&seen, &inner], 2)?)?)
    }
}
