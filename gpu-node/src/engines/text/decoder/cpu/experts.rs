//! A mixture of experts (Shazeer et al. 2017): each row is computed by the few experts that its router prefers.

use rayon::prelude::*;

use super::{
    layer::{FeedForward, Linear},
    rows::add,
};
use crate::engines::{
    EngineError,
    layers::vector::exp,
    text::{config::ExpertsConfig, weights::WeightSource},
};

/// The experts of one layer and their router.
#[derive(Debug)]
pub(super) struct Experts {
    router: Linear,
    experts: Vec<FeedForward>,
    config: ExpertsConfig,
    hidden: usize,
}

/// A row that an expert computes, and the weight of its result.
#[derive(Debug, Clone, Copy)]
struct Share {
    row: usize,
    weight: f32,
}

impl Experts {
    pub(super) fn load(
        source: &dyn WeightSource,
        name: &str,
        hidden: usize,
        config: ExpertsConfig,
    ) -> Result<Self, EngineError> {
        let expert = |index| {
            let name = format!("{name}.experts.{index}");
            FeedForward::load(source, &name, (hidden, config.width), false)
        };
        Ok(Self {
            router: Linear::load(source, &format!("{name}.gate"), (config.count, hidden), false)?,
            experts: (0..config.count).map(expert).collect::<Result<_, _>>()?,
            config,
            hidden,
        })
    }

    pub(super) fn forward(&self, xs: &[f32]) -> Vec<f32> {
        let shares = self.route(xs);
        let busy: Vec<(&FeedForward, &Vec<Share>)> =
            self.experts.iter().zip(&shares).filter(|(_, shares)| !shares.is_empty()).collect();
        let results: Vec<Vec<f32>> = busy
            .par_iter()
            .map(|(expert, shares)| {
                let rows: Vec<f32> = shares
                    .iter()
                    .flat_map(|share| &xs[share.row * self.hidden..(share.row + 1) * self.hidden])
                    .copied()
                    .collect();
                expert.forward(&rows)
            })
            .collect();
        // In the order of the experts, so that a row's sum does not depend on its neighbours.
        let mut out = vec![0.0; xs.len()];
        for ((_, shares), results) in busy.iter().zip(results) {
            for (share, mut result) in shares.iter().zip(results.chunks(self.hidden).map(Vec::from))
            {
                result.iter_mut().for_each(|x| *x *= share.weight);
                add(&mut out[share.row * self.hidden..(share.row + 1) * self.hidden], &result);
            }
        }
        out
    }

    pub(super) fn bytes(&self) -> usize {
        self.router.bytes() + self.experts.iter().map(FeedForward::bytes).sum::<usize>()
    }

    /// The rows of each expert.
    fn route(&self, xs: &[f32]) -> Vec<Vec<Share>> {
        let mut shares = vec![Vec::new(); self.experts.len()];
        for (row, scores) in self.router.forward(xs).chunks(self.experts.len()).enumerate() {
            for (expert, weight) in choose(scores, self.config) {
                shares[expert].push(Share { row, weight });
            }
        }
        shares
    }
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
