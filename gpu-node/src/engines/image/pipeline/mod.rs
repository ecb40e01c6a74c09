//! A whole run of any latent model: noise to latents, step by step, to the bytes of files.

mod batches;
mod denoise;
mod parts;
mod pass;
mod pixels;
mod together;

use std::path::Path;

use candle_core::{DType, Device, IndexOp, Tensor};

use super::{
    EncodedImage, ImageEvent, ImageJob, Vae,
    noise::normal_noise,
    picture::{Origin, encode_picture},
    schedulers::Scheduler,
};
use crate::engines::{Engine, EngineError, Members, Sink};
pub(super) use batches::{apart, batch, guided, in_groups, shared_out};
pub use denoise::{Denoising, Noise};
use parts::{parts_of, run_parts};
use pass::Alone;
pub(super) use pixels::from_picture;
use pixels::to_picture;
use together::fit_together;

/// A run at a step: what the model reads.
#[derive(Debug)]
pub struct Noisy<'a, C> {
    /// `(pictures, channels, height, width)`.
    pub latents: Tensor,
    pub condition: &'a C,
}

impl<C> Clone for Noisy<'_, C> {
    fn clone(&self) -> Self {
        Self { latents: self.latents.clone(), condition: self.condition }
    }
}

/// What one family of models gives; [`Pipeline`] does the rest.
pub trait LatentModel: Send + Sync {
    /// The words of a job, encoded for every picture of it, the negative ones included where guidance asks
    /// for them, with whatever else the model is told about the job.
    type Condition;

    /// Both sides of a picture, before the upscale, are multiples of it.
    fn size_multiple(&self) -> usize;

    /// Channels, height and width of the latents of one picture of a size in pixels.
    fn latent_dims(&self, height: usize, width: usize) -> [usize; 3];

    /// `native` is the height and width in pixels, before the upscale.
    fn condition(&self, job: &ImageJob, native: [usize; 2])
    -> Result<Self::Condition, EngineError>;

    /// The sampler of a job; an error is the caller's mistake.
    fn scheduler(
        &self,
        job: &ImageJob,
        latent: [usize; 3],
    ) -> candle_core::Result<Box<dyn Scheduler>>;

    /// Whether a guidance changes what the model makes.
    fn is_guided_by(&self, guidance: f64) -> bool {
        // At 1 what is steered away from cancels out.
        guidance > 1.0
    }

    /// Whether its guidance leads away from a negative prompt.
    fn has_negative_prompts(&self) -> bool {
        true
    }

    /// The model's outputs, guidance applied, in f32, one for each run. All have one size and stand at one moment;
    /// what a run gets does not depend on the others.
    fn predict(
        &self,
        timestep: f64,
        runs: &[Noisy<'_, Self::Condition>],
    ) -> candle_core::Result<Vec<Tensor>>;

    /// Scaled latents of pictures `(1 or as many as noise, 3, height, width)` in −1 … 1, for a run that
    /// starts from one; `noise` is standard normal and has the shape of the result.
    fn encode(&self, pictures: &Tensor, noise: &Tensor) -> candle_core::Result<Tensor>;

    /// Pictures in −1 … 1 of scaled latents.
    fn decode(&self, latents: &Tensor) -> candle_core::Result<Tensor>;

    fn device(&self) -> &Device;

    /// Whether two jobs of one size and the same steps gain anything from one pass.
    fn fits(&self, _job: &ImageJob, _next: &ImageJob) -> bool {
        true
    }

    /// Memory that one picture of a job takes in a step, beside the weights.
    fn picture_bytes(&self, job: &ImageJob, latent: [usize; 3]) -> u64;

    /// Whether a run starts from a job's picture; if not, `condition` reads a job's pictures.
    fn starts_from_picture(&self) -> bool {
        true
    }
}

/// What a pipeline and its model must know beside the model's files.
#[derive(Debug, Clone)]
pub struct PipelineOptions {
    /// Written into the pictures.
    pub model: String,
    pub revision: String,
    /// The delivered picture is this many times larger than what the model made.
    pub upscale: u32,
    /// Pictures a job may bring.
    pub input_images: u32,
    pub device: Device,
    /// Of the denoiser and the text encoders.
    pub dtype: DType,
}

impl PipelineOptions {
    /// The autoencoder in one folder, with the encoder only where pictures are read. In half precision most
    /// decoders overflow into black pictures, so it computes in f32.
    pub(super) fn load_vae(&self, folder: &Path) -> candle_core::Result<Vae> {
        match self.input_images {
            0 => Vae::load_decoder(folder, DType::F32, &self.device),
            _ => Vae::load(folder, DType::F32, &self.device),
        }
    }
}

/// The draw of the noise that an encoded picture is sampled with: beyond those of any step.
const ENCODING_DRAW: u64 = u64::MAX;

/// A model with all that turns its latents into files.
pub struct Pipeline<M> {
    model: M,
    options: PipelineOptions,
    /// Of all pictures that are computed at once, before the upscale.
    pixels_max: u64,
}

impl<M: LatentModel> Pipeline<M> {
    /// A pipeline around a loaded model.
    pub fn new(model: M, options: PipelineOptions) -> Self {
        Self { model, options, pixels_max: u64::MAX }
    }

    /// Computes no more pixels at once, unless a single picture has more; pictures beyond that come one part after the
    /// other.
    pub fn with_pixels_max(self, pixels_max: u64) -> Self {
        Self { pixels_max, ..self }
    }

