//! The UNet that predicts the noise (Rombach et al. 2022): `unet/` of the Stable Diffusion family.
//!
//! <https://arxiv.org/abs/2112.10752>; blocks are in `unet_blocks.rs`.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, bail};
use serde_json::json;

use super::unet_blocks::{Block, BlockConfig, MidBlock};
use crate::engines::{
    checkpoint::load_weights,
    config_file::ConfigFile,
    image::resnet::NormConfig,
    layers::{
        Activation, Conv2d, ConvShape, GroupNorm, Linear, SiluAfter, cat_channels,
        from_channels_first, map_size, to_channels_first, upsample_nearest,
    },
};

/// The file as the library that writes it reads it, reduced to what is supported.
struct UNetConfig {
    inputs: usize,
    outputs: usize,
    flip_sin_to_cos: bool,
    freq_shift: f64,
    channels: Vec<usize>,
    has_attention: Vec<bool>,
    up_has_attention: Vec<bool>,
    mid_block: String,
    layers: Vec<usize>,
    heads: Vec<usize>,
    depths: Vec<usize>,
    text_width: usize,
    downsample_padding: usize,
    norm: NormConfig,
}

impl UNetConfig {
    fn read(folder: &Path) -> Result<Self> {
        let file = ConfigFile::read(folder, "config.json")?;
        file.only(&[
            ("center_input_sample", json!(false)),
            ("only_cross_attention", json!(false)),
            ("dual_cross_attention", json!(false)),
            ("mid_block_only_cross_attention", json!(false)),
            ("mid_block_scale_factor", json!(1)),
            ("resnet_out_scale_factor", json!(1)),
            ("resnet_skip_time_act", json!(false)),
            ("resnet_time_scale_shift", json!("default")),
            ("time_embedding_type", json!("positional")),
            ("attention_type", json!("default")),
            ("conv_in_kernel", json!(3)),
            ("conv_out_kernel", json!(3)),
            ("class_embeddings_concat", json!(false)),
        ])?;
        for key in [
            "num_attention_heads",
            "encoder_hid_dim",
            "encoder_hid_dim_type",
            "class_embed_type",
            "num_class_embeds",
            "addition_embed_type",
            "time_embedding_dim",
            "time_embedding_act_fn",
            "timestep_post_act",
            "time_cond_proj_dim",
            "cross_attention_norm",
            "reverse_transformer_layers_per_block",
        ] {
            file.only(&[(key, json!(null))])?;
        }
        let activation: String = file.get("act_fn", "silu".to_owned())?;
        if Activation::parse(&activation) != Some(Activation::Silu) {
            return file.refuse("act_fn", &activation);
        }
        let channels: Vec<usize> = file.get("block_out_channels", vec![320, 640, 1280, 1280])?;
        let count = channels.len();
        let kinds = |key: &str, (plain, crossed): (&str, &str), default: [bool; 4]| {
            let Some(names) = file.find::<Vec<String>>(key)? else { return Ok(default.to_vec()) };
            let kind = |name: &String| match name.as_str() {
                name if name == plain => Ok(false),
                name if name == crossed => Ok(true),
                other => file.refuse(key, other),
            };
            names.iter().map(kind).collect::<Result<Vec<bool>>>()
        };
        let has_attention = kinds(
            "down_block_types",
            ("DownBlock2D", "CrossAttnDownBlock2D"),
            [true, true, true, false],
        )?;
        let up_has_attention = kinds(
            "up_block_types",
            ("UpBlock2D", "CrossAttnUpBlock2D"),
            [false, true, true, true],
        )?;
        if count == 0 || has_attention.len() != count || up_has_attention.len() != count {
            bail!("config.json: the lists of blocks differ in length");
        }
        // The format calls the number of heads `attention_head_dim`, and always has.
        let heads = file.per_block("attention_head_dim", 8, count)?;
        let text_widths = file.per_block("cross_attention_dim", 1280, count)?;
        if text_widths.iter().any(|width| *width != text_widths[0]) {
            return file.refuse("cross_attention_dim", &format!("{text_widths:?}"));
        }
        Ok(Self {
            inputs: file.get("in_channels", 4)?,
            outputs: file.get("out_channels", 4)?,
            flip_sin_to_cos: file.get("flip_sin_to_cos", true)?,
            freq_shift: file.get("freq_shift", 0.0)?,
            has_attention,
            up_has_attention,
            mid_block: file.get("mid_block_type", "UNetMidBlock2DCrossAttn".to_owned())?,
            layers: file.per_block("layers_per_block", 2, count)?,
            depths: file.per_block("transformer_layers_per_block", 1, count)?,
            heads,
            text_width: text_widths[0],
            downsample_padding: file.get("downsample_padding", 1)?,
            norm: NormConfig {
                groups: file.get("norm_num_groups", 32)?,
                eps: file.get("norm_eps", 1e-5)?,
            },
            channels,
        })
    }

