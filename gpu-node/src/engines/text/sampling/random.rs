//! One random number per place in a text: a function of the seed, the choice and the position alone.

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{RngCore, SeedableRng},
};

/// A number in `0..1`. It does not depend on what was drawn before, so a text that is computed again, or beside
/// others, meets the same numbers.
pub(super) fn uniform(seed: u64, choice: u64, position: u64) -> f64 {
    let mut key = [0_u8; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&choice.to_le_bytes());
    let mut random = ChaCha20Rng::from_seed(key);
    random.set_stream(position);
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_seed_choice_and_position_has_its_own_number() {
        let first = uniform(7, 0, 0);
        assert_eq!(first, uniform(7, 0, 0));
        for other in [uniform(8, 0, 0), uniform(7, 1, 0), uniform(7, 0, 1)] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn the_numbers_fill_the_interval_evenly() {
        let mut tenths = [0_u32; 10];
        for position in 0..10_000 {
            tenths[(uniform(3, 2, position) * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|&count| (900..1100).contains(&count)), "{tenths:?}");
    }
}
