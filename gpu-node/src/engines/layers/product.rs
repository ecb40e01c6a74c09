//! A product of many rows with packed weights, split among the threads.

use std::ops::Range;

use rayon::prelude::*;

use super::packed::{Packed, Rows};

/// So many rows of a panel stay in cache while rows of the left side pass by.
const DEPTH: usize = 1536;

/// With fewer rows, reading the weights takes the time: each thread then reads some of the panels.
const FEW_ROWS: usize = 192;

/// Rows one task computes at most, and products it makes at least.
const TILE_ROWS: usize = 192;
const TILE_PRODUCTS: usize = 1 << 20;

/// The parts of a run of so many rows of the weights. The products of each part are added up before they reach the
/// result, so a run must always be split the same way.
pub(super) fn depths(run: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    (0..run).step_by(DEPTH).map(move |first| first..run.min(first + DEPTH))
}

/// How many of `rows` rows, each of so many products, one task computes: all threads get some. The result does
/// not depend on it.
pub(super) fn rows_per_task(rows: usize, products: usize, most: usize) -> usize {
    let share = rows.div_ceil(2 * rayon::current_num_threads());
    share.max(TILE_PRODUCTS.div_ceil(products.max(1))).clamp(1, most)
}

/// `left × weight`, whose rows are runs of `run`, added to what `start(row, columns, …)` writes. A row's bits do not depend on the other rows.
pub(super) fn product(
    left: Rows<'_>,
    (weight, run): (&Packed, usize),
    start: impl Fn(usize, Range<usize>, &mut [f32]) + Sync,
) -> Vec<f32> {
    let columns = weight.columns();
    let depths = (0..weight.rows())
        .step_by(run.max(1))
        .flat_map(|first| depths(run).map(move |steps| first + steps.start..first + steps.end));
    let mut out = vec![0_f32; left.count * columns];
    if out.is_empty() {
        return out;
    }
    if left.count <= FEW_ROWS && weight.panels() >= rayon::current_num_threads().max(4) {
        let parts: Vec<Vec<f32>> = (0..weight.panels())
            .into_par_iter()
            .map(|panel| {
                let range = weight.panel_range(panel);
                let mut part = vec![0_f32; left.count * range.len()];
                for (row, part) in part.chunks_exact_mut(range.len()).enumerate() {
                    start(row, range.clone(), part);
                }
                for steps in depths.clone() {
                    let left = left.after(steps.start);
                    weight.add_product((&mut part, range.len()), left, panel, steps);
                }
                part
            })
            .collect();
        for (row, mut out) in out.chunks_exact_mut(columns).enumerate() {
            for (panel, part) in parts.iter().enumerate() {
                let width = weight.panel_range(panel).len();
                let (here, rest) = out.split_at_mut(width);
                here.copy_from_slice(&part[row * width..][..width]);
                out = rest;
            }
        }
        return out;
    }
    let tile = rows_per_task(left.count, weight.rows() * columns, TILE_ROWS);
    out.par_chunks_mut(tile * columns).enumerate().for_each(|(index, out)| {
        let first = index * tile;
        for (row, out) in out.chunks_exact_mut(columns).enumerate() {
            start(first + row, 0..columns, out);
        }
        let left = Rows {
            values: &left.values[first * left.stride..],
            count: out.len() / columns,
            stride: left.stride,
        };
        for panel in 0..weight.panels() {
            let out = &mut out[weight.panel_range(panel).start..];
            for steps in depths.clone() {
                let left = left.after(steps.start);
                weight.add_product((&mut *out, columns), left, panel, steps);
            }
        }
    });
    out
}
