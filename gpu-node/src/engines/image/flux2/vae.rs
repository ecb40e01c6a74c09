//! The autoencoder of FLUX.2: four latents side by side are one, brought to a common spread by the statistics of a
//! batch norm.

use std::path::Path;

use candle_core::{DType, Result, Tensor, bail};

use crate::engines::{
    checkpoint::load_weights,
    config_file::ConfigFile,
    image::{
        Vae,
        dit::{patches, picture_of_channel_first},
        pipeline::PipelineOptions,
    },
};

/// Latents on a side that become one.
const PATCH: usize = 2;

/// An autoencoder whose latents the transformer reads as they are.
#[derive(Debug)]
pub struct Flux2Vae {
    vae: Vae,
    /// Of each channel, `(1, channels, 1, 1)`.
    mean: Tensor,
    spread: Tensor,
}

impl Flux2Vae {
    /// Reads `config.json` and the weights of one folder, the encoder only where pictures are read.
    pub fn load(folder: &Path, options: &PipelineOptions) -> Result<Self> {
        let file = ConfigFile::read(folder, "config.json")?;
        let class: String = file.require("_class_name")?;
        if class != "AutoencoderKLFlux2" {
            return file.refuse("_class_name", &class);
        }
        if file.get("patch_size", [PATCH; 2])? != [PATCH; 2] {
            bail!("config.json: `patch_size` must be {PATCH} on both sides");
        }
        let vae = options.load_vae(folder)?;
        let channels = vae.latent_channels() * PATCH * PATCH;
        let place = (DType::F32, &options.device);
        let vb = load_weights(folder, "diffusion_pytorch_model", place)?.pp("bn");
        let shape = (1, channels, 1, 1);
        let variance = vb.get(channels, "running_var")?.reshape(shape)?;
        let eps: f64 = file.get("batch_norm_eps", 1e-4)?;
        Ok(Self {
            vae,
            mean: vb.get(channels, "running_mean")?.reshape(shape)?,
            spread: (variance + eps)?.sqrt()?,
        })
    }

    /// Channels of its latents.
    pub fn latent_channels(&self) -> usize {
        self.vae.latent_channels() * PATCH * PATCH
    }

    /// How many pixels a latent stands for, on each side.
    pub fn downsampling(&self) -> usize {
        self.vae.downsampling() * PATCH
    }

    /// The likeliest latents of pictures in −1 … 1.
    pub fn encode(&self, pictures: &Tensor) -> Result<Tensor> {
        let (mean, _) = self.vae.moments(pictures)?;
        let (batch, _, height, width) = mean.dims4()?;
        let shape = (batch, (), height / PATCH, width / PATCH);
        let latents = patches(&mean, PATCH)?.transpose(1, 2)?.reshape(shape)?;
        latents.broadcast_sub(&self.mean)?.broadcast_div(&self.spread)
    }

    /// Pictures in −1 … 1 of latents.
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let (_, _, height, width) = latents.dims4()?;
        let latents = latents.to_dtype(DType::F32)?.broadcast_mul(&self.spread)?;
        let tokens = latents.broadcast_add(&self.mean)?.flatten_from(2)?.transpose(1, 2)?;
        let latents = picture_of_channel_first(&tokens.contiguous()?, (height, width), PATCH)?;
        self.vae.decode(&latents)
    }
}
