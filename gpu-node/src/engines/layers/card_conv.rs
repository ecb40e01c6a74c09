//! 2-D convolutions with candle's operations, a band of rows at a time.
//!
//! Without cuDNN candle first writes out the patch of every pixel, nine times the map for a 3 × 3, and its kernel
//! counts these values in 32 bits: the last layers of a decoder pass that for a picture of 1,500 pixels a side.

use candle_core::{Module, Result, Tensor, bail};

use super::conv::ConvShape;

/// Values of the patches that are written out at a time: 1 GiB in f32.
const PATCHES: usize = 1 << 28;

#[derive(Debug)]
pub(crate) struct CardConv2d {
    conv: candle_nn::Conv2d,
    shape: ConvShape,
}

impl CardConv2d {
    pub(super) fn new(weight: Tensor, bias: Tensor, shape: ConvShape) -> Self {
        let config = candle_nn::Conv2dConfig { stride: shape.stride, ..Default::default() };
        Self { conv: candle_nn::Conv2d::new(weight, Some(bias), config), shape }
    }

    pub(super) fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let out = self.in_bands(&xs.to_dtype(self.conv.weight().dtype())?, PATCHES)?;
        out.to_dtype(xs.dtype())
    }

    /// The convolution with at most so many values of patches at a time, one row's at least.
    fn in_bands(&self, xs: &Tensor, patches: usize) -> Result<Tensor> {
        let (batch, inputs, height, width) = xs.dims4()?;
        let (Some(out_height), Some(out_width)) =
            (self.shape.output_side(height), self.shape.output_side(width))
        else {
            bail!("conv2d: a {height} × {width} map is smaller than the kernel");
        };
        let per_row = inputs * self.shape.kernel * self.shape.kernel * out_width;
        if batch * per_row * out_height <= patches {
            return self.band(xs, 0, out_height);
        }
        let rows = (patches / per_row.max(1)).clamp(1, out_height);
        let dims = (batch, self.shape.outputs, out_height, out_width);
        let out = Tensor::zeros(dims, xs.dtype(), xs.device())?;
        for sample in 0..batch {
            let (xs, out) = (xs.narrow(0, sample, 1)?, out.narrow(0, sample, 1)?);
            for first in (0..out_height).step_by(rows) {
                let band = self.band(&xs, first, rows.min(out_height - first))?;
                out.slice_set(&band.contiguous()?, 2, first)?;
            }
        }
        Ok(out)
    }

    /// Rows of the result: what they read of the map, with zeros only where it ends.
    fn band(&self, xs: &Tensor, first: usize, rows: usize) -> Result<Tensor> {
        let ConvShape { kernel, stride, padding: (before, after), .. } = self.shape;
        let height = xs.dim(2)?;
        // Counted in the padded map, where row `before` is the map's first.
        let (from, to) = (first * stride, (first + rows - 1) * stride + kernel);
        let above = before.saturating_sub(from);
        let below = to.saturating_sub(before + height);
        let inside = from.max(before) - before..to.min(before + height).saturating_sub(before);
        let xs = xs.narrow(2, inside.start, inside.len())?;
        let xs = xs.pad_with_zeros(2, above, below)?.pad_with_zeros(3, before, after)?;
        self.conv.forward(&xs)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn wave(dims: (usize, usize, usize, usize), step: f32) -> Tensor {
        let count = dims.0 * dims.1 * dims.2 * dims.3;
        let values: Vec<f32> = (0..count).map(|index| (index as f32 * step).sin()).collect();
        Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
    }

    #[test]
    fn bands_of_rows_are_the_whole() {
        for (kernel, stride, padding) in
            [(3, 1, (1, 1)), (3, 2, (1, 1)), (3, 2, (0, 1)), (1, 1, (0, 0)), (1, 2, (0, 0))]
        {
            let shape = ConvShape { inputs: 3, outputs: 5, kernel, stride, padding };
            let bias = wave((1, 1, 1, 5), 0.9).flatten_all().unwrap();
            let conv = CardConv2d::new(wave((5, 3, kernel, kernel), 0.37), bias, shape);
            for (height, width) in [(11, 7), (4, 9), (3, 3), (17, 1)] {
                if padding == (0, 1) && width < 2 {
                    continue;
                }
                let xs = wave((2, 3, height, width), 0.71);
                let whole = conv.band(&xs, 0, shape.output_side(height).unwrap()).unwrap();
                for patches in [1, 3 * 9 * width * 2, 3 * 9 * width * 5, PATCHES] {
                    let bands = conv.in_bands(&xs, patches).unwrap();
                    assert_eq!(bands.dims(), whole.dims());
                    let off = (bands - &whole).unwrap().abs().unwrap().max_all().unwrap();
                    let off = off.to_scalar::<f32>().unwrap();
                    assert!(off < 1e-5, "{shape:?}, {height} × {width}, {patches}: {off:e}");
                }
            }
        }
    }

    #[test]
    fn a_map_smaller_than_the_kernel_is_an_error() {
        let bias = Tensor::zeros(2, candle_core::DType::F32, &Device::Cpu).unwrap();
        let shape = ConvShape { inputs: 1, outputs: 2, kernel: 3, stride: 1, padding: (0, 0) };
        let conv = CardConv2d::new(wave((2, 1, 3, 3), 0.3), bias, shape);
        assert!(conv.forward(&wave((1, 1, 2, 5), 0.5)).is_err());
    }
}
