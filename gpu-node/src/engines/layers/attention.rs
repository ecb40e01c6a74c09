//! Scaled dot-product attention over several heads.

use candle_core::{CpuStorage, CustomOp3, DType, Device, Layout, Result, Shape, Tensor, bail};
use candle_nn::ops::softmax_last_dim;
use rayon::prelude::*;

use super::{
    gemm::{Matrix, multiply},
    has_own_kernels, values, vector,
};

/// Queries one task answers; its scores then stay in cache.
const TILE_QUERIES: usize = 64;

/// Values of scores, and of keys in f32, that a card holds at a time: the scores of a large picture with itself would take gigabytes per layer.
const CARD_SCORES: usize = 1 << 26;

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
    by_products(qkv, heads, is_causal, CARD_SCORES)
}

/// The same with candle's operations, for so few samples and queries at a time that the keys and the scores held in
/// f32 are about `most` values each.
fn by_products(
    (q, k, v): (&Tensor, &Tensor, &Tensor),
    heads: usize,
    is_causal: bool,
    most: usize,
) -> Result<Tensor> {
    let (batch, _, width) = q.dims3()?;
    let samples = (most / (k.dim(1)? * width).max(1)).clamp(1, batch.max(1));
    let parts = (0..batch).step_by(samples).map(|first| {
        let part = |xs: &Tensor| xs.narrow(0, first, samples.min(batch - first));
        by_queries([&part(q)?, &part(k)?, &part(v)?], heads, is_causal, most)
    });
    joined(parts.collect::<Result<_>>()?, 0)
}

/// Scores are computed in f32 whatever the weights are, as with diffusers' `upcast_attention`: in f16 they overflow for
/// large heads, in bf16 one of 100 is off by a quarter. On a card that is f32's rate for a tenth of a step's products.
fn by_queries(
    [q, k, v]: [&Tensor; 3],
    heads: usize,
    is_causal: bool,
    most: usize,
) -> Result<Tensor> {
    let (batch, queries, width) = q.dims3()?;
    let keys = k.dim(1)?;
    let split = |xs: &Tensor| xs.reshape((batch, (), heads, width / heads))?.transpose(1, 2);
    let (q, v) = (split(q)?, split(v)?.contiguous()?);
    let k = split(k)?.transpose(2, 3)?.contiguous()?.to_dtype(DType::F32)?;
    let scale = 1.0 / ((width / heads) as f64).sqrt();
    let tile = (most / (batch * heads * keys).max(1)).clamp(1, queries.max(1));
    let mut mixed = Vec::with_capacity(queries.div_ceil(tile));
    for first in (0..queries).step_by(tile) {
        let rows = tile.min(queries - first);
        let q = (q.narrow(2, first, rows)?.contiguous()?.to_dtype(DType::F32)? * scale)?;
        let mut scores = q.matmul(&k)?;
        if is_causal {
            scores = scores.broadcast_add(&causal_mask(first, (rows, keys), q.device())?)?;
        }
        mixed.push(softmax_last_dim(&scores)?.to_dtype(v.dtype())?.matmul(&v)?);
    }
    joined(mixed, 2)?.transpose(1, 2)?.reshape((batch, queries, width))
}

fn joined(mut parts: Vec<Tensor>, dim: usize) -> Result<Tensor> {
    if parts.len() == 1 { Ok(parts.swap_remove(0)) } else { Tensor::cat(&parts, dim) }
}

/// 0 where query `first + row` sees a key, -∞ elsewhere.
fn causal_mask(first: usize, (rows, keys): (usize, usize), device: &Device) -> Result<Tensor> {
    let mask: Vec<f32> = (0..rows * keys)
        .map(|index| if index % keys > first + index / keys { f32::NEG_INFINITY } else { 0.0 })
        .collect();
    Tensor::from_vec(mask, (1, 1, rows, keys), device)
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

/// In lanes, so that each step is one of vectors and the sums are the same on every processor.
#[inline(always)]
fn softmax(row: &mut [f32]) {
    const LANES: usize = 16;
    let (chunks, rest) = row.as_chunks_mut::<LANES>();
    let mut most = [f32::NEG_INFINITY; LANES];
    for chunk in chunks.iter() {
        for (most, x) in most.iter_mut().zip(chunk) {
            *most = if *x > *most { *x } else { *most };
        }
    }
    let max = most.iter().chain(rest.iter()).copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sums = [0_f32; LANES];
    for chunk in chunks.iter_mut() {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *x = vector::exp(*x - max);
            *sum += *x;
        }
    }
    for (sum, x) in sums.iter_mut().zip(rest) {
        *x = vector::exp(*x - max);
        *sum += *x;
    }
    let inverse = 1.0 / sums.iter().sum::<f32>();
    row.iter_mut().for_each(|x| *x *= inverse);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_of_any_length_sums_to_one() {
        for length in [1, 15, 16, 77] {
            let scores: Vec<f32> = (0..length).map(|x| (x as f32 * 0.7).sin() * 9.0).collect();
            let total: f64 = scores.iter().map(|x| f64::from(*x).exp()).sum();
            let mut found = scores.clone();
            softmax(&mut found);
            for (found, score) in found.iter().zip(&scores) {
                assert!((f64::from(*found) - f64::from(*score).exp() / total).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_card_gives_the_same_for_few_queries_at_a_time() {
        let wave = |seed: f32, tokens: usize| {
            let values = (0..2 * tokens * 12).map(|x| (x as f32 * seed).sin()).collect();
            Tensor::from_vec(values, (2, tokens, 12), &Device::Cpu).unwrap()
        };
        let all = |xs: Tensor| xs.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (q, k, v) = (wave(0.7, 9), wave(1.3, 9), wave(0.4, 9));
        for is_causal in [false, true] {
            let expected = all(attention((&q, &k, &v), 3, is_causal).unwrap());
            for most in [1, 9 * 12, 2 * 3 * 9 * 4, CARD_SCORES] {
                let found = all(by_products((&q, &k, &v), 3, is_causal, most).unwrap());
                let pairs = found.iter().zip(&expected);
                assert!(pairs.fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) < 1e-6);
            }
        }
    }

    /// Heads whose scores are far from zero and close to each other, as those of trained models can be.
    #[test]
    fn half_precision_weights_do_not_make_half_precision_scores() {
        let like = |step: f32, level: f32, dtype| {
            let values = (0..24 * 64).map(|x| level + (x as f32 * step).sin()).collect();
            let xs = Tensor::from_vec(values, (1, 24, 64), &Device::Cpu).unwrap();
            // The same rounding for both, so that only the attention differs.
            xs.to_dtype(dtype).unwrap()
        };
        for (dtype, level) in [(DType::F16, 60.0), (DType::BF16, 4.0)] {
            let (q, k) = (like(0.7, level, dtype), like(1.3, level, dtype));
            let v = like(0.4, 0.0, dtype);
            let wide = |xs: &Tensor| xs.to_dtype(DType::F32).unwrap();
            let exact = by_products((&wide(&q), &wide(&k), &wide(&v)), 1, false, CARD_SCORES);
            let half = by_products((&q, &k, &v), 1, false, CARD_SCORES).unwrap();
            let off = (wide(&half) - exact.unwrap()).unwrap().abs().unwrap();
            let off = off.max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(off < 0.01, "{dtype:?}: off by {off}");
        }
    }
}
