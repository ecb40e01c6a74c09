//! Whole runs of any latent model from given noise, as the goldens have them.

use std::path::Path;

use candle_core::{Device, Tensor};
use gpu_node::engines::image::{
    ImageJob,
    pipeline::{Denoising, LatentModel, Pipeline, PipelineOptions},
};
use shared::node::image::SchedulerKind;

use super::support::{Events, job, options};

/// A model in its pipeline, with room for some pictures.
pub(crate) fn pipeline<M: LatentModel>(
    folder: &Path,
    load: fn(&Path, &PipelineOptions) -> candle_core::Result<M>,
) -> Pipeline<M> {
    let options = PipelineOptions { input_images: 4, ..options() };
    Pipeline::new(load(folder, &options).unwrap(), options)
}

/// Two steps along a straight flow to a picture of 48 × 80, without guidance.
pub(crate) fn flow_job(prompt: &str) -> ImageJob {
    ImageJob {
        prompt: prompt.into(),
        negative_prompt: String::new(),
        width: 48,
        height: 80,
        guidance: 0.0,
        scheduler: SchedulerKind::FlowMatchEuler,
        ..job()
    }
}

/// The latents of a job from given noise, and from a picture's latents if there is one.
pub(crate) fn denoise<M: LatentModel>(
    pipeline: &Pipeline<M>,
    job: &ImageJob,
    noise: &Tensor,
    start: Option<Tensor>,
) -> Tensor {
    let native = [job.height as usize, job.width as usize];
    let condition = pipeline.model().condition(job, native).unwrap();
    let noise = |_| Ok(noise.clone());
    let denoising = Denoising { job, condition: &condition, start, noise: &noise };
    pipeline.denoise(&denoising, &mut Events::all()).unwrap()
}

/// From −1 … 1 to what the references call a picture.
pub(crate) fn picture(pixels: &Tensor) -> Tensor {
    ((pixels * 0.5).unwrap() + 0.5).unwrap().clamp(0.0, 1.0).unwrap()
}

/// Steps through the outputs of a golden from its noise.
pub(crate) fn stepped<M: LatentModel>(
    model: &M,
    (job, latent): (&ImageJob, [usize; 3]),
    [noise, outputs]: [&Tensor; 2],
) -> Tensor {
    let mut scheduler = model.scheduler(job, latent).unwrap();
    let (mut sample, mut samples) = (noise.clone(), Vec::new());
    for step in 0..job.steps as usize {
        let output = outputs.get(step).unwrap();
        sample = scheduler.step(step, &output, &sample, None).unwrap();
        samples.push(sample.clone());
    }
    Tensor::stack(&samples, 0).unwrap()
}

/// The timesteps of a job.
pub(crate) fn timesteps<M: LatentModel>(model: &M, job: &ImageJob, latent: [usize; 3]) -> Tensor {
    let scheduler = model.scheduler(job, latent).unwrap();
    Tensor::new(scheduler.timesteps(), &Device::Cpu).unwrap()
}
