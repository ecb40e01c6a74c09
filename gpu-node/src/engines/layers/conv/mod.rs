//! 2-D convolutions, of a map or of its norm.

mod cpu;
#[cfg(test)]
mod tests;

use candle_core::{DType, Result, Tensor};
use candle_nn::VarBuilder;

use self::cpu::{CpuConv2d, CpuPass};
use super::{
    card_conv::CardConv2d,
    has_own_kernels,
    map::{map_size, upsample_nearest},
    norm::{GroupNorm, SiluAfter},
};

/// The sizes of a convolution.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConvShape {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    /// Zeros above and to the left, then below and to the right.
    pub(crate) padding: (usize, usize),
}

impl ConvShape {
    /// A 3 × 3 that keeps the size.
    pub(crate) fn same(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, kernel: 3, stride: 1, padding: (1, 1) }
    }

    /// A 1 × 1.
    pub(crate) fn point(inputs: usize, outputs: usize) -> Self {
        Self { inputs, outputs, kernel: 1, stride: 1, padding: (0, 0) }
    }

    pub(super) fn output_side(&self, side: usize) -> Option<usize> {
        let padded = side + self.padding.0 + self.padding.1;
        Some(padded.checked_sub(self.kernel)? / self.stride + 1)
    }
}

/// What a convolution adds its products to.
pub(crate) enum Start<'a> {
    /// The bias alone.
    Bias,
    /// The bias and one value per sample and channel: `(batch, outputs)`.
    PerSample(&'a Tensor),
    /// The bias and a map of the result's shape.
    Residual(&'a Tensor),
}

#[derive(Debug)]
pub(crate) struct Conv2d {
    kind: Kind,
    /// The map is doubled first, each pixel copied.
    doubles: bool,
}

#[derive(Debug)]
enum Kind {
    Cpu(CpuConv2d),
    Card(CardConv2d),
}

impl Conv2d {
    pub(crate) fn load(shape: ConvShape, vb: VarBuilder<'_>) -> Result<Self> {
        Self::load_any(shape, false, vb)
    }

    /// A 3 × 3 that keeps the size, over the map at twice its size: each pixel becomes four.
    pub(crate) fn load_after_doubling(
        inputs: usize,
        outputs: usize,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        Self::load_any(ConvShape::same(inputs, outputs), true, vb)
    }

    fn load_any(shape: ConvShape, doubles: bool, vb: VarBuilder<'_>) -> Result<Self> {
        let ConvShape { inputs, outputs, kernel, .. } = shape;
        let weight = vb.get((outputs, inputs, kernel, kernel), "weight")?;
        let bias = vb.get(outputs, "bias")?;
        if !has_own_kernels(weight.device()) {
            // candle's CPU has no convolution in bf16. A card sums in f32 too, and rounds the result.
            let sums_in_f32 = weight.device().is_cpu() && weight.dtype() == DType::BF16;
            let dtype = if sums_in_f32 { DType::F32 } else { weight.dtype() };
            let (weight, bias) = (weight.to_dtype(dtype)?, bias.to_dtype(dtype)?);
            let conv = CardConv2d::new(weight, bias, shape);
            return Ok(Self { kind: Kind::Card(conv), doubles });
        }
        let weight: Vec<f32> = weight.flatten_all()?.to_vec1()?;
        let new = if doubles { CpuConv2d::after_doubling } else { CpuConv2d::new };
        Ok(Self { kind: Kind::Cpu(new(shape, &weight, bias.to_vec1()?)), doubles })
    }

    pub(crate) fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.forward_from(xs, Start::Bias)
    }

    /// The convolution added to `start`, in one pass over the result.
    pub(crate) fn forward_from(&self, xs: &Tensor, start: Start<'_>) -> Result<Tensor> {
        self.run(xs, None, start)
    }

    /// The convolution of a map's norm. On the CPU the normed map never reaches memory.
    pub(crate) fn forward_normed(
        &self,
        norm: &SiluAfter<GroupNorm>,
        xs: &Tensor,
        start: Start<'_>,
    ) -> Result<Tensor> {
        self.run(xs, Some(norm), start)
    }

    fn run(
        &self,
        xs: &Tensor,
        norm: Option<&SiluAfter<GroupNorm>>,
        start: Start<'_>,
    ) -> Result<Tensor> {
        let conv = match &self.kind {
            Kind::Cpu(conv) => {
                let pass = CpuPass { conv, norm: norm.and_then(SiluAfter::on_cpu) };
                let xs = xs.contiguous()?;
                return match start {
                    Start::Bias => xs.apply_op1_no_bwd(&pass),
                    Start::PerSample(start) | Start::Residual(start) => {
                        xs.apply_op2_no_bwd(&start.contiguous()?, &pass)
                    }
                };
            }
            Kind::Card(conv) => conv,
        };
        let mut xs = match norm {
            Some(norm) => norm.forward(xs)?,
            None => xs.clone(),
        };
        if self.doubles {
            let (height, width) = map_size(&xs)?;
            xs = upsample_nearest(&xs, (2 * height, 2 * width))?;
        }
        let out = conv.forward(&xs)?;
        match start {
            Start::Bias => Ok(out),
            Start::PerSample(start) => out.broadcast_add(&start.unsqueeze(2)?.unsqueeze(3)?),
            Start::Residual(start) => out + start,
        }
    }
}
