//! Rotary position embeddings (Su et al. 2021): how fast each pair of a head turns, also for stretched contexts.
//!
//! <https://arxiv.org/abs/2104.09864>; YaRN is <https://arxiv.org/abs/2309.00071>.

use std::f64::consts::TAU;

/// Angles per position, one for each pair of a head's halves.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    pub frequencies: Vec<f32>,
    /// Scales cosines and sines.
    pub factor: f32,
}

/// How a model was stretched to contexts longer than those it first learned from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    None,
    Linear {
        factor: f64,
    },
    /// Llama 3.1 and later: slow pairs are slowed, those between are mixed.
    Llama3 {
        factor: f64,
        low: f64,
        high: f64,
        original_context: f64,
    },
    /// Slow pairs are slowed, fast ones kept, with a ramp between two numbers of turns.
    Yarn {
        factor: f64,
        fast_turns: f64,
        slow_turns: f64,
        original_context: f64,
        /// Scales cosines and sines; `None` follows from `factor`.
        attention: Option<f64>,
        /// The ends of the ramp are whole pairs.
        rounds_ramp: bool,
    },
}

impl Rope {
    /// The angles of a head of `width` numbers.
    pub fn new(theta: f64, width: usize, scaling: RopeScaling) -> Self {
        let pairs = width / 2;
        let plain: Vec<f32> = (0..pairs)
            .map(|pair| 1.0 / (theta as f32).powf((2 * pair) as f32 / width as f32))
            .collect();
        match scaling {
            RopeScaling::None => Self { frequencies: plain, factor: 1.0 },
            RopeScaling::Linear { factor } => Self {
                frequencies: plain.iter().map(|frequency| frequency / factor as f32).collect(),
                factor: 1.0,
            },
            RopeScaling::Llama3 { factor, low, high, original_context } => {
                let stretch = |frequency: f32| {
                    let frequency = f64::from(frequency);
                    let turns = original_context * frequency / TAU;
                    let share = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                    ((1.0 - share) * frequency / factor + share * frequency) as f32
                };
                Self { frequencies: plain.into_iter().map(stretch).collect(), factor: 1.0 }
            }
            RopeScaling::Yarn {
                factor,
                fast_turns,
                slow_turns,
                original_context,
                attention,
                rounds_ramp,
            } => {
                let pair_of = |turns: f64| {
                    width as f64 * (original_context / (turns * TAU)).ln() / (2.0 * theta.ln())
                };
                let (mut first, mut last) = (pair_of(fast_turns), pair_of(slow_turns));
                if rounds_ramp {
                    (first, last) = (first.floor(), last.ceil());
                }
                (first, last) = (first.max(0.0), last.min(width as f64 - 1.0));
                let length = if first == last { 0.001 } else { last - first };
                let stretch = |(pair, frequency): (usize, f32)| {
                    let frequency = f64::from(frequency);
                    let share = ((pair as f64 - first) / length).clamp(0.0, 1.0);
                    (frequency / factor * share + frequency * (1.0 - share)) as f32
                };
                let attention = attention.unwrap_or_else(|| yarn_attention(factor, 1.0));
                Self {
                    frequencies: plain.into_iter().enumerate().map(stretch).collect(),
                    factor: attention as f32,
                }
            }
        }
    }

    /// Cosines, then sines, of one position.
    pub fn angles(&self, position: usize) -> (Vec<f32>, Vec<f32>) {
        self.frequencies
            .iter()
            .map(|frequency| {
                let (sin, cos) = (position as f32 * frequency).sin_cos();
                (cos * self.factor, sin * self.factor)
            })
            .unzip()
    }
}

/// The paper's temperature for a context stretched by `factor`.
pub(super) fn yarn_attention(factor: f64, scale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA3: RopeScaling =
        RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original_context: 8192.0 };

    #[test]
    fn llama3_keeps_fast_pairs_and_slows_slow_ones() {
        let plain = Rope::new(5e5, 128, RopeScaling::None).frequencies;
        let stretched = Rope::new(5e5, 128, LLAMA3).frequencies;
        assert_eq!(plain[0], stretched[0]);
        assert!((plain[63] / stretched[63] - 8.0).abs() < 1e-4);
        let between = plain[32] / stretched[32];
        assert!(between > 1.0 && between < 8.0, "{between}");
    }

    #[test]
    fn yarn_has_the_temperature_of_the_paper() {
        let scaling = RopeScaling::Yarn {
            factor: 4.0,
            fast_turns: 32.0,
            slow_turns: 1.0,
            original_context: 32768.0,
            attention: None,
            rounds_ramp: true,
        };
        let rope = Rope::new(1e6, 128, scaling);
        assert!((rope.factor - 1.138_629_4).abs() < 1e-6);
        assert_eq!(rope.frequencies[0], 1.0);
    }
}
