//! What a `scheduler_config.json` says: how much noise there is at each of the training's timesteps.

use std::{f64::consts::FRAC_PI_2, path::Path};

use candle_core::{Result, bail};
use serde::Deserialize;
use serde_json::json;

use crate::engines::config_file::ConfigFile;

/// What the model was trained to predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prediction {
    Epsilon,
    VPrediction,
    Sample,
}

/// How a run's timesteps are spread over the training's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Spacing {
    Linspace,
    Leading,
    Trailing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum BetaSchedule {
    Linear,
    ScaledLinear,
    SquaredcosCapV2,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FinalSigma {
    Zero,
    SigmaMin,
}

/// The part of a scheduler's configuration that every sampler shares; a key the file does not have takes
/// the default of the sampler that is asked for, which is why some stay `None`.
#[derive(Debug, Clone)]
pub struct ScheduleConfig {
    pub prediction: Prediction,
    /// The product of `1 − β` up to each training timestep.
    pub(super) alphas: Vec<f64>,
    pub(super) spacing: Option<Spacing>,
    pub(super) steps_offset: usize,
    pub(super) clip_sample: Option<bool>,
    pub(super) clip_sample_range: f64,
    pub(super) set_alpha_to_one: bool,
    pub(super) final_sigma: FinalSigma,
    pub(super) solver_order: usize,
    pub(super) lower_order_final: bool,
    pub(super) euler_at_final: bool,
    has_zero_snr: bool,
}

impl ScheduleConfig {
    /// Reads `scheduler_config.json` of one folder; a setting that no sampler here follows is an error.
    pub fn read(folder: &Path) -> Result<Self> {
        let file = ConfigFile::read(folder, "scheduler_config.json")?;
        let class: String = file.get("_class_name", String::new())?;
        if class.starts_with("FlowMatch") {
            return file.refuse("_class_name", &class);
        }
        file.only(&[
            ("thresholding", json!(false)),
            ("use_karras_sigmas", json!(false)),
            ("use_exponential_sigmas", json!(false)),
            ("use_beta_sigmas", json!(false)),
            ("use_lu_lambdas", json!(false)),
            ("use_flow_sigmas", json!(false)),
            ("use_dynamic_shifting", json!(false)),
            ("timestep_type", json!("discrete")),
            ("interpolation_type", json!("linear")),
            ("algorithm_type", json!("dpmsolver++")),
            ("solver_type", json!("midpoint")),
            ("variance_type", json!(null)),
        ])?;
        let solver_order = file.get("solver_order", 2)?;
        if !(1..=2).contains(&solver_order) {
            return file.refuse("solver_order", &solver_order.to_string());
        }
        let steps: usize = file.get("num_train_timesteps", 1000)?;
        let betas = match file.find::<Vec<f64>>("trained_betas")? {
            Some(betas) => betas,
            None => betas(
                file.get("beta_schedule", BetaSchedule::Linear)?,
                file.get("beta_start", 0.0001)?,
                file.get("beta_end", 0.02)?,
                steps,
            ),
        };
        let has_zero_snr = file.get("rescale_betas_zero_snr", false)?;
        if betas.len() < 2 {
            bail!("scheduler_config.json: a schedule needs at least two timesteps");
        }
        Ok(Self {
            prediction: file.get("prediction_type", Prediction::Epsilon)?,
            alphas: cumulated_alphas(&betas, has_zero_snr),
            spacing: file.find("timestep_spacing")?,
            steps_offset: file.get("steps_offset", 0)?,
            clip_sample: file.find("clip_sample")?,
            clip_sample_range: file.get("clip_sample_range", 1.0)?,
            set_alpha_to_one: file.get("set_alpha_to_one", true)?,
            final_sigma: file.get("final_sigmas_type", FinalSigma::Zero)?,
            solver_order,
            lower_order_final: file.get("lower_order_final", true)?,
            euler_at_final: file.get("euler_at_final", false)?,
            has_zero_snr,
        })
    }

    /// Noise over signal at each training timestep.
    pub(super) fn sigmas(&self) -> Vec<f64> {
        let last = self.alphas.len() - 1;
        let sigma = |(index, alpha): (usize, &f64)| {
            // Nothing but noise would be an infinite ratio; the reference takes f16's smallest number.
            let alpha = if self.has_zero_snr && index == last { 2_f64.powi(-24) } else { *alpha };
            ((1.0 - alpha) / alpha).sqrt()
        };
        self.alphas.iter().enumerate().map(sigma).collect()
    }

    /// The sigma that follows the last step.
    pub(super) fn last_sigma(&self) -> f64 {
        match self.final_sigma {
            FinalSigma::Zero => 0.0,
            FinalSigma::SigmaMin => self.sigmas()[0],
        }
    }

    /// A run's timesteps, from the noisiest on.
    pub(super) fn timesteps(&self, steps: usize, spacing: Spacing) -> Result<Vec<f64>> {
        let all = self.alphas.len();
        if steps == 0 || steps > all {
            bail!("a run has between 1 and {all} steps");
        }
        let timesteps: Vec<f64> = match spacing {
            Spacing::Linspace if steps == 1 => vec![0.0],
            Spacing::Linspace => {
                let width = (all - 1) as f64 / (steps - 1) as f64;
                (0..steps).rev().map(|index| index as f64 * width).collect()
            }
            Spacing::Leading => {
                let width = all / steps;
                (0..steps).rev().map(|index| (index * width + self.steps_offset) as f64).collect()
            }
            Spacing::Trailing => {
                let width = all as f64 / steps as f64;
                let timestep = |index| (all as f64 - index as f64 * width).round_ties_even() - 1.0;
                (0..steps).map(timestep).collect()
            }
        };
        if timesteps.iter().any(|timestep| *timestep > (all - 1) as f64) {
            bail!("`steps_offset` {} leads out of the schedule", self.steps_offset);
        }
        Ok(timesteps)
    }
}

/// The value at a fractional index.
pub(super) fn interpolate(values: &[f64], index: f64) -> f64 {
    let below = index.floor().max(0.0) as usize;
    match (values.get(below), values.get(below + 1)) {
        (Some(low), Some(high)) => low + (high - low) * index.fract(),
        _ => values.last().copied().unwrap_or(0.0),
    }
}

fn betas(schedule: BetaSchedule, start: f64, end: f64, steps: usize) -> Vec<f64> {
    let line = |start: f64, end: f64| {
        let width = (end - start) / (steps.max(2) - 1) as f64;
        (0..steps).map(move |index| start + index as f64 * width)
    };
    match schedule {
        BetaSchedule::Linear => line(start, end).collect(),
        BetaSchedule::ScaledLinear => {
            line(start.sqrt(), end.sqrt()).map(|root| root * root).collect()
        }
        BetaSchedule::SquaredcosCapV2 => {
            let bar = |time: f64| ((time + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2);
            let time = |index: usize| index as f64 / steps as f64;
            (0..steps)
                .map(|index| (1.0 - bar(time(index + 1)) / bar(time(index))).min(0.999))
                .collect()
        }
    }
}

/// With `to_zero`, shifted and scaled so that the last timestep has no signal at all
/// (Lin et al. 2023, algorithm 1: <https://arxiv.org/abs/2305.08891>).
fn cumulated_alphas(betas: &[f64], to_zero: bool) -> Vec<f64> {
    let mut product = 1.0;
    let mut alphas: Vec<f64> = betas
        .iter()
        .map(|beta| {
            product *= 1.0 - beta;
            product
        })
        .collect();
    if let (true, Some(first), Some(last)) = (to_zero, alphas.first(), alphas.last()) {
        let (first, last) = (first.sqrt(), last.sqrt());
        for alpha in &mut alphas {
            *alpha = ((alpha.sqrt() - last) * first / (first - last)).powi(2);
        }
    }
    alphas
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cosine_schedule_is_not_all_or_nothing() {
        let betas = betas(BetaSchedule::SquaredcosCapV2, 0.0, 0.0, 1000);
        assert!((betas[0] - 4.128_422e-5).abs() < 1e-9, "{}", betas[0]);
        assert!(betas[500] > 0.002 && betas[500] < 0.005);
        assert_eq!(betas[999], 0.999);
    }

    #[test]
    fn zero_terminal_snr_keeps_the_first_alpha_and_ends_at_zero() {
        let betas = betas(BetaSchedule::ScaledLinear, 0.00085, 0.012, 1000);
        let (plain, zero) = (cumulated_alphas(&betas, false), cumulated_alphas(&betas, true));
        assert!((plain[0] - zero[0]).abs() < 1e-12);
        assert_eq!(zero[999], 0.0);
    }

    #[test]
    fn interpolates_between_neighbours() {
        assert_eq!(interpolate(&[1.0, 3.0], 0.25), 1.5);
        assert_eq!(interpolate(&[1.0, 3.0], 1.0), 3.0);
    }
}
