//! The product of rows with a packed matrix.
//!
//! Rows go through in tiles of up to eight, whose sums stay in registers while a panel streams by. With more rows
//! than one tile the codes are unpacked once for all tiles, a stretch of blocks at a time that the first-level cache
//! holds. Each sum is added up block after block in either case, so it has the same bits.

use std::{cell::RefCell, marker::PhantomData, ops::Range};

use rayon::prelude::*;

use super::{
    format::Format,
    lanes::{Instructions, Kernel, Lanes},
    layout::{Affine, Bytes, FiveBits, Halves, Layout, Nibbles, SixBits, Symmetric, Unpacked},
    matrix::{BLOCK, LANES, PackedMatrix},
    rounded::Rounded,
};
use crate::engines::text::weights::Projection;

/// Rows whose sums fit the registers.
const TILE: usize = 8;
/// Blocks unpacked at a time: 16 outputs × 512 inputs are 10 KiB.
const STRETCH: usize = 16;
/// Rows whose rounded inputs, for one stretch, stay in the second-level cache.
const BATCH: usize = 512;

thread_local! {
    static TILES: RefCell<Vec<Rounded>> = const { RefCell::new(Vec::new()) };
}

struct Round<'a> {
    xs: &'a [f32],
    columns: usize,
    tiles: &'a mut [Rounded],
}

impl Kernel for Round<'_> {
    /// One tile: block by block the rows one after the other.
    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let rows = self.xs.len() / self.columns;
        for (row, xs) in self.xs.chunks_exact(self.columns).enumerate() {
            for (block, xs) in xs.as_chunks::<BLOCK>().0.iter().enumerate() {
                self.tiles[block * rows + row] = Rounded::new(xs);
            }
        }
    }
}

/// The result of all rows, written by several threads: each owns some panels' columns.
#[derive(Clone, Copy)]
struct Columns {
    start: *mut f32,
    rows: usize,
    outputs: usize,
}

#[allow(unsafe_code, reason = "columns of one slice cannot be lent to several threads safely")]
// SAFETY: the pointer comes from a slice that is borrowed for as long as the threads run, and they write
// disjoint columns.
unsafe impl Send for Columns {}
#[allow(unsafe_code, reason = "as for Send")]
// SAFETY: as for Send.
unsafe impl Sync for Columns {}

impl Columns {
    /// # Safety
    /// Nobody else uses this panel's columns meanwhile.
    #[inline(always)]
    #[allow(unsafe_code, reason = "see the type")]
    unsafe fn cell<'a>(self, row: usize, panel: usize) -> &'a mut [f32] {
        let column = panel * LANES;
        assert!(row < self.rows && column < self.outputs);
        let width = LANES.min(self.outputs - column);
        // SAFETY: in bounds as asserted; exclusive as promised.
        unsafe {
            std::slice::from_raw_parts_mut(self.start.add(row * self.outputs + column), width)
        }
    }
}

struct Multiply<'a, Y: Layout> {
    matrix: &'a PackedMatrix,
    tiles: &'a [Rounded],
    panels: Range<usize>,
    out: Columns,
    layout: PhantomData<Y>,
}

impl<Y: Layout> Kernel for Multiply<'_, Y> {
    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        match self.out.rows {
            1 => self.small::<L, 1>(lanes),
            2 => self.small::<L, 2>(lanes),
            3 => self.small::<L, 3>(lanes),
            4 => self.small::<L, 4>(lanes),
            5 => self.small::<L, 5>(lanes),
            6 => self.small::<L, 6>(lanes),
            7 => self.small::<L, 7>(lanes),
            8 => self.small::<L, 8>(lanes),
            _ => self.large(lanes),
        }
    }
}

