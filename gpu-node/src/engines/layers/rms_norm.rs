//! Normalisation of the last dimension by its root mean square.

use candle_core::{Result, Tensor};
use candle_nn::{VarBuilder, ops::rms_norm};

/// `x / √(mean(x²) + eps) · weight`, summed in f32.
#[derive(Debug)]
pub(crate) struct RmsNorm {
    weight: Tensor,
    eps: f32,
}

impl RmsNorm {
    pub(crate) fn load(width: usize, eps: f64, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self { weight: vb.get(width, "weight")?, eps: eps as f32 })
    }

    pub(crate) fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        rms_norm(&xs.contiguous()?, &self.weight, self.eps)
    }

    /// From `(batch, tokens, heads · width)` to `(batch, tokens, heads, width)`, each head normalised by itself.
    pub(crate) fn forward_heads(&self, xs: &Tensor) -> Result<Tensor> {
        let (batch, tokens, all) = xs.dims3()?;
        let width = self.weight.dim(0)?;
        self.forward(&xs.reshape((batch, tokens, all / width, width))?)
    }
}
