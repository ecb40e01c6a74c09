//! Products with weights that were laid out for the processor's vectors once, when the model was loaded.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// Columns of a panel are a multiple of it: whole vectors on every processor.
const COLUMNS: usize = 16;

/// Rows of the result that one block holds in registers.
const ROWS: usize = 6;

/// The right side of a product, `rows × columns`, as panels of neighbouring columns. A panel is read from its
/// first value to its last.
#[derive(Debug)]
pub(super) struct Packed {
    values: Vec<f32>,
    /// Where the panels start: a vector that spans two cache lines is read twice.
    first: usize,
    rows: usize,
    columns: usize,
    panel_columns: usize,
}

/// The left side: row `i` is the values from `i · stride` on.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    pub(super) count: usize,
    pub(super) stride: usize,
}

impl<'a> Rows<'a> {
    /// The rows without their first values.
    pub(super) fn after(self, step: usize) -> Self {
        Self { values: &self.values[step..], ..self }
    }
}

impl Packed {
    /// Lays out `rows × columns` values that `weight(row, column)` gives.
    pub(super) fn new(
        (rows, columns): (usize, usize),
        weight: impl Fn(usize, usize) -> f32 + Sync,
    ) -> Self {
        let panel_columns = Arch::new().dispatch(PanelColumns);
        let size = rows * columns.next_multiple_of(COLUMNS);
        let mut values = vec![0.0; size + COLUMNS];
        // Where alignment cannot be had the panels start anywhere.
        let first = values.as_ptr().align_offset(64).min(COLUMNS);
        let panels = values[first..first + size].par_chunks_mut((rows * panel_columns).max(1));
        panels.enumerate().for_each(|(index, panel)| {
            let start = index * panel_columns;
            let width = panel.len() / rows;
            for (row, panel) in panel.chunks_exact_mut(width).enumerate() {
                let columns = start..columns;
                panel.iter_mut().zip(columns).for_each(|(to, column)| *to = weight(row, column));
            }
        });
        Self { values, first, rows, columns, panel_columns }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn panels(&self) -> usize {
        self.columns.div_ceil(self.panel_columns)
    }

    /// The columns of a panel.
    pub(super) fn panel_range(&self, panel: usize) -> Range<usize> {
        let start = panel * self.panel_columns;
        start..self.columns.min(start + self.panel_columns)
    }

    /// Adds to `out`, whose rows are `out_stride` apart and begin with the panel's first column, the product of
    /// `left` and some rows of a panel. A value's bits depend on its row of `left` and its column alone.
    pub(super) fn add_product(
        &self,
        (out, out_stride): (&mut [f32], usize),
        left: Rows<'_>,
        panel: usize,
        steps: Range<usize>,
    ) {
        let Range { start, end } = self.panel_range(panel);
        let columns = end - start;
        let width = columns.next_multiple_of(COLUMNS);
        let first = self.first + start * self.rows + steps.start * width;
        let panel = &self.values[first..first + steps.len() * width];
        Arch::new().dispatch(AddProduct { out, out_stride, columns, left, panel });
    }
}

/// As many columns as a row of the block has vectors for.
struct PanelColumns;

impl WithSimd for PanelColumns {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        if S::F32_LANES == 16 { 4 * COLUMNS } else { COLUMNS }
    }
}

struct AddProduct<'a> {
    out: &'a mut [f32],
    out_stride: usize,
    columns: usize,
    left: Rows<'a>,
    panel: &'a [f32],
}

impl WithSimd for AddProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match (S::F32_LANES, self.columns.div_ceil(COLUMNS)) {
            (16, 4) => self.in_blocks::<S, 4>(simd),
            (16, 3) => self.in_blocks::<S, 3>(simd),
            (16, 2) => self.in_blocks::<S, 2>(simd),
            (16, _) => self.in_blocks::<S, 1>(simd),
            (8, _) => self.in_blocks::<S, 2>(simd),
            (4, _) => self.in_blocks::<S, 4>(simd),
            _ => self.in_blocks::<S, COLUMNS>(simd),
        }
    }
}

