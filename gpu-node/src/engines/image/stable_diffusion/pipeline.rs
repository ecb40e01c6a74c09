//! A whole run: prompt to ids to vectors, noise to latents to pixels.

use std::path::Path;

use candle_core::{DType, Device, IndexOp, Tensor, bail};
use image::RgbImage;
use serde_json::json;

use super::{ClipTextEncoder, PromptTokenizer, UNet, Vae};
use crate::engines::{
    Engine, EngineError, Sink,
    config_file::ConfigFile,
    image::{
        EncodedImage, ImageEvent, ImageJob,
        noise::normal_noise,
        picture::{Origin, encode_picture},
        schedulers::{ScheduleConfig, scheduler},
    },
    message,
};

/// What a pipeline must know beside its files.
#[derive(Debug, Clone)]
pub struct PipelineOptions {
    /// Written into the pictures.
    pub model: String,
    pub revision: String,
    /// The delivered picture is this many times larger than what the model made.
    pub upscale: u32,
    pub device: Device,
    pub dtype: DType,
}

/// A Stable Diffusion of version 1 or 2, or one built like it.
pub struct StableDiffusion {
    options: PipelineOptions,
    tokenizer: PromptTokenizer,
    text_encoder: ClipTextEncoder,
    unet: UNet,
    vae: Vae,
    schedule: ScheduleConfig,
}

/// The parts of a job the denoising needs.
pub struct Denoising<'a> {
    pub job: &'a ImageJob,
    /// The text of each picture, and the text to steer away from where guidance is above 1.
    pub text: (Tensor, Option<Tensor>),
    /// `(pictures, channels, height, width)`, standard normal.
    pub noise: Tensor,
}

impl StableDiffusion {
    /// Loads every part from its folder.
    pub fn load(folder: &Path, options: PipelineOptions) -> candle_core::Result<Self> {
        let index = ConfigFile::read(folder, "model_index.json")?;
        index.only(&[("_class_name", json!("StableDiffusionPipeline"))])?;
        let (device, dtype) = (&options.device, options.dtype);
        let text_encoder = ClipTextEncoder::load(&folder.join("text_encoder"), dtype, device)?;
        let tokenizer =
            PromptTokenizer::load(&folder.join("tokenizer"), text_encoder.positions()?)?;
        let unet = UNet::load(&folder.join("unet"), dtype, device)?;
        // In half precision the decoder of most models overflows into black pictures.
        let vae = Vae::load_decoder(&folder.join("vae"), DType::F32, device)?;
        if unet.latent_channels() != vae.latent_channels() {
            bail!(
                "the UNet reads {} latent channels, the VAE {}",
                unet.latent_channels(),
                vae.latent_channels()
            );
        }
        let schedule = ScheduleConfig::read(&folder.join("scheduler"))?;
        Ok(Self { options, tokenizer, text_encoder, unet, vae, schedule })
    }

    /// Both sides of a picture, before the upscale, are multiples of it.
    pub fn size_multiple(&self) -> usize {
        self.vae.downsampling() * self.unet.downsampling()
    }

    /// One prompt as `(1, length, width)`.
    pub fn encode_prompt(&self, prompt: &str) -> candle_core::Result<Tensor> {
        let ids = self.tokenizer.encode(prompt)?;
        let ids = Tensor::from_vec(ids.clone(), (1, ids.len()), &self.options.device)?;
        self.text_encoder.forward(&ids)
    }

    /// From noise to scaled latents.
    pub fn denoise(
        &self,
        denoising: &Denoising<'_>,
        sink: &mut dyn Sink<ImageEvent>,
    ) -> Result<Tensor, EngineError> {
        let Denoising { job, text: (text, negative), noise } = denoising;
        let mut scheduler = scheduler(job.scheduler, &self.schedule, job.steps as usize)
            .map_err(|error| EngineError::InvalidInput(message(&error)))?;
        let text = match negative {
            Some(negative) => Tensor::cat(&[negative, text], 0)?,
            None => text.clone(),
        };
        let mut latents = (noise * scheduler.initial_sigma())?;
        for (step, timestep) in scheduler.timesteps().to_vec().into_iter().enumerate() {
            let input = (&latents * scheduler.input_scale(step))?;
            let output = self.predict(
                &input,
                timestep,
                (&text, negative.is_some().then_some(job.guidance)),
            )?;
            let fresh = match scheduler.draws_noise() {
                true => Some(self.noise(job, step as u64 + 1, latents.dims())?),
                false => None,
            };
            latents = scheduler.step(step, &output, &latents, fresh.as_ref())?;
            sink.emit(ImageEvent::Step { step: step as u32 + 1, steps: job.steps })?;
        }
        finite_values(&latents)?;
        Ok(latents)
    }

