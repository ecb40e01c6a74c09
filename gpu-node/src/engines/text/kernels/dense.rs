//! Matrices of f32, bf16 or f16 that rows are multiplied with.
#![allow(
    clippy::needless_range_loop,
    reason = "iterators over small arrays are not always inlined, and then lose the vector instructions"
)]

use rayon::prelude::*;

use super::lanes::{Element, LANES, LaneWork, Lanes, on_lanes};
use crate::engines::text::weights::Projection;

/// Weights that one task reads: they stay in the second cache while all rows pass by.
const TASK_WEIGHTS: usize = 1 << 16;

/// A matrix of `outputs × inputs`; half precision is widened in registers, so memory carries half the bytes.
#[derive(Debug)]
pub(crate) struct DenseMatrix<E> {
    values: Vec<E>,
    inputs: usize,
    outputs: usize,
}

impl<E> DenseMatrix<E> {
    /// `values` holds one row of `inputs` per output.
    pub(crate) fn new(values: Vec<E>, (outputs, inputs): (usize, usize)) -> Self {
        assert!(inputs > 0 && values.len() == outputs * inputs, "a matrix of another size");
        Self { values, inputs, outputs }
    }
}

impl<E: Element> Projection for DenseMatrix<E> {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn bytes(&self) -> usize {
        std::mem::size_of_val(self.values.as_slice())
    }

    fn forward(&self, xs: &[f32], out: &mut [f32]) {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let rows = xs.len() / inputs;
        assert!(xs.len() == rows * inputs && out.len() == rows * outputs, "rows of another width");
        let columns = (TASK_WEIGHTS / inputs).next_multiple_of(LANES);
        // Each task owns some outputs of every row.
        let mut parts: Vec<Vec<&mut [f32]>> = Vec::new();
        parts.resize_with(outputs.div_ceil(columns), || Vec::with_capacity(rows));
        for row in out.chunks_mut(outputs) {
            for (part, outputs) in parts.iter_mut().zip(row.chunks_mut(columns)) {
                part.push(outputs);
            }
        }
        self.values.par_chunks(columns * inputs).zip(parts).for_each(|(weights, mut out)| {
            on_lanes(Task { weights, xs, inputs, out: &mut out });
        });
    }

    fn copy_row(&self, index: usize, out: &mut [f32]) {
        let row = &self.values[index * self.inputs..(index + 1) * self.inputs];
        for (out, weight) in out.iter_mut().zip(row) {
            *out = weight.number();
        }
    }
}

/// Some outputs of all rows.
struct Task<'a, 'b, E> {
    weights: &'a [E],
    xs: &'a [f32],
    inputs: usize,
    out: &'a mut [&'b mut [f32]],
}

impl<E: Element> LaneWork for Task<'_, '_, E> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(mut self, lanes: L) {
        let rows = self.out.len();
        let mut row = 0;
        while row < rows {
            // Tiles that fill the registers; how large they are changes no result.
            row += match rows - row {
                4.. if L::HAS_MANY_REGISTERS => self.rows::<L, 4, 4>(lanes, row),
                3.. if !L::HAS_MANY_REGISTERS => self.rows::<L, 3, 2>(lanes, row),
                2.. => self.rows::<L, 2, 2>(lanes, row),
                // One row waits for memory: more outputs at once keep more of it on the way.
                _ if L::HAS_MANY_REGISTERS => self.rows::<L, 1, 8>(lanes, row),
                _ => self.rows::<L, 1, 4>(lanes, row),
            };
        }
    }
}

impl<E: Element> Task<'_, '_, E> {
    /// All outputs of `R` rows, `C` at a time.
    #[inline(always)]
    fn rows<L: Lanes, const R: usize, const C: usize>(&mut self, lanes: L, first: usize) -> usize {
        let inputs = self.inputs;
        let xs = &self.xs[first * inputs..(first + R) * inputs];
        let mut column = 0;
        for weights in self.weights.chunks(C * inputs) {
            if weights.len() == C * inputs {
                let sums = tile::<L, E, R, C>(lanes, xs, weights, inputs);
                for row in 0..R {
                    self.out[first + row][column..column + C].copy_from_slice(&sums[row]);
                }
            } else {
                for (at, weights) in weights.chunks(inputs).enumerate() {
                    let sums = tile::<L, E, R, 1>(lanes, xs, weights, inputs);
                    for row in 0..R {
                        self.out[first + row][column + at] = sums[row][0];
                    }
                }
            }
            column += C;
        }
        R
    }
}

