//! Several jobs in one pass: each keeps its words, its seeds and its end.

use candle_core::Tensor;
use shared::limits::IMAGES_PER_CALL_MAX;

use super::{Denoising, LatentModel, Pipeline};
use crate::engines::{
    EngineError, Sink, Stopped,
    image::{EncodedImage, ImageEvent, ImageJob},
};

/// Whether the next job's pictures take the same steps as those: only then is a pass for all a pass for each.
pub(super) fn fit_together(together: &[&ImageJob], next: &ImageJob) -> bool {
    let pictures: u32 = together.iter().map(|job| job.num_images).sum();
    let same = |job: &&ImageJob| {
        (job.width, job.height, job.steps) == (next.width, next.height, next.steps)
            && job.guidance.to_bits() == next.guidance.to_bits()
            && (job.scheduler, job.previews) == (next.scheduler, next.previews)
            && job.images.is_empty()
            && next.images.is_empty()
    };
    u64::from(pictures + next.num_images) <= IMAGES_PER_CALL_MAX && together.iter().all(same)
}

/// Hands each event to the jobs it is about; a job whose caller is gone hears nothing more.
struct Everyone<'a, 'b> {
    sinks: &'a mut [&'b mut dyn Sink<ImageEvent>],
    /// Pictures of each job.
    counts: Vec<u32>,
    is_gone: Vec<bool>,
}

impl Everyone<'_, '_> {
    fn tell(&mut self, job: usize, event: ImageEvent) {
        if let Some(sink) = self.sinks.get_mut(job).filter(|_| !self.is_gone[job]) {
            self.is_gone[job] = sink.emit(event).is_err();
        }
    }
}

impl Sink<ImageEvent> for Everyone<'_, '_> {
    fn emit(&mut self, event: ImageEvent) -> Result<(), Stopped> {
        match event {
            ImageEvent::Step { .. } => {
                (0..self.counts.len()).for_each(|job| self.tell(job, event.clone()));
            }
            ImageEvent::Preview { mut index, step, jpeg } => {
                let mut job = 0;
                while self.counts.get(job).is_some_and(|count| index >= *count) {
                    index -= self.counts[job];
                    job += 1;
                }
                self.tell(job, ImageEvent::Preview { index, step, jpeg });
            }
        }
        if self.is_gone.iter().all(|is_gone| *is_gone) { Err(Stopped) } else { Ok(()) }
    }
}

impl<M: LatentModel> Pipeline<M> {
    pub(super) fn run_joined(
        &self,
        jobs: &[ImageJob],
        sinks: &mut [&mut dyn Sink<ImageEvent>],
    ) -> Vec<Result<Vec<EncodedImage>, EngineError>> {
        let counts: Vec<u32> = jobs.iter().map(|job| job.num_images).collect();
        let is_gone = vec![false; jobs.len()];
        let mut everyone = Everyone { sinks, counts, is_gone };
        let latents = self.denoise_joined(jobs, &mut everyone);
        let mut first = 0;
        let ends = jobs.iter().zip(everyone.is_gone).map(|(job, is_gone)| {
            let (start, count) = (first, job.num_images as usize);
            first += count;
            if is_gone {
                return Err(EngineError::Cancelled);
            }
            let (latents, native) = latents.as_ref().map_err(EngineError::clone)?;
            self.finish(job, &latents.narrow(0, start, count)?, *native)
        });
        ends.collect()
    }

    fn denoise_joined(
        &self,
        jobs: &[ImageJob],
        everyone: &mut Everyone<'_, '_>,
    ) -> Result<(Tensor, [usize; 2]), EngineError> {
        let alone = || EngineError::Failed("this model runs each job alone".to_owned());
        let first = jobs.first().ok_or_else(alone)?;
        let native = self.native_size(first)?;
        let latent = self.model.latent_dims(native[0], native[1]);
        let conditions = jobs
            .iter()
            .map(|job| self.model.condition(job, native))
            .collect::<Result<Vec<_>, EngineError>>()?;
        let condition = self.model.join(&conditions)?.ok_or_else(alone)?;
        let noise = |draw| {
            let each = jobs.iter().map(|job| self.noise(job, draw, latent));
            Tensor::cat(&each.collect::<candle_core::Result<Vec<_>>>()?, 0)
        };
        let denoising = Denoising { job: first, condition: &condition, start: None, noise: &noise };
        Ok((self.denoise(&denoising, everyone)?, native))
    }
}
