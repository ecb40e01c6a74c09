//! Feature maps: `(batch, height, width, channels)` on the CPU, `(batch, channels, height, width)` on a card.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{has_own_kernels, values};

fn is_channels_last(xs: &Tensor) -> bool {
    has_own_kernels(xs.device())
}

/// Height and width.
pub(crate) fn map_size(xs: &Tensor) -> Result<(usize, usize)> {
    let dims = xs.dims4()?;
    Ok(if is_channels_last(xs) { (dims.1, dims.2) } else { (dims.2, dims.3) })
}

/// A map from the order files and callers use.
pub(crate) fn from_channels_first(xs: &Tensor) -> Result<Tensor> {
    if is_channels_last(xs) { xs.permute((0, 2, 3, 1))?.contiguous() } else { Ok(xs.clone()) }
}

/// Back to the order files and callers use.
pub(crate) fn to_channels_first(xs: &Tensor) -> Result<Tensor> {
    if is_channels_last(xs) { xs.permute((0, 3, 1, 2))?.contiguous() } else { Ok(xs.clone()) }
}

/// Two maps as one with the channels of both.
pub(crate) fn cat_channels(first: &Tensor, second: &Tensor) -> Result<Tensor> {
    Tensor::cat(&[first, second], if is_channels_last(first) { 3 } else { 1 })
}

/// `(batch, height · width, channels)`.
pub(crate) fn to_tokens(xs: &Tensor) -> Result<Tensor> {
    if is_channels_last(xs) {
        xs.flatten(1, 2)
    } else {
        xs.flatten_from(2)?.transpose(1, 2)?.contiguous()
    }
}

/// A map from its tokens.
pub(crate) fn from_tokens(xs: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
    let (batch, _, channels) = xs.dims3()?;
    if is_channels_last(xs) {
        xs.reshape((batch, height, width, channels))
    } else {
        xs.transpose(1, 2)?.contiguous()?.reshape((batch, channels, height, width))
    }
}

/// A map at another size, each pixel copied from the nearest above and left.
pub(crate) fn upsample_nearest(xs: &Tensor, size: (usize, usize)) -> Result<Tensor> {
    if is_channels_last(xs) {
        xs.contiguous()?.apply_op1_no_bwd(&CpuUpsample(size))
    } else {
        xs.upsample_nearest2d(size.0, size.1)
    }
}

struct CpuUpsample((usize, usize));

impl CustomOp1 for CpuUpsample {
    fn name(&self) -> &'static str {
        "upsample_nearest"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let xs = values(storage, layout)?;
        let (batch, height, width, channels) = layout.shape().dims4()?;
        let (out_height, out_width) = self.0;
        let mut out = Vec::with_capacity(batch * out_height * out_width * channels);
        for sample in xs.chunks(height * width * channels) {
            for out_row in 0..out_height {
                let row = out_row * height / out_height;
                for out_column in 0..out_width {
                    let first = (row * width + out_column * width / out_width) * channels;
                    out.extend_from_slice(&sample[first..first + channels]);
                }
            }
        }
        Ok((CpuStorage::F32(out), Shape::from((batch, out_height, out_width, channels))))
    }
}
