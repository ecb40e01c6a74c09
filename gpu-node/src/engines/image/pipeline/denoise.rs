//! From noise, or a picture under noise, to latents; with previews on the way.

use candle_core::{IndexOp, Tensor};

use super::{
    LatentModel, Pipeline,
    pixels::{finite_values, to_picture},
};
use crate::engines::{
    EngineError, Sink,
    image::{ImageEvent, ImageJob, picture::encode_preview},
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

impl<M: LatentModel> Pipeline<M> {
    /// From noise to scaled latents. A run from a picture leaves out the first steps of its schedule.
    pub fn denoise(
        &self,
        denoising: &Denoising<'_, M::Condition>,
        sink: &mut dyn Sink<ImageEvent>,
    ) -> Result<Tensor, EngineError> {
        let &Denoising { job, condition, ref start, noise } = denoising;
        let first_noise = noise(0)?;
        let (_, channels, height, width) = first_noise.dims4()?;
        let mut scheduler = self
            .model
            .scheduler(job, [channels, height, width])
            .map_err(|error| EngineError::InvalidInput(message(&error)))?;
        let timesteps = scheduler.timesteps().to_vec();
        let (first, mut latents) = match start {
            None => (0, (first_noise * scheduler.initial_sigma())?),
            Some(start) => {
                let first = scheduler.first_step(job.strength);
                if first >= timesteps.len() {
                    return kept(start, job);
                }
                (first, scheduler.add_noise(first, start, &first_noise)?)
            }
        };
        let steps = (timesteps.len() - first) as u32;
        let preview_steps = preview_steps(steps, job.previews);
        for (step, timestep) in timesteps.into_iter().enumerate().skip(first) {
            let input = (&latents * scheduler.input_scale(step))?;
            let output = self.model.predict(&input, timestep, condition)?;
            let done = (step - first) as u32 + 1;
            let original = match preview_steps.contains(&done) {
                true => Some(scheduler.original(step, &output, &latents)?),
                false => None,
            };
            let fresh = match scheduler.draws_noise() {
                true => Some(noise(step as u64 + 1)?),
                false => None,
            };
            latents = scheduler.step(step, &output, &latents, fresh.as_ref())?;
            sink.emit(ImageEvent::Step { step: done, steps })?;
            if let Some(original) = original {
                self.emit_previews(&original, done, sink)?;
            }
        }
        finite_values(&latents)?;
        Ok(latents)
    }

    fn emit_previews(
        &self,
        original: &Tensor,
        step: u32,
        sink: &mut dyn Sink<ImageEvent>,
    ) -> Result<(), EngineError> {
        for index in 0..original.dim(0)? {
            let pixels = self.model.decode(&original.narrow(0, index, 1)?)?;
            let jpeg = encode_preview(to_picture(&pixels.i(0)?)?)?;
            sink.emit(ImageEvent::Preview { index: index as u32, step, jpeg })?;
        }
        Ok(())
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
