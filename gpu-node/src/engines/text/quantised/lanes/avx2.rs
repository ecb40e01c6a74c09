//! The vector operations in AVX2: two registers per sixteen lanes.
#![allow(
    unsafe_code,
    reason = "vector instructions are unsafe to call until detection proved them there"
)]

use std::arch::x86_64::*;

use super::{Kernel, Lanes, Line};

/// Proof that the processor has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        let is_there = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        is_there.then_some(Self(()))
    }

    pub(super) fn run(self, kernel: impl Kernel) {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn compiled(lanes: Avx2, kernel: impl Kernel) {
            kernel.run(lanes);
        }
        // SAFETY: `self` exists only where `detect` found these features.
        unsafe { compiled(self, kernel) }
    }
}

// SAFETY, for every block below: `self` proves the features; loads and stores stay inside the arrays they are given.
impl Lanes for Avx2 {
    type Bytes = [__m256i; 2];
    type Ints = [__m256i; 2];
    type Floats = [__m256; 2];

    #[inline(always)]
    fn bytes(self, line: &Line) -> [__m256i; 2] {
        let start: *const __m256i = line.as_ptr().cast();
        unsafe { [_mm256_loadu_si256(start), _mm256_loadu_si256(start.add(1))] }
    }

    #[inline(always)]
    fn low_nibbles(self, bytes: [__m256i; 2]) -> [__m256i; 2] {
        unsafe {
            let mask = _mm256_set1_epi8(15);
            [_mm256_and_si256(bytes[0], mask), _mm256_and_si256(bytes[1], mask)]
        }
    }

    #[inline(always)]
    fn high_nibbles(self, bytes: [__m256i; 2]) -> [__m256i; 2] {
        unsafe {
            let moved = [_mm256_srli_epi16::<4>(bytes[0]), _mm256_srli_epi16::<4>(bytes[1])];
            self.low_nibbles(moved)
        }
    }

    #[inline(always)]
    fn insert_bits<const LEFT: u32, const RIGHT: u32>(
        self,
        low: [__m256i; 2],
        high: [__m256i; 2],
        mask: u8,
    ) -> [__m256i; 2] {
        unsafe {
            let (left, right) = (_mm_cvtsi32_si128(LEFT as i32), _mm_cvtsi32_si128(RIGHT as i32));
            let mask = _mm256_set1_epi8(mask as i8);
            let first = _mm256_srl_epi16(_mm256_sll_epi16(high[0], left), right);
            let second = _mm256_srl_epi16(_mm256_sll_epi16(high[1], left), right);
            [
                _mm256_or_si256(low[0], _mm256_and_si256(first, mask)),
                _mm256_or_si256(low[1], _mm256_and_si256(second, mask)),
            ]
        }
    }

    #[inline(always)]
    fn ints(self, value: i32) -> [__m256i; 2] {
        let ints = unsafe { _mm256_set1_epi32(value) };
        [ints, ints]
    }

    #[inline(always)]
    fn shift_left<const BITS: u32>(self, ints: [__m256i; 2]) -> [__m256i; 2] {
        unsafe {
            let bits = _mm_cvtsi32_si128(BITS as i32);
            [_mm256_sll_epi32(ints[0], bits), _mm256_sll_epi32(ints[1], bits)]
        }
    }

    #[inline(always)]
    fn dot(self, sum: [__m256i; 2], codes: [__m256i; 2], inputs: [i8; 4]) -> [__m256i; 2] {
        let inputs = i32::from_le_bytes(inputs.map(|input| input as u8));
        unsafe {
            let (inputs, ones) = (_mm256_set1_epi32(inputs), _mm256_set1_epi16(1));
            // A pair of products is at most 2 · 127 · 128, which fits 16 bits.
            let first = _mm256_madd_epi16(_mm256_maddubs_epi16(codes[0], inputs), ones);
            let second = _mm256_madd_epi16(_mm256_maddubs_epi16(codes[1], inputs), ones);
            [_mm256_add_epi32(sum[0], first), _mm256_add_epi32(sum[1], second)]
        }
    }

    #[inline(always)]
    fn dot_wide(self, sum: [__m256i; 2], codes: [__m256i; 2], inputs: [i8; 4]) -> [__m256i; 2] {
        // The highest bit apart: 128 at most, the rest 127.
        let (low, high) = unsafe {
            let (low, high) = (_mm256_set1_epi8(127), _mm256_set1_epi8(-128));
            (
                [_mm256_and_si256(codes[0], low), _mm256_and_si256(codes[1], low)],
                [_mm256_and_si256(codes[0], high), _mm256_and_si256(codes[1], high)],
            )
        };
        self.dot(self.dot(sum, low, inputs), high, inputs)
    }

    #[inline(always)]
    fn to_floats(self, ints: [__m256i; 2]) -> [__m256; 2] {
        unsafe { [_mm256_cvtepi32_ps(ints[0]), _mm256_cvtepi32_ps(ints[1])] }
    }

    #[inline(always)]
    fn floats(self, value: f32) -> [__m256; 2] {
        let floats = unsafe { _mm256_set1_ps(value) };
        [floats, floats]
    }

    #[inline(always)]
    fn load(self, values: &[f32; 16]) -> [__m256; 2] {
        let start = values.as_ptr();
        unsafe { [_mm256_loadu_ps(start), _mm256_loadu_ps(start.add(8))] }
    }

    #[inline(always)]
    fn store(self, values: [__m256; 2], out: &mut [f32; 16]) {
        let start = out.as_mut_ptr();
        unsafe {
            _mm256_storeu_ps(start, values[0]);
            _mm256_storeu_ps(start.add(8), values[1]);
        }
    }

    #[inline(always)]
    fn halves(self, values: &[u8; 32]) -> [__m256; 2] {
        let start: *const __m128i = values.as_ptr().cast();
        unsafe {
            [
                _mm256_cvtph_ps(_mm_loadu_si128(start)),
                _mm256_cvtph_ps(_mm_loadu_si128(start.add(1))),
            ]
        }
    }

    #[inline(always)]
    fn unsigned(self, values: &[u8; 16]) -> [__m256; 2] {
        unsafe {
            let bytes = _mm_loadu_si128(values.as_ptr().cast());
            self.to_floats([
                _mm256_cvtepu8_epi32(bytes),
                _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(bytes)),
            ])
        }
    }

    #[inline(always)]
    fn signed(self, values: &[u8; 16]) -> [__m256; 2] {
        unsafe {
            let bytes = _mm_loadu_si128(values.as_ptr().cast());
            self.to_floats([
                _mm256_cvtepi8_epi32(bytes),
                _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(bytes)),
            ])
        }
    }

    #[inline(always)]
    fn multiply(self, a: [__m256; 2], b: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn multiply_add(self, a: [__m256; 2], b: [__m256; 2], c: [__m256; 2]) -> [__m256; 2] {
        unsafe { [_mm256_fmadd_ps(a[0], b[0], c[0]), _mm256_fmadd_ps(a[1], b[1], c[1])] }
    }
}