    /// Pictures of a job that are computed at once.
    fn at_once(&self, job: &ImageJob) -> u32 {
        let [height, width] = self.native_size(job).unwrap_or([1, 1]);
        let pictures = self.pixels_max / (height * width).max(1) as u64;
        pictures.clamp(1, u32::MAX.into()) as u32
    }

    /// The model inside.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// Height and width that the model itself makes for a job's size.
    fn native_size(&self, job: &ImageJob) -> Result<[usize; 2], EngineError> {
        let upscale = self.options.upscale.max(1);
        let multiple = self.model.size_multiple() as u32 * upscale;
        for side in [job.width, job.height] {
            if side == 0 || !side.is_multiple_of(multiple) {
                let text = format!("width and height must be multiples of {multiple}, not {side}");
                return Err(EngineError::InvalidInput(text));
            }
        }
        Ok([job.height, job.width].map(|side| (side / upscale) as usize))
    }

    /// Words are refused where they would change nothing; numbers are not, since clients send theirs always.
    fn check_words(&self, job: &ImageJob) -> Result<(), EngineError> {
        let text = if job.negative_prompt.is_empty() {
            return Ok(());
        } else if !self.model.has_negative_prompts() {
            "this model has no negative prompt: its guidance is distilled into it".to_owned()
        } else if !self.model.is_guided_by(job.guidance) {
            format!("a negative prompt changes nothing at a guidance of {}", job.guidance)
        } else {
            return Ok(());
        };
        Err(EngineError::InvalidInput(text))
    }

    /// Each picture draws from its own seed, so it is the same alone and in a batch.
    fn noise(&self, job: &ImageJob, draw: u64, latent: [usize; 3]) -> candle_core::Result<Tensor> {
        let [channels, height, width] = latent;
        let numbers: Vec<f32> = (0..job.num_images)
            .flat_map(|index| normal_noise(job.seed_of(index), draw, channels * height * width))
            .collect();
        let dims = (job.num_images as usize, channels, height, width);
        Tensor::from_vec(numbers, dims, self.model.device())
    }

    /// The latents of the picture a job starts from, if it brings one.
    fn start(
        &self,
        job: &ImageJob,
        native: [usize; 2],
        latent: [usize; 3],
    ) -> Result<Option<Tensor>, EngineError> {
        if job.images.len() > self.options.input_images as usize {
            let text = format!("this model reads at most {} pictures", self.options.input_images);
            return Err(EngineError::InvalidInput(text));
        }
        let Some(picture) = job.images.first().filter(|_| self.model.starts_from_picture()) else {
            return Ok(None);
        };
        let pixels = from_picture(picture, native, self.model.device())?;
        let noise = self.noise(job, ENCODING_DRAW, latent)?;
        Ok(Some(self.model.encode(&pixels, &noise)?))
    }
}

impl<M: LatentModel> Pipeline<M> {
    /// From the latents of a job's pictures to its files.
    fn files(&self, job: &ImageJob, latents: &Tensor) -> Result<Vec<EncodedImage>, EngineError> {
        let [height, width] = self.native_size(job)?;
        let model = (self.options.model.as_str(), self.options.revision.as_str());
        (0..job.num_images)
            .map(|index| {
                // One at a time: decoding takes the most memory of a run.
                let latents = latents.narrow(0, index as usize, 1)?;
                let picture = to_picture(&self.model.decode(&latents)?.i(0)?)?;
                let native = [width as u32, height as u32];
                let origin = Origin::new(job, index, model, native).with_effects_alone(
                    self.model.is_guided_by(job.guidance),
                    self.model.starts_from_picture(),
                );
                encode_picture(picture, job, &origin)
            })
            .collect()
    }
}

impl<M: LatentModel> Engine for Pipeline<M> {
    type Input = ImageJob;
    type Event = ImageEvent;
    type Output = Vec<EncodedImage>;

    fn run(
        &mut self,
        job: ImageJob,
        sink: &mut dyn Sink<ImageEvent>,
    ) -> Result<Vec<EncodedImage>, EngineError> {
        let at_once = self.at_once(&job);
        run_parts(parts_of(job, at_once), sink, |part, sink| {
            let mut alone = Alone::new(sink);
            self.run_pass(&[part], &mut alone);
            alone.into_end()
        })
    }

    fn joins(&self, together: &[&ImageJob], next: &ImageJob) -> bool {
        // A job that will be refused is run, and refused, alone; one that comes in parts is a pass of its own.
        let is_sound =
            |job: &ImageJob| self.check_words(job).is_ok() && job.num_images <= self.at_once(job);
        fit_together(together, next)
            && together.iter().chain([&next]).all(|job| is_sound(job))
            && together.iter().all(|job| self.model.fits(job, next))
    }

    /// The loaded model was counted with as many pictures as are computed at once; decoding takes one at a time.
    fn pass_bytes(&self, together: &[&ImageJob]) -> u64 {
        let bytes = |job: &&ImageJob| {
            let [height, width] = self.native_size(job).ok()?;
            Some(self.model.picture_bytes(job, self.model.latent_dims(height, width)))
        };
        let pictures: u32 = together.iter().map(|job| job.num_images).sum();
        let counted = together.first().map_or(0, |job| self.at_once(job));
        let of_one = together.iter().filter_map(bytes).max().unwrap_or(0);
        u64::from(pictures.saturating_sub(counted)) * of_one
    }

    fn run_together(
        &mut self,
        jobs: Vec<ImageJob>,
        members: &mut dyn Members<ImageEvent, Vec<EncodedImage>>,
    ) {
        self.run_pass(&jobs, members);
    }
}
