//! The denoiser of Z-Image: picture and caption, refined apart, then one stream of tokens.
//!
//! Both are filled up to multiples of 32 with learned tokens that take part like all others, so that no mask is
//! needed. What the caption needs is computed once per run: its refiner does not know the moment.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::{VarBuilder, ops::silu};

use super::{
    block::Block,
    config::{PATCH, TransformerConfig},
};
use crate::engines::{
    checkpoint::load_weights,
    image::dit::picture_of_channel_last,
    layers::{AxisRope, Linear, RmsNorm, modulated_norm, sinusoid},
};

/// Picture and caption have a multiple of so many tokens each.
const TOKENS_MULTIPLE: usize = 32;

/// Waves a moment is written in, and the width between its two layers.
const TIME_WAVES: usize = 256;
const TIME_INNER: usize = 1024;

const LAST_NORM_EPS: f64 = 1e-6;

/// A Z-Image transformer.
#[derive(Debug)]
pub struct Transformer {
    config: TransformerConfig,
    patch_in: Linear,
    patch_filling: Tensor,
    caption_norm: RmsNorm,
    caption_in: Linear,
    caption_filling: Tensor,
    time: [Linear; 2],
    picture_refiner: Vec<Block>,
    caption_refiner: Vec<Block>,
    layers: Vec<Block>,
    last_scale: Linear,
    patch_out: Linear,
    place: (DType, Device),
}

/// A caption ready for pictures of one size.
#[derive(Debug, Clone)]
pub struct Caption {
    /// `(1 or as many as pictures, tokens, width)`.
    tokens: Tensor,
    picture_rope: AxisRope,
    /// Of the picture's tokens and then the caption's.
    rope: AxisRope,
    latent_size: [usize; 2],
}

impl Caption {
    /// Tokens of a caption that the text encoder gave so many of.
    pub fn length(words: usize) -> usize {
        words.next_multiple_of(TOKENS_MULTIPLE)
    }

    /// How many tokens it has.
    pub fn tokens(&self) -> Result<usize> {
        self.tokens.dim(1)
    }

    /// Captions of one length, each for so many pictures, as one for all these pictures.
    pub fn join(captions: &[(&Self, usize)]) -> Result<Self> {
        let Some((first, _)) = captions.first() else { bail!("no captions to join") };
        if captions.iter().any(|(caption, _)| caption.latent_size != first.latent_size) {
            bail!("the captions were made for latents of several sizes");
        }
        let tokens = captions
            .iter()
            .map(|(caption, pictures)| caption.tokens.repeat((*pictures, 1, 1)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { tokens: Tensor::cat(&tokens, 0)?, ..(*first).clone() })
    }
}

impl Transformer {
    /// Reads `config.json` and the weights of one folder.
    pub fn load(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config = TransformerConfig::read(folder)?;
        let vb = load_weights(folder, "diffusion_pytorch_model", (dtype, device))?;
        let blocks = |name: &str, count: usize, is_modulated: bool| -> Result<Vec<Block>> {
            (0..count)
                .map(|index| Block::load(&config, is_modulated, vb.pp(name).pp(index)))
                .collect()
        };
        let (width, time_width) = (config.width, config.time_width());
        let patch = config.latent_channels * PATCH * PATCH;
        let last: VarBuilder<'_> = vb.pp("all_final_layer.2-1");
        Ok(Self {
            patch_in: Linear::load(patch, width, vb.pp("all_x_embedder.2-1"))?,
            patch_filling: vb.get((1, width), "x_pad_token")?,
            caption_norm: RmsNorm::load(
                config.caption_width,
                config.norm_eps,
                vb.pp("cap_embedder.0"),
            )?,
            caption_in: Linear::load(config.caption_width, width, vb.pp("cap_embedder.1"))?,
            caption_filling: vb.get((1, width), "cap_pad_token")?,
            time: [
                Linear::load(TIME_WAVES, TIME_INNER, vb.pp("t_embedder.mlp.0"))?,
                Linear::load(TIME_INNER, time_width, vb.pp("t_embedder.mlp.2"))?,
            ],
            picture_refiner: blocks("noise_refiner", config.refiner_layers, true)?,
            caption_refiner: blocks("context_refiner", config.refiner_layers, false)?,
            layers: blocks("layers", config.layers, true)?,
            last_scale: Linear::load(time_width, width, last.pp("adaLN_modulation.1"))?,
            patch_out: Linear::load(width, patch, last.pp("linear"))?,
            place: (dtype, device.clone()),
            config,
        })
    }

    /// Channels of the latents.
    pub fn latent_channels(&self) -> usize {
        self.config.latent_channels
    }

    /// Numbers per token of a caption.
    pub fn caption_width(&self) -> usize {
        self.config.caption_width
    }

