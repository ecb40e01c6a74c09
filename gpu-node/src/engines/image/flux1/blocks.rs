//! The two kinds of blocks of FLUX.1.

use candle_core::{D, Result, Tensor};
use candle_nn::VarBuilder;

use crate::engines::{
    image::dit::{
        AttentionSize, FeedForward, JointAttention, Modulation, NORM_EPS, SelfAttention, gated,
    },
    layers::{Activation, AxisRope, Linear, modulated_norm},
};

fn norm(xs: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    modulated_norm(xs, (scale, shift), NORM_EPS)
}

/// Words and picture with weights of their own.
#[derive(Debug)]
pub(super) struct DoubleBlock {
    attention: JointAttention,
    picture: (Modulation<6>, FeedForward),
    words: (Modulation<6>, FeedForward),
}

impl DoubleBlock {
    pub(super) fn load(size: AttentionSize, vb: VarBuilder<'_>) -> Result<Self> {
        let width = size.width();
        let stream = |norm: &str, feed_forward: &str| -> Result<_> {
            let modulation = Modulation::load(width, vb.pp(norm))?;
            Ok((modulation, FeedForward::load(width, vb.pp(feed_forward))?))
        };
        Ok(Self {
            attention: JointAttention::load(size, true, vb.pp("attn"))?,
            picture: stream("norm1", "ff")?,
            words: stream("norm1_context", "ff_context")?,
        })
    }

    pub(super) fn forward(
        &self,
        words: &Tensor,
        picture: &Tensor,
        embedding: &Tensor,
        rope: &AxisRope,
    ) -> Result<(Tensor, Tensor)> {
        let [shift, scale, gate, rest @ ..] = self.picture.0.forward(embedding)?;
        let [word_shift, word_scale, word_gate, word_rest @ ..] =
            self.words.0.forward(embedding)?;
        let (words_seen, picture_seen) = self.attention.forward(
            &norm(words, &word_scale, &word_shift)?,
            &norm(picture, &scale, &shift)?,
            Some(rope),
        )?;
        let after = |xs: Tensor, [shift, scale, gate]: [Tensor; 3], feed_forward: &FeedForward| {
            let change = feed_forward.forward(&norm(&xs, &scale, &shift)?)?;
            gated(&xs, &gate, &change)
        };
        let picture = after(gated(picture, &gate, &picture_seen)?, rest, &self.picture.1)?;
        let words = match words_seen {
            Some(seen) => after(gated(words, &word_gate, &seen)?, word_rest, &self.words.1)?,
            None => words.clone(),
        };
        Ok((words, picture))
    }
}

/// Words and picture as one sequence; attention and feed-forward side by side.
#[derive(Debug)]
pub(super) struct SingleBlock {
    modulation: Modulation<3>,
    attention: SelfAttention,
    up: Linear,
    out: Linear,
}

impl SingleBlock {
    pub(super) fn load(size: AttentionSize, vb: VarBuilder<'_>) -> Result<Self> {
        let width = size.width();
        Ok(Self {
            modulation: Modulation::load(width, vb.pp("norm"))?,
            attention: SelfAttention::load_without_output(size, vb.pp("attn"))?,
            up: Linear::load(width, 4 * width, vb.pp("proj_mlp"))?,
            out: Linear::load(5 * width, width, vb.pp("proj_out"))?,
        })
    }

    pub(super) fn forward(
        &self,
        xs: &Tensor,
        embedding: &Tensor,
        rope: &AxisRope,
    ) -> Result<Tensor> {
        let [shift, scale, gate] = self.modulation.forward(embedding)?;
        let normed = norm(xs, &scale, &shift)?;
        let seen = self.attention.forward(&normed, Some(rope))?;
        let hidden = Activation::GeluTanh.forward(&self.up.forward(&normed)?)?;
        let change = self.out.forward(&Tensor::cat(&[&seen, &hidden], D::Minus1)?)?;
        gated(xs, &gate, &change)
    }
}
