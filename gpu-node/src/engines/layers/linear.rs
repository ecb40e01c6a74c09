//! A fully connected layer.

use candle_core::{CpuStorage, CustomOp1, Layout, Module, Result, Shape, Tensor, bail};
use candle_nn::VarBuilder;

use super::{
    has_own_kernels,
    packed::{Packed, Rows},
    product::product,
    values,
};

#[derive(Debug)]
pub(crate) enum Linear {
    Cpu(CpuLinear),
    Card(candle_nn::Linear),
}

#[derive(Debug)]
pub(crate) struct CpuLinear {
    weight: Packed,
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
        let weight: Vec<f32> = weight.flatten_all()?.to_vec1()?;
        let weight =
            Packed::new((inputs, outputs), |input, output| weight[output * inputs + input]);
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
        let left = Rows {
            values: xs,
            count: dims.iter().product::<usize>() / self.outputs.max(1),
            stride: self.inputs,
        };
        let out = product(left, (&self.weight, self.inputs), |_, columns, out| {
            if let Some(bias) = &self.bias {
                out.copy_from_slice(&bias[columns]);
            }
        });
        Ok((CpuStorage::F32(out), Shape::from(dims)))
    }
}
