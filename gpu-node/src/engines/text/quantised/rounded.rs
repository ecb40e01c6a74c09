//! What goes into a product: rows of floats, cut into tiles of rows and, for integer products, rounded to bytes.

/// 32 inputs of one row as integers: `inputs[i] ≈ scale · values[i]`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[repr(C)]
pub(super) struct Rounded {
    pub(super) values: [[i8; 4]; 8],
    pub(super) scale: f32,
    /// Minus the sum of the values, of all 32 and of each half.
    pub(super) minus_sum: i32,
    pub(super) minus_half_sums: [i32; 2],
}

impl Rounded {
    /// Rounds to the nearest of 255 steps, half to even. What is not finite makes the scale not a number.
    #[inline(always)]
    pub(super) fn new(inputs: &[f32; 32]) -> Self {
        // As integers the bits of floats without their sign are in the order of the floats, and NaN comes last.
        let bits = inputs.iter().fold(0, |most, input| most.max(input.to_bits() & 0x7fff_ffff));
        let most = f32::from_bits(bits);
        if !most.is_finite() {
            return Self { scale: f32::NAN, ..Self::default() };
        }
        // Below this the inverse overflows; such inputs are zero for every purpose.
        if most < 1e-30 {
            return Self::default();
        }
        let inverse = 127.0 / most;
        // Adding and taking away 1.5 · 2²³ leaves no room for a fraction: the addition rounds.
        const SHIFT: f32 = 12_582_912.0;
        let round = |input: f32| {
            ((input * inverse + SHIFT).to_bits() as i32).wrapping_sub(SHIFT.to_bits() as i32)
        };
        let mut values = [0_i8; 32];
        let mut minus_half_sums = [0; 2];
        for (half, inputs) in inputs.as_chunks::<16>().0.iter().enumerate() {
            for (i, input) in inputs.iter().enumerate() {
                let value = round(*input);
                minus_half_sums[half] -= value;
                values[half * 16 + i] = value as i8;
            }
        }
        let mut groups = [[0; 4]; 8];
        groups.copy_from_slice(values.as_chunks().0);
        Self {
            values: groups,
            scale: most / 127.0,
            minus_sum: minus_half_sums[0] + minus_half_sums[1],
            minus_half_sums,
        }
    }
}
