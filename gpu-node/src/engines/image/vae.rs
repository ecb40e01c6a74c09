//! The autoencoder between pictures and latents: `vae/` of latent diffusion models (AutoencoderKL).

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde_json::json;

use super::resnet::{NormConfig, ResnetBlock};
use crate::engines::{
    checkpoint::load_weights,
    config_file::ConfigFile,
    layers::{
        Activation, Conv2d, ConvShape, GroupNorm, Linear, SiluAfter, Start, attention, computing,
        from_channels_first, from_tokens, map_size, to_channels_first, to_tokens,
    },
};

struct VaeConfig {
    channels: Vec<usize>,
    layers: usize,
    latent_channels: usize,
    norm: NormConfig,
    scaling_factor: f64,
    shift_factor: f64,
    has_quant: bool,
    has_post_quant: bool,
    has_attention: bool,
}

impl VaeConfig {
    fn read(folder: &Path) -> Result<Self> {
        let file = ConfigFile::read(folder, "config.json")?;
        file.only(&[
            ("in_channels", json!(3)),
            ("out_channels", json!(3)),
            ("decoder_block_out_channels", json!(null)),
            ("latents_mean", json!(null)),
            ("latents_std", json!(null)),
        ])?;
        let activation: String = file.get("act_fn", "silu".to_owned())?;
        if Activation::parse(&activation) != Some(Activation::Silu) {
            return file.refuse("act_fn", &activation);
        }
        // FLUX.2 scales its latents outside, by the statistics of a batch norm.
        let class: Option<String> = file.find("_class_name")?;
        let scaling_factor =
            if class.as_deref() == Some("AutoencoderKLFlux2") { 1.0 } else { 0.18215 };
        let channels: Vec<usize> = file.get("block_out_channels", vec![64])?;
        for (key, supported) in
            [("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")]
        {
            let kinds = file.get(key, vec![supported.to_owned(); channels.len()])?;
            if let Some(other) = kinds.iter().find(|kind| *kind != supported) {
                return file.refuse(key, other);
            }
            if kinds.len() != channels.len() || channels.is_empty() {
                bail!("config.json: the lists of blocks differ in length");
            }
        }
        Ok(Self {
            channels,
            layers: file.get("layers_per_block", 1)?,
            latent_channels: file.get("latent_channels", 4)?,
            norm: NormConfig { groups: file.get("norm_num_groups", 32)?, eps: 1e-6 },
            scaling_factor: file.get("scaling_factor", scaling_factor)?,
            shift_factor: file.get("shift_factor", 0.0)?,
            has_quant: file.get("use_quant_conv", true)?,
            has_post_quant: file.get("use_post_quant_conv", true)?,
            has_attention: file.get("mid_block_add_attention", true)?,
        })
    }

    fn last(&self) -> usize {
        self.channels[self.channels.len() - 1]
    }
}

/// Both halves of the autoencoder. A run from words alone needs the decoder alone.
#[derive(Debug)]
pub struct Vae {
    encoder: Option<Encoder>,
    decoder: Decoder,
    /// Latents are the encoder's result, less the shift, times the factor.
    scaling_factor: f64,
    shift_factor: f64,
    latent_channels: usize,
    downsampling: usize,
}

impl Vae {
    /// Reads `config.json` and the weights of one folder, without the encoder.
    pub fn load_decoder(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config = VaeConfig::read(folder)?;
        let vb = load_weights(folder, "diffusion_pytorch_model", (dtype, device))?;
        Self::from_parts(&config, None, Decoder::load(&config, &vb)?)
    }

    /// Reads `config.json` and the weights of one folder.
    pub fn load(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config = VaeConfig::read(folder)?;
        let vb = load_weights(folder, "diffusion_pytorch_model", (dtype, device))?;
        let encoder = Encoder::load(&config, &vb)?;
        Self::from_parts(&config, Some(encoder), Decoder::load(&config, &vb)?)
    }

    fn from_parts(config: &VaeConfig, encoder: Option<Encoder>, decoder: Decoder) -> Result<Self> {
        Ok(Self {
            encoder,
            decoder,
            scaling_factor: config.scaling_factor,
            shift_factor: config.shift_factor,
            latent_channels: config.latent_channels,
            downsampling: 1 << (config.channels.len() - 1),
        })
    }

    /// Channels of its latents.
    pub fn latent_channels(&self) -> usize {
        self.latent_channels
    }