    /// The model's output; with guidance, `away + guidance · (towards − away)` from one batch of both.
    fn predict(
        &self,
        input: &Tensor,
        timestep: f64,
        (text, guidance): (&Tensor, Option<f64>),
    ) -> candle_core::Result<Tensor> {
        let input = input.to_dtype(self.options.dtype)?;
        let Some(guidance) = guidance else {
            return self.unet.forward(&input, timestep, text)?.to_dtype(DType::F32);
        };
        let both = Tensor::cat(&[&input, &input], 0)?;
        let output = self.unet.forward(&both, timestep, text)?.to_dtype(DType::F32)?;
        let count = input.dim(0)?;
        let (away, towards) = (output.narrow(0, 0, count)?, output.narrow(0, count, count)?);
        &away + ((towards - &away)? * guidance)?
    }

    /// From scaled latents of one picture or more to values in −1 … 1.
    pub fn decode(&self, latents: &Tensor) -> candle_core::Result<Tensor> {
        self.vae.decode(&latents.to_dtype(DType::F32)?)
    }

    /// Each picture draws from its own seed, so it is the same alone and in a batch.
    fn noise(&self, job: &ImageJob, draw: u64, dims: &[usize]) -> candle_core::Result<Tensor> {
        let count = dims[1..].iter().product();
        let numbers: Vec<f32> = (0..job.num_images)
            .flat_map(|index| normal_noise(job.seed_of(index), draw, count))
            .collect();
        Tensor::from_vec(numbers, dims, &self.options.device)
    }

    fn prepare<'a>(
        &self,
        job: &'a ImageJob,
        native: [u32; 2],
    ) -> candle_core::Result<Denoising<'a>> {
        let count = job.num_images as usize;
        let text = |prompt: &str| self.encode_prompt(prompt)?.repeat((count, 1, 1));
        // At 1 the two halves cancel out to the prompt alone.
        let negative = (job.guidance > 1.0).then(|| text(&job.negative_prompt)).transpose()?;
        let scale = self.vae.downsampling();
        let [width, height] = native.map(|side| side as usize / scale);
        let dims = [count, self.vae.latent_channels(), height, width];
        Ok(Denoising {
            job,
            text: (text(&job.prompt)?, negative),
            noise: self.noise(job, 0, &dims)?,
        })
    }

    /// What the model itself makes for a job's size.
    fn native_size(&self, job: &ImageJob) -> Result<[u32; 2], EngineError> {
        let upscale = self.options.upscale.max(1);
        let multiple = self.size_multiple() as u32 * upscale;
        for side in [job.width, job.height] {
            if side == 0 || !side.is_multiple_of(multiple) {
                let text = format!("width and height must be multiples of {multiple}, not {side}");
                return Err(EngineError::InvalidInput(text));
            }
        }
        Ok([job.width / upscale, job.height / upscale])
    }
}

impl Engine for StableDiffusion {
    type Input = ImageJob;
    type Event = ImageEvent;
    type Output = Vec<EncodedImage>;

    fn run(
        &mut self,
        job: ImageJob,
        sink: &mut dyn Sink<ImageEvent>,
    ) -> Result<Vec<EncodedImage>, EngineError> {
        let native = self.native_size(&job)?;
        let denoising = self.prepare(&job, native)?;
        let latents = self.denoise(&denoising, sink)?;
        let model = (self.options.model.as_str(), self.options.revision.as_str());
        (0..job.num_images)
            .map(|index| {
                // One at a time: decoding takes the most memory of a run.
                let pixels = self.decode(&latents.narrow(0, index as usize, 1)?)?.i(0)?;
                let picture = to_picture(&pixels)?;
                encode_picture(picture, &job, &Origin::new(&job, index, model, native))
            })
            .collect()
    }
}

fn finite_values(xs: &Tensor) -> Result<Vec<f32>, EngineError> {
    let values: Vec<f32> = xs.flatten_all()?.to_vec1()?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err(EngineError::Failed("the model's numbers are no longer finite".to_owned()));
    }
    Ok(values)
}

/// From `(3, height, width)` in −1 … 1 to pixels. Numbers gone astray are an error, never a black picture.
fn to_picture(pixels: &Tensor) -> Result<RgbImage, EngineError> {
    let (_, height, width) = pixels.dims3()?;
    let values = finite_values(&pixels.permute((1, 2, 0))?)?;
    let bytes = values
        .iter()
        .map(|value| ((value * 0.5 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8)
        .collect();
    RgbImage::from_raw(width as u32, height as u32, bytes)
        .ok_or_else(|| EngineError::Failed("the decoder's picture has another size".to_owned()))
}
