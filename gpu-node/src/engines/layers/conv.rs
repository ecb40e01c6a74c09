//! 2-D convolutions. On the CPU: patches of channels-last rows copied into a tile, then one product.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Result, Shape, Tensor, bail};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::{
    card_conv::CardConv2d,
    gemm::{Matrix, multiply},
    has_own_kernels, values,
};

/// Pixels one task computes, about: fixed, so that the result does not depend on the number of threads.
const TILE_PIXELS: usize = 192;

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
pub(crate) enum Conv2d {
    Cpu(CpuConv2d),
    Card(CardConv2d),
}

#[derive(Debug)]
pub(crate) struct CpuConv2d {
    shape: ConvShape,
    /// `(kernel · kernel · inputs) × outputs`, the order in which a patch is copied.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Conv2d {
    pub(crate) fn load(shape: ConvShape, vb: VarBuilder<'_>) -> Result<Self> {
        let ConvShape { inputs, outputs, kernel, .. } = shape;
        let weight = vb.get((outputs, inputs, kernel, kernel), "weight")?;
        let bias = vb.get(outputs, "bias")?;
        if !has_own_kernels(weight.device()) {
            // candle's CPU has no convolution in bf16. A card sums in f32 too, and rounds the result.
            let sums_in_f32 = weight.device().is_cpu() && weight.dtype() == DType::BF16;
            let dtype = if sums_in_f32 { DType::F32 } else { weight.dtype() };
            let (weight, bias) = (weight.to_dtype(dtype)?, bias.to_dtype(dtype)?);
            return Ok(Self::Card(CardConv2d::new(weight, bias, shape)));
        }
        let weight = weight.permute((2, 3, 1, 0))?.contiguous()?.flatten_all()?.to_vec1()?;
        Ok(Self::Cpu(CpuConv2d { shape, weight, bias: bias.to_vec1()? }))
    }

    pub(crate) fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.forward_from(xs, Start::Bias)
    }

    /// The convolution added to `start`, in one pass over the result.
    pub(crate) fn forward_from(&self, xs: &Tensor, start: Start<'_>) -> Result<Tensor> {
        match (self, start) {
            (Self::Cpu(conv), Start::Bias) => xs.contiguous()?.apply_op1_no_bwd(conv),
            (Self::Cpu(conv), Start::PerSample(start) | Start::Residual(start)) => {
                xs.contiguous()?.apply_op2_no_bwd(&start.contiguous()?, conv)
            }
            (Self::Card(conv), start) => {
                let out = conv.forward(xs)?;
                match start {
                    Start::Bias => Ok(out),
                    Start::PerSample(start) => {
                        out.broadcast_add(&start.unsqueeze(2)?.unsqueeze(3)?)
                    }
                    Start::Residual(start) => out + start,
                }
            }
        }
    }
}

impl CustomOp1 for CpuConv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run(values(storage, layout)?, layout.shape(), None)
    }
}

impl CustomOp2 for CpuConv2d {
    fn name(&self) -> &'static str {
        "conv2d_onto"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        start: &CpuStorage,
        start_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.run(values(storage, layout)?, layout.shape(), Some(values(start, start_layout)?))
    }
}

/// One task: some rows of one sample's result.
struct Tile<'a> {
    sample: &'a [f32],
    width: usize,
    out_width: usize,
    first_row: usize,
}

impl CpuConv2d {
    fn run(&self, xs: &[f32], shape: &Shape, start: Option<&[f32]>) -> Result<(CpuStorage, Shape)> {
        let (batch, height, width, inputs) = shape.dims4()?;
        let outputs = self.shape.outputs;
        let (Some(out_height), Some(out_width)) =
            (self.shape.output_side(height), self.shape.output_side(width))
        else {
            bail!("conv2d: a {height} × {width} map is smaller than the kernel");
        };
        if inputs != self.shape.inputs {
            bail!("conv2d: the map has {inputs} channels, the kernel {}", self.shape.inputs);
        }
        let out_size = out_height * out_width * outputs;
        let mut out = vec![0_f32; batch * out_size];
        match start {
            Some(start) if start.len() == out.len() => out.copy_from_slice(start),
            Some(start) if start.len() == batch * outputs => {
                for (out, start) in out.chunks_mut(out_size).zip(start.chunks(outputs)) {
                    out.chunks_exact_mut(outputs).for_each(|pixel| pixel.copy_from_slice(start));
                }
            }
            Some(start) => bail!("conv2d: cannot start from {} values", start.len()),
            None => {}
        }
        let tiles = (out_height * out_width).div_ceil(TILE_PIXELS).min(out_height);
        let tile_rows = out_height.div_ceil(tiles);
        out.par_chunks_mut(out_size)
            .zip(xs.par_chunks(height * width * inputs))
            .flat_map(|(out, sample)| {
                out.par_chunks_mut(tile_rows * out_width * outputs).enumerate().map(
                    move |(index, out)| {
                        let first_row = index * tile_rows;
                        (out, Tile { sample, width, out_width, first_row })
                    },
                )
            })
            .for_each(|(out, tile)| self.run_tile(out, &tile));
        let shape = Shape::from((batch, out_height, out_width, outputs));
        Ok((CpuStorage::F32(out), shape))
    }

    fn run_tile(&self, out: &mut [f32], tile: &Tile<'_>) {
        let ConvShape { inputs, outputs, kernel, stride, .. } = self.shape;
        for pixel in out.chunks_exact_mut(outputs) {
            pixel.iter_mut().zip(&self.bias).for_each(|(out, bias)| *out += bias);
        }
        let pixels = out.len() / outputs;
        let patch = kernel * kernel * inputs;
        let weight = Matrix::rows_of(&self.weight, patch, outputs);
        if kernel == 1 && stride == 1 {
            let first = tile.first_row * tile.width * inputs;
            let xs = &tile.sample[first..first + pixels * inputs];
            multiply(out, outputs, (Matrix::rows_of(xs, pixels, inputs), weight), 1.0, true);
            return;
        }
        let mut patches = vec![0_f32; pixels * patch];
        self.copy_patches(&mut patches, tile);
        multiply(out, outputs, (Matrix::rows_of(&patches, pixels, patch), weight), 1.0, true);
    }

    /// Each pixel's patch: `kernel` runs of up to `kernel` neighbouring pixels; outside the map stays zero.
    fn copy_patches(&self, patches: &mut [f32], tile: &Tile<'_>) {
        let ConvShape { inputs, kernel, stride, padding, .. } = self.shape;
        let height = tile.sample.len() / (tile.width * inputs);
        for (index, patch) in patches.chunks_exact_mut(kernel * kernel * inputs).enumerate() {
            let top = (tile.first_row + index / tile.out_width) * stride;
            let left = index % tile.out_width * stride;
            // Columns of the kernel that lie inside the map.
            let from = padding.0.saturating_sub(left);
            let to = kernel.min((tile.width + padding.0).saturating_sub(left));
            if from >= to {
                continue;
            }
            for (kernel_row, run) in patch.chunks_exact_mut(kernel * inputs).enumerate() {
                let Some(row) =
                    (top + kernel_row).checked_sub(padding.0).filter(|row| *row < height)
                else {
                    continue;
                };
                let first = (row * tile.width + left + from - padding.0) * inputs;
                let length = (to - from) * inputs;
                run[from * inputs..to * inputs]
                    .copy_from_slice(&tile.sample[first..first + length]);
            }
        }
    }
}