    /// How many pixels a latent stands for, on each side.
    pub fn downsampling(&self) -> usize {
        self.downsampling
    }

    /// From scaled latents, as the denoiser sees them, to pictures in −1 … 1.
    pub fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let latents = ((latents / self.scaling_factor)? + self.shift_factor)?;
        computing(latents.device(), || self.decoder.forward(&latents))
    }

    /// Scaled latents of pictures in −1 … 1, drawn from what the encoder says of each; one picture may
    /// stand for all of `noise`.
    pub fn encode(&self, pictures: &Tensor, noise: &Tensor) -> Result<Tensor> {
        let (mean, log_variance) = self.moments(pictures)?;
        let spread = (log_variance * 0.5)?.exp()?;
        let latents = noise.broadcast_mul(&spread)?.broadcast_add(&mean)?;
        (latents - self.shift_factor)? * self.scaling_factor
    }

    /// The mean and the logarithm of the variance of a picture's unscaled latents.
    pub fn moments(&self, pictures: &Tensor) -> Result<(Tensor, Tensor)> {
        let Some(encoder) = &self.encoder else { bail!("the encoder was not loaded") };
        let moments = computing(pictures.device(), || encoder.forward(pictures))?;
        let mean = moments.narrow(1, 0, self.latent_channels)?;
        let variance = moments.narrow(1, self.latent_channels, self.latent_channels)?;
        Ok((mean, variance.clamp(-30.0, 20.0)?))
    }
}

#[derive(Debug)]
struct Encoder {
    conv_in: Conv2d,
    down: Vec<(Vec<ResnetBlock>, Option<Conv2d>)>,
    mid: MidBlock,
    norm_out: SiluAfter<GroupNorm>,
    conv_out: Conv2d,
    quant: Option<Conv2d>,
}

impl Encoder {
    fn load(config: &VaeConfig, root: &VarBuilder<'_>) -> Result<Self> {
        let vb = root.pp("encoder");
        let NormConfig { groups, eps } = config.norm;
        let moments = 2 * config.latent_channels;
        let mut inputs = config.channels[0];
        let mut down = Vec::new();
        for (index, outputs) in config.channels.iter().copied().enumerate() {
            let vb = vb.pp("down_blocks").pp(index);
            let resnets = load_resnets((inputs, outputs), config.layers, config.norm, &vb)?;
            let downsample = (index + 1 < config.channels.len()).then(|| {
                let same = ConvShape::same(outputs, outputs);
                let shape = ConvShape { stride: 2, padding: (0, 1), ..same };
                Conv2d::load(shape, vb.pp("downsamplers.0.conv"))
            });
            down.push((resnets, downsample.transpose()?));
            inputs = outputs;
        }
        let quant = config
            .has_quant
            .then(|| Conv2d::load(ConvShape::point(moments, moments), root.pp("quant_conv")));
        Ok(Self {
            conv_in: Conv2d::load(ConvShape::same(3, config.channels[0]), vb.pp("conv_in"))?,
            down,
            mid: MidBlock::load(config, vb.pp("mid_block"))?,
            norm_out: GroupNorm::load(groups, inputs, eps, vb.pp("conv_norm_out"))?.with_silu(),
            conv_out: Conv2d::load(ConvShape::same(inputs, moments), vb.pp("conv_out"))?,
            quant: quant.transpose()?,
        })
    }

    fn forward(&self, pictures: &Tensor) -> Result<Tensor> {
        let mut xs = self.conv_in.forward(&from_channels_first(pictures)?)?;
        for (resnets, downsample) in &self.down {
            for resnet in resnets {
                xs = resnet.forward(&xs, None)?;
            }
            if let Some(downsample) = downsample {
                xs = downsample.forward(&xs)?;
            }
        }
        xs = self.mid.forward(&xs)?;
        xs = self.conv_out.forward_normed(&self.norm_out, &xs, Start::Bias)?;
        if let Some(quant) = &self.quant {
            xs = quant.forward(&xs)?;
        }
        to_channels_first(&xs)
    }
}

#[derive(Debug)]
struct Decoder {
    post_quant: Option<Conv2d>,
    conv_in: Conv2d,
    mid: MidBlock,
    up: Vec<(Vec<ResnetBlock>, Option<Conv2d>)>,
    norm_out: SiluAfter<GroupNorm>,
    conv_out: Conv2d,
}

