//! DDIM without added noise (Song et al. 2021): <https://arxiv.org/abs/2010.02502>, formula 12.

use candle_core::{Result, Tensor, bail};

use super::{Prediction, ScheduleConfig, Scheduler, combine, schedule::Spacing};

pub(super) struct Ddim {
    prediction: Prediction,
    timesteps: Vec<f64>,
    /// The alphas at each step and after it.
    alphas: Vec<(f64, f64)>,
    clip: Option<f64>,
}

impl Ddim {
    pub(super) fn new(config: &ScheduleConfig, steps: usize) -> Result<Self> {
        let spacing = config.spacing.unwrap_or(Spacing::Leading);
        // This sampler reads its tables at whole timesteps.
        let timesteps: Vec<f64> =
            config.timesteps(steps, spacing)?.iter().map(|time| time.round_ties_even()).collect();
        let width = config.alphas.len() / steps;
        let last = if config.set_alpha_to_one { 1.0 } else { config.alphas[0] };
        let alphas: Vec<(f64, f64)> = timesteps
            .iter()
            .map(|time| {
                let time = *time as usize;
                let after = time.checked_sub(width).map_or(last, |time| config.alphas[time]);
                (config.alphas[time], after)
            })
            .collect();
        if config.prediction != Prediction::VPrediction && alphas.iter().any(|pair| pair.0 <= 0.0) {
            bail!("a timestep without any signal needs a model that predicts v");
        }
        let clip = config.clip_sample.unwrap_or(true).then_some(config.clip_sample_range);
        Ok(Self { prediction: config.prediction, timesteps, alphas, clip })
    }

    /// The clean sample and the noise in a sample.
    fn parts(&self, step: usize, output: &Tensor, sample: &Tensor) -> Result<(Tensor, Tensor)> {
        let (alpha, _) = self.alphas[step];
        let (signal, noise) = (alpha.sqrt(), (1.0 - alpha).sqrt());
        let (original, epsilon) = match self.prediction {
            Prediction::Epsilon => {
                let original = combine((1.0 / signal, sample), (-noise / signal, output))?;
                (original, output.clone())
            }
            Prediction::Sample => {
                let epsilon = combine((1.0 / noise, sample), (-signal / noise, output))?;
                (output.clone(), epsilon)
            }
            Prediction::VPrediction => (
                combine((signal, sample), (-noise, output))?,
                combine((signal, output), (noise, sample))?,
            ),
        };
        let original = match self.clip {
            Some(range) => original.clamp(-range, range)?,
            None => original,
        };
        Ok((original, epsilon))
    }
}

impl Scheduler for Ddim {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    fn add_noise(&self, step: usize, sample: &Tensor, noise: &Tensor) -> Result<Tensor> {
        let (alpha, _) = self.alphas[step];
        combine((alpha.sqrt(), sample), ((1.0 - alpha).sqrt(), noise))
    }

    fn original(&self, step: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        Ok(self.parts(step, output, sample)?.0)
    }

    fn step(
        &mut self,
        step: usize,
        output: &Tensor,
        sample: &Tensor,
        _noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (original, epsilon) = self.parts(step, output, sample)?;
        let (_, after) = self.alphas[step];
        combine((after.sqrt(), &original), ((1.0 - after).sqrt(), &epsilon))
    }
}
