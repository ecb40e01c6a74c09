//! The kernels against plain sums over the same blocks, against each other and against candle.

use candle_core::{Device, quantized::GgmlDType, quantized::ggml_file::qtensor_from_ggml};
use half::f16;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    Format, Instructions, PackedMatrix, format::Block, multiply::multiply, rounded::Rounded,
};
use crate::engines::text::weights::Projection;

const PACKED: [Format; 7] =
    [Format::Q4_0, Format::Q5_0, Format::Q8_0, Format::Q3K, Format::Q4K, Format::Q5K, Format::Q6K];

/// Rows of random blocks whose scales are of the size that models have.
fn random_rows(format: Format, (rows, columns): (usize, usize), seed: u64) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut bytes = vec![0; rows * format.row_bytes(columns).unwrap()];
    random.fill(&mut bytes[..]);
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        let scale = f16::from_f32(random.random_range(-0.01..0.01)).to_le_bytes();
        match format {
            Format::Q3K => block[108..].copy_from_slice(&scale),
            Format::Q6K => block[208..].copy_from_slice(&scale),
            _ => block[..2].copy_from_slice(&scale),
        }
        if matches!(format, Format::Q4_1 | Format::Q5_1 | Format::Q4K | Format::Q5K) {
            let min = f16::from_f32(random.random_range(-0.01..0.01)).to_le_bytes();
            block[2..4].copy_from_slice(&min);
        }
    }
    bytes
}

fn random_inputs(count: usize, seed: u64) -> Vec<f32> {
    let mut random = StdRng::seed_from_u64(seed);
    (0..count).map(|_| random.random_range(-2.0..2.0)).collect()
}

fn pack(format: Format, shape: (usize, usize), bytes: &[u8]) -> PackedMatrix {
    let row = format.row_bytes(shape.1).unwrap();
    PackedMatrix::pack(format, shape, |output| &bytes[output * row..][..row]).unwrap()
}

fn product(set: Instructions, matrix: &PackedMatrix, xs: &[f32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; xs.len() / matrix.inputs() * matrix.outputs()];
    multiply(set, matrix, xs, &mut out);
    out
}

/// The same sum from the file's own blocks, one number after the other.
fn reference(format: Format, row: &[u8], xs: &[f32]) -> f32 {
    let per_block = format.block_values() / 32;
    xs.as_chunks().0.iter().enumerate().fold(0.0, |sum, (index, xs)| {
        let bytes = &row[index / per_block * format.block_bytes()..][..format.block_bytes()];
        let Block { codes, scale, min, parts } = format.block(bytes, index % per_block);
        let (scale, min) = (f16::from_le_bytes(scale).to_f32(), f16::from_le_bytes(min).to_f32());
        let rounded = Rounded::new(xs);
        let values = rounded.values.as_flattened();
        let dot = |range: std::ops::Range<usize>, offset: i32| -> f32 {
            let products = codes[range.clone()].iter().zip(&values[range]);
            products
                .map(|(code, value)| (i32::from(*code) - offset) * i32::from(*value))
                .sum::<i32>() as f32
        };
        let both = match format {
            Format::Q4K | Format::Q5K => {
                let total: i32 = values.iter().map(|value| i32::from(*value)).sum();
                let minima = min * f32::from(parts[1]) * -total as f32;
                dot(0..32, 0).mul_add(scale * f32::from(parts[0]), minima)
            }
            Format::Q3K | Format::Q6K => {
                let [first, second] = parts.map(|part| scale * f32::from(part as i8));
                dot(16..32, 32).mul_add(second, dot(0..16, 32) * first)
            }
            _ => dot(0..32, 1 << format.offset_bits()) * scale,
        };
        both.mul_add(rounded.scale, sum)
    })
}

#[test]
fn every_format_means_what_it_means_to_candle() {
    for (format, dtype) in [
        (Format::F32, GgmlDType::F32),
        (Format::F16, GgmlDType::F16),
        (Format::Bf16, GgmlDType::BF16),
        (Format::Q4_0, GgmlDType::Q4_0),
        (Format::Q4_1, GgmlDType::Q4_1),
        (Format::Q5_0, GgmlDType::Q5_0),
        (Format::Q5_1, GgmlDType::Q5_1),
        (Format::Q8_0, GgmlDType::Q8_0),
        (Format::Q3K, GgmlDType::Q3K),
        (Format::Q4K, GgmlDType::Q4K),
        (Format::Q5K, GgmlDType::Q5K),
        (Format::Q6K, GgmlDType::Q6K),
    ] {
        let bytes = match format {
            Format::F32 => random_inputs(2048, 1).iter().flat_map(|x| x.to_le_bytes()).collect(),
            _ => random_rows(format, (4, 512), 1),
        };
        let theirs = qtensor_from_ggml(dtype, &bytes, vec![4, 512], &Device::Cpu).unwrap();
        let theirs = theirs.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
        let theirs: Vec<f32> = theirs.to_vec1().unwrap();
        let mut ours = vec![0.0; 2048];
        format.dequantise(&bytes, &mut ours);
        let bits = |xs: &[f32]| xs.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let same = bits(&ours).into_iter().zip(bits(&theirs)).filter(|(a, b)| a == b).count();
        assert_eq!(same, 2048, "{format:?}");
    }
}