    fn block(&self, index: usize, has_attention: bool) -> BlockConfig {
        BlockConfig {
            channels: self.channels[index],
            layers: self.layers[index],
            heads: self.heads[index],
            depth: has_attention.then_some(self.depths[index]),
            text_width: self.text_width,
            time_width: 4 * self.channels[0],
            norm: self.norm,
        }
    }
}

/// The UNet.
#[derive(Debug)]
pub struct UNet {
    time_channels: usize,
    flip_sin_to_cos: bool,
    freq_shift: f64,
    inputs: usize,
    time1: Linear,
    time2: Linear,
    conv_in: Conv2d,
    down: Vec<(Block, Option<Conv2d>)>,
    mid: MidBlock,
    up: Vec<(Block, Option<Conv2d>)>,
    norm_out: SiluAfter<GroupNorm>,
    conv_out: Conv2d,
}

impl UNet {
    /// Reads `config.json` and the weights of one folder.
    pub fn load(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config = UNetConfig::read(folder)?;
        let vb = load_weights(folder, "diffusion_pytorch_model", (dtype, device))?;
        let channels = &config.channels;
        let count = channels.len();
        let (first, last) = (channels[0], channels[count - 1]);

        // The channels of each map that a down block hands over to an up block.
        let mut skips = vec![first];
        let mut down = Vec::new();
        let mut inputs = first;
        for index in 0..count {
            let block = config.block(index, config.has_attention[index]);
            let vb = vb.pp("down_blocks").pp(index);
            let widths: Vec<usize> = (0..block.layers)
                .map(|layer| if layer == 0 { inputs } else { block.channels })
                .collect();
            inputs = block.channels;
            skips.extend(vec![inputs; block.layers]);
            let downsample = (index + 1 < count).then(|| {
                skips.push(inputs);
                let padding = match config.downsample_padding {
                    0 => (0, 1),
                    padding => (padding, padding),
                };
                let shape = ConvShape { stride: 2, padding, ..ConvShape::same(inputs, inputs) };
                Conv2d::load(shape, vb.pp("downsamplers.0.conv"))
            });
            down.push((Block::load(block, &widths, vb)?, downsample.transpose()?));
        }

        let mid_config = config.block(count - 1, true);
        let mid = MidBlock::load(mid_config, &config.mid_block, vb.pp("mid_block"))?;

        let mut up = Vec::new();
        let mut inputs = last;
        for (index, level) in (0..count).rev().enumerate() {
            let block = config.block(level, config.up_has_attention[index]);
            let block = BlockConfig { layers: block.layers + 1, ..block };
            let vb = vb.pp("up_blocks").pp(index);
            let mut widths = Vec::new();
            for _ in 0..block.layers {
                widths.push(inputs + skips.pop().unwrap_or(0));
                inputs = block.channels;
            }
            let upsample = (level > 0)
                .then(|| Conv2d::load(ConvShape::same(inputs, inputs), vb.pp("upsamplers.0.conv")));
            up.push((Block::load(block, &widths, vb)?, upsample.transpose()?));
        }

        let time_width = 4 * first;
        let NormConfig { groups, eps } = config.norm;
        Ok(Self {
            time_channels: first,
            flip_sin_to_cos: config.flip_sin_to_cos,
            freq_shift: config.freq_shift,
            inputs: config.inputs,
            time1: Linear::load(first, time_width, vb.pp("time_embedding.linear_1"))?,
            time2: Linear::load(time_width, time_width, vb.pp("time_embedding.linear_2"))?,
            conv_in: Conv2d::load(ConvShape::same(config.inputs, first), vb.pp("conv_in"))?,
            down,
            mid,
            up,
            norm_out: GroupNorm::load(groups, first, eps, vb.pp("conv_norm_out"))?.with_silu(),
            conv_out: Conv2d::load(ConvShape::same(first, config.outputs), vb.pp("conv_out"))?,
        })
    }

