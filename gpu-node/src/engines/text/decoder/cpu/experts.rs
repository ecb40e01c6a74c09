//! A mixture of experts (Shazeer et al. 2017): each row is computed by the few experts that its router prefers.

use rayon::prelude::*;

use super::layer::FeedForward;
use crate::engines::{
    EngineError,
    text::{
        config::ExpertsConfig,
        decoder::routing::{Share, route},
        kernels::{Linear, add},
        weights::WeightSource,
    },
};

/// The experts of one layer and their router.
#[derive(Debug)]
pub(super) struct Experts {
    router: Linear,
    experts: Vec<FeedForward>,
    config: ExpertsConfig,
    hidden: usize,
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
        let shares = route(&self.router.forward(xs), self.config);
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
}
