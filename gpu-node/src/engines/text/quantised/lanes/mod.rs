//! Sixteen numbers at a time: the few vector operations the kernels are made of, per instruction set.
//!
//! A kernel is written once over `Lanes` and compiled once per set. Integers are exact and every float operation is
//! one IEEE operation (a fused multiply-add where it says so), so that all sets give the same bits.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;

use std::sync::OnceLock;

/// 64 codes: four consecutive inputs of each of 16 outputs.
pub(super) type Line = [u8; 64];

/// Sixteen lanes; a value of the type proves that the processor has the instructions.
pub(super) trait Lanes: Copy {
    type Bytes: Copy;
    type Ints: Copy;
    type Floats: Copy;

    fn bytes(self, line: &Line) -> Self::Bytes;
    /// Bits 0 to 3 of each byte.
    fn low_nibbles(self, bytes: Self::Bytes) -> Self::Bytes;
    /// Bits 4 to 7 of each byte.
    fn high_nibbles(self, bytes: Self::Bytes) -> Self::Bytes;
    /// `low | (high << LEFT >> RIGHT & mask)`, bytewise; `mask` keeps bits that stay within their byte.
    fn insert_bits<const LEFT: u32, const RIGHT: u32>(
        self,
        low: Self::Bytes,
        high: Self::Bytes,
        mask: u8,
    ) -> Self::Bytes;
    /// The same number in all lanes.
    fn ints(self, value: i32) -> Self::Ints;
    fn shift_left<const BITS: u32>(self, ints: Self::Ints) -> Self::Ints;
    /// Adds to each lane the product of its four codes (at most 127) with the four inputs (-127 to 127).
    fn dot(self, sum: Self::Ints, codes: Self::Bytes, inputs: [i8; 4]) -> Self::Ints;
    /// As `dot`, for codes up to 255.
    fn dot_wide(self, sum: Self::Ints, codes: Self::Bytes, inputs: [i8; 4]) -> Self::Ints;
    fn to_floats(self, ints: Self::Ints) -> Self::Floats;
    fn floats(self, value: f32) -> Self::Floats;
    fn load(self, values: &[f32; 16]) -> Self::Floats;
    fn store(self, values: Self::Floats, out: &mut [f32; 16]);
    /// Half-precision numbers, little-endian.
    fn halves(self, values: &[u8; 32]) -> Self::Floats;
    fn unsigned(self, values: &[u8; 16]) -> Self::Floats;
    fn signed(self, values: &[u8; 16]) -> Self::Floats;
    fn multiply(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a · b + c`, rounded once.
    fn multiply_add(self, a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
}

/// A computation over whatever lanes there are; `run` must be inlined to be compiled for them.
pub(super) trait Kernel {
    fn run<L: Lanes>(self, lanes: L);
}

/// An instruction set to compute with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instructions {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Instructions {
    /// What this processor has, the fastest first.
    pub fn available() -> Vec<Self> {
        let mut sets = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if avx512::Avx512::detect().is_some() {
                sets.push(Self::Avx512);
            }
            if avx2::Avx2::detect().is_some() {
                sets.push(Self::Avx2);
            }
        }
        sets.push(Self::Portable);
        sets
    }

    /// The fastest one, looked up once.
    pub fn best() -> Self {
        static BEST: OnceLock<Instructions> = OnceLock::new();
        *BEST.get_or_init(|| Self::available().first().copied().unwrap_or(Self::Portable))
    }

    /// Runs the kernel; a set the processor lacks is replaced by the portable one.
    pub(super) fn run(self, kernel: impl Kernel) {
        #[cfg(target_arch = "x86_64")]
        match self {
            Self::Avx512 => {
                if let Some(lanes) = avx512::Avx512::detect() {
                    return lanes.run(kernel);
                }
            }
            Self::Avx2 => {
                if let Some(lanes) = avx2::Avx2::detect() {
                    return lanes.run(kernel);
                }
            }
            Self::Portable => {}
        }
        kernel.run(portable::Portable);
    }
}
