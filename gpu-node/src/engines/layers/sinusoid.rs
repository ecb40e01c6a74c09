//! A moment of the denoising as waves of many lengths.

use candle_core::{Device, Result, Tensor};

/// Cosines and then sines of `time` at `width / 2` frequencies from 1 down to almost 1 / 10,000, as `(1, width)`.
///
/// The angles reach 1,000, so they are rounded to f32 where the references round them.
pub(crate) fn sinusoid(time: f64, width: usize, device: &Device) -> Result<Tensor> {
    let half = width / 2;
    let angles = (0..half).map(|index| {
        let exponent = -(10_000_f64.ln() as f32) * index as f32 / half as f32;
        let frequency = f64::from(exponent).exp() as f32;
        f64::from(time as f32 * frequency)
    });
    let waves = angles.clone().map(f64::cos).chain(angles.map(f64::sin));
    Tensor::from_vec(waves.map(|wave| wave as f32).collect(), (1, 2 * half), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_come_first_and_slow_waves_last() {
        let waves = sinusoid(2.0, 4, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        let expected = [2_f32.cos(), 0.02_f32.cos(), 2_f32.sin(), 0.02_f32.sin()];
        for (found, expected) in waves[0].iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{waves:?}");
        }
    }
}
