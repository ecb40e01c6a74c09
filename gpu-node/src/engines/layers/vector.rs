//! Loops over numbers, compiled for the widest vectors the processor has. No tensors here.

/// Runs `work` with the processor's vector instructions switched on.
#[inline(always)]
pub(crate) fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// `e^x` to within 2 units in the last place; the standard library's cannot be vectorised.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Rounds to an integer when added: the sum's low bits are that integer.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    // ln 2 in two parts, so that the remainder loses no digits.
    let rest = (x - whole * 0.693_359_4) - whole * -2.121_944_4e-4;
    let mut sum = 1.987_569_2e-4;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = sum * rest + coefficient;
    }
    let fraction = sum * rest * rest + rest + 1.0;
    fraction * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// `x · sigmoid(x)`.
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// `x · Φ(x)` with the error function to 2e-7 (Abramowitz and Stegun 7.1.26).
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let mut sum = 1.061_405_4;
    for coefficient in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        sum = sum * t + coefficient;
    }
    let erf = 1.0 - sum * t * exp(-z * z);
    0.5 * (x + x.abs() * erf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_agrees_with_the_standard_library() {
        for step in -8_000..8_000 {
            let x = step as f32 * 0.01;
            let error = (exp(x) / x.exp() - 1.0).abs();
            assert!(error < 4e-7, "exp({x}) is off by {error}");
        }
    }

    #[test]
    fn gelu_has_its_known_values_and_tails() {
        for (x, expected) in [(0.0, 0.0), (1.0, 0.841_344_7), (-1.0, -0.158_655_3), (3.0, 2.995_95)]
        {
            assert!((gelu(x) - expected).abs() < 1e-6, "gelu({x}) = {}", gelu(x));
        }
        assert!((gelu(20.0) - 20.0).abs() < 1e-5 && gelu(-20.0).abs() < 1e-5);
    }

    #[test]
    fn silu_stays_finite_at_the_ends() {
        assert!(silu(-1e4).abs() < 1e-3);
        assert_eq!(silu(1e4), 1e4);
    }
}
