//! Two layers with a GELU between them.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;

use crate::engines::layers::{Activation, Linear};

#[derive(Debug)]
pub(crate) struct FeedForward {
    up: Linear,
    down: Linear,
}

impl FeedForward {
    /// Four times as wide inside.
    pub(crate) fn load(width: usize, vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            up: Linear::load(width, 4 * width, vb.pp("net.0.proj"))?,
            down: Linear::load(4 * width, width, vb.pp("net.2"))?,
        })
    }

    pub(crate) fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.down.forward(&Activation::GeluTanh.forward(&self.up.forward(xs)?)?)
    }
}