#[test]
fn a_packed_row_is_read_back_exactly() {
    for format in PACKED {
        let shape = (19, 768);
        let bytes = random_rows(format, shape, 2);
        let matrix = pack(format, shape, &bytes);
        let mut all = vec![0.0; 19 * 768];
        format.dequantise(&bytes, &mut all);
        let mut row = vec![0.0; 768];
        for (index, expected) in all.chunks(768).enumerate() {
            matrix.copy_row(index, &mut row);
            assert_eq!(row, expected, "{format:?} {index}");
        }
    }
}

#[test]
fn every_instruction_set_computes_the_exact_reference() {
    for format in PACKED {
        let (shape, rows) = ((21, 768), 11);
        let bytes = random_rows(format, shape, 3);
        let matrix = pack(format, shape, &bytes);
        let xs = random_inputs(rows * 768, 4);
        let expected: Vec<f32> = xs
            .chunks(768)
            .flat_map(|xs| {
                let rows = bytes.chunks(bytes.len() / 21);
                rows.map(|row| reference(format, row, xs)).collect::<Vec<_>>()
            })
            .collect();
        for set in Instructions::available() {
            assert_eq!(product(set, &matrix, &xs), expected, "{format:?} {set:?}");
        }
    }
}

#[test]
fn a_row_is_the_same_in_any_batch() {
    for format in PACKED {
        let shape = (33, 1024);
        let matrix = pack(format, shape, &random_rows(format, shape, 5));
        let xs = random_inputs(530 * 1024, 6);
        let all = product(Instructions::best(), &matrix, &xs);
        for set in Instructions::available() {
            for rows in (1..=17).chain([24, 31]) {
                let some = product(set, &matrix, &xs[3 * 1024..][..rows * 1024]);
                assert_eq!(some, all[3 * 33..][..rows * 33], "{format:?} {set:?} {rows}");
            }
        }
    }
}

/// Rounding inputs to 255 steps of the largest of 32 is wrong by at most half a step each; over a row the errors
/// mostly cancel, so the sum is allowed four standard deviations of them.
#[test]
fn a_product_is_that_of_the_dequantised_weights_up_to_the_rounding_of_inputs() {
    for format in PACKED {
        let shape = (40, 1024);
        let bytes = random_rows(format, shape, 7);
        let matrix = pack(format, shape, &bytes);
        let mut weights = vec![0.0; 40 * 1024];
        format.dequantise(&bytes, &mut weights);
        let xs = random_inputs(1024, 8);
        for (got, weights) in
            product(Instructions::best(), &matrix, &xs).iter().zip(weights.chunks(1024))
        {
            let exact: f64 = weights.iter().zip(&xs).map(|(w, x)| f64::from(w * x)).sum();
            let squares: f32 = weights.iter().map(|weight| weight * weight).sum();
            let allowed = 4.0 * (2.0 / 127.0 / 12_f32.sqrt()) * squares.sqrt();
            let error = (f64::from(*got) - exact).abs();
            assert!(
                error < f64::from(allowed),
                "{format:?}: {error} of {exact}, {allowed} allowed"
            );
        }
    }
}

#[test]
fn zeros_stay_zero_and_what_is_not_finite_is_not_hidden() {
    let shape = (16, 64);
    let matrix = pack(Format::Q8_0, shape, &random_rows(Format::Q8_0, shape, 9));
    assert_eq!(product(Instructions::best(), &matrix, &[0.0; 64]), [0.0; 16]);
    assert_eq!(product(Instructions::best(), &matrix, &[1e-38; 64]), [0.0; 16]);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for set in Instructions::available() {
            let mut xs = [1.0; 128];
            xs[40] = bad;
            let out = product(set, &matrix, &xs);
            assert!(out[..16].iter().all(|x| x.is_nan()), "{bad} {set:?}");
            assert!(out[16..].iter().all(|x| x.is_finite()), "{bad} {set:?}");
        }
    }
}

#[test]
fn a_row_of_broken_blocks_is_not_packed() {
    let bytes = [0; 34 * 4];
    assert!(PackedMatrix::pack(Format::Q8_0, (2, 48), |_| &bytes[..34]).is_none());
    assert!(PackedMatrix::pack(Format::Q8_0, (2, 64), |_| &bytes[..67]).is_none());
    assert!(PackedMatrix::pack(Format::Q4K, (1, 64), |_| &bytes[..36]).is_none());
    assert!(PackedMatrix::pack(Format::F16, (1, 64), |_| &bytes[..128]).is_none());
    assert!(PackedMatrix::pack(Format::Q8_0, (2, 64), |_| &bytes[..68]).is_some());
}
