//! Stable Diffusion 1 and 2 as one latent model: CLIP, the UNet, the autoencoder.

use std::path::Path;

use candle_core::{DType, Device, Tensor, bail};
use serde_json::json;

use super::UNet;
use crate::engines::{
    EngineError,
    config_file::ConfigFile,
    image::{
        ImageJob, Vae,
        pipeline::{LatentModel, PipelineOptions},
        schedulers::{ScheduleConfig, Scheduler, scheduler},
        text_encoders::{ClipTextEncoder, PromptTokenizer},
    },
};

/// The words of a job for its pictures, and how strongly to follow them.
#[derive(Debug, Clone)]
pub struct Guided {
    /// `(pictures, length, width)`.
    pub text: Tensor,
    /// What to steer away from, and how far; nothing where that changes nothing.
    pub away: Option<(Tensor, f64)>,
}

/// A Stable Diffusion of version 1 or 2, or one built like it.
pub struct StableDiffusion {
    tokenizer: PromptTokenizer,
    text_encoder: ClipTextEncoder,
    unet: UNet,
    vae: Vae,
    schedule: ScheduleConfig,
    device: Device,
    dtype: DType,
}

impl StableDiffusion {
    /// Loads every part from its folder.
    pub fn load(folder: &Path, options: &PipelineOptions) -> candle_core::Result<Self> {
        let index = ConfigFile::read(folder, "model_index.json")?;
        index.only(&[("_class_name", json!("StableDiffusionPipeline"))])?;
        let (device, dtype) = (&options.device, options.dtype);
        let text_encoder = ClipTextEncoder::load(&folder.join("text_encoder"), dtype, device)?;
        let tokenizer =
            PromptTokenizer::load(&folder.join("tokenizer"), text_encoder.positions()?)?;
        let unet = UNet::load(&folder.join("unet"), dtype, device)?;
        let vae = options.load_vae(&folder.join("vae"))?;
        if unet.latent_channels() != vae.latent_channels() {
            bail!(
                "the UNet reads {} latent channels, the VAE {}",
                unet.latent_channels(),
                vae.latent_channels()
            );
        }
        let schedule = ScheduleConfig::read(&folder.join("scheduler"))?;
        let device = device.clone();
        Ok(Self { tokenizer, text_encoder, unet, vae, schedule, device, dtype })
    }

    /// One prompt as `(1, length, width)`.
    pub fn encode_prompt(&self, prompt: &str) -> candle_core::Result<Tensor> {
        let ids = self.tokenizer.encode(prompt)?;
        let ids = Tensor::from_vec(ids.clone(), (1, ids.len()), &self.device)?;
        self.text_encoder.forward(&ids)
    }
}

impl LatentModel for StableDiffusion {
    type Condition = Guided;

    fn size_multiple(&self) -> usize {
        self.vae.downsampling() * self.unet.downsampling()
    }

    fn latent_dims(&self, height: usize, width: usize) -> [usize; 3] {
        let scale = self.vae.downsampling();
        [self.vae.latent_channels(), height / scale, width / scale]
    }

    fn condition(&self, job: &ImageJob, _native: [usize; 2]) -> Result<Guided, EngineError> {
        let count = job.num_images as usize;
        let text = |prompt: &str| self.encode_prompt(prompt)?.repeat((count, 1, 1));
        // At 1 the two halves cancel out to the prompt alone.
        let away = (job.guidance > 1.0).then(|| text(&job.negative_prompt)).transpose()?;
        let away = away.map(|away| (away, job.guidance));
        Ok(Guided { text: text(&job.prompt)?, away })
    }

    fn scheduler(
        &self,
        job: &ImageJob,
        _latent: [usize; 3],
    ) -> candle_core::Result<Box<dyn Scheduler>> {
        scheduler(job.scheduler, &self.schedule, job.steps as usize)
    }

    /// With guidance, `away + guidance · (towards − away)` from one batch of both.
    fn predict(
        &self,
        latents: &Tensor,
        timestep: f64,
        condition: &Guided,
    ) -> candle_core::Result<Tensor> {
        let input = latents.to_dtype(self.dtype)?;
        let Guided { text, away } = condition;
        let Some((away, guidance)) = away else {
            return self.unet.forward(&input, timestep, text)?.to_dtype(DType::F32);
        };
        let both = Tensor::cat(&[&input, &input], 0)?;
        let text = Tensor::cat(&[away, text], 0)?;
        let output = self.unet.forward(&both, timestep, &text)?.to_dtype(DType::F32)?;
        let halves = output.chunk(2, 0)?;
        &halves[0] + ((&halves[1] - &halves[0])? * *guidance)?
    }

    fn encode(&self, pictures: &Tensor, noise: &Tensor) -> candle_core::Result<Tensor> {
        self.vae.encode(pictures, noise)
    }

    fn decode(&self, latents: &Tensor) -> candle_core::Result<Tensor> {
        self.vae.decode(latents)
    }

    fn device(&self) -> &Device {
        &self.device
    }
}
