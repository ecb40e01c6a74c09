//! A compressed matrix, packed for the kernels.

use rayon::prelude::*;

use super::{
    format::Format,
    lanes::{Instructions, Line},
    layout::{Panel, PanelSize},
    multiply::multiply,
    packing,
};
use crate::engines::text::weights::Projection;

/// Outputs computed together.
pub(super) const LANES: usize = 16;
/// Inputs of a block.
pub(super) const BLOCK: usize = 32;

/// `outputs × inputs` weights in a block format.
#[derive(Debug)]
pub struct PackedMatrix {
    format: Format,
    inputs: usize,
    outputs: usize,
    panel: PanelSize,
    lines: Vec<Line>,
    scales: Vec<[u8; 32]>,
}

impl PackedMatrix {
    /// Packs the bytes that `row` finds for each output. `None` where the format has no kernel, or the inputs or a
    /// row's bytes are not whole blocks.
    pub fn pack<'a>(
        format: Format,
        (outputs, inputs): (usize, usize),
        row: impl Fn(usize) -> &'a [u8] + Sync,
    ) -> Option<Self> {
        let row_bytes = format.row_bytes(inputs).filter(|_| inputs > 0)?;
        let panel = PanelSize::new(format, inputs / BLOCK)?;
        let panels = outputs.div_ceil(LANES);
        let mut lines = vec![[0; 64]; panels * panel.lines];
        let mut scales = vec![[0; 32]; panels * panel.scales];
        let inner = format.block_values() / BLOCK;
        let per_block = panel.lines / (inputs / BLOCK);
        let panels = lines.par_chunks_mut(panel.lines).zip(scales.par_chunks_mut(panel.scales));
        let is_whole = panels.enumerate().all(|(panel, (lines, scales))| {
            let first = panel * LANES;
            (first..outputs.min(first + LANES)).enumerate().all(|(lane, output)| {
                let bytes = row(output);
                for (outer, bytes) in bytes.chunks_exact(format.block_bytes()).enumerate() {
                    for part in 0..inner {
                        let at = (lane, outer * inner + part);
                        let block = format.block(bytes, part);
                        packing::write(format, (lines, scales), per_block, at, &block);
                    }
                }
                bytes.len() == row_bytes
            })
        });
        is_whole.then_some(Self { format, inputs, outputs, panel, lines, scales })
    }

    /// How the weights are compressed.
    pub fn format(&self) -> Format {
        self.format
    }

    pub(super) fn panels(&self) -> usize {
        self.outputs.div_ceil(LANES)
    }

    pub(super) fn panel(&self, panel: usize) -> Panel<'_> {
        Panel {
            lines: &self.lines[panel * self.panel.lines..][..self.panel.lines],
            scales: &self.scales[panel * self.panel.scales..][..self.panel.scales],
        }
    }
}

impl Projection for PackedMatrix {
    fn inputs(&self) -> usize {
        self.inputs
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn bytes(&self) -> usize {
        self.lines.len() * size_of::<Line>() + self.scales.len() * 32
    }

    fn forward(&self, xs: &[f32], out: &mut [f32]) {
        multiply(Instructions::best(), self, xs, out);
    }

    fn copy_row(&self, index: usize, out: &mut [f32]) {
        let panel = self.panel(index / LANES);
        let per_block = self.panel.lines / (self.inputs / BLOCK);
        for (block, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
            let at = (index % LANES, block);
            self.format.weights(&packing::read(self.format, panel, per_block, at), out);
        }
    }
}
