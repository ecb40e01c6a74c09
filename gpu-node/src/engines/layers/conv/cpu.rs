//! Convolutions on the CPU: the kernel runs over a padded window of channels-last rows, without copying patches.

use std::ops::Range;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, bail};
use rayon::prelude::*;

use super::{super::values, ConvShape};
use crate::engines::layers::{
    norm::CpuGroupNorm,
    packed::{Packed, Rows},
    product::{depths, product, rows_per_task},
};

/// Pixels one task computes at most, and the most for which patches are copied: then all samples share a
/// reading of the weights.
const TILE_PIXELS: usize = 768;
const FEW_PIXELS: usize = 192;

#[derive(Debug)]
pub(in crate::engines::layers) struct CpuConv2d {
    shape: ConvShape,
    /// 2 if the map is doubled first.
    scale: usize,
    /// The kernels of the `scale · scale` pixels that each stands for.
    phases: Vec<Phase>,
    bias: Vec<f32>,
}

/// A kernel and the pixel it is for.
#[derive(Debug)]
struct Phase {
    row: usize,
    column: usize,
    /// `(side · side · inputs) × outputs`, the order in which a window's values lie.
    weight: Packed,
}

/// A convolution, perhaps of the map's norm.
pub(super) struct CpuPass<'a> {
    pub(super) conv: &'a CpuConv2d,
    pub(super) norm: Option<&'a CpuGroupNorm>,
}

/// What the products are added to, beside the bias.
#[derive(Clone, Copy)]
enum Onto<'a> {
    Nothing,
    PerSample(&'a [f32]),
    Map(&'a [f32]),
}

/// A sample's norm as factors and terms per channel.
type Terms = (Vec<f32>, Vec<f32>);

impl CpuConv2d {
    /// From weights `outputs × inputs × kernel × kernel`.
    pub(super) fn new(shape: ConvShape, weight: &[f32], bias: Vec<f32>) -> Self {
        let weight = kernel(shape, shape.kernel, |output, input, row, column| {
            weight[((output * shape.inputs + input) * shape.kernel + row) * shape.kernel + column]
        });
        Self { shape, scale: 1, phases: vec![Phase { row: 0, column: 0, weight }], bias }
    }

    /// A 3 × 3 over the doubled map. Of the nine values that each result reads only four differ.
    pub(super) fn after_doubling(shape: ConvShape, weight: &[f32], bias: Vec<f32>) -> Self {
        // Which rows of the 3 × 3 fall on the first and the second of two pixels.
        let covered = |phase: usize, pixel: usize| match (phase, pixel) {
            (0, 0) => 0..1,
            (0, _) => 1..3,
            (_, 0) => 0..2,
            (_, _) => 2..3,
        };
        let phase = |(row, column): (usize, usize)| {
            let weight = kernel(shape, 2, |output, input, pixel_row, pixel_column| {
                let weight = &weight[(output * shape.inputs + input) * 9..][..9];
                covered(row, pixel_row)
                    .flat_map(|row| {
                        covered(column, pixel_column).map(move |column| weight[3 * row + column])
                    })
                    .sum()
            });
            Phase { row, column, weight }
        };
        let phases = [(0, 0), (0, 1), (1, 0), (1, 1)].map(phase).into();
        Self { shape, scale: 2, phases, bias }
    }

    /// Writes what the products of a pixel are added to.
    fn start(&self, onto: Onto<'_>, pixel: (usize, usize), columns: Range<usize>, out: &mut [f32]) {
        let (sample, index) = pixel;
        let outputs = self.shape.outputs;
        let bias = &self.bias[columns.clone()];
        let onto = match onto {
            Onto::Nothing => return out.copy_from_slice(bias),
            Onto::PerSample(values) => &values[sample * outputs..],
            Onto::Map(values) => &values[index * outputs..],
        };
        for ((out, onto), bias) in out.iter_mut().zip(&onto[columns]).zip(bias) {
            *out = onto + bias;
        }
    }
}

/// A kernel of `side × side` pixels, as a window's values lie.
fn kernel(
    shape: ConvShape,
    side: usize,
    weight: impl Fn(usize, usize, usize, usize) -> f32 + Sync,
) -> Packed {
    let inputs = shape.inputs;
    Packed::new((side * side * inputs, shape.outputs), |row, output| {
        let pixel = row / inputs;
        weight(output, row % inputs, pixel / side, pixel % side)
    })
}

impl CustomOp1 for CpuPass<'_> {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.run(values(storage, layout)?, layout.shape(), None)
    }
}

