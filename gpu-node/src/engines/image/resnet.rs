//! The residual block of the UNet and the VAE.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::engines::layers::{Conv2d, ConvShape, GroupNorm, Linear, SiluAfter, Start};

/// What all norms of a model share.
#[derive(Debug, Clone, Copy)]
pub(in crate::engines::image) struct NormConfig {
    pub(in crate::engines::image) groups: usize,
    pub(in crate::engines::image) eps: f64,
}

#[derive(Debug)]
pub(in crate::engines::image) struct ResnetBlock {
    norm1: SiluAfter<GroupNorm>,
    conv1: Conv2d,
    /// From the time embedding; the VAE has none.
    time: Option<Linear>,
    norm2: SiluAfter<GroupNorm>,
    conv2: Conv2d,
    shortcut: Option<Conv2d>,
}

impl ResnetBlock {
    pub(in crate::engines::image) fn load(
        (inputs, outputs): (usize, usize),
        time_width: Option<usize>,
        norm: NormConfig,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let time = time_width.map(|width| Linear::load(width, outputs, vb.pp("time_emb_proj")));
        let shortcut = (inputs != outputs)
            .then(|| Conv2d::load(ConvShape::point(inputs, outputs), vb.pp("conv_shortcut")));
        Ok(Self {
            norm1: GroupNorm::load(norm.groups, inputs, norm.eps, vb.pp("norm1"))?.with_silu(),
            conv1: Conv2d::load(ConvShape::same(inputs, outputs), vb.pp("conv1"))?,
            time: time.transpose()?,
            norm2: GroupNorm::load(norm.groups, outputs, norm.eps, vb.pp("norm2"))?.with_silu(),
            conv2: Conv2d::load(ConvShape::same(outputs, outputs), vb.pp("conv2"))?,
            shortcut: shortcut.transpose()?,
        })
    }

    /// `time` is the time embedding after its SiLU.
    pub(in crate::engines::image) fn forward(
        &self,
        xs: &Tensor,
        time: Option<&Tensor>,
    ) -> Result<Tensor> {
        let shift = match (&self.time, time) {
            (Some(projection), Some(time)) => Some(projection.forward(time)?),
            _ => None,
        };
        let start = shift.as_ref().map_or(Start::Bias, Start::PerSample);
        let hidden = self.conv1.forward_normed(&self.norm1, xs, start)?;
        let shortcut = self.shortcut.as_ref().map(|shortcut| shortcut.forward(xs)).transpose()?;
        let start = Start::Residual(shortcut.as_ref().unwrap_or(xs));
        self.conv2.forward_normed(&self.norm2, &hidden, start)
    }
}
