//! A fully connected layer.

use candle_core::{CpuStorage, CustomOp1, Layout, Module, Result, Shape, Tensor, bail};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::{
    gemm::{Matrix, multiply},
    has_own_kernels, values,
};

/// Rows one task computes: fixed, so that the result does not depend on the number of threads.
const TILE_ROWS: usize = 96;

#[derive(Debug)]
pub(crate) enum Linear {
    Cpu(CpuLinear),
    Card(candle_nn::Linear),
}

#[derive(Debug)]
pub(crate) struct CpuLinear {
    /// `inputs × outputs`: the product then reads consecutive outputs.
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
    inputs: usize,
    outputs: usize,
}

impl Linear {
    pub(crate) fn load(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let bias = vb.get(outputs, "bias")?;
        Self::new(load_weight(inputs, outputs, &vb)?, Some(bias))
    }

    pub(crate) fn load_no_bias(inputs: usize, outputs: usize, vb: VarBuilder<'_>) -> Result<Self> {
        Self::new(load_weight(inputs, outputs, &vb)?, None)
    }

    /// From a weight `(outputs, inputs)`.
    pub(crate) fn new(weight: Tensor, bias: Option<Tensor>) -> Result<Self> {
        if !has_own_kernels(weight.device()) {
            return Ok(Self::Card(candle_nn::Linear::new(weight, bias)));
        }
        let (outputs, inputs) = weight.dims2()?;
        let weight = weight.t()?.contiguous()?.flatten_all()?.to_vec1()?;
        let bias = bias.map(|bias| bias.to_vec1()).transpose()?;
        Ok(Self::Cpu(CpuLinear { weight, bias, inputs, outputs }))
    }

    /// From `(…, inputs)` to `(…, outputs)`.
    pub(crate) fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        match self {
            Self::Cpu(linear) => xs.contiguous()?.apply_op1_no_bwd(linear),
            Self::Card(linear) => linear.forward(xs),
        }
    }
}

/// Old checkpoints keep some linear layers as 1 × 1 convolutions.
fn load_weight(inputs: usize, outputs: usize, vb: &VarBuilder<'_>) -> Result<Tensor> {
    match vb.get((outputs, inputs), "weight") {
        Ok(weight) => Ok(weight),
        Err(error) => match vb.get((outputs, inputs, 1, 1), "weight") {
            Ok(weight) => weight.reshape((outputs, inputs)),
            Err(_) => Err(error),
        },
    }
}

impl CustomOp1 for CpuLinear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let xs = values(storage, layout)?;
        let mut dims = layout.dims().to_vec();
        let Some(last) = dims.last_mut().filter(|last| **last == self.inputs) else {
            bail!("linear: {:?} does not end in {}", layout.dims(), self.inputs);
        };
        *last = self.outputs;
        // Tiles never span two samples: a sample's result is then the same alone and in a batch.
        let rows = if dims.len() > 2 { dims[1..dims.len() - 1].iter().product() } else { 1 };
        let mut out = vec![0_f32; dims.iter().product()];
        let weight = Matrix::rows_of(&self.weight, self.inputs, self.outputs);
        if rows * self.inputs > 0 && self.outputs > 0 {
            out.par_chunks_mut(rows * self.outputs)
                .zip(xs.par_chunks(rows * self.inputs))
                .flat_map(|(out, xs)| {
                    out.par_chunks_mut(TILE_ROWS * self.outputs)
                        .zip(xs.par_chunks(TILE_ROWS * self.inputs))
                })
                .for_each(|(out, xs)| {
                    if let Some(bias) = &self.bias {
                        out.chunks_exact_mut(self.outputs)
                            .for_each(|row| row.copy_from_slice(bias));
                    }
                    let xs = Matrix::rows_of(xs, xs.len() / self.inputs, self.inputs);
                    multiply(out, self.outputs, (xs, weight), 1.0, self.bias.is_some());
                });
        }
        Ok((CpuStorage::F32(out), Shape::from(dims)))
    }
}
