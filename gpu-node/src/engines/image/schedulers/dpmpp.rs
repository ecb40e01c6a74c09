//! DPM-Solver++ of second order, multistep, midpoint (Lu et al. 2022): <https://arxiv.org/abs/2211.01095>.

use candle_core::{Result, Tensor};

use super::{
    Prediction, ScheduleConfig, Scheduler, combine,
    schedule::{FinalSigma, Spacing, interpolate},
};

pub(super) struct DpmppMultistep {
    prediction: Prediction,
    timesteps: Vec<f64>,
    /// One per step and one after the last.
    sigmas: Vec<f64>,
    order: usize,
    is_last_first_order: bool,
    /// The prediction of the picture at the step before.
    previous: Option<Tensor>,
}

impl DpmppMultistep {
    pub(super) fn new(config: &ScheduleConfig, steps: usize) -> Result<Self> {
        // With these two spacings the reference cuts one step more and leaves the last one out.
        let timesteps: Vec<f64> = match config.spacing.unwrap_or(Spacing::Linspace) {
            Spacing::Trailing => config.timesteps(steps, Spacing::Trailing)?,
            spacing => {
                let mut timesteps = config.timesteps(steps + 1, spacing)?;
                timesteps.pop();
                timesteps.iter().map(|time| time.round_ties_even()).collect()
            }
        };
        let all = config.sigmas();
        let mut sigmas: Vec<f64> = timesteps.iter().map(|time| interpolate(&all, *time)).collect();
        sigmas.push(config.last_sigma());
        Ok(Self {
            prediction: config.prediction,
            timesteps,
            sigmas,
            order: config.solver_order,
            is_last_first_order: config.euler_at_final
                || (config.lower_order_final && steps < 15)
                || config.final_sigma == FinalSigma::Zero,
            previous: None,
        })
    }

    /// Signal, noise, and half the logarithm of their squared ratio.
    fn levels(&self, step: usize) -> (f64, f64, f64) {
        let sigma = self.sigmas[step];
        let alpha = 1.0 / (sigma * sigma + 1.0).sqrt();
        (alpha, sigma * alpha, -sigma.ln())
    }
}

impl Scheduler for DpmppMultistep {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn add_noise(&self, step: usize, sample: &Tensor, noise: &Tensor) -> Result<Tensor> {
        let (alpha, sigma, _) = self.levels(step);
        combine((alpha, sample), (sigma, noise))
    }

    fn original(&self, step: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        let (alpha, sigma, _) = self.levels(step);
        match self.prediction {
            Prediction::Epsilon => combine((1.0 / alpha, sample), (-sigma / alpha, output)),
            Prediction::Sample => Ok(output.clone()),
            Prediction::VPrediction => combine((alpha, sample), (-sigma, output)),
        }
    }

    fn step(
        &mut self,
        step: usize,
        output: &Tensor,
        sample: &Tensor,
        _noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (_, sigma, lambda) = self.levels(step);
        let original = self.original(step, output, sample)?;
        let (next_alpha, next_sigma, next_lambda) = self.levels(step + 1);
        let width = next_lambda - lambda;
        // `1 − e^−h`, which is 1 where the last sigma is zero and h infinite.
        let share = -(-width).exp_m1();
        let mut next = combine((next_sigma / sigma, sample), (next_alpha * share, &original))?;
        let is_last = step + 1 == self.timesteps.len();
        let is_first_order = self.order == 1 || (is_last && self.is_last_first_order);
        if let (Some(previous), false) = (&self.previous, is_first_order) {
            let ratio = (lambda - self.levels(step - 1).2) / width;
            let slope = 0.5 * next_alpha * share / ratio;
            next = (next + combine((slope, &original), (-slope, previous))?)?;
        }
        self.previous = Some(original);
        Ok(next)
    }
}
