//! Several jobs in one pass, from their words to their files. What one of them asks for or runs into is its own matter.

use candle_core::Tensor;
use rayon::prelude::*;
use shared::limits::IMAGES_PER_CALL_MAX;

use super::{
    Denoising, LatentModel, Noise, Pipeline, batches::are_for_one_thread, denoise::Run, pass::Pass,
};
use crate::engines::{
    EngineError, Members,
    image::{EncodedImage, ImageEvent, ImageJob},
};

/// Whether the next job's pictures take the same steps as those: only then is a pass for all a pass for each.
pub(super) fn fit_together(together: &[&ImageJob], next: &ImageJob) -> bool {
    let pictures: u32 = together.iter().map(|job| job.num_images).sum();
    let same = |job: &&ImageJob| {
        (job.width, job.height) == (next.width, next.height)
            && (job.steps, job.scheduler) == (next.steps, next.scheduler)
            && job.images.is_empty() == next.images.is_empty()
            && (job.images.is_empty() || job.strength.to_bits() == next.strength.to_bits())
    };
    u64::from(pictures + next.num_images) <= IMAGES_PER_CALL_MAX && together.iter().all(same)
}

/// A job with all that its run needs.
struct Prepared<'a, C> {
    job: &'a ImageJob,
    condition: C,
    start: Option<Tensor>,
    noise: Box<Noise<'a>>,
}

impl<M: LatentModel> Pipeline<M> {
    /// Runs jobs that [fit together](fit_together), one alone too, and tells of each when it is over.
    pub(super) fn run_pass(
        &self,
        jobs: &[ImageJob],
        members: &mut dyn Members<ImageEvent, Vec<EncodedImage>>,
    ) {
        let mut prepared = Vec::with_capacity(jobs.len());
        for (place, job) in jobs.iter().enumerate() {
            match self.prepare(job) {
                Ok(ready) => prepared.push((place, ready)),
                Err(error) => members.ended(place, Err(error)),
            }
        }
        let mut pass = Pass::default();
        for (place, ready) in &prepared {
            let denoising = Denoising {
                job: ready.job,
                condition: &ready.condition,
                start: ready.start.clone(),
                noise: &*ready.noise,
            };
            let begun = Run::begin(&self.model, &denoising);
            if let Err(error) = begun.and_then(|run| pass.add(*place, run)) {
                members.ended(*place, Err(error));
            }
        }
        while self.step(&mut pass, members) {}
        let runs = pass.into_runs().map(|(place, run)| (place, run.finish())).collect::<Vec<_>>();
        let files = |(place, latents): (usize, Result<Tensor, EngineError>)| {
            (place, latents.and_then(|latents| self.files(&jobs[place], &latents)))
        };
        let is_small = |(_, latents): &(usize, Result<Tensor, EngineError>)| {
            latents.as_ref().is_ok_and(are_for_one_thread)
        };
        if runs.iter().all(is_small) {
            for (place, files) in runs.into_par_iter().map(files).collect::<Vec<_>>() {
                members.ended(place, files);
            }
        } else {
            for (place, files) in runs.into_iter().map(files) {
                members.ended(place, files);
            }
        }
    }

    fn prepare<'a>(&'a self, job: &'a ImageJob) -> Result<Prepared<'a, M::Condition>, EngineError> {
        let native = self.native_size(job)?;
        self.check_words(job)?;
        let latent = self.model.latent_dims(native[0], native[1]);
        Ok(Prepared {
            job,
            condition: self.model.condition(job, native)?,
            start: self.start(job, native, latent)?,
            noise: Box::new(move |draw| self.noise(job, draw, latent)),
        })
    }
}