impl Decoder {
    fn load(config: &VaeConfig, root: &VarBuilder<'_>) -> Result<Self> {
        let vb = root.pp("decoder");
        let NormConfig { groups, eps } = config.norm;
        let (latent, last) = (config.latent_channels, config.last());
        let mut inputs = last;
        let mut up = Vec::new();
        for (index, outputs) in config.channels.iter().copied().rev().enumerate() {
            let vb = vb.pp("up_blocks").pp(index);
            let resnets = load_resnets((inputs, outputs), config.layers + 1, config.norm, &vb)?;
            let upsample = (index + 1 < config.channels.len())
                .then(|| Conv2d::load_after_doubling(outputs, outputs, vb.pp("upsamplers.0.conv")));
            up.push((resnets, upsample.transpose()?));
            inputs = outputs;
        }
        let post_quant = config
            .has_post_quant
            .then(|| Conv2d::load(ConvShape::point(latent, latent), root.pp("post_quant_conv")));
        Ok(Self {
            post_quant: post_quant.transpose()?,
            conv_in: Conv2d::load(ConvShape::same(latent, last), vb.pp("conv_in"))?,
            mid: MidBlock::load(config, vb.pp("mid_block"))?,
            up,
            norm_out: GroupNorm::load(groups, inputs, eps, vb.pp("conv_norm_out"))?.with_silu(),
            conv_out: Conv2d::load(ConvShape::same(inputs, 3), vb.pp("conv_out"))?,
        })
    }

    fn forward(&self, latents: &Tensor) -> Result<Tensor> {
        let mut xs = from_channels_first(latents)?;
        if let Some(post_quant) = &self.post_quant {
            xs = post_quant.forward(&xs)?;
        }
        xs = self.mid.forward(&self.conv_in.forward(&xs)?)?;
        for (resnets, upsample) in &self.up {
            for resnet in resnets {
                xs = resnet.forward(&xs, None)?;
            }
            if let Some(upsample) = upsample {
                xs = upsample.forward(&xs)?;
            }
        }
        to_channels_first(&self.conv_out.forward_normed(&self.norm_out, &xs, Start::Bias)?)
    }
}

fn load_resnets(
    (inputs, outputs): (usize, usize),
    count: usize,
    norm: NormConfig,
    vb: &VarBuilder<'_>,
) -> Result<Vec<ResnetBlock>> {
    (0..count)
        .map(|index| {
            let inputs = if index == 0 { inputs } else { outputs };
            ResnetBlock::load((inputs, outputs), None, norm, vb.pp("resnets").pp(index))
        })
        .collect()
}

#[derive(Debug)]
struct MidBlock {
    first: ResnetBlock,
    attention: Option<Attention>,
    last: ResnetBlock,
}

impl MidBlock {
    fn load(config: &VaeConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let channels = config.last();
        let resnet = |index: usize| {
            let vb = vb.pp("resnets").pp(index);
            ResnetBlock::load((channels, channels), None, config.norm, vb)
        };
        let attention = config
            .has_attention
            .then(|| Attention::load(channels, config.norm, vb.pp("attentions.0")));
        Ok(Self { first: resnet(0)?, attention: attention.transpose()?, last: resnet(1)? })
    }

    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let mut xs = self.first.forward(xs, None)?;
        if let Some(attention) = &self.attention {
            xs = attention.forward(&xs)?;
        }
        self.last.forward(&xs, None)
    }
}

/// One head over all pixels.
#[derive(Debug)]
struct Attention {
    norm: GroupNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
}

impl Attention {
    fn load(channels: usize, norm: NormConfig, vb: VarBuilder<'_>) -> Result<Self> {
        // Files from before 2023 have the older names.
        let names = if vb.contains_tensor("to_q.weight") {
            ["to_q", "to_k", "to_v", "to_out.0"]
        } else {
            ["query", "key", "value", "proj_attn"]
        };
        let [query, key, value, out] =
            names.map(|name| Linear::load(channels, channels, vb.pp(name)));
        Ok(Self {
            norm: GroupNorm::load(norm.groups, channels, norm.eps, vb.pp("group_norm"))?,
            query: query?,
            key: key?,
            value: value?,
            out: out?,
        })
    }

    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let normed = to_tokens(&self.norm.forward(xs)?)?;
        let (q, k) = (self.query.forward(&normed)?, self.key.forward(&normed)?);
        let v = self.value.forward(&normed)?;
        let seen = self.out.forward(&attention((&q, &k, &v), 1, false)?)?;
        xs + from_tokens(&seen, map_size(xs)?)?
    }
}
