//! FLUX.2-klein as one latent model: Qwen3, the transformer, the autoencoder, and pictures to refer to.

use std::path::Path;

use candle_core::{Device, Result, Tensor, bail};
use serde_json::json;

use super::{Conditioning, Flux2Vae, Transformer, reference::prepare};
use crate::engines::{
    EngineError,
    config_file::ConfigFile,
    image::{
        ImageJob,
        pipeline::{LatentModel, Noisy, PipelineOptions, from_picture, in_groups},
        schedulers::{FlowMatchConfig, FlowSigmas, Scheduler},
        text_encoders::{PROMPT_TOKENS, PromptStyle, Qwen3Encoder},
    },
    text::decoder::Tap,
};

/// The template leaves no room for thoughts, and the states of the padding are read too.
const STYLE: PromptStyle = PromptStyle { thinks: false, is_padded: true };

/// The states that are read, side by side.
const TAPS: [Tap; 3] = [Tap::AfterLayers(9), Tap::AfterLayers(18), Tap::AfterLayers(27)];

/// A FLUX.2-klein, distilled or not.
pub struct Flux2Klein {
    encoder: Qwen3Encoder,
    transformer: Transformer,
    vae: Flux2Vae,
    schedule: FlowMatchConfig,
    /// A distilled model knows no guidance.
    is_distilled: bool,
    device: Device,
}

/// The words and reference pictures of a job.
#[derive(Debug)]
pub struct GuidedConditioning {
    towards: Conditioning,
    /// What to steer away from, and how far.
    away: Option<(Conditioning, f64)>,
}

impl Flux2Klein {
    /// Loads every part from its folder.
    pub fn load(folder: &Path, options: &PipelineOptions) -> Result<Self> {
        let index = ConfigFile::read(folder, "model_index.json")?;
        index.only(&[("_class_name", json!("Flux2KleinPipeline"))])?;
        let (device, dtype) = (&options.device, options.dtype);
        let (encoder, tokenizer) = (folder.join("text_encoder"), folder.join("tokenizer"));
        let encoder = Qwen3Encoder::load((&encoder, &tokenizer), (dtype, device))?;
        let transformer = Transformer::load(&folder.join("transformer"), dtype, device)?;
        let vae = Flux2Vae::load(&folder.join("vae"), options)?;
        let read = (transformer.words_width(), transformer.channels());
        if read != (TAPS.len() * encoder.hidden(), vae.latent_channels()) {
            bail!("transformer, text encoder and VAE are not of one model");
        }
        Ok(Self {
            encoder,
            transformer,
            vae,
            schedule: FlowMatchConfig::read(&folder.join("scheduler"))?,
            is_distilled: index.get("is_distilled", false)?,
            device: device.clone(),
        })
    }

    fn references(&self, job: &ImageJob) -> std::result::Result<Vec<Tensor>, EngineError> {
        let multiple = self.vae.downsampling() as u32;
        job.images
            .iter()
            .map(|picture| {
                let picture = prepare(picture, multiple)?;
                let size = [picture.height() as usize, picture.width() as usize];
                Ok(self.vae.encode(&from_picture(&picture, size, &self.device)?)?)
            })
            .collect()
    }

    /// The transformer's output for latents with their words. All words have one length; a run with pictures to refer
    /// to has tokens of its own number and is computed by itself.
    fn predict_sides(
        &self,
        timestep: f64,
        all: &[(&Tensor, &Conditioning)],
    ) -> Result<Vec<Tensor>> {
        let key =
            |words: &Conditioning| Ok(words.has_references().then_some(std::ptr::from_ref(words)));
        in_groups(all, key, |latents, words| {
            self.transformer.forward(latents, timestep, &Conditioning::join(words)?)
        })
    }
}

impl LatentModel for Flux2Klein {
    type Condition = GuidedConditioning;

    fn size_multiple(&self) -> usize {
        self.vae.downsampling()
    }

    fn latent_dims(&self, height: usize, width: usize) -> [usize; 3] {
        let scale = self.vae.downsampling();
        [self.vae.latent_channels(), height / scale, width / scale]
    }

