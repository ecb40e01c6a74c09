//! Samplers: how the model's predictions become a picture, step by step, as the diffusers library does it.
//!
//! All numbers of a schedule are computed here in f64; the latents stay f32.

mod ddim;
mod dpmpp;
mod euler;
mod flow_match;
mod schedule;

use candle_core::{Result, Tensor, bail};
use shared::node::image::SchedulerKind;

pub use flow_match::{FlowMatchConfig, FlowSigmas};
pub use schedule::{Prediction, ScheduleConfig};

/// A sampler for one run of a fixed number of steps.
pub trait Scheduler {
    /// What to tell the model at each step, from the noisiest on.
    fn timesteps(&self) -> &[f64];

    /// How strong the first noise is.
    fn initial_sigma(&self) -> f64 {
        1.0
    }

    /// What the model's input is multiplied by at a step.
    fn input_scale(&self, _step: usize) -> f64 {
        1.0
    }

    /// Whether a step draws fresh noise.
    fn draws_noise(&self) -> bool {
        false
    }

    /// The step with which a run begins that goes this far from its picture, 0 to 1; as many as there are
    /// steps where none is left to run.
    fn first_step(&self, strength: f64) -> usize {
        let steps = self.timesteps().len();
        steps - ((steps as f64 * strength) as usize).min(steps)
    }

    /// A clean sample under as much noise as there is before a step.
    fn add_noise(&self, step: usize, sample: &Tensor, noise: &Tensor) -> Result<Tensor>;

    /// The clean sample that the model's output at a step points to.
    fn original(&self, step: usize, output: &Tensor, sample: &Tensor) -> Result<Tensor>;

    /// From the sample before a step and the model's output to the sample after it. `noise` has the sample's
    /// shape where [`Scheduler::draws_noise`] says so.
    fn step(
        &mut self,
        step: usize,
        output: &Tensor,
        sample: &Tensor,
        noise: Option<&Tensor>,
    ) -> Result<Tensor>;
}

/// Builds the sampler for a run.
pub fn scheduler(
    kind: SchedulerKind,
    config: &ScheduleConfig,
    steps: usize,
) -> Result<Box<dyn Scheduler>> {
    Ok(match kind {
        SchedulerKind::Ddim => Box::new(ddim::Ddim::new(config, steps)?),
        SchedulerKind::Euler => Box::new(euler::Euler::new(config, steps)?),
        SchedulerKind::EulerAncestral => Box::new(euler::EulerAncestral::new(config, steps)?),
        SchedulerKind::DpmppMultistep => Box::new(dpmpp::DpmppMultistep::new(config, steps)?),
        SchedulerKind::FlowMatchEuler => bail!("this model does not know flow_match_euler"),
    })
}

/// `a · x + b · y`.
fn combine((a, x): (f64, &Tensor), (b, y): (f64, &Tensor)) -> Result<Tensor> {
    (x * a)? + (y * b)?
}
