//! Sixteen numbers at a time, on AVX-512, on AVX2 and in plain code.
//!
//! A sum always has sixteen parts that are added in one order, so processors with fused multiply-add agree bit by bit.
//! Hot code here and above has loops where `array::map` would do: that is not inlined, and loses the instructions.
#![allow(
    clippy::needless_range_loop,
    reason = "iterators over small arrays are not always inlined, and then lose the vector instructions"
)]

use half::{bf16, f16, slice::HalfFloatSliceExt};
#[cfg(target_arch = "x86_64")]
use pulp::{f32x4, f32x8, f32x16, u16x8, u16x16, x86};

/// Numbers in one vector.
pub(crate) const LANES: usize = 16;

/// Arithmetic on vectors of sixteen numbers.
pub(crate) trait Lanes: Copy {
    type Vector: Copy;
    /// Thirty-two of them, where the others have sixteen of half the size.
    const HAS_MANY_REGISTERS: bool;

    fn splat(self, x: f32) -> Self::Vector;
    fn load(self, xs: &[f32; LANES]) -> Self::Vector;
    fn widen_bf16(self, xs: &[u16; LANES]) -> Self::Vector;
    fn widen_f16(self, xs: &[u16; LANES]) -> Self::Vector;
    /// `a · b + c`
    fn mul_add(self, a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    fn store(self, vector: Self::Vector) -> [f32; LANES];

    #[inline(always)]
    fn sum(self, vector: Self::Vector) -> f32 {
        let mut xs = self.store(vector);
        for half in [8, 4, 2, 1] {
            for lane in 0..half {
                xs[lane] += xs[lane + half];
            }
        }
        xs[0]
    }
}

/// Work that is compiled once for each kind of processor.
pub(crate) trait LaneWork {
    type Output;

    fn run<L: Lanes>(self, lanes: L) -> Self::Output;
}

/// Runs the work with the widest vectors this processor has.
pub(crate) fn on_lanes<W: LaneWork>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(wide) = x86::V4::try_new() {
            return wide.vectorize(Bound { lanes: wide, work });
        }
        if let Some(narrow) = x86::V3::try_new() {
            return narrow.vectorize(Bound { lanes: narrow, work });
        }
    }
    work.run(Plain)
}

/// Work and the vectors it runs on, so that both are inlined where the instructions are switched on.
#[cfg(target_arch = "x86_64")]
struct Bound<L, W> {
    lanes: L,
    work: W,
}

#[cfg(target_arch = "x86_64")]
impl<L: Lanes, W: LaneWork> pulp::NullaryFnOnce for Bound<L, W> {
    type Output = W::Output;

    #[inline(always)]
    fn call(self) -> W::Output {
        self.work.run(self.lanes)
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for x86::V4 {
    type Vector = f32x16;
    const HAS_MANY_REGISTERS: bool = true;

    #[inline(always)]
    fn splat(self, x: f32) -> f32x16 {
        self.splat_f32x16(x)
    }

    #[inline(always)]
    fn load(self, xs: &[f32; LANES]) -> f32x16 {
        pulp::cast(*xs)
    }

    #[inline(always)]
    fn widen_bf16(self, xs: &[u16; LANES]) -> f32x16 {
        let wide = self.convert_u16x16_to_u32x16(pulp::cast::<[u16; LANES], u16x16>(*xs));
        pulp::cast(self.shl_const_u32x16::<16>(wide))
    }

    #[inline(always)]
    fn widen_f16(self, xs: &[u16; LANES]) -> f32x16 {
        pulp::cast(self.avx512f._mm512_cvtph_ps(pulp::cast(*xs)))
    }

    #[inline(always)]
    fn mul_add(self, a: f32x16, b: f32x16, c: f32x16) -> f32x16 {
        self.mul_add_f32x16(a, b, c)
    }

    #[inline(always)]
    fn store(self, vector: f32x16) -> [f32; LANES] {
        pulp::cast(vector)
    }

    #[inline(always)]
    fn sum(self, vector: f32x16) -> f32 {
        add_lanes(*self, pulp::cast(vector))
    }
}

#[cfg(target_arch = "x86_64")]
impl Lanes for x86::V3 {
    type Vector = [f32x8; 2];
    const HAS_MANY_REGISTERS: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> [f32x8; 2] {
        [self.splat_f32x8(x); 2]
    }

    #[inline(always)]
    fn load(self, xs: &[f32; LANES]) -> [f32x8; 2] {
        pulp::cast(*xs)
    }

    #[inline(always)]
    fn widen_bf16(self, xs: &[u16; LANES]) -> [f32x8; 2] {
        let halves: [u16x8; 2] = pulp::cast(*xs);
        let first = self.shl_const_u32x8::<16>(self.convert_u16x8_to_u32x8(halves[0]));
        let second = self.shl_const_u32x8::<16>(self.convert_u16x8_to_u32x8(halves[1]));
        [pulp::cast(first), pulp::cast(second)]
    }

    #[inline(always)]
    fn widen_f16(self, xs: &[u16; LANES]) -> [f32x8; 2] {
        pulp::cast(widen_f16_bits(xs))
    }

    #[inline(always)]
    fn mul_add(self, a: [f32x8; 2], b: [f32x8; 2], c: [f32x8; 2]) -> [f32x8; 2] {
        [self.mul_add_f32x8(a[0], b[0], c[0]), self.mul_add_f32x8(a[1], b[1], c[1])]
    }

    #[inline(always)]
    fn store(self, vector: [f32x8; 2]) -> [f32; LANES] {
        pulp::cast(vector)
    }

    #[inline(always)]
    fn sum(self, vector: [f32x8; 2]) -> f32 {
        add_lanes(self, vector)
    }
}

/// The sum of all lanes by halves, in registers.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn add_lanes(simd: x86::V3, vector: [f32x8; 2]) -> f32 {
    let eight: [f32x4; 2] = pulp::cast(simd.add_f32x8(vector[0], vector[1]));
    let four: [f32; 4] = pulp::cast(simd.add_f32x4(eight[0], eight[1]));
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Plain code, for processors without the above.
#[derive(Clone, Copy)]
pub(crate) struct Plain;

impl Lanes for Plain {
    type Vector = [f32; LANES];
    const HAS_MANY_REGISTERS: bool = false;

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; LANES] {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, xs: &[f32; LANES]) -> [f32; LANES] {
        *xs
    }

    #[inline(always)]
    fn widen_bf16(self, xs: &[u16; LANES]) -> [f32; LANES] {
        let mut out = [0.0; LANES];
        for (out, bits) in out.iter_mut().zip(xs) {
            *out = f32::from_bits(u32::from(*bits) << 16);
        }
        out
    }

    #[inline(always)]
    fn widen_f16(self, xs: &[u16; LANES]) -> [f32; LANES] {
        widen_f16_bits(xs)
    }

    #[inline(always)]
    fn mul_add(self, a: [f32; LANES], b: [f32; LANES], c: [f32; LANES]) -> [f32; LANES] {
        // Without the instruction a fused one is a slow library call.
        let fused = cfg!(target_arch = "aarch64");
        let mut out = c;
        for lane in 0..LANES {
            out[lane] =
                if fused { a[lane].mul_add(b[lane], c[lane]) } else { a[lane] * b[lane] + c[lane] };
        }
        out
    }

    #[inline(always)]
    fn store(self, vector: [f32; LANES]) -> [f32; LANES] {
        vector
    }
}

/// Half-precision numbers without the branches that keep loops from becoming vectors; infinities become large.
#[inline(always)]
fn widen_f16_bits(xs: &[u16; LANES]) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    for (out, bits) in out.iter_mut().zip(xs) {
        // The exponents' zeros are 112 apart.
        let magnitude = f32::from_bits(u32::from(bits & 0x7fff) << 13) * f32::from_bits(239 << 23);
        *out = f32::from_bits(magnitude.to_bits() | u32::from(bits & 0x8000) << 16);
    }
    out
}

