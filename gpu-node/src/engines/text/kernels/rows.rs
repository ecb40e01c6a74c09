//! What happens to rows one by one between the products: norms, rotations, the gate.

use rayon::prelude::*;

use crate::engines::layers::vector::{gelu, silu, vectorised};

/// Numbers below which more threads cost more than they bring.
const TASK_NUMBERS: usize = 1 << 14;

/// A norm without mean (Zhang and Sennrich 2019): rows are scaled to a root mean square of 1, then by `weight`.
#[derive(Debug)]
pub(crate) struct RmsNorm {
    pub(crate) weight: Vec<f32>,
    pub(crate) eps: f32,
}

impl RmsNorm {
    /// The norm of each row.
    pub(crate) fn forward(&self, xs: &[f32]) -> Vec<f32> {
        let mut out = xs.to_vec();
        self.apply(&mut out);
        out
    }

    /// The norm of each row, or of each head when the weight is as wide as one.
    pub(crate) fn apply(&self, xs: &mut [f32]) {
        let width = self.weight.len();
        by_rows(xs, width, |rows| {
            for row in rows.chunks_exact_mut(width) {
                let inverse = 1.0 / (sum(row, |x| x * x) / width as f32 + self.eps).sqrt();
                for (x, weight) in row.iter_mut().zip(&self.weight) {
                    *x = *x * inverse * weight;
                }
            }
        });
    }
}

/// A norm to mean 0 and variance 1, then scaled and shifted.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) eps: f32,
}

impl LayerNorm {
    /// The norm of each row.
    pub(crate) fn apply(&self, xs: &mut [f32]) {
        let width = self.weight.len();
        by_rows(xs, width, |rows| {
            for row in rows.chunks_exact_mut(width) {
                let mean = sum(row, |x| x) / width as f32;
                row.iter_mut().for_each(|x| *x -= mean);
                let inverse = 1.0 / (sum(row, |x| x * x) / width as f32 + self.eps).sqrt();
                for (x, (weight, bias)) in row.iter_mut().zip(self.weight.iter().zip(&self.bias)) {
                    *x = *x * inverse * weight + bias;
                }
            }
        });
    }
}

/// In sixteen parts, so that the sum is vectors and the same on every processor.
#[inline(always)]
fn sum(row: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = row.as_chunks::<16>();
    let mut parts = [0_f32; 16];
    for chunk in chunks {
        for (part, x) in parts.iter_mut().zip(chunk) {
            *part += term(*x);
        }
    }
    for (part, x) in parts.iter_mut().zip(rest) {
        *part += term(*x);
    }
    parts.iter().sum()
}

/// Runs `work` over whole rows on all threads, with the processor's vectors.
fn by_rows(xs: &mut [f32], width: usize, work: impl Fn(&mut [f32]) + Sync) {
    let rows = (TASK_NUMBERS / width).max(1);
    if xs.len() <= rows * width {
        vectorised(|| work(xs));
    } else {
        xs.par_chunks_mut(rows * width).for_each(|xs| vectorised(|| work(xs)));
    }
}

/// Adds the same numbers to each row.
pub(crate) fn add_bias(xs: &mut [f32], bias: Option<&[f32]>) {
    let Some(bias) = bias else { return };
    by_rows(xs, bias.len(), |rows| {
        for row in rows.chunks_exact_mut(bias.len()) {
            add(row, bias);
        }
    });
}

/// `xs += ys`
#[inline(always)]
pub(crate) fn add(xs: &mut [f32], ys: &[f32]) {
    for (x, y) in xs.iter_mut().zip(ys) {
        *x += y;
    }
}

/// `gate = silu(gate) · up`
pub(crate) fn gate(gate: &mut [f32], up: &[f32]) {
    gate.par_chunks_mut(TASK_NUMBERS).zip(up.par_chunks(TASK_NUMBERS)).for_each(|(gate, up)| {
        vectorised(|| {
            for (gate, up) in gate.iter_mut().zip(up) {
                *gate = silu(*gate) * up;
            }
        });
    });
}

/// `xs = gelu(xs)`
pub(crate) fn gelu_all(xs: &mut [f32]) {
    by_rows(xs, 1, |xs| xs.iter_mut().for_each(|x| *x = gelu(*x)));
}

/// Cosines and sines of each row's position, `pairs` of each per row.
pub(crate) struct Angles {
    pub(crate) cos: Vec<f32>,
    pub(crate) sin: Vec<f32>,
    pub(crate) pairs: usize,
}

impl Angles {
    /// Turns the halves of every head of every row.
    pub(crate) fn rotate(&self, xs: &mut [f32], heads: usize) {
        let width = heads * 2 * self.pairs;
        let angles = self.cos.chunks_exact(self.pairs).zip(self.sin.chunks_exact(self.pairs));
        vectorised(|| {
            for (row, (cos, sin)) in xs.chunks_exact_mut(width).zip(angles) {
                for head in row.chunks_exact_mut(2 * self.pairs) {
                    let (first, second) = head.split_at_mut(self.pairs);
                    let turns = cos.iter().zip(sin);
                    for ((first, second), (cos, sin)) in first.iter_mut().zip(second).zip(turns) {
                        (*first, *second) =
                            (*first * cos - *second * sin, *second * cos + *first * sin);
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_norm_makes_the_mean_square_one() {
        let norm = RmsNorm { weight: vec![1.0; 20], eps: 0.0 };
        let xs: Vec<f32> = (0..60).map(|x| x as f32 - 7.0).collect();
        for row in norm.forward(&xs).chunks(20) {
            let mean = row.iter().map(|x| x * x).sum::<f32>() / 20.0;
            assert!((mean - 1.0).abs() < 1e-5, "{mean}");
        }
    }

    #[test]
    fn a_layer_norm_has_mean_and_variance_of_its_weights() {
        let norm = LayerNorm { weight: vec![2.0; 20], bias: vec![3.0; 20], eps: 0.0 };
        let mut xs: Vec<f32> = (0..40).map(|x| (x * x) as f32).collect();
        norm.apply(&mut xs);
        for row in xs.chunks(20) {
            let mean = row.iter().sum::<f32>() / 20.0;
            let variance = row.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / 20.0;
            assert!((mean - 3.0).abs() < 1e-4 && (variance - 4.0).abs() < 1e-4);
        }
    }

    #[test]
    fn a_quarter_turn_swaps_the_halves() {
        let angles = Angles { cos: vec![0.0], sin: vec![1.0], pairs: 1 };
        let mut xs = [3.0, 4.0, 5.0, 6.0];
        angles.rotate(&mut xs, 2);
        assert_eq!(xs, [-4.0, 3.0, -6.0, 5.0]);
    }
}