impl CustomOp2 for CpuPass<'_> {
    fn name(&self) -> &'static str {
        "conv2d_onto"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        onto: &CpuStorage,
        onto_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.run(values(storage, layout)?, layout.shape(), Some(values(onto, onto_layout)?))
    }
}

/// The sides of a pass, in pixels.
struct Sides {
    height: usize,
    width: usize,
    out_width: usize,
    /// The result's sides, before a doubling.
    grid_height: usize,
    grid_width: usize,
}

impl CpuPass<'_> {
    fn run(&self, xs: &[f32], shape: &Shape, onto: Option<&[f32]>) -> Result<(CpuStorage, Shape)> {
        let (batch, height, width, inputs) = shape.dims4()?;
        let ConvShape { outputs, kernel, stride, .. } = self.conv.shape;
        let (Some(grid_height), Some(grid_width)) =
            (self.conv.shape.output_side(height), self.conv.shape.output_side(width))
        else {
            bail!("conv2d: a {height} × {width} map is smaller than the kernel");
        };
        if inputs != self.conv.shape.inputs {
            bail!("conv2d: the map has {inputs} channels, the kernel {}", self.conv.shape.inputs);
        }
        let scale = self.conv.scale;
        let (out_height, out_width) = (scale * grid_height, scale * grid_width);
        let pixels = out_height * out_width;
        let onto = match onto {
            Some(map) if map.len() == batch * pixels * outputs => Onto::Map(map),
            Some(values) if values.len() == batch * outputs => Onto::PerSample(values),
            Some(values) => bail!("conv2d: cannot start from {} values", values.len()),
            None => Onto::Nothing,
        };
        let size = (height * width * inputs).max(1);
        let terms: Option<Vec<Terms>> = self.norm.map(|norm| {
            xs.par_chunks(size).map(|xs| norm.scale_and_shift(xs, height * width)).collect()
        });
        let sides = Sides { height, width, out_width, grid_height, grid_width };
        let shape = Shape::from((batch, out_height, out_width, outputs));
        let is_point = kernel == 1 && stride == 1;
        if !is_point && (scale > 1 || batch * pixels > FEW_PIXELS) {
            let out = self.in_windows(xs, &sides, terms.as_deref(), onto);
            return Ok((CpuStorage::F32(out), shape));
        }
        let mut normed = Vec::new();
        if let (Some(norm), Some(terms)) = (self.norm, &terms) {
            normed.resize(xs.len(), 0.0);
            let samples = normed.par_chunks_mut(size).zip(xs.par_chunks(size));
            samples.zip(terms).for_each(|((out, xs), (scale, shift))| {
                norm.apply(out, xs, (scale, shift));
            });
        }
        let mut rows = if terms.is_some() { &normed[..] } else { xs };
        let patches;
        if !is_point {
            patches = self.patches(rows, &sides);
            rows = &patches;
        }
        let weight = &self.conv.phases[0].weight;
        let rows = Rows { values: rows, count: batch * pixels, stride: weight.rows() };
        let out = product(rows, (weight, kernel * inputs), |pixel, columns, out| {
            self.conv.start(onto, (pixel / pixels, pixel), columns, out);
        });
        Ok((CpuStorage::F32(out), shape))
    }

    /// All that a kernel sees of each pixel, outside the map zeros.
    fn patches(&self, xs: &[f32], sides: &Sides) -> Vec<f32> {
        let ConvShape { inputs, kernel, stride, .. } = self.conv.shape;
        let row = kernel * inputs;
        let mut window = Vec::new();
        let mut patches = Vec::new();
        for sample in xs.chunks_exact(sides.height * sides.width * inputs) {
            let width = self.fill_window(&mut window, (sample, None), sides, 0..sides.grid_height);
            for index in 0..sides.grid_height * sides.grid_width {
                let (top, left) = (index / sides.grid_width, index % sides.grid_width);
                for kernel_row in 0..kernel {
                    let first = ((top * stride + kernel_row) * width + left * stride) * inputs;
                    patches.extend_from_slice(&window[first..first + row]);
                }
            }
        }
        patches
    }

    /// The part of a sample that some rows of the result see, with its padding and normed; returns its width.
    fn fill_window(
        &self,
        window: &mut Vec<f32>,
        (sample, terms): (&[f32], Option<&Terms>),
        sides: &Sides,
        rows: Range<usize>,
    ) -> usize {
        let ConvShape { inputs, kernel, stride, padding, .. } = self.conv.shape;
        let width = padding.0 + sides.width + padding.1;
        let count = (rows.len() - 1) * stride + kernel;
        window.resize(count * width * inputs, 0.0);
        let (left, right) = (padding.0 * inputs, (padding.0 + sides.width) * inputs);
        for (index, to) in window.chunks_exact_mut(width * inputs).enumerate() {
            let row = (rows.start * stride + index).checked_sub(padding.0);
            let Some(row) = row.filter(|row| *row < sides.height) else {
                to.fill(0.0);
                continue;
            };
            let from = &sample[row * sides.width * inputs..][..sides.width * inputs];
            to[..left].fill(0.0);
            to[right..].fill(0.0);
            match (self.norm, terms) {
                (Some(norm), Some((scale, shift))) => {
                    norm.apply(&mut to[left..right], from, (scale, shift));
                }
                _ => to[left..right].copy_from_slice(from),
            }
        }
        width
    }

    fn in_windows(
        &self,
        xs: &[f32],
        sides: &Sides,
        terms: Option<&[Terms]>,
        onto: Onto<'_>,
    ) -> Vec<f32> {
        let ConvShape { inputs, outputs, .. } = self.conv.shape;
        let scale = self.conv.scale;
        let size = sides.height * sides.width * inputs;
        let batch = xs.len() / size;
        let pixels = sides.grid_height * sides.grid_width;
        let products: usize =
            self.conv.phases.iter().map(|phase| phase.weight.rows() * outputs).sum();
        let task = rows_per_task(batch * pixels, products, TILE_PIXELS);
        let tiles = pixels.div_ceil(task).min(sides.grid_height);
        let rows = sides.grid_height.div_ceil(tiles);
        let out_pixels = pixels * scale * scale;
        let mut out = vec![0_f32; batch * out_pixels * outputs];
        let line = scale * sides.out_width * outputs;
        out.par_chunks_mut(out_pixels * outputs)
            .enumerate()
            .flat_map(|(sample, out)| {
                let tiles = out.par_chunks_mut(rows * line).enumerate();
                tiles.map(move |(index, out)| (sample, index * rows, out))
            })
            .for_each_init(Vec::new, |window, (sample, first, out)| {
                let first_pixel = sample * out_pixels + first * scale * sides.out_width;
                for (pixel, out) in out.chunks_exact_mut(outputs).enumerate() {
                    self.conv.start(onto, (sample, first_pixel + pixel), 0..outputs, out);
                }
                let rows = first..first + out.len() / line;
                let terms = terms.map(|terms| &terms[sample]);
                let xs = &xs[sample * size..][..size];
                let width = self.fill_window(window, (xs, terms), sides, rows);
                self.add_products(out, (window, width), sides);
            });
        out
    }

    /// All products of a tile. Some rows of a panel meet all pixels before the next do.
    fn add_products(&self, out: &mut [f32], (window, width): (&[f32], usize), sides: &Sides) {
        let ConvShape { inputs, outputs, kernel, stride, .. } = self.conv.shape;
        let scale = self.conv.scale;
        let side = if scale > 1 { 2 } else { kernel };
        let line = sides.out_width * outputs;
        for phase in &self.conv.phases {
            for panel in 0..phase.weight.panels() {
                let column = phase.column * outputs + phase.weight.panel_range(panel).start;
                for kernel_row in 0..side {
                    for depth in depths(side * inputs) {
                        for (row, out) in out.chunks_exact_mut(scale * line).enumerate() {
                            let row = row * stride + phase.row + kernel_row;
                            let first = (row * width + phase.column) * inputs + depth.start;
                            let left = Rows {
                                values: &window[first..],
                                count: sides.grid_width,
                                stride: stride * inputs,
                            };
                            let out = &mut out[phase.row * line + column..];
                            let start = kernel_row * side * inputs;
                            let steps = start + depth.start..start + depth.end;
                            let out = (out, scale * outputs);
                            phase.weight.add_product(out, left, panel, steps);
                        }
                    }
                }
            }
        }
    }
}
