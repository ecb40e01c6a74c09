//! A matrix and perhaps a bias, by name.

use super::rows::add_bias;
use crate::engines::{
    EngineError,
    text::weights::{Projection, WeightSource},
};

/// A matrix and perhaps a bias.
#[derive(Debug)]
pub(crate) struct Linear {
    matrix: Box<dyn Projection>,
    bias: Option<Vec<f32>>,
}

impl Linear {
    pub(crate) fn load(
        source: &dyn WeightSource,
        name: &str,
        shape: (usize, usize),
        has_bias: bool,
    ) -> Result<Self, EngineError> {
        let bias = || source.vector(&format!("{name}.bias"), shape.0);
        Ok(Self {
            matrix: source.projection(&format!("{name}.weight"), shape)?,
            bias: if has_bias { Some(bias()?) } else { None },
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.matrix.bytes()
    }

    pub(crate) fn forward(&self, xs: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; xs.len() / self.matrix.inputs() * self.matrix.outputs()];
        self.matrix.forward(xs, &mut out);
        add_bias(&mut out, self.bias.as_deref());
        out
    }
}
