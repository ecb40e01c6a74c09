//! Stable Diffusion 3 and 3.5 as one latent model: three text encoders, the transformer, the autoencoder.

use std::path::Path;

use candle_core::{D, DType, Device, Result, Tensor, bail};
use serde_json::json;

use super::{Sd3Transformer, Words};
use crate::engines::{
    EngineError,
    config_file::ConfigFile,
    image::{
        ImageJob, Vae,
        pipeline::{LatentModel, Noisy, PipelineOptions, guided},
        schedulers::{FlowMatchConfig, FlowSigmas, Scheduler},
        text_encoders::{ClipTextEncoder, PromptTokenizer, T5Encoder, T5Tokenizer},
    },
};

/// Ids that T5 reads, padding included.
const T5_LENGTH: usize = 256;

/// The words of a job for its pictures; with guidance, first what to steer away from and then the prompt.
#[derive(Debug, Clone)]
pub struct GuidedWords {
    pub words: Words,
    /// How far from the one to the other and beyond, if there are both.
    pub guidance: Option<f64>,
}

impl GuidedWords {
    /// Words with what to steer away from, and how far.
    pub fn new(towards: Words, away: Option<(Words, f64)>) -> Result<Self> {
        let Some((away, guidance)) = away else {
            return Ok(Self { words: towards, guidance: None });
        };
        let join = |away: &Tensor, towards: &Tensor| Tensor::cat(&[away, towards], 0);
        let words = Words {
            hidden: join(&away.hidden, &towards.hidden)?,
            pooled: join(&away.pooled, &towards.pooled)?,
        };
        Ok(Self { words, guidance: Some(guidance) })
    }
}

/// A Stable Diffusion 3 or 3.5.
pub struct StableDiffusion3 {
    clips: [(PromptTokenizer, ClipTextEncoder); 2],
    t5: (T5Tokenizer, T5Encoder),
    transformer: Sd3Transformer,
    vae: Vae,
    schedule: FlowMatchConfig,
    device: Device,
    dtype: DType,
}

impl StableDiffusion3 {
    /// Loads every part from its folder.
    pub fn load(folder: &Path, options: &PipelineOptions) -> Result<Self> {
        let index = ConfigFile::read(folder, "model_index.json")?;
        index.only(&[("_class_name", json!("StableDiffusion3Pipeline"))])?;
        let (device, dtype) = (&options.device, options.dtype);
        let clip = |number: &str| -> Result<_> {
            let path = folder.join(format!("text_encoder{number}"));
            let encoder = ClipTextEncoder::load(&path, dtype, device)?;
            let path = folder.join(format!("tokenizer{number}"));
            Ok((PromptTokenizer::load(&path, encoder.positions()?)?, encoder))
        };
        let t5_tokenizer = T5Tokenizer::load(&folder.join("tokenizer_3"), T5_LENGTH)?;
        let t5 = T5Encoder::load(&folder.join("text_encoder_3"), dtype, device)?;
        let transformer = Sd3Transformer::load(&folder.join("transformer"), dtype, device)?;
        let vae = options.load_vae(&folder.join("vae"))?;
        if transformer.latent_channels() != vae.latent_channels() {
            bail!(
                "the transformer reads {} latent channels, the VAE {}",
                transformer.latent_channels(),
                vae.latent_channels()
            );
        }
        Ok(Self {
            clips: [clip("")?, clip("_2")?],
            t5: (t5_tokenizer, t5),
            transformer,
            vae,
            schedule: FlowMatchConfig::read(&folder.join("scheduler"))?,
            device: device.clone(),
            dtype,
        })
    }

    /// One prompt through all three encoders: CLIP's vectors side by side and filled up to T5's width, then T5's.
    pub fn encode_prompt(&self, prompt: &str) -> Result<Words> {
        let ids = |ids: Vec<u32>| Tensor::from_vec(ids.clone(), (1, ids.len()), &self.device);
        let clip = |(tokenizer, encoder): &(PromptTokenizer, ClipTextEncoder)| {
            encoder.states(&ids(tokenizer.encode(prompt)?)?)
        };
        let (first, second) = (clip(&self.clips[0])?, clip(&self.clips[1])?);
        let t5 = self.t5.1.forward(&ids(self.t5.0.encode(prompt)?)?)?.to_dtype(self.dtype)?;
        let clips = Tensor::cat(&[&first.penultimate, &second.penultimate], D::Minus1)?;
        let Some(missing) = t5.dim(D::Minus1)?.checked_sub(clips.dim(D::Minus1)?) else {
            bail!("the CLIP encoders together are wider than T5");
        };
        let clips = clips.pad_with_zeros(D::Minus1, 0, missing)?;
        Ok(Words {
            hidden: Tensor::cat(&[clips, t5], 1)?,
            pooled: Tensor::cat(&[first.pooled, second.pooled], D::Minus1)?,
        })
    }

    fn words(&self, prompt: &str, count: usize) -> Result<Words> {
        let Words { hidden, pooled } = self.encode_prompt(prompt)?;
        Ok(Words { hidden: hidden.repeat((count, 1, 1))?, pooled: pooled.repeat((count, 1))? })
    }
}

impl LatentModel for StableDiffusion3 {
    type Condition = GuidedWords;

    fn size_multiple(&self) -> usize {
        self.vae.downsampling() * self.transformer.patch()
    }

    fn latent_dims(&self, height: usize, width: usize) -> [usize; 3] {
        let scale = self.vae.downsampling();
        [self.vae.latent_channels(), height / scale, width / scale]
    }

    fn condition(
        &self,
        job: &ImageJob,
        native: [usize; 2],
    ) -> std::result::Result<GuidedWords, EngineError> {
        let most = self.transformer.side_max() * self.vae.downsampling();
        if native.into_iter().any(|side| side > most) {
            let text = format!("this model's pictures are at most {most} pixels on each side");
            return Err(EngineError::InvalidInput(text));
        }
        let count = job.num_images as usize;
        let away = match self.is_guided_by(job.guidance) {
            true => Some((self.words(&job.negative_prompt, count)?, job.guidance)),
            false => None,
        };
        Ok(GuidedWords::new(self.words(&job.prompt, count)?, away)?)
    }

    fn scheduler(&self, job: &ImageJob, latent: [usize; 3]) -> Result<Box<dyn Scheduler>> {
        let [_, height, width] = latent;
        let patch = self.transformer.patch();
        let mu = self.schedule.size_shift((height / patch) * (width / patch));
        self.schedule.scheduler(job.scheduler, FlowSigmas::OfSteps(job.steps as usize), Some(mu))
    }

    fn predict(&self, timestep: f64, runs: &[Noisy<'_, GuidedWords>]) -> Result<Vec<Tensor>> {
        let all = |part: fn(&Words) -> &Tensor| {
            let parts: Vec<&Tensor> = runs.iter().map(|run| part(&run.condition.words)).collect();
            Tensor::cat(&parts, 0)
        };
        let words =
            Words { hidden: all(|words| &words.hidden)?, pooled: all(|words| &words.pooled)? };
        guided(
            runs,
            |condition| condition.guidance,
            |latents| {
                let latents = latents.to_dtype(self.dtype)?;
                self.transformer.forward(&latents, timestep, &words)?.to_dtype(DType::F32)
            },
        )
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
        let halves = if job.guidance > 1.0 { 2 } else { 1 };
        let patch = self.transformer.patch();
        let words = self.clips[0].1.positions().unwrap_or(0) + T5_LENGTH;
        let tokens = halves * (words + height / patch * (width / patch));
        (tokens * self.transformer.working_width() * self.dtype.size_in_bytes()) as u64
    }
}
