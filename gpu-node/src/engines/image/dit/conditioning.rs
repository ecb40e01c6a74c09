//! What a picture is conditioned on as one vector, and how each block makes its scales, shifts and gates of it.

use candle_core::{D, Result, Tensor};
use candle_nn::VarBuilder;

use crate::engines::layers::{Activation, Linear, sinusoid};

/// Waves that a number is embedded as.
const WAVES: usize = 256;

/// Timestep, pooled words and, where the model has it, the guidance.
#[derive(Debug)]
pub(crate) struct TimeTextEmbedding {
    time: TwoLayers,
    guidance: Option<TwoLayers>,
    text: TwoLayers,
}

impl TimeTextEmbedding {
    pub(crate) fn load(
        (pooled, width): (usize, usize),
        has_guidance: bool,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let load = |inputs, name| TwoLayers::load((inputs, width), vb.pp(name));
        Ok(Self {
            time: load(WAVES, "timestep_embedder")?,
            guidance: has_guidance.then(|| load(WAVES, "guidance_embedder")).transpose()?,
            text: load(pooled, "text_embedder")?,
        })
    }

    /// From pooled words `(batch, pooled)` to `(batch, width)`, through the SiLU that every block would apply.
    /// The guidance is one number for each row or one for all; a model that takes none does not look at it.
    pub(crate) fn forward(
        &self,
        timestep: f64,
        guidance: &[f64],
        pooled: &Tensor,
    ) -> Result<Tensor> {
        let waves = |number| sinusoid(number, WAVES, pooled.device())?.to_dtype(pooled.dtype());
        let mut sum = self.time.forward(&waves(timestep)?)?;
        if let Some(embedder) = &self.guidance {
            let rows = guidance.iter().map(|number| waves(*number)).collect::<Result<Vec<_>>>()?;
            sum = sum.broadcast_add(&embedder.forward(&Tensor::cat(&rows, 0)?)?)?;
        }
        Activation::Silu.forward(&sum.broadcast_add(&self.text.forward(pooled)?)?)
    }
}

#[derive(Debug)]
struct TwoLayers {
    first: Linear,
    second: Linear,
}

impl TwoLayers {
    fn load((inputs, width): (usize, usize), vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            first: Linear::load(inputs, width, vb.pp("linear_1"))?,
            second: Linear::load(width, width, vb.pp("linear_2"))?,
        })
    }

    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.second.forward(&Activation::Silu.forward(&self.first.forward(xs)?)?)
    }
}

/// One layer that makes several vectors for a block.
#[derive(Debug)]
pub(crate) struct Modulation<const PARTS: usize>(Linear);

impl<const PARTS: usize> Modulation<PARTS> {
    pub(crate) fn load(width: usize, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self(Linear::load(width, PARTS * width, vb.pp("linear"))?))
    }

    /// From what [`TimeTextEmbedding::forward`] gives to vectors of `(batch, width)`, in the file's order.
    pub(crate) fn forward(&self, embedding: &Tensor) -> Result<[Tensor; PARTS]> {
        let all = self.0.forward(embedding)?;
        let width = all.dim(D::Minus1)? / PARTS;
        let mut parts = [(); PARTS].map(|()| all.clone());
        for (index, part) in parts.iter_mut().enumerate() {
            *part = all.narrow(D::Minus1, index * width, width)?.contiguous()?;
        }
        Ok(parts)
    }
}
