//! The UNet that predicts the noise (Rombach et al. 2022): `unet/` of the Stable Diffusion family.
//!
//! <https://arxiv.org/abs/2112.10752>; blocks are in `unet_blocks.rs`.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::VarBuilder;

use super::{
    unet_blocks::{Block, BlockConfig, MidBlock},
    unet_config::{AddedConfig, UNetConfig},
};
use crate::engines::{
    checkpoint::load_weights,
    image::resnet::NormConfig,
    layers::{
        Activation, Conv2d, ConvShape, GroupNorm, Linear, SiluAfter, Start, cat_channels,
        computing, from_channels_first, map_size, to_channels_first, upsample_nearest,
    },
};

/// The UNet.
#[derive(Debug)]
pub struct UNet {
    time_channels: usize,
    flip_sin_to_cos: bool,
    freq_shift: f64,
    inputs: usize,
    time: TimeEmbedding,
    added: Option<(AddedConfig, TimeEmbedding)>,
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
            time: TimeEmbedding::load((first, time_width), vb.pp("time_embedding"))?,
            added: match config.added {
                Some(added) => {
                    let vb = vb.pp("add_embedding");
                    Some((added, TimeEmbedding::load((added.width, time_width), vb)?))
                }
                None => None,
            },
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

    /// Whether it is told a prompt as one vector, and sizes, beside the prompt's text.
    pub fn has_added(&self) -> bool {
        self.added.is_some()
    }

    /// What [`UNet::forward`] adds for prompts as vectors `(batch, width)` and the sizes of each.
    pub fn embed_added(&self, pooled: &Tensor, sizes: &[Vec<f64>]) -> Result<Tensor> {
        let Some((config, embedding)) = &self.added else {
            bail!("this UNet is told nothing beside the text");
        };
        let sizes = sizes
            .iter()
            .map(|sizes| {
                let waves = sizes.iter().flat_map(|size| self.waves(*size, config.size_channels));
                Tensor::from_vec(
                    waves.collect(),
                    sizes.len() * config.size_channels,
                    pooled.device(),
                )
            })
            .collect::<Result<Vec<_>>>()?;
        let sizes = Tensor::stack(&sizes, 0)?.to_dtype(pooled.dtype())?;
        let told = Tensor::cat(&[pooled, &sizes], 1)?;
        if told.dim(1)? != config.width {
            bail!("the UNet is told {} numbers, and reads {}", told.dim(1)?, config.width);
        }
        embedding.forward(&told)
    }

    /// Numbers that are alive at once in the widest place, for each number of one channel of the latents: maps of the
    /// last up block and their skips, the columns of a convolution on a card, a feed-forward's insides.
    pub fn working_width(&self) -> usize {
        48 * self.time_channels
    }

    /// From noisy latents `(batch, channels, height, width)` and text `(batch, length, width)` to the prediction.
    /// `added` is what [`UNet::embed_added`] gives, for models that are told more than text.
    pub fn forward(
        &self,
        latents: &Tensor,
        timestep: f64,
        text: &Tensor,
        added: Option<&Tensor>,
    ) -> Result<Tensor> {
        computing(latents.device(), || self.pass((latents, timestep), text, added))
    }

    fn pass(
        &self,
        (latents, timestep): (&Tensor, f64),
        text: &Tensor,
        added: Option<&Tensor>,
    ) -> Result<Tensor> {
        let time = self.time_embedding(timestep, latents, added)?;
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
        to_channels_first(&self.conv_out.forward_normed(&self.norm_out, &xs, Start::Bias)?)
    }

    /// The timestep, and what is added to it, through the SiLU that every block would apply.
    fn time_embedding(
        &self,
        timestep: f64,
        latents: &Tensor,
        added: Option<&Tensor>,
    ) -> Result<Tensor> {
        let waves = self.waves(timestep, self.time_channels);
        let waves = Tensor::from_vec(waves, (1, self.time_channels), latents.device())?;
        let time = self.time.forward(&waves.to_dtype(latents.dtype())?)?;
        let time = match (&self.added, added) {
            (None, None) => time.repeat((latents.dim(0)?, 1))?,
            (Some(_), Some(added)) => added.broadcast_add(&time)?,
            _ => bail!("what a UNet is told beside the text must fit it"),
        };
        Activation::Silu.forward(&time)
    }

    /// Sines and cosines of a number at falling frequencies.
    fn waves(&self, number: f64, channels: usize) -> Vec<f32> {
        let half = channels / 2;
        let step = -(10_000_f64.ln()) as f32;
        let angles: Vec<f32> = (0..half)
            .map(|index| {
                let exponent = step * index as f32 / (half as f64 - self.freq_shift) as f32;
                number as f32 * exponent.exp()
            })
            .collect();
        let sines = angles.iter().map(|angle| angle.sin());
        let cosines = angles.iter().map(|angle| angle.cos());
        let mut waves: Vec<f32> = if self.flip_sin_to_cos {
            cosines.chain(sines).collect()
        } else {
            sines.chain(cosines).collect()
        };
        waves.resize(channels, 0.0);
        waves
    }
}

/// Two layers with a SiLU between.
#[derive(Debug)]
struct TimeEmbedding {
    linear1: Linear,
    linear2: Linear,
}

impl TimeEmbedding {
    fn load((inputs, width): (usize, usize), vb: VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            linear1: Linear::load(inputs, width, vb.pp("linear_1"))?,
            linear2: Linear::load(width, width, vb.pp("linear_2"))?,
        })
    }

    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        self.linear2.forward(&Activation::Silu.forward(&self.linear1.forward(xs)?)?)
    }
}
