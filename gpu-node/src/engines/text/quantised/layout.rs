//! How a compressed matrix lies in memory: panels of 16 outputs, and in them blocks of 32 inputs.
//!
//! One load then serves 16 outputs, and every row of the batch. Codes are `Line`s: lane `o` of line `g` holds inputs
//! `4g..4g + 4` of output `o`. Narrow codes share bytes: line `g` of four has group `g` in its low halves and group
//! `g + 4` in its high ones; fifth bits are bit `g` of one more line, fifth and sixth bits two bits of two more.

use super::{
    format::Format,
    lanes::{Lanes, Line},
    rounded::Rounded,
};

/// What the kernels read of 16 outputs × 32 inputs.
pub(super) struct Unpacked<L: Lanes> {
    codes: [L::Bytes; 8],
    scale: L::Floats,
    /// The minimum, or the scale of the second half.
    other: L::Floats,
}

impl<L: Lanes> Clone for Unpacked<L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L: Lanes> Copy for Unpacked<L> {}

impl<L: Lanes> Unpacked<L> {
    #[inline(always)]
    pub(super) fn zero(lanes: L) -> Self {
        let (codes, scale) = (lanes.bytes(&[0; 64]), lanes.floats(0.0));
        Self { codes: [codes; 8], scale, other: scale }
    }
}

/// The bytes of one panel.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    pub(super) lines: &'a [Line],
    pub(super) scales: &'a [[u8; 32]],
}

/// One arrangement of codes and scales.
pub(super) trait Layout {
    /// Block `index` of a panel.
    fn unpack<L: Lanes>(lanes: L, panel: Panel<'_>, index: usize) -> Unpacked<L>;

    /// Adds the products of one row's 32 inputs with the block to the row's 16 sums.
    fn add<L: Lanes>(lanes: L, block: &Unpacked<L>, row: &Rounded, sums: L::Floats) -> L::Floats;
}

/// Where the codes of a block are.
pub(super) trait Codes {
    /// Lines of a block.
    const LINES: usize;
    /// Whether codes may exceed 127.
    const WIDE: bool;

    fn unpack<L: Lanes>(lanes: L, lines: &[Line]) -> [L::Bytes; 8];
}

pub(super) struct Nibbles;
pub(super) struct FiveBits;
pub(super) struct SixBits;
pub(super) struct Bytes;

#[inline(always)]
fn unpack_nibbles<L: Lanes>(lanes: L, lines: &[Line]) -> [L::Bytes; 8] {
    let mut codes = [lanes.bytes(&lines[0]); 8];
    for i in 0..4 {
        let line = lanes.bytes(&lines[i]);
        (codes[i], codes[i + 4]) = (lanes.low_nibbles(line), lanes.high_nibbles(line));
    }
    codes
}

impl Codes for Nibbles {
    const LINES: usize = 4;
    const WIDE: bool = false;

    #[inline(always)]
    fn unpack<L: Lanes>(lanes: L, lines: &[Line]) -> [L::Bytes; 8] {
        unpack_nibbles(lanes, lines)
    }
}

impl Codes for FiveBits {
    const LINES: usize = 5;
    const WIDE: bool = false;

    #[inline(always)]
    fn unpack<L: Lanes>(lanes: L, lines: &[Line]) -> [L::Bytes; 8] {
        let low = unpack_nibbles(lanes, lines);
        let high = lanes.bytes(&lines[4]);
        [
            lanes.insert_bits::<4, 0>(low[0], high, 16),
            lanes.insert_bits::<3, 0>(low[1], high, 16),
            lanes.insert_bits::<2, 0>(low[2], high, 16),
            lanes.insert_bits::<1, 0>(low[3], high, 16),
            lanes.insert_bits::<0, 0>(low[4], high, 16),
            lanes.insert_bits::<0, 1>(low[5], high, 16),
            lanes.insert_bits::<0, 2>(low[6], high, 16),
            lanes.insert_bits::<0, 3>(low[7], high, 16),
        ]
    }
}

impl Codes for SixBits {
    const LINES: usize = 6;
    const WIDE: bool = false;

    #[inline(always)]
    fn unpack<L: Lanes>(lanes: L, lines: &[Line]) -> [L::Bytes; 8] {
        let low = unpack_nibbles(lanes, lines);
        let high = [lanes.bytes(&lines[4]), lanes.bytes(&lines[5])];
        [
            lanes.insert_bits::<4, 0>(low[0], high[0], 48),
            lanes.insert_bits::<2, 0>(low[1], high[0], 48),
            lanes.insert_bits::<0, 0>(low[2], high[0], 48),
            lanes.insert_bits::<0, 2>(low[3], high[0], 48),
            lanes.insert_bits::<4, 0>(low[4], high[1], 48),
            lanes.insert_bits::<2, 0>(low[5], high[1], 48),
            lanes.insert_bits::<0, 0>(low[6], high[1], 48),
            lanes.insert_bits::<0, 2>(low[7], high[1], 48),
        ]
    }
}

impl Codes for Bytes {
    const LINES: usize = 8;
    const WIDE: bool = true;

