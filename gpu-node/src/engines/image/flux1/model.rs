//! FLUX.1 as one latent model: CLIP for the prompt as a whole, T5 for its words, the transformer, the autoencoder.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, bail};
use serde_json::json;

use super::{FluxTransformer, FluxWords, transformer::PATCH};
use crate::engines::{
    EngineError,
    config_file::ConfigFile,
    image::{
        ImageJob, Vae,
        pipeline::{LatentModel, Noisy, PipelineOptions, apart, batch},
        schedulers::{FlowMatchConfig, FlowSigmas, Scheduler},
        text_encoders::{ClipTextEncoder, PromptTokenizer, T5Encoder, T5Tokenizer},
    },
};

/// Ids that T5 reads, padding included, for the model that takes the guidance (dev) and the one distilled to
/// few steps (schnell).
const T5_LENGTHS: [usize; 2] = [512, 256];

/// The words of a job for its pictures, and the guidance where the model takes it.
#[derive(Debug, Clone)]
pub struct FluxCondition {
    pub words: FluxWords,
    pub guidance: f64,
}

/// A FLUX.1, dev or schnell.
pub struct Flux1 {
    clip: (PromptTokenizer, ClipTextEncoder),
    t5: (T5Tokenizer, T5Encoder),
    transformer: FluxTransformer,
    vae: Vae,
    schedule: FlowMatchConfig,
    device: Device,
    dtype: DType,
}

impl Flux1 {
    /// Loads every part from its folder.
    pub fn load(folder: &Path, options: &PipelineOptions) -> Result<Self> {
        let index = ConfigFile::read(folder, "model_index.json")?;
        index.only(&[("_class_name", json!("FluxPipeline"))])?;
        let (device, dtype) = (&options.device, options.dtype);
        let clip = ClipTextEncoder::load(&folder.join("text_encoder"), dtype, device)?;
        let tokenizer = PromptTokenizer::load(&folder.join("tokenizer"), clip.positions()?)?;
        let t5 = T5Encoder::load(&folder.join("text_encoder_2"), dtype, device)?;
        let transformer = FluxTransformer::load(&folder.join("transformer"), dtype, device)?;
        let [with_guidance, without] = T5_LENGTHS;
        let length = if transformer.has_guidance() { with_guidance } else { without };
        let t5_tokenizer = T5Tokenizer::load(&folder.join("tokenizer_2"), length)?;
        let vae = options.load_vae(&folder.join("vae"))?;
        if transformer.latent_channels() != vae.latent_channels() {
            bail!(
                "the transformer reads {} latent channels, the VAE {}",
                transformer.latent_channels(),
                vae.latent_channels()
            );
        }
        Ok(Self {
            clip: (tokenizer, clip),
            t5: (t5_tokenizer, t5),
            transformer,
            vae,
            schedule: FlowMatchConfig::read(&folder.join("scheduler"))?,
            device: device.clone(),
            dtype,
        })
    }

    /// One prompt through both encoders.
    pub fn encode_prompt(&self, prompt: &str) -> Result<FluxWords> {
        let ids = |ids: Vec<u32>| Tensor::from_vec(ids.clone(), (1, ids.len()), &self.device);
        let (tokenizer, encoder) = &self.clip;
        let pooled = encoder.states(&ids(tokenizer.encode(prompt)?)?)?.pooled;
        let (tokenizer, encoder) = &self.t5;
        let hidden = encoder.forward(&ids(tokenizer.encode(prompt)?)?)?.to_dtype(self.dtype)?;
        Ok(FluxWords { hidden, pooled })
    }
}

impl LatentModel for Flux1 {
    type Condition = FluxCondition;

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
        _native: [usize; 2],
    ) -> std::result::Result<FluxCondition, EngineError> {
        let count = job.num_images as usize;
        let FluxWords { hidden, pooled } = self.encode_prompt(&job.prompt)?;
        let words =
            FluxWords { hidden: hidden.repeat((count, 1, 1))?, pooled: pooled.repeat((count, 1))? };
        Ok(FluxCondition { words, guidance: job.guidance })
    }

    fn is_guided_by(&self, _guidance: f64) -> bool {
        self.transformer.has_guidance()
    }

    fn has_negative_prompts(&self) -> bool {
        false
    }

    fn scheduler(&self, job: &ImageJob, latent: [usize; 3]) -> Result<Box<dyn Scheduler>> {
        let [_, height, width] = latent;
        let mu = self.schedule.size_shift((height / PATCH) * (width / PATCH));
        let sigmas = FlowSigmas::even(job.steps as usize);
        self.schedule.scheduler(job.scheduler, sigmas, Some(mu))
    }

    fn predict(&self, timestep: f64, runs: &[Noisy<'_, FluxCondition>]) -> Result<Vec<Tensor>> {
        let all = |part: fn(&FluxWords) -> &Tensor| {
            let parts: Vec<&Tensor> = runs.iter().map(|run| part(&run.condition.words)).collect();
            Tensor::cat(&parts, 0)
        };
        let words =
            FluxWords { hidden: all(|words| &words.hidden)?, pooled: all(|words| &words.pooled)? };
        let mut guidance = Vec::new();
        for run in runs {
            let pictures = run.latents.dim(0)?;
            guidance.extend(std::iter::repeat_n(run.condition.guidance, pictures));
        }
        let latents = batch(runs)?.to_dtype(self.dtype)?;
        let output = self.transformer.forward_each(&latents, timestep, &guidance, &words)?;
        apart(&output.to_dtype(DType::F32)?, runs)
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

    fn picture_bytes(&self, _job: &ImageJob, [_, height, width]: [usize; 3]) -> u64 {
        let [with_guidance, without] = T5_LENGTHS;
        let words = if self.transformer.has_guidance() { with_guidance } else { without };
        let tokens = words + height / PATCH * (width / PATCH);
        (tokens * self.transformer.working_width() * self.dtype.size_in_bytes()) as u64
    }
}
