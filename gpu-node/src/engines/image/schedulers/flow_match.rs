//! Euler along a straight flow from noise to picture (Esser et al. 2024): <https://arxiv.org/abs/2403.03206>.
//!
//! The model predicts `noise − picture`; at `sigma` a sample is `sigma · noise + (1 − sigma) · picture`.

use std::path::Path;

use candle_core::{Result, Tensor, bail};
use serde::Deserialize;
use serde_json::json;
use shared::node::image::SchedulerKind;

use super::{Scheduler, combine};
use crate::engines::config_file::ConfigFile;

/// Which curve moves the sigmas when the shift depends on the picture's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Curve {
    Exponential,
    Linear,
}

/// What a `scheduler_config.json` of a flow-matching model says.
#[derive(Debug, Clone)]
pub struct FlowMatchConfig {
    training_steps: usize,
    shift: f64,
    /// Set when the shift depends on the picture's size instead.
    dynamic: Option<Curve>,
    /// `(tokens, mu)` of two picture sizes; between them and beyond, a line.
    size_shift: [(f64, f64); 2],
    terminal: Option<f64>,
}

/// The sigmas of a run before any shift.
#[derive(Debug, Clone, PartialEq)]
pub enum FlowSigmas {
    /// As many as there are steps, spread over the training's.
    OfSteps(usize),
    /// Chosen by the model's pipeline.
    Given(Vec<f64>),
}

impl FlowSigmas {
    /// From 1 down to `1 / steps` in equal distances.
    pub fn even(steps: usize) -> Self {
        Self::Given(line((1.0, 1.0 / steps.max(1) as f64), steps))
    }
}

impl FlowMatchConfig {
    /// Reads `scheduler_config.json` of one folder; a setting that is not followed here is an error.
    pub fn read(folder: &Path) -> Result<Self> {
        let file = ConfigFile::read(folder, "scheduler_config.json")?;
        file.only(&[
            ("_class_name", json!("FlowMatchEulerDiscreteScheduler")),
            ("invert_sigmas", json!(false)),
            ("stochastic_sampling", json!(false)),
            ("use_karras_sigmas", json!(false)),
            ("use_exponential_sigmas", json!(false)),
            ("use_beta_sigmas", json!(false)),
        ])?;
        let curve = file.get("time_shift_type", Curve::Exponential)?;
        let training_steps = file.get("num_train_timesteps", 1000)?;
        if training_steps == 0 {
            return file.refuse("num_train_timesteps", "0");
        }
        Ok(Self {
            training_steps,
            shift: file.get("shift", 1.0)?,
            dynamic: file.get("use_dynamic_shifting", false)?.then_some(curve),
            size_shift: [
                (file.get("base_image_seq_len", 256.0)?, file.get("base_shift", 0.5)?),
                (file.get("max_image_seq_len", 4096.0)?, file.get("max_shift", 1.15)?),
            ],
            // The reference takes a zero for none.
            terminal: file.find("shift_terminal")?.filter(|end| *end != 0.0),
        })
    }

    /// The `mu` of a picture that is this many tokens long.
    pub fn size_shift(&self, tokens: usize) -> f64 {
        let [(low, at_low), (high, at_high)] = self.size_shift;
        let slope = (at_high - at_low) / (high - low);
        tokens as f64 * slope + (at_low - slope * low)
    }

    /// The sampler of one run. `mu` counts only where the configuration asks for a shift by size.
    pub fn scheduler(
        &self,
        kind: SchedulerKind,
        sigmas: FlowSigmas,
        mu: Option<f64>,
    ) -> Result<Box<dyn Scheduler>> {
        if kind != SchedulerKind::FlowMatchEuler {
            bail!("this model runs with the scheduler flow_match_euler only");
        }
        Ok(Box::new(self.sampler(sigmas, mu)?))
    }

    fn sampler(&self, sigmas: FlowSigmas, mu: Option<f64>) -> Result<FlowMatchEuler> {
        let mut sigmas = match sigmas {
            // The ends are those of the training's sigmas, which a fixed shift has already moved.
            FlowSigmas::OfSteps(steps) => {
                let first = 1.0 / self.training_steps as f64;
                let ends = match self.dynamic {
                    Some(_) => (1.0, first),
                    None => (fixed_shift(self.shift, 1.0), fixed_shift(self.shift, first)),
                };
                line(ends, steps)
            }
            FlowSigmas::Given(sigmas) => sigmas,
        };
        if sigmas.is_empty() {
            bail!("a run has at least one step");
        }
        for sigma in &mut sigmas {
            *sigma = match (self.dynamic, mu) {
                (None, _) => fixed_shift(self.shift, *sigma),
                (Some(Curve::Exponential), Some(mu)) => fixed_shift(mu.exp(), *sigma),
                (Some(Curve::Linear), Some(mu)) => fixed_shift(mu, *sigma),
                (Some(_), None) => bail!("this schedule needs the picture's size"),
            };
        }
        if let (Some(end), Some(last)) = (self.terminal, sigmas.last().copied()) {
            let factor = (1.0 - last) / (1.0 - end);
            sigmas.iter_mut().for_each(|sigma| *sigma = 1.0 - (1.0 - *sigma) / factor);
        }
        let timesteps = sigmas.iter().map(|sigma| sigma * self.training_steps as f64).collect();
        sigmas.push(0.0);
        Ok(FlowMatchEuler { timesteps, sigmas })
    }
}

/// `count` numbers in equal distances, both ends included; one number is the first end.
fn line((first, last): (f64, f64), count: usize) -> Vec<f64> {
    let width = (last - first) / count.saturating_sub(1).max(1) as f64;
    (0..count).map(|index| first + index as f64 * width).collect()
}

/// The dynamic curves have this form too: `m / (m + 1/σ − 1)` is `m · σ / (1 + (m − 1) · σ)`.
fn fixed_shift(shift: f64, sigma: f64) -> f64 {
    shift * sigma / (1.0 + (shift - 1.0) * sigma)
}

struct FlowMatchEuler {
    timesteps: Vec<f64>,
    /// One per step and one after the last.
    sigmas: Vec<f64>,
}

impl Scheduler for FlowMatchEuler {
    fn timesteps(&self) -> &[f64] {
        &self.timesteps
    }

    /// The reference rounds the steps it leaves out here, and the steps it runs for other samplers.
    fn first_step(&self, strength: f64) -> usize {
        let steps = self.timesteps.len() as f64;
        (steps - (steps * strength).min(steps)) as usize
    }

    fn add_noise(&self, step: usize, sample: &Tensor, noise: &Tensor) -> Result<Tensor> {
        let sigma = self.sigmas[step];
        combine((sigma, noise), (1.0 - sigma, sample))
    }

    fn original(&self, step: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor> {
        combine((1.0, sample), (-self.sigmas[step], output))
    }

    fn step(
        &mut self,
        step: usize,
        output: &Tensor,
        sample: &Tensor,
        _noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        combine((1.0, sample), (self.sigmas[step + 1] - self.sigmas[step], output))
    }
}
