//! Z-Image as one latent model: Qwen3, the transformer, the autoencoder.

use std::path::Path;

use candle_core::{Device, Result, Tensor, bail};
use serde_json::json;

use super::{Caption, Transformer, config::PATCH};
use crate::engines::{
    EngineError,
    config_file::ConfigFile,
    image::{
        ImageJob, Vae,
        pipeline::{LatentModel, Noisy, PipelineOptions, in_groups},
        schedulers::{FlowMatchConfig, FlowSigmas, Scheduler},
        text_encoders::{PROMPT_TOKENS, PromptStyle, Qwen3Encoder},
    },
    text::decoder::Tap,
};

/// The template is asked to think, and the states of the prompt's own tokens are read.
const STYLE: PromptStyle = PromptStyle { thinks: true, is_padded: false };

/// Timesteps of the training, as the model counts them.
const TIMESTEPS: f64 = 1000.0;

/// A Z-Image, turbo or not.
pub struct ZImage {
    encoder: Qwen3Encoder,
    transformer: Transformer,
    vae: Vae,
    schedule: FlowMatchConfig,
    device: Device,
}

/// The words of a job, refined for its size.
#[derive(Debug)]
pub struct GuidedCaption {
    towards: Caption,
    /// What to steer away from, and how far; the turbo model is not steered.
    away: Option<(Caption, f64)>,
}

impl ZImage {
    /// Loads every part from its folder.
    pub fn load(folder: &Path, options: &PipelineOptions) -> Result<Self> {
        let index = ConfigFile::read(folder, "model_index.json")?;
        index.only(&[("_class_name", json!("ZImagePipeline"))])?;
        let (device, dtype) = (&options.device, options.dtype);
        let (encoder, tokenizer) = (folder.join("text_encoder"), folder.join("tokenizer"));
        let encoder = Qwen3Encoder::load((&encoder, &tokenizer), (dtype, device))?;
        let transformer = Transformer::load(&folder.join("transformer"), dtype, device)?;
        let vae = options.load_vae(&folder.join("vae"))?;
        let read = (transformer.caption_width(), transformer.latent_channels());
        if read != (encoder.hidden(), vae.latent_channels()) || encoder.layers() == 0 {
            bail!("transformer, text encoder and VAE are not of one model");
        }
        let schedule = FlowMatchConfig::read(&folder.join("scheduler"))?;
        Ok(Self { encoder, transformer, vae, schedule, device: device.clone() })
    }

    fn caption(
        &self,
        prompt: &str,
        latent_size: [usize; 2],
    ) -> std::result::Result<Caption, EngineError> {
        let tap = Tap::AfterLayers(self.encoder.layers() - 1);
        let features = self.encoder.encode(prompt, STYLE, &[tap])?;
        Ok(self.transformer.caption(&features, latent_size)?)
    }

    fn caption_length(&self, prompt: &str) -> Option<usize> {
        let (tokens, _) = self.encoder.tokens(prompt, STYLE).ok()?;
        Some(Caption::length(tokens.len()))
    }

    /// The transformer's output for latents with their captions. The reference masks what it fills the captions of a
    /// batch up with; here those of one length have a batch of their own.
    fn predict_captions(&self, time: f64, all: &[(&Tensor, &Caption)]) -> Result<Vec<Tensor>> {
        in_groups(all, Caption::tokens, |latents, captions| {
            self.transformer.forward(latents, time, &Caption::join(captions)?)
        })
    }
}

impl LatentModel for ZImage {
    type Condition = GuidedCaption;

    fn size_multiple(&self) -> usize {
        self.vae.downsampling() * PATCH
    }

    fn latent_dims(&self, height: usize, width: usize) -> [usize; 3] {
        let scale = self.vae.downsampling();
        [self.vae.latent_channels(), height / scale, width / scale]
    }

    fn condition(
        &self,
        job: &ImageJob,
        [height, width]: [usize; 2],
    ) -> std::result::Result<GuidedCaption, EngineError> {
        let [_, height, width] = self.latent_dims(height, width);
        let caption = |prompt: &str| self.caption(prompt, [height, width]);
        let away = match self.is_guided_by(job.guidance) {
            true => Some((caption(&job.negative_prompt)?, job.guidance)),
            false => None,
        };
        Ok(GuidedCaption { towards: caption(&job.prompt)?, away })
    }

    fn is_guided_by(&self, guidance: f64) -> bool {
        guidance > 0.0
    }

    fn scheduler(
        &self,
        job: &ImageJob,
        [_, height, width]: [usize; 3],
    ) -> Result<Box<dyn Scheduler>> {
        let mu = self.schedule.size_shift(height / PATCH * (width / PATCH));
        let sigmas = FlowSigmas::even(job.steps as usize);
        self.schedule.scheduler(job.scheduler, sigmas, Some(mu))
    }

    /// With guidance, `towards + guidance · (towards − away)`: here 0 is none.
    fn predict(&self, timestep: f64, runs: &[Noisy<'_, GuidedCaption>]) -> Result<Vec<Tensor>> {
        let time = (TIMESTEPS - timestep) / TIMESTEPS;
        let towards: Vec<_> =
            runs.iter().map(|run| (&run.latents, &run.condition.towards)).collect();
        let away: Vec<_> = runs
            .iter()
            .filter_map(|run| Some((&run.latents, &run.condition.away.as_ref()?.0)))
            .collect();
        let towards = self.predict_captions(time, &towards)?;
        let mut away = self.predict_captions(time, &away)?.into_iter();
        let guided = towards.into_iter().zip(runs).map(|(towards, run)| {
            let guidance = run.condition.away.as_ref().map(|(_, guidance)| *guidance);
            match guidance.and_then(|guidance| Some((away.next()?, guidance))) {
                Some((away, guidance)) => &towards + ((&towards - away)? * guidance)?,
                None => Ok(towards),
            }
        });
        guided.collect()
    }

    fn encode(&self, pictures: &Tensor, noise: &Tensor) -> Result<Tensor> {
        self.vae.encode(pictures, noise)
    }

    fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        self.vae.decode(latents)
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn picture_bytes(&self, job: &ImageJob, [_, height, width]: [usize; 3]) -> u64 {
        let words = self.caption_length(&job.prompt).unwrap_or(PROMPT_TOKENS);
        let picture = Caption::length(height / PATCH * (width / PATCH));
        self.transformer.working_bytes(words + picture)
    }

    fn fits(&self, job: &ImageJob, next: &ImageJob) -> bool {
        let length = |job: &ImageJob| self.caption_length(&job.prompt);
        length(job).is_some_and(|own| length(next) == Some(own))
    }
}
