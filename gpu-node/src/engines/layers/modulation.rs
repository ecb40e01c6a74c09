//! The norm of the diffusion transformers: no weights of its own, scaled and shifted by what the sample is conditioned on.

use candle_core::{CpuStorage, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{has_own_kernels, norm::normalise, values, vector};

/// Rows one task writes.
const TILE_ROWS: usize = 64;

/// `norm(xs) · (1 + scale) + shift` over the last dimension; `xs` is `(batch, length, channels)`, the others
/// `(batch, channels)`.
pub(crate) fn modulated_norm(
    xs: &Tensor,
    (scale, shift): (&Tensor, &Tensor),
    eps: f64,
) -> Result<Tensor> {
    if has_own_kernels(xs.device()) {
        let op = CpuModulatedNorm { eps: eps as f32 };
        return xs.contiguous()?.apply_op3_no_bwd(&scale.contiguous()?, &shift.contiguous()?, &op);
    }
    let channels = xs.dim(2)?;
    let one = Tensor::ones(channels, xs.dtype(), xs.device())?;
    let normed =
        candle_nn::ops::layer_norm(&xs.contiguous()?, &one, &one.zeros_like()?, eps as f32)?;
    let scale = (scale.to_dtype(DType::F32)? + 1.0)?.to_dtype(xs.dtype())?;
    normed.broadcast_mul(&scale.unsqueeze(1)?)?.broadcast_add(&shift.unsqueeze(1)?)
}

struct CpuModulatedNorm {
    eps: f32,
}

impl CustomOp3 for CpuModulatedNorm {
    fn name(&self) -> &'static str {
        "modulated_norm"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xs_layout: &Layout,
        scale: &CpuStorage,
        scale_layout: &Layout,
        shift: &CpuStorage,
        shift_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, length, channels) = xs_layout.shape().dims3()?;
        if scale_layout.dims() != [batch, channels] || shift_layout.dims() != [batch, channels] {
            bail!("modulated norm: {:?} does not fit {:?}", scale_layout.dims(), xs_layout.dims());
        }
        let xs = values(xs, xs_layout)?;
        let (scale, shift) = (values(scale, scale_layout)?, values(shift, shift_layout)?);
        let mut out = vec![0_f32; xs.len()];
        if length * channels > 0 {
            out.par_chunks_mut(length * channels)
                .zip(xs.par_chunks(length * channels))
                .zip(scale.par_chunks(channels).zip(shift.par_chunks(channels)))
                .flat_map(|((out, xs), modulation)| {
                    out.par_chunks_mut(TILE_ROWS * channels)
                        .zip(xs.par_chunks(TILE_ROWS * channels))
                        .map(move |(out, xs)| (out, xs, modulation))
                })
                .for_each(|(out, xs, (scale, shift))| {
                    vector::vectorised(|| {
                        let rows = out.chunks_exact_mut(channels).zip(xs.chunks_exact(channels));
                        for (out, xs) in rows {
                            normalise(out, xs, self.eps);
                            for ((out, scale), shift) in out.iter_mut().zip(scale).zip(shift) {
                                *out = *out * (1.0 + scale) + shift;
                            }
                        }
                    });
                });
        }
        Ok((CpuStorage::F32(out), xs_layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, IndexOp};

    use super::*;

    #[test]
    fn each_sample_has_its_own_scale_and_shift() {
        let xs: Vec<f32> = (0..2 * 70 * 8).map(|index| (index * 37 % 101) as f32).collect();
        let xs = Tensor::from_vec(xs, (2, 70, 8), &Device::Cpu).unwrap();
        let row = |first: f32| Tensor::arange(first, first + 16.0, &Device::Cpu).unwrap();
        let (scale, shift) = (row(0.0).reshape((2, 8)).unwrap(), row(5.0).reshape((2, 8)).unwrap());
        let out = modulated_norm(&xs, (&scale, &shift), 1e-6).unwrap();
        for (sample, position, channel) in [(0, 0, 0), (0, 69, 7), (1, 3, 4), (1, 69, 0)] {
            let row: Vec<f32> = xs.i((sample, position)).unwrap().to_vec1().unwrap();
            let mean = row.iter().sum::<f32>() / 8.0;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 8.0;
            let index = (sample * 8 + channel) as f32;
            let expected = (row[channel] - mean) / variance.sqrt() * (1.0 + index) + 5.0 + index;
            let found: f32 = out.i((sample, position, channel)).unwrap().to_scalar().unwrap();
            assert!((found - expected).abs() < 1e-3, "{found} is not {expected}");
        }
    }
}
