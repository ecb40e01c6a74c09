//! One run from noise, or a picture under noise, to latents; with previews on the way.

use candle_core::Tensor;

use super::{LatentModel, pixels::finite_values};
use crate::engines::{
    EngineError,
    image::{ImageJob, schedulers::Scheduler},
    message,
};

/// Makes the standard normal numbers `(pictures, channels, height, width)` of one draw.
pub type Noise<'a> = dyn Fn(u64) -> candle_core::Result<Tensor> + 'a;

/// All that decides the latents of a run.
pub struct Denoising<'a, C> {
    pub job: &'a ImageJob,
    pub condition: &'a C,
    /// Scaled latents of the picture to start from.
    pub start: Option<Tensor>,
    /// Draw 0 is the noise a run starts with, draw `n` what the `n`th step of the schedule adds.
    pub noise: &'a Noise<'a>,
}

/// A run between two of its steps.
pub(super) struct Run<'a, C> {
    pub(super) condition: &'a C,
    noise: &'a Noise<'a>,
    scheduler: Box<dyn Scheduler>,
    timesteps: Vec<f64>,
    /// The step it began with, and the one that comes next.
    first: usize,
    next: usize,
    pub(super) latents: Tensor,
    preview_steps: Vec<u32>,
}

impl<'a, C> Run<'a, C> {
    /// A run from a picture leaves out the first steps of its schedule.
    pub(super) fn begin<M: LatentModel<Condition = C>>(
        model: &M,
        denoising: &Denoising<'a, C>,
    ) -> Result<Self, EngineError> {
        let &Denoising { job, condition, ref start, noise } = denoising;
        let first_noise = noise(0)?;
        let (_, channels, height, width) = first_noise.dims4()?;
        let scheduler = model
            .scheduler(job, [channels, height, width])
            .map_err(|error| EngineError::InvalidInput(message(&error)))?;
        let timesteps = scheduler.timesteps().to_vec();
        let (first, latents) = match start {
            None => (0, (first_noise * scheduler.initial_sigma())?),
            Some(start) => {
                let first = scheduler.first_step(job.strength);
                if first >= timesteps.len() {
                    (timesteps.len(), kept(start, job)?)
                } else {
                    (first, scheduler.add_noise(first, start, &first_noise)?)
                }
            }
        };
        let preview_steps = preview_steps((timesteps.len() - first) as u32, job.previews);
        let next = first;
        Ok(Self { condition, noise, scheduler, timesteps, first, next, latents, preview_steps })
    }

    /// What to tell the model at the steps that are left.
    pub(super) fn ahead(&self) -> &[f64] {
        &self.timesteps[self.next..]
    }

    /// What the model reads at the next step.
    pub(super) fn input(&self) -> candle_core::Result<Tensor> {
        &self.latents * self.scheduler.input_scale(self.next)
    }

    /// Does the next step with the model's output; gives how many are done and how many there are, and what to
    /// show of it if there is a preview now.
    pub(super) fn advance(
        &mut self,
        output: &Tensor,
    ) -> candle_core::Result<([u32; 2], Option<Tensor>)> {
        let done = (self.next - self.first) as u32 + 1;
        let original = match self.preview_steps.contains(&done) {
            true => Some(self.scheduler.original(self.next, output, &self.latents)?),
            false => None,
        };
        let fresh = match self.scheduler.draws_noise() {
            true => Some((self.noise)(self.next as u64 + 1)?),
            false => None,
        };
        self.latents = self.scheduler.step(self.next, output, &self.latents, fresh.as_ref())?;
        self.next += 1;
        let steps = (self.timesteps.len() - self.first) as u32;
        Ok(([done, steps], original))
    }

    /// The scaled latents at the end.
    pub(super) fn finish(self) -> Result<Tensor, EngineError> {
        finite_values(&self.latents)?;
        Ok(self.latents)
    }
}

/// A run without a step gives its picture back if that was asked for; else it would pass for a result.
fn kept(start: &Tensor, job: &ImageJob) -> Result<Tensor, EngineError> {
    if job.strength <= 0.0 {
        return Ok(start.clone());
    }
    let needed = (1.0 / job.strength).ceil();
    Err(EngineError::InvalidInput(format!(
        "strength {} of {} steps leaves no step to run: it needs at least {needed} steps",
        job.strength, job.steps
    )))
}

/// After which of the steps there is a preview: evenly spread, and none after the last, which gives the
/// picture itself.
fn preview_steps(steps: u32, previews: u32) -> Vec<u32> {
    let (steps, previews) = (u64::from(steps), u64::from(previews));
    let mut chosen: Vec<u32> =
        (1..=previews).map(|part| (part * steps / (previews + 1)) as u32).collect();
    chosen.dedup();
    chosen.retain(|step| *step > 0);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn previews_are_spread_over_the_steps_and_never_the_result_itself() {
        assert_eq!(preview_steps(12, 3), [3, 6, 9]);
        assert_eq!(preview_steps(28, 2), [9, 18]);
        assert_eq!(preview_steps(4, 3), [1, 2, 3]);
        assert_eq!(preview_steps(3, 8), [1, 2]);
        assert_eq!(preview_steps(1, 3), [0_u32; 0]);
        assert_eq!(preview_steps(9, 0), [0_u32; 0]);
    }
}