impl AddProduct<'_> {
    /// Blocks of `ROWS` rows or a few less, so that none is small.
    #[inline(always)]
    fn in_blocks<S: Simd, const VECTORS: usize>(mut self, simd: S) {
        let count = self.left.count;
        let blocks = count.div_ceil(ROWS);
        for block in 0..blocks {
            let (first, end) = (block * count / blocks, (block + 1) * count / blocks);
            match end - first {
                6 => self.block::<S, 6, VECTORS>(simd, first),
                5 => self.block::<S, 5, VECTORS>(simd, first),
                4 => self.block::<S, 4, VECTORS>(simd, first),
                3 => self.block::<S, 3, VECTORS>(simd, first),
                2 => self.block::<S, 2, VECTORS>(simd, first),
                _ => self.block::<S, 1, VECTORS>(simd, first),
            }
        }
    }

    #[inline(always)]
    fn block<S: Simd, const R: usize, const VECTORS: usize>(&mut self, simd: S, first: usize) {
        let (panel, _) = S::as_simd_f32s(self.panel);
        let (panel, _) = panel.as_chunks::<VECTORS>();
        let steps = panel.len();
        let rows: [&[f32]; R] = std::array::from_fn(|row| {
            &self.left.values[(first + row) * self.left.stride..][..steps]
        });
        let mut sums = [[simd.splat_f32s(0.0); VECTORS]; R];
        for (step, weights) in panel.iter().enumerate() {
            for (sums, row) in sums.iter_mut().zip(&rows) {
                let x = simd.splat_f32s(row[step]);
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum = simd.mul_add_e_f32s(x, *weight, *sum);
                }
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            let out = &mut self.out[(first + row) * self.out_stride..][..self.columns];
            let mut line = [0.0; 4 * COLUMNS];
            for (line, sum) in S::as_mut_simd_f32s(&mut line).0.iter_mut().zip(sums) {
                *line = *sum;
            }
            out.iter_mut().zip(line).for_each(|(out, sum)| *out += sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole numbers, so that every order of adding gives the same.
    fn number(seed: usize) -> f32 {
        (seed * 7 % 11) as f32 - 5.0
    }

    #[test]
    fn every_instruction_set_gives_the_product() {
        for (rows, steps, columns) in [(1, 3, 1), (7, 5, 16), (13, 1, 13), (12, 9, 10)] {
            let left: Vec<f32> = (0..rows * (steps + 2)).map(number).collect();
            let left = Rows { values: &left, count: rows, stride: steps + 2 };
            let mut panel = vec![0.0; steps * COLUMNS];
            let weight = |step: usize, column: usize| number(5 * step + column);
            for (step, panel) in panel.chunks_exact_mut(COLUMNS).enumerate() {
                let columns = panel.iter_mut().take(columns).enumerate();
                columns.for_each(|(column, to)| *to = weight(step, column));
            }
            let mut expected = vec![2.0; rows * (columns + 1)];
            for (row, column) in (0..rows * columns).map(|at| (at / columns, at % columns)) {
                let products = (0..steps)
                    .map(|step| left.values[row * left.stride + step] * weight(step, column));
                expected[row * (columns + 1) + column] += products.sum::<f32>();
            }
            let with = |run: &dyn Fn(AddProduct<'_>)| {
                let mut out = vec![2.0; rows * (columns + 1)];
                let out_stride = columns + 1;
                run(AddProduct { out: &mut out, out_stride, columns, left, panel: &panel });
                assert_eq!(out, expected);
            };
            with(&|product| product.with_simd(pulp::Scalar::new()));
            with(&|product| Arch::new().dispatch(product));
            #[cfg(target_arch = "x86_64")]
            if let Some(simd) = pulp::x86::V3::try_new() {
                with(&|product| Simd::vectorize(simd, product));
            }
        }
    }

    #[test]
    fn lays_out_every_column() {
        for columns in [1, 16, 63, 64, 150] {
            let packed = Packed::new((3, columns), |row, column| number(row * columns + column));
            let left = [0.0, 1.0, 0.0];
            let mut out = vec![0.0; columns];
            for panel in 0..packed.panels() {
                let out = &mut out[packed.panel_range(panel).start..];
                let left = Rows { values: &left, count: 1, stride: 3 };
                packed.add_product((out, columns), left, panel, 0..3);
            }
            let expected: Vec<f32> = (0..columns).map(|column| number(columns + column)).collect();
            assert_eq!(out, expected);
        }
    }
}
