//! Euler and ancestral Euler (Karras et al. 2022, algorithm 2): <https://arxiv.org/abs/2206.00364>.

use candle_core::{Result, Tensor, bail};

use super::{
    Prediction, ScheduleConfig, Scheduler, combine,
    schedule::{Spacing, interpolate},
};

/// What both samplers share: a sigma per step and one after the last.
struct Sigmas {
    prediction: Prediction,
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    initial: f64,
}

impl Sigmas {
    fn new(config: &ScheduleConfig, steps: usize, last: f64) -> Result<Self> {
        let spacing = config.spacing.unwrap_or(Spacing::Linspace);
        let timesteps = config.timesteps(steps, spacing)?;
        let all = config.sigmas();
        let mut sigmas: Vec<f64> = timesteps.iter().map(|time| interpolate(&all, *time)).collect();
        sigmas.push(last);
        let max = sigmas.iter().copied().fold(0.0, f64::max);
        let initial = match spacing {
            Spacing::Leading => (max * max + 1.0).sqrt(),
            Spacing::Linspace | Spacing::Trailing => max,
        };
        Ok(Self { prediction: config.prediction, timesteps, sigmas, initial })
    }

    fn input_scale(&self, step: usize) -> f64 {
        1.0 / (self.sigmas[step].powi(2) + 1.0).sqrt()
    }

    fn add_noise(&self, step: usize, sample: &Tensor, noise: &Tensor) -> Result<Tensor> {
        combine((1.0, sample), (self.sigmas[step], noise))
    }

    fn original(&self, step: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        let sigma = self.sigmas[step];
        match self.prediction {
            Prediction::Epsilon => combine((1.0, sample), (-sigma, output)),
            Prediction::Sample => Ok(output.clone()),
            Prediction::VPrediction => {
                let variance = sigma * sigma + 1.0;
                combine((-sigma / variance.sqrt(), output), (1.0 / variance, sample))
            }
        }
    }

    /// The sample moved along the derivative from its sigma to `target`.
    fn advance(
        &self,
        step: usize,
        target: f64,
        output: &Tensor,
        sample: &Tensor,
    ) -> Result<Tensor> {
        // sample + (sample − original) / sigma · (target − sigma)
        let ratio = target / self.sigmas[step];
        combine((ratio, sample), (1.0 - ratio, &self.original(step, output, sample)?))
    }
}

pub(super) struct Euler(Sigmas);

impl Euler {
    pub(super) fn new(config: &ScheduleConfig, steps: usize) -> Result<Self> {
        Sigmas::new(config, steps, config.last_sigma()).map(Self)
    }
}

impl Scheduler for Euler {
    fn timesteps(&self) -> &[f64] {
        &self.0.timesteps
    }

    fn initial_sigma(&self) -> f64 {
        self.0.initial
    }

    fn input_scale(&self, step: usize) -> f64 {
        self.0.input_scale(step)
    }

    fn add_noise(&self, step: usize, sample: &Tensor, noise: &Tensor) -> Result<Tensor> {
        self.0.add_noise(step, sample, noise)
    }

    fn original(&self, step: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        self.0.original(step, output, sample)
    }

    fn step(
        &mut self,
        step: usize,
        output: &Tensor,
        sample: &Tensor,
        _noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        self.0.advance(step, self.0.sigmas[step + 1], output, sample)
    }
}

pub(super) struct EulerAncestral(Sigmas);

impl EulerAncestral {
    pub(super) fn new(config: &ScheduleConfig, steps: usize) -> Result<Self> {
        if config.prediction == Prediction::Sample {
            bail!("euler_ancestral does not run models that predict the sample");
        }
        Sigmas::new(config, steps, 0.0).map(Self)
    }
}

impl Scheduler for EulerAncestral {
    fn timesteps(&self) -> &[f64] {
        &self.0.timesteps
    }

    fn initial_sigma(&self) -> f64 {
        self.0.initial
    }

    fn input_scale(&self, step: usize) -> f64 {
        self.0.input_scale(step)
    }

    fn draws_noise(&self) -> bool {
        true
    }

    fn add_noise(&self, step: usize, sample: &Tensor, noise: &Tensor) -> Result<Tensor> {
        self.0.add_noise(step, sample, noise)
    }

    fn original(&self, step: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        self.0.original(step, output, sample)
    }

    fn step(
        &mut self,
        step: usize,
        output: &Tensor,
        sample: &Tensor,
        noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (from, to) = (self.0.sigmas[step], self.0.sigmas[step + 1]);
        let up = to * ((from * from - to * to) / (from * from)).max(0.0).sqrt();
        let down = (to * to - up * up).max(0.0).sqrt();
        let sample = self.0.advance(step, down, output, sample)?;
        match noise {
            Some(noise) => combine((1.0, &sample), (up, noise)),
            None => bail!("euler_ancestral needs noise at each step"),
        }
    }
}
