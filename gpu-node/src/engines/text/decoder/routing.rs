//! Which experts compute a token, and how much each counts.

use crate::engines::{layers::vector::exp, text::config::ExpertsConfig};

/// A row that an expert computes, and the weight of its result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) row: usize,
    pub(super) weight: f32,
}

/// The rows of each expert, from the router's scores of all rows.
pub(super) fn route(scores: &[f32], config: ExpertsConfig) -> Vec<Vec<Share>> {
    let mut shares = vec![Vec::new(); config.count];
    for (row, scores) in scores.chunks(config.count).enumerate() {
        for (expert, weight) in choose(scores, config) {
            shares[expert].push(Share { row, weight });
        }
    }
    shares
}

/// The experts with the highest probabilities, and those.
fn choose(scores: &[f32], config: ExpertsConfig) -> Vec<(usize, f32)> {
    let max = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let likelihoods: Vec<f32> = scores.iter().map(|score| exp(score - max)).collect();
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|left, right| scores[*right].total_cmp(&scores[*left]));
    order.truncate(config.per_token);
    let whole: f32 = if config.normalises_shares {
        order.iter().map(|expert| likelihoods[*expert]).sum()
    } else {
        likelihoods.iter().sum()
    };
    order.into_iter().map(|expert| (expert, likelihoods[expert] / whole)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_experts_are_chosen_and_the_first_of_equals() {
        let config = ExpertsConfig { count: 4, per_token: 2, width: 1, normalises_shares: true };
        let scores = [0.0, 3_f32.ln(), 0.0, -1.0];
        let chosen = choose(&scores, config);
        assert_eq!(chosen.iter().map(|(expert, _)| *expert).collect::<Vec<_>>(), [1, 0]);
        assert!((chosen[0].1 - 0.75).abs() < 1e-6 && (chosen[1].1 - 0.25).abs() < 1e-6);
        let whole = ExpertsConfig { normalises_shares: false, ..config };
        assert!(choose(&scores, whole)[0].1 < 0.6);
    }
}
