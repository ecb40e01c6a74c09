//! One block of the transformer of Stable Diffusion 3.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::engines::{
    image::dit::{
        AttentionSize, FeedForward, JointAttention, Modulation, NORM_EPS, SelfAttention, gated,
    },
    layers::modulated_norm,
};

#[derive(Debug)]
pub(super) struct Block {
    picture: PictureModulation,
    words: WordModulation,
    attention: JointAttention,
    feed_forward: FeedForward,
}

#[derive(Debug)]
enum PictureModulation {
    One(Modulation<6>),
    /// The picture also looks at itself alone.
    Dual(Modulation<9>, Box<SelfAttention>),
}

#[derive(Debug)]
enum WordModulation {
    Full(Modulation<6>, FeedForward),
    /// Nothing needs the words after the last block.
    Last(Modulation<2>),
}

impl Block {
    pub(super) fn load(
        size: AttentionSize,
        (is_last, is_dual): (bool, bool),
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let width = size.width();
        let norm = vb.pp("norm1");
        let picture = if is_dual {
            let attention = Box::new(SelfAttention::load(size, vb.pp("attn2"))?);
            PictureModulation::Dual(Modulation::load(width, norm)?, attention)
        } else {
            PictureModulation::One(Modulation::load(width, norm)?)
        };
        let norm = vb.pp("norm1_context");
        let words = if is_last {
            WordModulation::Last(Modulation::load(width, norm)?)
        } else {
            let feed_forward = FeedForward::load(width, vb.pp("ff_context"))?;
            WordModulation::Full(Modulation::load(width, norm)?, feed_forward)
        };
        Ok(Self {
            picture,
            words,
            attention: JointAttention::load(size, !is_last, vb.pp("attn"))?,
            feed_forward: FeedForward::load(width, vb.pp("ff"))?,
        })
    }

    /// The words after the block, unless it is the last, and the picture.
    pub(super) fn forward(
        &self,
        words: &Tensor,
        picture: &Tensor,
        embedding: &Tensor,
    ) -> Result<(Option<Tensor>, Tensor)> {
        let norm = |xs: &Tensor, scale: &Tensor, shift: &Tensor| {
            modulated_norm(xs, (scale, shift), NORM_EPS)
        };
        let (parts, alone) = match &self.picture {
            PictureModulation::One(modulation) => (modulation.forward(embedding)?, None),
            PictureModulation::Dual(modulation, attention) => {
                let [a, b, c, d, e, f, shift, scale, gate] = modulation.forward(embedding)?;
                let seen = attention.forward(&norm(picture, &scale, &shift)?, None)?;
                ([a, b, c, d, e, f], Some((gate, seen)))
            }
        };
        let [shift, scale, gate, shift_after, scale_after, gate_after] = parts;
        let picture_in = norm(picture, &scale, &shift)?;

        let (words_in, words_rest) = match &self.words {
            WordModulation::Full(modulation, feed_forward) => {
                let [shift, scale, gate, rest @ ..] = modulation.forward(embedding)?;
                (norm(words, &scale, &shift)?, Some((gate, rest, feed_forward)))
            }
            WordModulation::Last(modulation) => {
                let [scale, shift] = modulation.forward(embedding)?;
                (norm(words, &scale, &shift)?, None)
            }
        };
        let (words_seen, picture_seen) = self.attention.forward(&words_in, &picture_in, None)?;

        let mut picture = gated(picture, &gate, &picture_seen)?;
        if let Some((gate, seen)) = alone {
            picture = gated(&picture, &gate, &seen)?;
        }
        let hidden = norm(&picture, &scale_after, &shift_after)?;
        let picture = gated(&picture, &gate_after, &self.feed_forward.forward(&hidden)?)?;

        let words = match (words_rest, words_seen) {
            (Some((gate, [shift, scale, gate_after], feed_forward)), Some(seen)) => {
                let words = gated(words, &gate, &seen)?;
                let hidden = norm(&words, &scale, &shift)?;
                Some(gated(&words, &gate_after, &feed_forward.forward(&hidden)?)?)
            }
            _ => None,
        };
        Ok((words, picture))
    }
}
