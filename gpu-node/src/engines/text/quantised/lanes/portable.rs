//! The vector operations in plain Rust: the reference, and what processors without AVX2 run.

use std::array;

use half::f16;

use super::{Lanes, Line};

#[derive(Clone, Copy)]
pub(super) struct Portable;

impl Lanes for Portable {
    type Bytes = Line;
    type Ints = [i32; 16];
    type Floats = [f32; 16];

    #[inline(always)]
    fn bytes(self, line: &Line) -> Line {
        *line
    }

    #[inline(always)]
    fn low_nibbles(self, bytes: Line) -> Line {
        bytes.map(|byte| byte & 15)
    }

    #[inline(always)]
    fn high_nibbles(self, bytes: Line) -> Line {
        bytes.map(|byte| byte >> 4)
    }

    #[inline(always)]
    fn insert_bits<const LEFT: u32, const RIGHT: u32>(
        self,
        low: Line,
        high: Line,
        mask: u8,
    ) -> Line {
        array::from_fn(|i| low[i] | (((high[i] << LEFT) >> RIGHT) & mask))
    }

    #[inline(always)]
    fn ints(self, value: i32) -> [i32; 16] {
        [value; 16]
    }

    #[inline(always)]
    fn shift_left<const BITS: u32>(self, ints: [i32; 16]) -> [i32; 16] {
        ints.map(|int| int << BITS)
    }

    #[inline(always)]
    fn dot(self, sum: [i32; 16], codes: Line, inputs: [i8; 4]) -> [i32; 16] {
        self.dot_wide(sum, codes, inputs)
    }

    #[inline(always)]
    fn dot_wide(self, sum: [i32; 16], codes: Line, inputs: [i8; 4]) -> [i32; 16] {
        array::from_fn(|lane| {
            (0..4).fold(sum[lane], |sum, i| {
                sum + i32::from(codes[lane * 4 + i]) * i32::from(inputs[i])
            })
        })
    }

    #[inline(always)]
    fn to_floats(self, ints: [i32; 16]) -> [f32; 16] {
        ints.map(|int| int as f32)
    }

    #[inline(always)]
    fn floats(self, value: f32) -> [f32; 16] {
        [value; 16]
    }

    #[inline(always)]
    fn load(self, values: &[f32; 16]) -> [f32; 16] {
        *values
    }

    #[inline(always)]
    fn store(self, values: [f32; 16], out: &mut [f32; 16]) {
        *out = values;
    }

    #[inline(always)]
    fn halves(self, values: &[u8; 32]) -> [f32; 16] {
        array::from_fn(|i| f16::from_le_bytes([values[2 * i], values[2 * i + 1]]).to_f32())
    }

    #[inline(always)]
    fn unsigned(self, values: &[u8; 16]) -> [f32; 16] {
        values.map(f32::from)
    }

    #[inline(always)]
    fn signed(self, values: &[u8; 16]) -> [f32; 16] {
        values.map(|value| f32::from(value as i8))
    }

    #[inline(always)]
    fn multiply(self, a: [f32; 16], b: [f32; 16]) -> [f32; 16] {
        array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn multiply_add(self, a: [f32; 16], b: [f32; 16], c: [f32; 16]) -> [f32; 16] {
        array::from_fn(|i| a[i].mul_add(b[i], c[i]))
    }
}
