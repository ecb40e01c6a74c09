//! The Stable Diffusion family as one latent model: one CLIP or two, the UNet, the autoencoder.

use std::path::Path;

use candle_core::{DType, Device, Tensor, bail};
use serde_json::json;

use super::{EncodedPrompt, PromptEncoder, UNet};
use crate::engines::{
    EngineError,
    config_file::ConfigFile,
    image::{
        ImageJob, Vae,
        pipeline::{LatentModel, Noisy, PipelineOptions, guided, shared_out},
        schedulers::{ScheduleConfig, Scheduler, scheduler},
    },
};

/// The prompts of a job's pictures, and how strongly to follow them.
#[derive(Debug, Clone)]
pub struct Guided {
    /// `(pictures, length, width)`; with guidance, what to steer away from comes first, for every picture.
    text: Tensor,
    added: Option<Tensor>,
    guidance: Option<f64>,
}

/// A Stable Diffusion of version 1, 2 or XL, or one built like them.
pub struct StableDiffusion {
    prompts: PromptEncoder,
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
        let class: String = index.require("_class_name")?;
        let prompts = match class.as_str() {
            "StableDiffusionPipeline" => PromptEncoder::load_one(folder, options)?,
            "StableDiffusionXLPipeline" => {
                // The refiner's: it has no first encoder, and is told how beautiful a picture is.
                index.only(&[("requires_aesthetics_score", json!(false))])?;
                PromptEncoder::load_two(folder, &index, options)?
            }
            _ => index.refuse("_class_name", &class)?,
        };
        let unet = UNet::load(&folder.join("unet"), options.dtype, &options.device)?;
        let vae = options.load_vae(&folder.join("vae"))?;
        if unet.latent_channels() != vae.latent_channels() {
            bail!(
                "the UNet reads {} latent channels, the VAE {}",
                unet.latent_channels(),
                vae.latent_channels()
            );
        }
        if unet.has_added() != matches!(prompts, PromptEncoder::Two { .. }) {
            bail!("the UNet and the text encoders are of different kinds");
        }
        let schedule = ScheduleConfig::read(&folder.join("scheduler"))?;
        let (device, dtype) = (options.device.clone(), options.dtype);
        Ok(Self { prompts, unet, vae, schedule, device, dtype })
    }

    /// What reads its prompts.
    pub fn prompts(&self) -> &PromptEncoder {
        &self.prompts
    }

    /// The condition for pictures of a size in pixels: a prompt for each, and where there is guidance what
    /// each steers away from.
    pub fn guided(
        &self,
        towards: &EncodedPrompt,
        away: Option<(&EncodedPrompt, f64)>,
        [height, width]: [usize; 2],
    ) -> candle_core::Result<Guided> {
        let prompts = match away {
            Some((away, _)) => EncodedPrompt::cat(&[away, towards])?,
            None => towards.clone(),
        };
        let [height, width] = [height as f64, width as f64];
        // The size before cropping, where the crop began, and the size after: the same whole picture for both halves.
        let sizes = vec![height, width, 0.0, 0.0, height, width];
        let added = prompts.pooled.as_ref().map(|pooled| {
            let count = pooled.dim(0)?;
            self.unet.embed_added(pooled, &vec![sizes; count])
        });
        let guidance = away.map(|(_, guidance)| guidance);
        Ok(Guided { text: prompts.text, added: added.transpose()?, guidance })
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

    fn condition(&self, job: &ImageJob, native: [usize; 2]) -> Result<Guided, EngineError> {
        let count = job.num_images as usize;
        let towards = self.prompts.encode(&job.prompt)?.repeat(count)?;
        let away = match self.is_guided_by(job.guidance) {
            true => Some(self.prompts.encode_negative(&job.negative_prompt)?.repeat(count)?),
            false => None,
        };
        let away = away.as_ref().map(|away| (away, job.guidance));
        Ok(self.guided(&towards, away, native)?)
    }

    fn scheduler(
        &self,
        job: &ImageJob,
        _latent: [usize; 3],
    ) -> candle_core::Result<Box<dyn Scheduler>> {
        scheduler(job.scheduler, &self.schedule, job.steps as usize)
    }

    fn predict(
        &self,
        timestep: f64,
        runs: &[Noisy<'_, Guided>],
    ) -> candle_core::Result<Vec<Tensor>> {
        shared_out(runs, |runs| {
            let texts: Vec<&Tensor> = runs.iter().map(|run| &run.condition.text).collect();
            let text = Tensor::cat(&texts, 0)?;
            let added: Option<Vec<&Tensor>> =
                runs.iter().map(|run| run.condition.added.as_ref()).collect();
            let added = added.map(|added| Tensor::cat(&added, 0)).transpose()?;
            guided(
                runs,
                |condition| condition.guidance,
                |latents| {
                    let latents = latents.to_dtype(self.dtype)?;
                    self.unet
                        .forward(&latents, timestep, &text, added.as_ref())?
                        .to_dtype(DType::F32)
                },
            )
        })
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

    fn picture_bytes(&self, job: &ImageJob, [_, height, width]: [usize; 3]) -> u64 {
        let halves = if job.guidance > 1.0 { 2 } else { 1 };
        let values = halves * height * width * self.unet.working_width();
        (values * self.dtype.size_in_bytes()) as u64
    }
}
