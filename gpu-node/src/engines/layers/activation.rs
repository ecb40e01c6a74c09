//! Functions applied to each value.

use candle_core::{CpuStorage, CustomOp1, D, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{has_own_kernels, values, vector};

/// An activation by its name in configuration files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    Silu,
    /// With the error function.
    Gelu,
    /// With a hyperbolic tangent in its place.
    GeluTanh,
    /// `x · sigmoid(1.702 x)`.
    QuickGelu,
}

impl Activation {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "silu" | "swish" => Some(Self::Silu),
            "gelu" => Some(Self::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" | "gelu-approximate" => Some(Self::GeluTanh),
            "quick_gelu" => Some(Self::QuickGelu),
            _ => None,
        }
    }

    pub(crate) fn forward(self, xs: &Tensor) -> Result<Tensor> {
        match self {
            Self::Silu => candle_nn::ops::silu(xs),
            Self::Gelu => xs.gelu_erf(),
            Self::GeluTanh => xs.gelu(),
            Self::QuickGelu => xs * candle_nn::ops::sigmoid(&(xs * 1.702)?)?,
        }
    }
}

/// The first half of the last dimension, times the GELU of the second.
pub(crate) fn geglu(xs: &Tensor) -> Result<Tensor> {
    if has_own_kernels(xs.device()) {
        return xs.contiguous()?.apply_op1_no_bwd(&CpuGeglu);
    }
    let halves = xs.chunk(2, D::Minus1)?;
    &halves[0] * halves[1].gelu_erf()?
}

struct CpuGeglu;

impl CustomOp1 for CpuGeglu {
    fn name(&self) -> &'static str {
        "geglu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let xs = values(storage, layout)?;
        let mut dims = layout.dims().to_vec();
        let Some(last) = dims.last_mut().filter(|last| **last > 0 && last.is_multiple_of(2)) else {
            bail!("geglu: {:?} has no two halves", layout.dims());
        };
        *last /= 2;
        let half = *last;
        let mut out = vec![0_f32; xs.len() / 2];
        out.par_chunks_mut(64 * half).zip(xs.par_chunks(128 * half)).for_each(|(out, xs)| {
            vector::vectorised(|| {
                for (out, xs) in out.chunks_exact_mut(half).zip(xs.chunks_exact(2 * half)) {
                    let (value, gate) = xs.split_at(half);
                    for ((out, value), gate) in out.iter_mut().zip(value).zip(gate) {
                        *out = value * vector::gelu(*gate);
                    }
                }
            });
        });
        Ok((CpuStorage::F32(out), Shape::from(dims)))
    }
}