/// The products of `R` rows with `C` outputs' weights.
#[inline(always)]
fn tile<L: Lanes, E: Element, const R: usize, const C: usize>(
    lanes: L,
    xs: &[f32],
    weights: &[E],
    inputs: usize,
) -> [[f32; C]; R] {
    let count = inputs / LANES;
    let mut sums = [[lanes.splat(0.0); C]; R];
    let mut x_chunks: [&[[f32; LANES]]; R] = [&[]; R];
    for row in 0..R {
        x_chunks[row] = &xs[row * inputs..(row + 1) * inputs].as_chunks().0[..count];
    }
    let mut weight_chunks: [&[[E; LANES]]; C] = [&[]; C];
    for column in 0..C {
        weight_chunks[column] =
            &weights[column * inputs..(column + 1) * inputs].as_chunks().0[..count];
    }
    for at in 0..count {
        let mut wide = [lanes.splat(0.0); C];
        for column in 0..C {
            wide[column] = E::widen(lanes, &weight_chunks[column][at]);
        }
        for row in 0..R {
            let x = lanes.load(&x_chunks[row][at]);
            for column in 0..C {
                sums[row][column] = lanes.mul_add(wide[column], x, sums[row][column]);
            }
        }
    }
    if count * LANES < inputs {
        for row in 0..R {
            let x = lanes.load(&padded(&xs[row * inputs + count * LANES..(row + 1) * inputs]));
            for column in 0..C {
                let rest = column * inputs + count * LANES..(column + 1) * inputs;
                let wide = E::widen(lanes, &padded(&weights[rest]));
                sums[row][column] = lanes.mul_add(wide, x, sums[row][column]);
            }
        }
    }
    let mut out = [[0.0; C]; R];
    for row in 0..R {
        for column in 0..C {
            out[row][column] = lanes.sum(sums[row][column]);
        }
    }
    out
}

#[inline(always)]
fn padded<E: Element>(xs: &[E]) -> [E; LANES] {
    let mut out = [E::default(); LANES];
    out[..xs.len()].copy_from_slice(xs);
    out
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|index| ((index * 37 % 101) as f32 - 50.0) / 64.0).collect()
    }

    fn product(matrix: &dyn Projection, xs: &[f32]) -> Vec<f32> {
        let mut out = vec![f32::NAN; xs.len() / matrix.inputs() * matrix.outputs()];
        matrix.forward(xs, &mut out);
        out
    }

    /// As the definition says, in double precision.
    fn expected(weights: &[f32], xs: &[f32], inputs: usize) -> Vec<f32> {
        let dot = |x: &[f32], weight: &[f32]| -> f64 {
            x.iter().zip(weight).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum()
        };
        xs.chunks(inputs)
            .flat_map(|x| weights.chunks(inputs).map(move |weight| dot(x, weight) as f32))
            .collect()
    }

    #[test]
    fn any_size_and_precision_is_multiplied() {
        for (inputs, outputs, rows) in [(64, 7, 1), (40, 33, 5), (7, 1, 3), (3000, 50, 9)] {
            let (weights, xs) = (numbers(inputs * outputs), numbers(inputs * rows));
            let expected = expected(&weights, &xs, inputs);
            let shape = (outputs, inputs);
            let half = weights.iter().copied().map(f16::from_f32).collect();
            let brain = weights.iter().copied().map(bf16::from_f32).collect();
            let matrices: [Box<dyn Projection>; 3] = [
                Box::new(DenseMatrix::new(weights, shape)),
                // Both hold these numbers exactly.
                Box::new(DenseMatrix::<f16>::new(half, shape)),
                Box::new(DenseMatrix::<bf16>::new(brain, shape)),
            ];
            for matrix in matrices {
                for (found, expected) in product(&*matrix, &xs).iter().zip(&expected) {
                    assert!((found - expected).abs() < 1e-3, "{found} is not {expected}");
                }
            }
        }
    }

    #[test]
    fn a_row_does_not_depend_on_its_neighbours() {
        let (inputs, rows) = (200, 11);
        let matrix = DenseMatrix::new(numbers(inputs * 70), (70, inputs));
        let xs: Vec<f32> = numbers(inputs * rows).iter().map(|x| x.sin()).collect();
        let together = product(&matrix, &xs);
        for rows in [1, 2, 3, 5] {
            let apart: Vec<f32> =
                xs.chunks(rows * inputs).flat_map(|xs| product(&matrix, xs)).collect();
            assert_eq!(apart, together);
        }
    }
}
