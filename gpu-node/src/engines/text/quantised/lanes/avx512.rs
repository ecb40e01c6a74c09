//! The vector operations in AVX-512 with VNNI: one register per sixteen lanes.
#![allow(
    unsafe_code,
    reason = "vector instructions are unsafe to call until detection proved them there"
)]

use std::arch::x86_64::*;

use super::{Kernel, Lanes, Line};

/// Proof that the processor has AVX-512 F, BW, DQ, VL and VNNI, and the system saves its registers.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        let is_there = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        is_there.then_some(Self(()))
    }

    pub(super) fn run(self, kernel: impl Kernel) {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        fn compiled(lanes: Avx512, kernel: impl Kernel) {
            kernel.run(lanes);
        }
        // SAFETY: `self` exists only where `detect` found these features.
        unsafe { compiled(self, kernel) }
    }
}

// SAFETY, for every block below: `self` proves the features; loads and stores stay inside the arrays they are given.
impl Lanes for Avx512 {
    type Bytes = __m512i;
    type Ints = __m512i;
    type Floats = __m512;

    #[inline(always)]
    fn bytes(self, line: &Line) -> __m512i {
        unsafe { _mm512_loadu_si512(line.as_ptr().cast()) }
    }

    #[inline(always)]
    fn low_nibbles(self, bytes: __m512i) -> __m512i {
        unsafe { _mm512_and_si512(bytes, _mm512_set1_epi8(15)) }
    }

    #[inline(always)]
    fn high_nibbles(self, bytes: __m512i) -> __m512i {
        unsafe { _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), _mm512_set1_epi8(15)) }
    }

    #[inline(always)]
    fn insert_bits<const LEFT: u32, const RIGHT: u32>(
        self,
        low: __m512i,
        high: __m512i,
        mask: u8,
    ) -> __m512i {
        unsafe {
            let moved = _mm512_srli_epi16::<RIGHT>(_mm512_slli_epi16::<LEFT>(high));
            // low | (moved & mask)
            _mm512_ternarylogic_epi32::<0xF8>(low, moved, _mm512_set1_epi8(mask as i8))
        }
    }

    #[inline(always)]
    fn ints(self, value: i32) -> __m512i {
        unsafe { _mm512_set1_epi32(value) }
    }

    #[inline(always)]
    fn shift_left<const BITS: u32>(self, ints: __m512i) -> __m512i {
        unsafe { _mm512_slli_epi32::<BITS>(ints) }
    }

    #[inline(always)]
    fn dot(self, sum: __m512i, codes: __m512i, inputs: [i8; 4]) -> __m512i {
        self.dot_wide(sum, codes, inputs)
    }

    #[inline(always)]
    fn dot_wide(self, sum: __m512i, codes: __m512i, inputs: [i8; 4]) -> __m512i {
        let inputs = i32::from_le_bytes(inputs.map(|input| input as u8));
        unsafe { _mm512_dpbusd_epi32(sum, codes, _mm512_set1_epi32(inputs)) }
    }

    #[inline(always)]
    fn to_floats(self, ints: __m512i) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(ints) }
    }

    #[inline(always)]
    fn floats(self, value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    fn load(self, values: &[f32; 16]) -> __m512 {
        unsafe { _mm512_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    fn store(self, values: __m512, out: &mut [f32; 16]) {
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), values) }
    }

    #[inline(always)]
    fn halves(self, values: &[u8; 32]) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(values.as_ptr().cast())) }
    }

    #[inline(always)]
    fn unsigned(self, values: &[u8; 16]) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(values.as_ptr().cast()))) }
    }

    #[inline(always)]
    fn signed(self, values: &[u8; 16]) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(values.as_ptr().cast()))) }
    }

    #[inline(always)]
    fn multiply(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn multiply_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
}