impl<Y: Layout> Multiply<'_, Y> {
    #[inline(always)]
    fn small<L: Lanes, const R: usize>(&self, lanes: L) {
        let rows = self.tiles.as_chunks::<R>().0;
        for panel in self.panels.clone() {
            let weights = self.matrix.panel(panel);
            let mut sums = [lanes.floats(0.0); R];
            for (index, rows) in rows.iter().enumerate() {
                let block = Y::unpack(lanes, weights, index);
                add_tile::<Y, L, R>(lanes, &block, rows, &mut sums);
            }
            self.store(lanes, 0, panel, &sums);
        }
    }

    #[inline(always)]
    fn store<L: Lanes, const R: usize>(
        &self,
        lanes: L,
        first_row: usize,
        panel: usize,
        sums: &[L::Floats; R],
    ) {
        for (i, sums) in sums.iter().enumerate() {
            #[allow(unsafe_code, reason = "see `Columns`")]
            // SAFETY: this panel is in this call's range, and ranges don't overlap.
            let cell = unsafe { self.out.cell(first_row + i, panel) };
            match cell.as_chunks_mut().0 {
                [cell] => lanes.store(*sums, cell),
                _ => {
                    let mut values = [0.0; LANES];
                    lanes.store(*sums, &mut values);
                    cell.copy_from_slice(&values[..cell.len()]);
                }
            }
        }
    }

    #[inline(always)]
    fn fetch<L: Lanes, const R: usize>(
        &self,
        lanes: L,
        first_row: usize,
        panel: usize,
    ) -> [L::Floats; R] {
        let mut sums = [lanes.floats(0.0); R];
        for (i, sums) in sums.iter_mut().enumerate() {
            #[allow(unsafe_code, reason = "see `Columns`")]
            // SAFETY: this panel is in this call's range, and ranges don't overlap.
            let cell = unsafe { self.out.cell(first_row + i, panel) };
            let mut values = [0.0; LANES];
            values[..cell.len()].copy_from_slice(cell);
            *sums = lanes.load(&values);
        }
        sums
    }

    #[inline(always)]
    fn large<L: Lanes>(&self, lanes: L) {
        let blocks = self.matrix.inputs() / BLOCK;
        let mut stretch: [Unpacked<L>; STRETCH] = [Unpacked::zero(lanes); STRETCH];
        for batch in (0..self.out.rows).step_by(BATCH) {
            let batch_end = (batch + BATCH).min(self.out.rows);
            for from in (0..blocks).step_by(STRETCH) {
                let to = (from + STRETCH).min(blocks);
                for panel in self.panels.clone() {
                    let weights = self.matrix.panel(panel);
                    for (unpacked, index) in stretch.iter_mut().zip(from..to) {
                        *unpacked = Y::unpack(lanes, weights, index);
                    }
                    let stretch = &stretch[..to - from];
                    for row in (batch..batch_end).step_by(TILE) {
                        let count = TILE.min(batch_end - row);
                        let tile =
                            &self.tiles[row * blocks + from * count..][..stretch.len() * count];
                        let at = (row, panel, from == 0);
                        match count {
                            1 => self.tile::<L, 1>(lanes, stretch, tile, at),
                            2 => self.tile::<L, 2>(lanes, stretch, tile, at),
                            3 => self.tile::<L, 3>(lanes, stretch, tile, at),
                            4 => self.tile::<L, 4>(lanes, stretch, tile, at),
                            5 => self.tile::<L, 5>(lanes, stretch, tile, at),
                            6 => self.tile::<L, 6>(lanes, stretch, tile, at),
                            7 => self.tile::<L, 7>(lanes, stretch, tile, at),
                            _ => self.tile::<L, 8>(lanes, stretch, tile, at),
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn tile<L: Lanes, const R: usize>(
        &self,
        lanes: L,
        stretch: &[Unpacked<L>],
        tile: &[Rounded],
        (row, panel, is_first): (usize, usize, bool),
    ) {
        let mut sums =
            if is_first { [lanes.floats(0.0); R] } else { self.fetch(lanes, row, panel) };
        for (block, rows) in stretch.iter().zip(tile.as_chunks::<R>().0) {
            add_tile::<Y, L, R>(lanes, block, rows, &mut sums);
        }
        self.store(lanes, row, panel, &sums);
    }
}

#[inline(always)]
fn add_tile<Y: Layout, L: Lanes, const R: usize>(
    lanes: L,
    block: &Unpacked<L>,
    rows: &[Rounded; R],
    sums: &mut [L::Floats; R],
) {
    for (sums, row) in sums.iter_mut().zip(rows) {
        *sums = Y::add(lanes, block, row, *sums);
    }
}

/// `out[row] = matrix · xs[row]` for all rows, on all threads.
pub(super) fn multiply(
    instructions: Instructions,
    matrix: &PackedMatrix,
    xs: &[f32],
    out: &mut [f32],
) {
    let (inputs, outputs) = (matrix.inputs(), matrix.outputs());
    let rows = xs.len() / inputs;
    assert_eq!(xs.len(), rows * inputs, "the inputs are not whole rows");
    assert_eq!(out.len(), rows * outputs, "the outputs are not as many rows");
    let mut tiles = TILES.take();
    tiles.resize(xs.len() / BLOCK, Rounded::default());
    let round = |(tiles, xs): (&mut [Rounded], &[f32])| {
        instructions.run(Round { xs, columns: inputs, tiles });
    };
    if rows <= TILE {
        round((&mut tiles, xs));
    } else {
        let of_tile = TILE * inputs;
        tiles.par_chunks_mut(of_tile / BLOCK).zip(xs.par_chunks(of_tile)).for_each(round);
    }
    let job = Job {
        instructions,
        matrix,
        tiles: &tiles,
        out: Columns { start: out.as_mut_ptr(), rows, outputs },
    };
    let (tasks, panels) = (rayon::current_num_threads(), matrix.panels());
    let task = |task: usize| job.run(panels * task / tasks..panels * (task + 1) / tasks);
    (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    TILES.set(tiles);
}

struct Job<'a> {
    instructions: Instructions,
    matrix: &'a PackedMatrix,
    tiles: &'a [Rounded],
    out: Columns,
}

impl Job<'_> {
    fn run(&self, panels: Range<usize>) {
        match self.matrix.format() {
            Format::Q8_0 => self.run_as::<Symmetric<Bytes, 7>>(panels),
            Format::Q4_0 => self.run_as::<Symmetric<Nibbles, 3>>(panels),
            Format::Q5_0 => self.run_as::<Symmetric<FiveBits, 4>>(panels),
            Format::Q4K => self.run_as::<Affine<Nibbles>>(panels),
            Format::Q5K => self.run_as::<Affine<FiveBits>>(panels),
            Format::Q3K | Format::Q6K => self.run_as::<Halves<SixBits>>(panels),
            // A matrix in these formats can't be packed.
            Format::F32 | Format::F16 | Format::Bf16 | Format::Q4_1 | Format::Q5_1 => {}
        }
    }

    fn run_as<Y: Layout>(&self, panels: Range<usize>) {
        let Self { instructions, matrix, tiles, out } = *self;
        instructions.run(Multiply::<Y> { matrix, tiles, panels, out, layout: PhantomData });
    }
}
