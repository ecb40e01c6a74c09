//! Rotary positions along several axes, as the diffusion transformers have them: neighbouring pairs are turned,
//! the first pairs by the position on the first axis and so on.

use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{has_own_kernels, values, vector};

/// The turns of every position of a sequence.
#[derive(Debug, Clone)]
pub(crate) struct AxisRope {
    /// `(length, head width / 2)`, f32: half precision cannot tell far positions apart.
    cos: Tensor,
    sin: Tensor,
}

impl AxisRope {
    /// `positions` has one row per token and in it one number per axis; `widths` are the axes' parts of a head.
    pub(crate) fn new<const AXES: usize>(
        positions: &[[f64; AXES]],
        widths: [usize; AXES],
        theta: f64,
        device: &Device,
    ) -> Result<Self> {
        if widths.iter().any(|width| !width.is_multiple_of(2)) {
            bail!("rope: the widths {widths:?} do not fall into pairs");
        }
        let pairs: usize = widths.iter().sum::<usize>() / 2;
        let frequencies: Vec<(usize, f64)> = widths
            .iter()
            .enumerate()
            .flat_map(|(axis, width)| {
                (0..width / 2)
                    .map(move |pair| (axis, theta.powf(-((2 * pair) as f64) / *width as f64)))
            })
            .collect();
        let table = |turn: fn(f64) -> f64| {
            let values: Vec<f32> = positions
                .iter()
                .flat_map(|position| {
                    let turn =
                        move |(axis, rate): &(usize, f64)| turn(position[*axis] * rate) as f32;
                    frequencies.iter().map(turn)
                })
                .collect();
            Tensor::from_vec(values, (positions.len(), pairs), device)
        };
        Ok(Self { cos: table(f64::cos)?, sin: table(f64::sin)? })
    }

    /// Turns `(batch, length, heads, head width)`.
    pub(crate) fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        if has_own_kernels(xs.device()) {
            return xs.contiguous()?.apply_op3_no_bwd(&self.cos, &self.sin, &CpuRope);
        }
        let turned = candle_nn::rotary_emb::rope_i(
            &xs.transpose(1, 2)?.to_dtype(DType::F32)?.contiguous()?,
            &self.cos,
            &self.sin,
        )?;
        turned.transpose(1, 2)?.to_dtype(xs.dtype())?.contiguous()
    }
}

struct CpuRope;

impl CustomOp3 for CpuRope {
    fn name(&self) -> &'static str {
        "axis_rope"
    }

    fn cpu_fwd(
        &self,
        xs: &CpuStorage,
        xs_layout: &Layout,
        cos: &CpuStorage,
        cos_layout: &Layout,
        sin: &CpuStorage,
        sin_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (_, length, heads, width) = xs_layout.shape().dims4()?;
        let half = width / 2;
        if !width.is_multiple_of(2) || cos_layout.dims() != [length, half] {
            bail!("rope: {:?} does not fit {:?}", cos_layout.dims(), xs_layout.dims());
        }
        let xs = values(xs, xs_layout)?;
        let (cos, sin) = (values(cos, cos_layout)?, values(sin, sin_layout)?);
        let mut out = vec![0_f32; xs.len()];
        if heads * width > 0 {
            out.par_chunks_mut(heads * width)
                .zip(xs.par_chunks(heads * width))
                .enumerate()
                .for_each(|(token, (out, xs))| {
                    let first = token % length * half;
                    let (cos, sin) = (&cos[first..first + half], &sin[first..first + half]);
                    vector::vectorised(|| {
                        for (out, xs) in out.chunks_exact_mut(width).zip(xs.chunks_exact(width)) {
                            let pairs = out.chunks_exact_mut(2).zip(xs.chunks_exact(2));
                            for ((out, x), (cos, sin)) in pairs.zip(cos.iter().zip(sin)) {
                                out[0] = x[0] * cos - x[1] * sin;
                                out[1] = x[0] * sin + x[1] * cos;
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
    use super::*;

    #[test]
    fn a_pair_turns_by_its_axis_and_keeps_its_length() {
        let positions = [[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]];
        let rope = AxisRope::new(&positions, [2, 4], 100.0, &Device::Cpu).unwrap();
        let xs = Tensor::ones((2, 3, 2, 6), DType::F32, &Device::Cpu).unwrap();
        let out: Vec<f32> = rope.forward(&xs).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let row = |token: usize| &out[token * 12..token * 12 + 6];
        let turned = |angle: f32| [angle.cos() - angle.sin(), angle.sin() + angle.cos()];
        let close = |found: &[f32], expected: [f32; 2]| {
            assert!((found[0] - expected[0]).abs() + (found[1] - expected[1]).abs() < 1e-6);
        };
        assert_eq!(row(0), [1.0; 6]);
        close(&row(1)[..2], turned(3.0));
        assert_eq!(row(1)[2..], [1.0; 4]);
        close(&row(2)[2..4], turned(3.0));
        close(&row(2)[4..], turned(0.3));
        assert_eq!(out[..36], out[36..]);
    }
}
