//! The block formats of GGML: how many bytes, and what a block of bytes means.

use half::{bf16, f16};

/// How the numbers of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

/// 32 weights as integers, with what turns them into numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// Whole numbers from 0; symmetric formats store them with an offset.
    pub(super) codes: [u8; 32],
    /// Half-precision scale of the block or of the 256 weights around it.
    pub(super) scale: [u8; 2],
    /// Half-precision scale of the minima.
    pub(super) min: [u8; 2],
    /// K formats: the scale and the minimum of 32 weights, or the two scales of 16.
    pub(super) parts: [u8; 2],
}

impl Format {
    /// The format with this number in a GGUF file.
    pub fn from_ggml(id: u32) -> Option<Self> {
        Some(match id {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// How many numbers share a block; a row is whole blocks.
    pub fn block_values(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Bytes of a row of so many numbers; `None` if they are not whole blocks.
    pub fn row_bytes(self, values: usize) -> Option<usize> {
        let is_whole = values.is_multiple_of(self.block_values());
        is_whole.then(|| (values / self.block_values()).checked_mul(self.block_bytes()))?
    }

    /// Turns whole blocks of bytes into numbers, as GGML does: `out` says how many.
    pub fn dequantise(self, bytes: &[u8], out: &mut [f32]) {
        match self {
            Self::F32 => {
                for (value, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *value = f32::from_le_bytes(*bytes);
                }
            }
            Self::F16 => {
                for (value, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *value = f16::from_le_bytes(*bytes).to_f32();
                }
            }
            Self::Bf16 => {
                for (value, bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
                    *value = bf16::from_le_bytes(*bytes).to_f32();
                }
            }
            _ => {
                let blocks = bytes.chunks_exact(self.block_bytes());
                for (block, out) in blocks.zip(out.chunks_mut(self.block_values())) {
                    for (index, out) in out.as_chunks_mut().0.iter_mut().enumerate() {
                        self.weights(&self.block(block, index), out);
                    }
                }
            }
        }
    }

    /// The numbers that 32 integers stand for.
    pub(super) fn weights(self, block: &Block, out: &mut [f32; 32]) {
        let scale = f16::from_le_bytes(block.scale).to_f32();
        let min = f16::from_le_bytes(block.min).to_f32();
        let [first, second] = block.parts;
        let codes = block.codes.iter().enumerate();
        let numbers = out.iter_mut().zip(codes);
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => {}
            Self::Q4_0 | Self::Q5_0 | Self::Q8_0 => {
                let offset = 1 << self.offset_bits();
                numbers
                    .for_each(|(out, (_, &code))| *out = (i32::from(code) - offset) as f32 * scale);
            }
            Self::Q4_1 | Self::Q5_1 => {
                numbers.for_each(|(out, (_, &code))| *out = f32::from(code) * scale + min);
            }
            Self::Q4K | Self::Q5K => {
                let (scale, min) = (scale * f32::from(first), min * f32::from(second));
                numbers.for_each(|(out, (_, &code))| *out = scale * f32::from(code) - min);
            }
            Self::Q3K | Self::Q6K => {
                let scales = [first, second].map(|part| scale * f32::from(part as i8));
                numbers.for_each(|(out, (i, &code))| {
                    *out = scales[i / 16] * (i32::from(code) - 32) as f32;
                });
            }
        }
    }

    /// A code of `1 << offset_bits` stands for zero in the symmetric formats.
    pub(super) fn offset_bits(self) -> u32 {
        match self {
            Self::Q4_0 => 3,
            Self::Q5_0 => 4,
            Self::Q8_0 => 7,
            _ => 5,
        }
    }

    /// Weights `32 · index ..` of a block of bytes as integers.
    pub(super) fn block(self, bytes: &[u8], index: usize) -> Block {
        let mut block = Block::default();
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => {}
            Self::Q4_0 => {
                block.scale = pair(bytes, 0);
                nibbles(&bytes[2..18], &mut block.codes);
            }
            Self::Q4_1 => {
                block.scale = pair(bytes, 0);
                block.min = pair(bytes, 2);
                nibbles(&bytes[4..20], &mut block.codes);
            }
            Self::Q5_0 => {
                block.scale = pair(bytes, 0);
                nibbles(&bytes[6..22], &mut block.codes);
                fifth_bits(&bytes[2..6], &mut block.codes);
            }
            Self::Q5_1 => {
                block.scale = pair(bytes, 0);
                block.min = pair(bytes, 2);
                nibbles(&bytes[8..24], &mut block.codes);
                fifth_bits(&bytes[4..8], &mut block.codes);
            }
            Self::Q8_0 => {
                block.scale = pair(bytes, 0);
                let codes = block.codes.iter_mut().zip(&bytes[2..34]);
                codes.for_each(|(code, byte)| *code = byte ^ 128);
            }
            Self::Q4K => {
                (block.scale, block.min) = (pair(bytes, 0), pair(bytes, 2));
                block.parts = scale_and_min(&bytes[4..16], index);
                half_bytes(&bytes[16..144], index, &mut block.codes);
            }
            Self::Q5K => {
                (block.scale, block.min) = (pair(bytes, 0), pair(bytes, 2));
                block.parts = scale_and_min(&bytes[4..16], index);
                half_bytes(&bytes[48..176], index, &mut block.codes);
                for (code, high) in block.codes.iter_mut().zip(&bytes[16..48]) {
                    *code |= (high >> index & 1) << 4;
                }
            }
            Self::Q6K => {
                block.scale = pair(bytes, 208);
                block.parts = pair(&bytes[192..208], 2 * index);
                // 128 weights share 64 bytes of low halves and 32 bytes of high bits.
                let (half, quarter) = (index / 4, index % 4);
                let low = &bytes[64 * half + 32 * (quarter % 2)..][..32];
                let high = &bytes[128 + 32 * half..][..32];
                for (code, (low, high)) in block.codes.iter_mut().zip(low.iter().zip(high)) {
                    *code = (low >> (quarter / 2 * 4) & 15) | (high >> (2 * quarter) & 3) << 4;
                }
            }
            Self::Q3K => {
                block.scale = pair(bytes, 108);
                block.parts =
                    [2 * index, 2 * index + 1].map(|part| q3_scale(&bytes[96..108], part));
                let (half, quarter) = (index / 4, index % 4);
                let low = &bytes[32 + 32 * half..][..32];
                for (code, (low, high)) in block.codes.iter_mut().zip(low.iter().zip(bytes)) {
                    // Stored from 0 to 7 for -4 to 3; kept from 28, as Q6_K would.
                    *code = 28 + ((low >> (2 * quarter) & 3) | (high >> index & 1) << 2);
                }
            }
        }
        block
    }
}

fn pair(bytes: &[u8], at: usize) -> [u8; 2] {
    [bytes[at], bytes[at + 1]]
}

/// The low halves of 16 bytes, then the high ones.
fn nibbles(bytes: &[u8], codes: &mut [u8; 32]) {
    let (low, high) = codes.split_at_mut(16);
    for ((low, high), byte) in low.iter_mut().zip(high).zip(bytes) {
        (*low, *high) = (byte & 15, byte >> 4);
    }
}

fn fifth_bits(bytes: &[u8], codes: &mut [u8; 32]) {
    for (i, code) in codes.iter_mut().enumerate() {
        *code |= (bytes[i / 8] >> (i % 8) & 1) << 4;
    }
}

/// The low halves of 32 bytes for even blocks, the high ones of the same bytes for odd blocks.
fn half_bytes(bytes: &[u8], index: usize, codes: &mut [u8; 32]) {
    for (code, byte) in codes.iter_mut().zip(&bytes[index / 2 * 32..]) {
        *code = byte >> (index % 2 * 4) & 15;
    }
}

/// Eight scales and eight minima of six bits in twelve bytes.
fn scale_and_min(bytes: &[u8], index: usize) -> [u8; 2] {
    if index < 4 {
        [bytes[index] & 63, bytes[index + 4] & 63]
    } else {
        let low = bytes[index + 4];
        [low & 15 | (bytes[index - 4] >> 6) << 4, low >> 4 | (bytes[index] >> 6) << 4]
    }
}

/// Sixteen scales of six bits, stored with 32 added.
fn q3_scale(bytes: &[u8], index: usize) -> u8 {
    let low = bytes[index % 8] >> (index / 8 * 4) & 15;
    let high = bytes[8 + index % 4] >> (index / 4 * 2) & 3;
    (low | high << 4).wrapping_sub(32)
}