    /// Bytes that are alive at once in the widest place for pictures with so many tokens, their captions' among them.
    pub fn working_bytes(&self, tokens: usize) -> u64 {
        let width = 8 * self.config.width + 3 * self.config.feed_forward();
        (tokens * width * self.place.0.size_in_bytes()) as u64
    }

    /// Refines a caption `(1, tokens, caption width)` for latents of some height and width.
    pub fn caption(&self, features: &Tensor, latent_size: [usize; 2]) -> Result<Caption> {
        let (dtype, device) = &self.place;
        let [height, width] = latent_size;
        if height % PATCH != 0 || width % PATCH != 0 {
            bail!("latents of {height} × {width} are no whole patches");
        }
        let (rows, columns) = (height / PATCH, width / PATCH);
        let features = self.caption_norm.forward(&features.to_dtype(*dtype)?)?;
        let mut tokens = filled(&self.caption_in.forward(&features)?, &self.caption_filling)?;
        let count = tokens.dim(1)?;
        for (length, used) in self.config.axis_lengths.iter().zip([count + 2, rows, columns]) {
            if used > *length {
                bail!("the model was made for {length} positions, not {used}");
            }
        }
        // The caption takes the positions 1 to `count`, its filling too; the picture lies one beyond.
        let caption_places = (1..=count).map(|position| [position as f64, 0.0, 0.0]);
        let mut places: Vec<[f64; 3]> = (0..rows * columns)
            .map(|index| [count + 1, index / columns, index % columns].map(|at| at as f64))
            .collect();
        places.resize(places.len().next_multiple_of(TOKENS_MULTIPLE), [0.0; 3]);
        let rope = |places: &[[f64; 3]]| {
            AxisRope::new(places, self.config.axes, self.config.theta, device)
        };
        let picture_rope = rope(&places)?;
        let caption_rope = rope(&caption_places.clone().collect::<Vec<_>>())?;
        places.extend(caption_places);
        for block in &self.caption_refiner {
            tokens = block.forward(&tokens, &caption_rope, None)?;
        }
        Ok(Caption { tokens, picture_rope, rope: rope(&places)?, latent_size })
    }

    /// The direction from picture to noise for latents `(pictures, channels, height, width)` of one caption or one each;
    /// `time` goes from 0, all noise, to 1.
    pub fn forward(&self, latents: &Tensor, time: f64, caption: &Caption) -> Result<Tensor> {
        let (dtype, device) = &self.place;
        let (batch, channels, height, width) = latents.dims4()?;
        if [height, width] != caption.latent_size {
            bail!("the caption was made for latents of {:?}", caption.latent_size);
        }
        let (rows, columns) = (height / PATCH, width / PATCH);
        let time = sinusoid(time * self.config.time_scale, TIME_WAVES, device)?;
        let [first, second] = &self.time;
        let time = second.forward(&silu(&first.forward(&time.to_dtype(*dtype)?)?)?)?;

        let patches = latents
            .to_dtype(*dtype)?
            .reshape(&[batch, channels, rows, PATCH, columns, PATCH][..])?
            .permute([0, 2, 4, 3, 5, 1])?
            .reshape((batch, rows * columns, PATCH * PATCH * channels))?;
        let mut xs = filled(&self.patch_in.forward(&patches)?, &self.patch_filling)?;
        for block in &self.picture_refiner {
            xs = block.forward(&xs, &caption.picture_rope, Some(&time))?;
        }
        let caption_tokens = match caption.tokens.dim(0)? {
            1 => caption.tokens.repeat((batch, 1, 1))?,
            _ => caption.tokens.clone(),
        };
        xs = Tensor::cat(&[&xs, &caption_tokens], 1)?;
        for block in &self.layers {
            xs = block.forward(&xs, &caption.rope, Some(&time))?;
        }
        let scale = self.last_scale.forward(&silu(&time)?)?.repeat((batch, 1))?;
        let xs = xs.narrow(1, 0, rows * columns)?;
        let xs = modulated_norm(&xs, (&scale, &scale.zeros_like()?), LAST_NORM_EPS)?;
        let towards_picture = self.patch_out.forward(&xs)?.to_dtype(DType::F32)?;
        picture_of_channel_last(&towards_picture, (rows, columns), PATCH)?.neg()
    }
}

/// Tokens `(batch, tokens, width)` with the learned filling up to a multiple of 32.
fn filled(tokens: &Tensor, filling: &Tensor) -> Result<Tensor> {
    let (batch, count, width) = tokens.dims3()?;
    let missing = Caption::length(count) - count;
    if missing == 0 {
        return Ok(tokens.clone());
    }
    let filling = filling.unsqueeze(0)?.broadcast_as((batch, missing, width))?;
    Tensor::cat(&[tokens, &filling.contiguous()?], 1)
}