    fn condition(
        &self,
        job: &ImageJob,
        [height, width]: [usize; 2],
    ) -> std::result::Result<GuidedConditioning, EngineError> {
        let [_, height, width] = self.latent_dims(height, width);
        let references = self.references(job)?;
        let conditioning = |prompt: &str| -> std::result::Result<_, EngineError> {
            let words = self.encoder.encode(prompt, STYLE, &TAPS)?;
            Ok(self.transformer.conditioning(&words, &references, [height, width])?)
        };
        let towards = conditioning(&job.prompt)?;
        let most = self.transformer.pictures_max(&towards)?;
        if job.num_images as usize > most {
            let text = format!("at most {most} pictures of this size with these references");
            return Err(EngineError::InvalidInput(text));
        }
        let away = match self.is_guided_by(job.guidance) {
            true => Some((conditioning(&job.negative_prompt)?, job.guidance)),
            false => None,
        };
        Ok(GuidedConditioning { towards, away })
    }

    fn is_guided_by(&self, guidance: f64) -> bool {
        guidance > 1.0 && !self.is_distilled
    }

    fn has_negative_prompts(&self) -> bool {
        !self.is_distilled
    }

    fn scheduler(
        &self,
        job: &ImageJob,
        [_, height, width]: [usize; 3],
    ) -> Result<Box<dyn Scheduler>> {
        let steps = job.steps as usize;
        let mu = schedule_shift(height * width, steps);
        self.schedule.scheduler(job.scheduler, FlowSigmas::even(steps), Some(mu))
    }

    fn predict(
        &self,
        timestep: f64,
        runs: &[Noisy<'_, GuidedConditioning>],
    ) -> Result<Vec<Tensor>> {
        let towards: Vec<_> =
            runs.iter().map(|run| (&run.latents, &run.condition.towards)).collect();
        let away: Vec<_> = runs
            .iter()
            .filter_map(|run| Some((&run.latents, &run.condition.away.as_ref()?.0)))
            .collect();
        let towards = self.predict_sides(timestep, &towards)?;
        let mut away = self.predict_sides(timestep, &away)?.into_iter();
        let guided = towards.into_iter().zip(runs).map(|(towards, run)| {
            let guidance = run.condition.away.as_ref().map(|(_, guidance)| *guidance);
            match guidance.and_then(|guidance| Some((away.next()?, guidance))) {
                Some((away, guidance)) => &away + ((towards - &away)? * guidance)?,
                None => Ok(towards),
            }
        });
        guided.collect()
    }

    /// The likeliest latents: a reference is read as it is.
    fn encode(&self, pictures: &Tensor, _noise: &Tensor) -> Result<Tensor> {
        self.vae.encode(pictures)
    }

    fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        self.vae.decode(latents)
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn starts_from_picture(&self) -> bool {
        false
    }

    /// References count as if each had the size of the picture.
    fn picture_bytes(&self, job: &ImageJob, [_, height, width]: [usize; 3]) -> u64 {
        let pictures = 1 + job.images.len();
        self.transformer.working_bytes(PROMPT_TOKENS + pictures * height * width)
    }

    /// Edits have a number of tokens of their own: nothing is gained where they wait for each other.
    fn fits(&self, job: &ImageJob, next: &ImageJob) -> bool {
        job.images.is_empty() && next.images.is_empty()
    }
}

/// How far the schedule is moved for a picture of so many tokens: lines through what suited 10 and 200 steps best,
/// and for large pictures the latter alone.
pub fn schedule_shift(tokens: usize, steps: usize) -> f64 {
    let tokens_as_number = tokens as f64;
    let at_200 = 0.000_169_27 * tokens_as_number + 0.456_666_66;
    if tokens > 4300 {
        return at_200;
    }
    let at_10 = 8.738_095_24e-5 * tokens_as_number + 1.898_333_33;
    let slope = (at_200 - at_10) / 190.0;
    slope * steps as f64 + at_200 - 200.0 * slope
}