    #[inline(always)]
    fn unpack<L: Lanes>(lanes: L, lines: &[Line]) -> [L::Bytes; 8] {
        let mut codes = [lanes.bytes(&lines[0]); 8];
        for (codes, line) in codes.iter_mut().zip(lines) {
            *codes = lanes.bytes(line);
        }
        codes
    }
}

#[inline(always)]
fn dot<C: Codes, L: Lanes>(
    lanes: L,
    start: L::Ints,
    codes: &[L::Bytes],
    inputs: &[[i8; 4]],
) -> L::Ints {
    // Loops rather than iterators with closures here: what is not inlined is not compiled for the lanes.
    let mut sum = start;
    for (codes, inputs) in codes.iter().zip(inputs) {
        sum = if C::WIDE {
            lanes.dot_wide(sum, *codes, *inputs)
        } else {
            lanes.dot(sum, *codes, *inputs)
        };
    }
    sum
}

/// `scale · (code - 2^OFFSET_BITS)`; a half-precision scale per block.
pub(super) struct Symmetric<C, const OFFSET_BITS: u32>(C);

impl<C: Codes, const OFFSET_BITS: u32> Layout for Symmetric<C, OFFSET_BITS> {
    #[inline(always)]
    fn unpack<L: Lanes>(lanes: L, panel: Panel<'_>, index: usize) -> Unpacked<L> {
        let codes = C::unpack(lanes, &panel.lines[index * C::LINES..][..C::LINES]);
        let scale = lanes.halves(&panel.scales[index]);
        Unpacked { codes, scale, other: scale }
    }

    #[inline(always)]
    fn add<L: Lanes>(lanes: L, block: &Unpacked<L>, row: &Rounded, sums: L::Floats) -> L::Floats {
        let start = lanes.shift_left::<OFFSET_BITS>(lanes.ints(row.minus_sum));
        let products = lanes.to_floats(dot::<C, L>(lanes, start, &block.codes, &row.values));
        lanes.multiply_add(lanes.multiply(products, block.scale), lanes.floats(row.scale), sums)
    }
}

/// `scale · part · code - min · part`: 256 inputs share the half-precision numbers, 32 the parts.
pub(super) struct Affine<C>(C);

impl<C: Codes> Layout for Affine<C> {
    #[inline(always)]
    fn unpack<L: Lanes>(lanes: L, panel: Panel<'_>, index: usize) -> Unpacked<L> {
        let codes = C::unpack(lanes, &panel.lines[index * C::LINES..][..C::LINES]);
        let around = &panel.scales[index / 8 * 10..][..10];
        let (scales, mins) = halves_of(&around[2 + index % 8]);
        Unpacked {
            codes,
            scale: lanes.multiply(lanes.halves(&around[0]), lanes.unsigned(scales)),
            other: lanes.multiply(lanes.halves(&around[1]), lanes.unsigned(mins)),
        }
    }

    #[inline(always)]
    fn add<L: Lanes>(lanes: L, block: &Unpacked<L>, row: &Rounded, sums: L::Floats) -> L::Floats {
        let start = lanes.ints(0);
        let products = lanes.to_floats(dot::<C, L>(lanes, start, &block.codes, &row.values));
        let minus_sum = lanes.to_floats(lanes.ints(row.minus_sum));
        let minima = lanes.multiply(block.other, minus_sum);
        let both = lanes.multiply_add(products, block.scale, minima);
        lanes.multiply_add(both, lanes.floats(row.scale), sums)
    }
}

/// `scale · part · (code - 32)`: 256 inputs share the half-precision scale, 16 the part.
pub(super) struct Halves<C>(C);

impl<C: Codes> Layout for Halves<C> {
    #[inline(always)]
    fn unpack<L: Lanes>(lanes: L, panel: Panel<'_>, index: usize) -> Unpacked<L> {
        let codes = C::unpack(lanes, &panel.lines[index * C::LINES..][..C::LINES]);
        let around = &panel.scales[index / 8 * 9..][..9];
        let (first, second) = halves_of(&around[1 + index % 8]);
        let scale = lanes.halves(&around[0]);
        Unpacked {
            codes,
            scale: lanes.multiply(scale, lanes.signed(first)),
            other: lanes.multiply(scale, lanes.signed(second)),
        }
    }

    #[inline(always)]
    fn add<L: Lanes>(lanes: L, block: &Unpacked<L>, row: &Rounded, sums: L::Floats) -> L::Floats {
        let [first, second] = row.minus_half_sums;
        let first = lanes.shift_left::<5>(lanes.ints(first));
        let second = lanes.shift_left::<5>(lanes.ints(second));
        let first = dot::<C, L>(lanes, first, &block.codes[..4], &row.values[..4]);
        let second = dot::<C, L>(lanes, second, &block.codes[4..], &row.values[4..]);
        let first = lanes.multiply(lanes.to_floats(first), block.scale);
        let both = lanes.multiply_add(lanes.to_floats(second), block.other, first);
        lanes.multiply_add(both, lanes.floats(row.scale), sums)
    }
}

#[inline(always)]
fn halves_of(parts: &[u8; 32]) -> (&[u8; 16], &[u8; 16]) {
    let halves = parts.as_chunks::<16>().0;
    (&halves[0], &halves[1])
}

/// Sizes of a format's panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PanelSize {
    pub(super) lines: usize,
    pub(super) scales: usize,
}

impl PanelSize {
    /// Of a panel with so many blocks of 32 inputs; `None` for formats that have no kernel.
    pub(super) fn new(format: Format, blocks: usize) -> Option<Self> {
        let (lines, scales) = match format {
            Format::Q4_0 => (4, blocks),
            Format::Q5_0 => (5, blocks),
            Format::Q8_0 => (8, blocks),
            Format::Q4K => (4, blocks / 8 * 10),
            Format::Q5K => (5, blocks / 8 * 10),
            Format::Q3K | Format::Q6K => (6, blocks / 8 * 9),
            Format::F32 | Format::F16 | Format::Bf16 | Format::Q4_1 | Format::Q5_1 => return None,
        };
        Some(Self { lines: lines * blocks, scales })
    }
}
