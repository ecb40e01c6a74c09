//! Scaled dot-product attention over several heads.

use candle_core::{CpuStorage, CustomOp3, D, DType, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::{
    gemm::{Matrix, multiply},
    has_own_kernels, values, vector,
};

/// Queries one task answers; its scores then stay in cache.
const TILE_QUERIES: usize = 64;

/// `softmax(q · kᵀ / √d) · v` per head. `q` is `(batch, queries, heads · d)`, `k` and `v` are `(batch, keys, heads · d)`.
/// With `is_causal` a query sees only the keys up to its own position.
pub(crate) fn attention(
    qkv: (&Tensor, &Tensor, &Tensor),
    heads: usize,
    is_causal: bool,
) -> Result<Tensor> {
    let (q, k, v) = qkv;
    if has_own_kernels(q.device()) {
        let op = CpuAttention { heads, is_causal };
        return q.contiguous()?.apply_op3_no_bwd(&k.contiguous()?, &v.contiguous()?, &op);
    }
    let (batch, queries, width) = q.dims3()?;
    let keys = k.dim(1)?;
    let split =
        |xs: &Tensor| xs.reshape((batch, (), heads, width / heads))?.transpose(1, 2)?.contiguous();
    let (q, k, v) = (split(q)?, split(k)?, split(v)?);
    let scale = 1.0 / ((width / heads) as f64).sqrt();
    // Half precision overflows here for large heads, and the sums lose digits.
    let mut scores = (q.matmul(&k.transpose(2, 3)?.contiguous()?)?.to_dtype(DType::F32)? * scale)?;
    if is_causal {
        let mask: Vec<f32> = (0..queries * keys)
            .map(|index| if index % keys > index / keys { f32::NEG_INFINITY } else { 0.0 })
            .collect();
        let mask = Tensor::from_vec(mask, (1, 1, queries, keys), q.device())?;
        scores = scores.broadcast_add(&mask)?;
    }
    let weights = candle_nn::ops::softmax(&scores, D::Minus1)?.to_dtype(v.dtype())?;
    weights.matmul(&v)?.transpose(1, 2)?.reshape((batch, queries, width))
}

struct CpuAttention {
    heads: usize,
    is_causal: bool,
}

impl CustomOp3 for CpuAttention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, queries, width) = q_layout.shape().dims3()?;
        let (k_batch, keys, k_width) = k_layout.shape().dims3()?;
        if k_layout.dims() != v_layout.dims() || (k_batch, k_width) != (batch, width) || keys == 0 {
            bail!("attention: {:?} and {:?} do not fit", q_layout.dims(), k_layout.dims());
        }
        if self.heads == 0 || !width.is_multiple_of(self.heads) {
            bail!("attention: {} heads do not divide {width}", self.heads);
        }
        let (q, k, v) = (values(q, q_layout)?, values(k, k_layout)?, values(v, v_layout)?);
        let mut out = vec![0_f32; q.len()];
        if !out.is_empty() {
            out.par_chunks_mut(queries * width)
                .zip(q.par_chunks(queries * width))
                .zip(k.par_chunks(keys * width).zip(v.par_chunks(keys * width)))
                .flat_map(|((out, q), (k, v))| {
                    out.par_chunks_mut(TILE_QUERIES * width)
                        .zip(q.par_chunks(TILE_QUERIES * width))
                        .enumerate()
                        .map(move |(index, (out, q))| (index * TILE_QUERIES, out, q, (k, v)))
                })
                .for_each(|(first, out, q, kv)| self.run_tile(out, q, kv, (first, width)));
        }
        Ok((CpuStorage::F32(out), q_layout.shape().clone()))
    }
}

impl CpuAttention {
    fn run_tile(
        &self,
        out: &mut [f32],
        q: &[f32],
        (k, v): (&[f32], &[f32]),
        (first, width): (usize, usize),
    ) {
        let head_width = width / self.heads;
        let (queries, keys) = (q.len() / width, k.len() / width);
        let scale = 1.0 / (head_width as f32).sqrt();
        let mut scores = vec![0_f32; queries * keys];
        for head in 0..self.heads {
            let start = head * head_width;
            let part = |values, rows| Matrix {
                values,
                rows,
                columns: head_width,
                row_stride: width,
                column_stride: 1,
            };
            let product = (part(&q[start..], queries), part(&k[start..], keys).transposed());
            multiply(&mut scores, keys, product, scale, false);
            vector::vectorised(|| {
                for (index, row) in scores.chunks_exact_mut(keys).enumerate() {
                    let seen = if self.is_causal { (first + index + 1).min(keys) } else { keys };
                    let (seen, unseen) = row.split_at_mut(seen);
                    softmax(seen);
                    unseen.fill(0.0);
                }
            });
            let product = (Matrix::rows_of(&scores, queries, keys), part(&v[start..], keys));
            multiply(&mut out[start..], width, product, 1.0, false);
        }
    }
}

#[inline(always)]
fn softmax(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut lanes = [0_f32; 8];
    for (index, x) in row.iter_mut().enumerate() {
        *x = vector::exp(*x - max);
        lanes[index % 8] += *x;
    }
    let inverse = 1.0 / lanes.iter().sum::<f32>();
    row.iter_mut().for_each(|x| *x *= inverse);
}