/// A number as weights are kept.
pub(crate) trait Element: Copy + Default + Send + Sync + std::fmt::Debug + 'static {
    fn widen<L: Lanes>(lanes: L, xs: &[Self; LANES]) -> L::Vector;
    fn number(self) -> f32;
}

impl Element for f32 {
    #[inline(always)]
    fn widen<L: Lanes>(lanes: L, xs: &[Self; LANES]) -> L::Vector {
        lanes.load(xs)
    }

    #[inline(always)]
    fn number(self) -> f32 {
        self
    }
}

impl Element for bf16 {
    #[inline(always)]
    fn widen<L: Lanes>(lanes: L, xs: &[Self; LANES]) -> L::Vector {
        match xs.reinterpret_cast().first_chunk() {
            Some(bits) => lanes.widen_bf16(bits),
            None => lanes.splat(0.0),
        }
    }

    #[inline(always)]
    fn number(self) -> f32 {
        self.to_f32()
    }
}

impl Element for f16 {
    #[inline(always)]
    fn widen<L: Lanes>(lanes: L, xs: &[Self; LANES]) -> L::Vector {
        match xs.reinterpret_cast().first_chunk() {
            Some(bits) => lanes.widen_f16(bits),
            None => lanes.splat(0.0),
        }
    }

    #[inline(always)]
    fn number(self) -> f32 {
        self.to_f32()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Products<'a>(&'a [f32; LANES], &'a [f32; LANES]);

    impl LaneWork for Products<'_> {
        type Output = (f32, [f32; LANES]);

        fn run<L: Lanes>(self, lanes: L) -> Self::Output {
            let (left, right) = (lanes.load(self.0), lanes.load(self.1));
            let product = lanes.mul_add(left, right, lanes.splat(0.5));
            (lanes.sum(product), lanes.store(product))
        }
    }

    #[test]
    fn vectors_compute_what_plain_code_does() {
        let left: [f32; LANES] = std::array::from_fn(|lane| lane as f32);
        let right = [2.0; LANES];
        let expected: [f32; LANES] = std::array::from_fn(|lane| 2.0 * lane as f32 + 0.5);
        assert_eq!(on_lanes(Products(&left, &right)), (248.0, expected));
        assert_eq!(Products(&left, &right).run(Plain), (248.0, expected));
    }

    struct Widened<E: Element>([E; LANES]);

    impl<E: Element> LaneWork for Widened<E> {
        type Output = [f32; LANES];

        fn run<L: Lanes>(self, lanes: L) -> Self::Output {
            lanes.store(E::widen(lanes, &self.0))
        }
    }

    #[test]
    fn half_precision_numbers_keep_their_values() {
        // From the largest to those below the normal range.
        let numbers: [f32; LANES] = std::array::from_fn(|lane| (-0.2_f32).powi(lane as i32) * 3e4);
        let (half, brain) = (numbers.map(f16::from_f32), numbers.map(bf16::from_f32));
        assert_eq!(on_lanes(Widened(half)), half.map(f16::to_f32));
        assert_eq!(Widened(half).run(Plain), half.map(f16::to_f32));
        assert_eq!(on_lanes(Widened(brain)), brain.map(bf16::to_f32));
    }
}
