//! Attention over one sequence, or over words and picture as one with weights of their own.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use super::NORM_EPS;
use crate::engines::layers::{AxisRope, Linear, RmsNorm, attention};

/// The sizes of an attention, and whether it normalises its queries and keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttentionSize {
    pub(crate) heads: usize,
    pub(crate) head_width: usize,
    pub(crate) has_norms: bool,
}

impl AttentionSize {
    pub(crate) fn width(self) -> usize {
        self.heads * self.head_width
    }
}

/// Queries, keys and values of one sequence.
#[derive(Debug)]
struct Projections {
    size: AttentionSize,
    query: Linear,
    key: Linear,
    value: Linear,
    /// Over each head.
    norms: Option<[RmsNorm; 2]>,
}

impl Projections {
    fn load(
        size: AttentionSize,
        names: [&str; 3],
        norms: [&str; 2],
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let width = size.width();
        let [query, key, value] = names.map(|name| Linear::load(width, width, vb.pp(name)));
        let norm = |name: &str| RmsNorm::load(size.head_width, NORM_EPS, vb.pp(name));
        let norms = match size.has_norms {
            true => Some([norm(norms[0])?, norm(norms[1])?]),
            false => None,
        };
        Ok(Self { size, query: query?, key: key?, value: value?, norms })
    }

    fn of_picture(size: AttentionSize, vb: &VarBuilder<'_>) -> Result<Self> {
        Self::load(size, ["to_q", "to_k", "to_v"], ["norm_q", "norm_k"], vb)
    }

    fn of_words(size: AttentionSize, vb: &VarBuilder<'_>) -> Result<Self> {
        let names = ["add_q_proj", "add_k_proj", "add_v_proj"];
        Self::load(size, names, ["norm_added_q", "norm_added_k"], vb)
    }

    /// Each `(batch, length, heads, head width)`.
    fn forward(&self, xs: &Tensor) -> Result<[Tensor; 3]> {
        let (batch, length, _) = xs.dims3()?;
        let heads = |projection: &Linear| {
            let shape = (batch, length, self.size.heads, self.size.head_width);
            projection.forward(xs)?.reshape(shape)
        };
        let (mut q, mut k, v) = (heads(&self.query)?, heads(&self.key)?, heads(&self.value)?);
        if let Some([query, key]) = &self.norms {
            (q, k) = (query.forward(&q)?, key.forward(&k)?);
        }
        Ok([q, k, v])
    }
}

fn attend([q, k, v]: [Tensor; 3], rope: Option<&AxisRope>) -> Result<Tensor> {
    let heads = q.dim(2)?;
    let (q, k) = match rope {
        Some(rope) => (rope.forward(&q)?, rope.forward(&k)?),
        None => (q, k),
    };
    let [q, k, v] = [q, k, v].map(|xs| xs.flatten_from(2));
    attention((&q?, &k?, &v?), heads, false)
}

/// Attention of a sequence over itself.
#[derive(Debug)]
pub(crate) struct SelfAttention {
    projections: Projections,
    out: Option<Linear>,
}

impl SelfAttention {
    pub(crate) fn load(size: AttentionSize, vb: VarBuilder<'_>) -> Result<Self> {
        let width = size.width();
        let out = Some(Linear::load(width, width, vb.pp("to_out.0"))?);
        Ok(Self { out, ..Self::load_without_output(size, vb)? })
    }

    /// One whose result goes on as it is.
    pub(crate) fn load_without_output(size: AttentionSize, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self { projections: Projections::of_picture(size, &vb)?, out: None })
    }

    pub(crate) fn forward(&self, xs: &Tensor, rope: Option<&AxisRope>) -> Result<Tensor> {
        let seen = attend(self.projections.forward(xs)?, rope)?;
        match &self.out {
            Some(out) => out.forward(&seen),
            None => Ok(seen),
        }
    }
}

/// Attention of words and picture over both.
#[derive(Debug)]
pub(crate) struct JointAttention {
    picture: Projections,
    words: Projections,
    picture_out: Linear,
    /// Absent in the last block of models that need no words after it.
    words_out: Option<Linear>,
}

impl JointAttention {
    pub(crate) fn load(
        size: AttentionSize,
        needs_words_after: bool,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let width = size.width();
        let words_out = needs_words_after
            .then(|| Linear::load(width, width, vb.pp("to_add_out")))
            .transpose()?;
        Ok(Self {
            picture: Projections::of_picture(size, &vb)?,
            words: Projections::of_words(size, &vb)?,
            picture_out: Linear::load(width, width, vb.pp("to_out.0"))?,
            words_out,
        })
    }

    /// Both results; the rope's positions are the words', then the picture's.
    pub(crate) fn forward(
        &self,
        words: &Tensor,
        picture: &Tensor,
        rope: Option<&AxisRope>,
    ) -> Result<(Option<Tensor>, Tensor)> {
        let (word_count, length) = (words.dim(1)?, picture.dim(1)?);
        let [words_q, words_k, words_v] = self.words.forward(words)?;
        let [picture_q, picture_k, picture_v] = self.picture.forward(picture)?;
        let join = |words: &Tensor, picture: &Tensor| Tensor::cat(&[words, picture], 1);
        let q = join(&words_q, &picture_q)?;
        let (k, v) = (join(&words_k, &picture_k)?, join(&words_v, &picture_v)?);
        let seen = attend([q, k, v], rope)?;
        let picture = self.picture_out.forward(&seen.narrow(1, word_count, length)?)?;
        let words = match &self.words_out {
            Some(out) => Some(out.forward(&seen.narrow(1, 0, word_count)?)?),
            None => None,
        };
        Ok((words, picture))
    }
}