    /// Channels of the latents it reads.
    pub fn latent_channels(&self) -> usize {
        self.inputs
    }

    /// How much smaller its smallest map is: latent sides are multiples of it.
    pub fn downsampling(&self) -> usize {
        1 << (self.down.len() - 1)
    }

    /// From noisy latents `(batch, channels, height, width)` and text `(batch, length, width)` to the prediction.
    pub fn forward(&self, latents: &Tensor, timestep: f64, text: &Tensor) -> Result<Tensor> {
        let time = self.time_embedding(timestep, latents)?;
        let mut xs = self.conv_in.forward(&from_channels_first(latents)?)?;
        let mut skips = vec![xs.clone()];
        for (block, downsample) in &self.down {
            for layer in &block.layers {
                xs = layer.forward(&xs, &time, text)?;
                skips.push(xs.clone());
            }
            if let Some(downsample) = downsample {
                xs = downsample.forward(&xs)?;
                skips.push(xs.clone());
            }
        }
        xs = self.mid.forward(&xs, &time, text)?;
        for (block, upsample) in &self.up {
            for layer in &block.layers {
                if let Some(skip) = skips.pop() {
                    xs = cat_channels(&xs, &skip)?;
                }
                xs = layer.forward(&xs, &time, text)?;
            }
            // The next map's own size: twice this one's, less one where it was odd.
            if let (Some(upsample), Some(next)) = (upsample, skips.last()) {
                xs = upsample.forward(&upsample_nearest(&xs, map_size(next)?)?)?;
            }
        }
        to_channels_first(&self.conv_out.forward(&self.norm_out.forward(&xs)?)?)
    }

    /// Sines and cosines of the timestep, through two layers and the SiLU that every block would apply.
    fn time_embedding(&self, timestep: f64, latents: &Tensor) -> Result<Tensor> {
        let half = self.time_channels / 2;
        let step = -(10_000_f64.ln()) as f32;
        let angles: Vec<f32> = (0..half)
            .map(|index| {
                let exponent = step * index as f32 / (half as f64 - self.freq_shift) as f32;
                timestep as f32 * exponent.exp()
            })
            .collect();
        let sines = angles.iter().map(|angle| angle.sin());
        let cosines = angles.iter().map(|angle| angle.cos());
        let mut waves: Vec<f32> = if self.flip_sin_to_cos {
            cosines.chain(sines).collect()
        } else {
            sines.chain(cosines).collect()
        };
        waves.resize(self.time_channels, 0.0);
        let waves = Tensor::from_vec(waves, (1, self.time_channels), latents.device())?
            .to_dtype(latents.dtype())?;
        let hidden = Activation::Silu.forward(&self.time1.forward(&waves)?)?;
        let embedding = Activation::Silu.forward(&self.time2.forward(&hidden)?)?;
        embedding.repeat((latents.dim(0)?, 1))
    }
}
