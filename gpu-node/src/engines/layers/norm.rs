//! Normalisation over groups of channels and over the last dimension.

use candle_core::{CpuStorage, CustomOp1, Layout, Module, Result, Shape, Tensor, bail};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::{has_own_kernels, values, vector};

/// Rows one task writes.
const TILE_ROWS: usize = 256;

#[derive(Debug)]
pub(crate) enum GroupNorm {
    Cpu(CpuGroupNorm),
    Card(candle_nn::GroupNorm),
}

#[derive(Debug, Clone)]
pub(crate) struct CpuGroupNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    groups: usize,
    eps: f64,
    then_silu: bool,
}

impl GroupNorm {
    pub(crate) fn load(
        groups: usize,
        channels: usize,
        eps: f64,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let (weight, bias) = (vb.get(channels, "weight")?, vb.get(channels, "bias")?);
        if groups == 0 || !channels.is_multiple_of(groups) {
            bail!("{groups} groups do not divide {channels} channels");
        }
        if !has_own_kernels(weight.device()) {
            let norm = candle_nn::GroupNorm::new(weight, bias, channels, groups, eps)?;
            return Ok(Self::Card(norm));
        }
        let (weight, bias) = (weight.to_vec1()?, bias.to_vec1()?);
        Ok(Self::Cpu(CpuGroupNorm { weight, bias, groups, eps, then_silu: false }))
    }

    /// The norm followed by SiLU from now on, in one pass.
    pub(crate) fn with_silu(self) -> SiluAfter<Self> {
        SiluAfter(match self {
            Self::Cpu(norm) => Self::Cpu(CpuGroupNorm { then_silu: true, ..norm }),
            card => card,
        })
    }

    pub(crate) fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        match self {
            Self::Cpu(norm) => xs.contiguous()?.apply_op1_no_bwd(norm),
            Self::Card(norm) => norm.forward(xs),
        }
    }
}

/// A norm whose result goes through SiLU.
#[derive(Debug)]
pub(crate) struct SiluAfter<N>(N);

impl SiluAfter<GroupNorm> {
    pub(crate) fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let out = self.0.forward(xs)?;
        match self.0 {
            GroupNorm::Cpu(_) => Ok(out),
            GroupNorm::Card(_) => candle_nn::ops::silu(&out),
        }
    }

    /// The norm, where our own kernels compute it.
    pub(super) fn on_cpu(&self) -> Option<&CpuGroupNorm> {
        match &self.0 {
            GroupNorm::Cpu(norm) => Some(norm),
            GroupNorm::Card(_) => None,
        }
    }
}

impl CustomOp1 for CpuGroupNorm {
    fn name(&self) -> &'static str {
        "group_norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let xs = values(storage, layout)?;
        let channels = self.weight.len();
        let (batch, height, width, found) = layout.shape().dims4()?;
        if found != channels {
            bail!("group norm: the map has {found} channels, the norm {channels}");
        }
        let size = height * width * channels;
        let mut out = vec![0_f32; xs.len()];
        if size > 0 {
            out.par_chunks_mut(size).zip(xs.par_chunks(size)).for_each(|(out, xs)| {
                let (scale, shift) = self.scale_and_shift(xs, height * width);
                out.par_chunks_mut(TILE_ROWS * channels)
                    .zip(xs.par_chunks(TILE_ROWS * channels))
                    .for_each(|(out, xs)| {
                        self.apply(out, xs, (&scale, &shift));
                    });
            });
        }
        debug_assert_eq!(out.len(), batch * size);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

impl CpuGroupNorm {
    /// The norm of one sample as `x · scale + shift` per channel.
    pub(super) fn scale_and_shift(&self, xs: &[f32], pixels: usize) -> (Vec<f32>, Vec<f32>) {
        let channels = self.weight.len();
        let parts: Vec<Sums> = xs
            .par_chunks(TILE_ROWS * channels)
            .map(|xs| vector::vectorised(|| sums(xs, channels)))
            .collect();
        let per_group = channels / self.groups;
        let count = (pixels * per_group) as f64;
        let (mut scale, mut shift) = (vec![0_f32; channels], vec![0_f32; channels]);
        for group in 0..self.groups {
            let range = group * per_group..(group + 1) * per_group;
            let total = |part: fn(&Sums) -> &[f32]| -> f64 {
                parts
                    .iter()
                    .flat_map(|sums| &part(sums)[range.clone()])
                    .map(|x| f64::from(*x))
                    .sum()
            };
            let mean = total(|sums| &sums.values) / count;
            let variance = (total(|sums| &sums.squares) / count - mean * mean).max(0.0);
            let inverse = 1.0 / (variance + self.eps).sqrt();
            for channel in range.clone() {
                let factor = f64::from(self.weight[channel]) * inverse;
                scale[channel] = factor as f32;
                shift[channel] = (f64::from(self.bias[channel]) - mean * factor) as f32;
            }
        }
        (scale, shift)
    }

