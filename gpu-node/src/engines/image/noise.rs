//! The random numbers of a picture: a function of its seed alone, the same on every machine.

use std::f64::consts::TAU;

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng},
};

/// Normal numbers for one picture. `draw` 0 is the first noise, `n` the one that step `n` adds: each is
/// its own stream, so the picture does not depend on what else was drawn.
pub(super) fn normal_noise(seed: u64, draw: u64, count: usize) -> Vec<f32> {
    let mut key = [0_u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    let mut random = ChaCha20Rng::from_seed(key);
    random.set_stream(draw);
    let mut uniform = || (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let mut numbers = Vec::with_capacity(count + 1);
    while numbers.len() < count {
        // Box and Muller: two uniform numbers make two normal ones. The first must not be zero.
        let radius = (-2.0 * (1.0 - uniform()).ln()).sqrt();
        let angle = TAU * uniform();
        numbers.push((radius * angle.cos()) as f32);
        numbers.push((radius * angle.sin()) as f32);
    }
    numbers.truncate(count);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_numbers() {
        let expected = normal_noise(7, 0, 5);
        assert_eq!(normal_noise(7, 0, 5), expected);
        assert_eq!(normal_noise(7, 0, 3), expected[..3]);
        assert_ne!(normal_noise(8, 0, 5), expected);
        assert_ne!(normal_noise(7, 1, 5), expected);
    }

    #[test]
    fn the_numbers_of_seed_7_never_change() {
        let found = normal_noise(7, 0, 4);
        let expected = [0.744_967_3_f32, 0.262_358_37, 0.319_171_46, 0.526_031_14];
        for (index, expected) in expected.into_iter().enumerate() {
            assert!((found[index] - expected).abs() < 1e-6, "{found:?}");
        }
    }

    #[test]
    fn they_are_normal() {
        let numbers = normal_noise(1, 0, 1_000_000);
        let count = numbers.len() as f64;
        let mean = numbers.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
        let moment = |power: i32| {
            numbers.iter().map(|x| (f64::from(*x) - mean).powi(power)).sum::<f64>() / count
        };
        assert!(mean.abs() < 0.01 && (moment(2) - 1.0).abs() < 0.02, "{mean} {}", moment(2));
        assert!(moment(3).abs() < 0.02, "{}", moment(3));
        assert!((moment(4) - 3.0).abs() < 0.05, "{}", moment(4));
    }
}