    /// The norm of some pixels.
    pub(super) fn apply(&self, out: &mut [f32], xs: &[f32], terms: (&[f32], &[f32])) {
        vector::vectorised(|| self.apply_vectorised(out, xs, terms));
    }

    #[inline(always)]
    fn apply_vectorised(&self, out: &mut [f32], xs: &[f32], (scale, shift): (&[f32], &[f32])) {
        let channels = self.weight.len();
        for (out, xs) in out.chunks_exact_mut(channels).zip(xs.chunks_exact(channels)) {
            let terms = xs.iter().zip(scale.iter().zip(shift));
            if self.then_silu {
                for (out, (x, (scale, shift))) in out.iter_mut().zip(terms) {
                    *out = vector::silu(x * scale + shift);
                }
            } else {
                for (out, (x, (scale, shift))) in out.iter_mut().zip(terms) {
                    *out = x * scale + shift;
                }
            }
        }
    }
}

/// Per channel, over a tile small enough for f32.
struct Sums {
    values: Vec<f32>,
    squares: Vec<f32>,
}

#[inline(always)]
fn sums(xs: &[f32], channels: usize) -> Sums {
    let (mut values, mut squares) = (vec![0_f32; channels], vec![0_f32; channels]);
    for row in xs.chunks_exact(channels) {
        for ((x, value), square) in row.iter().zip(&mut values).zip(&mut squares) {
            *value += x;
            *square += x * x;
        }
    }
    Sums { values, squares }
}

/// Normalisation over the last dimension.
#[derive(Debug)]
pub(crate) enum LayerNorm {
    Cpu { weight: Vec<f32>, bias: Vec<f32>, eps: f32 },
    Card(candle_nn::LayerNorm),
}

impl LayerNorm {
    pub(crate) fn load(channels: usize, eps: f64, vb: VarBuilder<'_>) -> Result<Self> {
        let (weight, bias) = (vb.get(channels, "weight")?, vb.get(channels, "bias")?);
        if !has_own_kernels(weight.device()) {
            return Ok(Self::Card(candle_nn::LayerNorm::new(weight, bias, eps)));
        }
        Ok(Self::Cpu { weight: weight.to_vec1()?, bias: bias.to_vec1()?, eps: eps as f32 })
    }

    pub(crate) fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        match self {
            Self::Cpu { .. } => xs.contiguous()?.apply_op1_no_bwd(self),
            Self::Card(norm) => norm.forward(xs),
        }
    }
}

impl CustomOp1 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let xs = values(storage, layout)?;
        let Self::Cpu { weight, bias, eps } = self else {
            bail!("layer norm: its weights are on a card");
        };
        let channels = weight.len();
        if layout.dims().last() != Some(&channels) {
            bail!("layer norm: {:?} does not end in {channels}", layout.dims());
        }
        let mut out = vec![0_f32; xs.len()];
        out.par_chunks_mut(TILE_ROWS * channels).zip(xs.par_chunks(TILE_ROWS * channels)).for_each(
            |(out, xs)| {
                vector::vectorised(|| {
                    for (out, xs) in out.chunks_exact_mut(channels).zip(xs.chunks_exact(channels)) {
                        normalise(out, xs, *eps);
                        for ((out, weight), bias) in out.iter_mut().zip(weight).zip(bias) {
                            *out = *out * weight + bias;
                        }
                    }
                });
            },
        );
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

/// Mean and variance in eight lanes, so that the sums are vectors and the same on every processor.
#[inline(always)]
pub(super) fn normalise(out: &mut [f32], xs: &[f32], eps: f32) {
    let count = xs.len() as f32;
    let mean = lane_sum(xs.iter().copied()) / count;
    for (out, x) in out.iter_mut().zip(xs) {
        *out = x - mean;
    }
    let variance = lane_sum(out.iter().map(|x| x * x)) / count;
    let inverse = 1.0 / (variance + eps).sqrt();
    out.iter_mut().for_each(|x| *x *= inverse);
}

#[inline(always)]
fn lane_sum(xs: impl Iterator<Item = f32>) -> f32 {
    let mut lanes = [0_f32; 8];
    for (index, x) in xs.enumerate() {
        lanes[index % 8] += x;
    }
    lanes.iter().sum()
}
