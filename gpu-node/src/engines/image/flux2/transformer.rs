//! The denoiser of FLUX.2: words and picture in double blocks, then as one row of tokens.
//!
//! Pictures to refer to stand behind the picture being made, each at a time of its own.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::{VarBuilder, ops::silu};

use super::{
    blocks::{DoubleBlock, Modulation, SingleBlock},
    config::TransformerConfig,
};
use crate::engines::{
    checkpoint::load_weights,
    layers::{AxisRope, Linear, modulated_norm, sinusoid},
};

/// Between the times of two pictures that are referred to; the picture being made has time 0.
const REFERENCE_TIME: usize = 10;

/// A FLUX.2 transformer.
#[derive(Debug)]
pub struct Transformer {
    config: TransformerConfig,
    time: [Linear; 2],
    words_change: Linear,
    picture_change: Linear,
    single_change: Linear,
    words_in: Linear,
    picture_in: Linear,
    double_blocks: Vec<DoubleBlock>,
    single_blocks: Vec<SingleBlock>,
    last_change: Linear,
    picture_out: Linear,
    place: (DType, Device),
}

/// Words and reference pictures, ready for pictures of one size.
#[derive(Debug, Clone)]
pub struct Conditioning {
    /// `(1 or as many as pictures, tokens, width)`.
    words: Tensor,
    /// `(1, tokens, channels)`.
    references: Option<Tensor>,
    rope: AxisRope,
    latent_size: [usize; 2],
}

impl Conditioning {
    /// Whether it refers to pictures.
    pub fn has_references(&self) -> bool {
        self.references.is_some()
    }

    /// Words of one length, each for so many pictures, as one for all these pictures. Those that refer to pictures
    /// have nobody to join.
    pub fn join(all: &[(&Self, usize)]) -> Result<Self> {
        let Some((first, _)) = all.first() else { bail!("no words to join") };
        if all.len() == 1 {
            return Ok((*first).clone());
        }
        let other = |one: &Self| one.has_references() || one.latent_size != first.latent_size;
        if all.iter().any(|(one, _)| other(one)) {
            bail!("words with pictures to refer to, or for other sizes, do not join");
        }
        let words = all
            .iter()
            .map(|(one, pictures)| one.words.repeat((*pictures, 1, 1)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { words: Tensor::cat(&words, 0)?, ..(*first).clone() })
    }
}

impl Transformer {
    /// Reads `config.json` and the weights of one folder.
    pub fn load(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config = TransformerConfig::read(folder)?;
        let vb = load_weights(folder, "diffusion_pytorch_model", (dtype, device))?;
        let width = config.width();
        let linear = |name: &str, inputs, outputs| {
            Linear::load_no_bias(inputs, outputs, VarBuilder::pp(&vb, name))
        };
        let time = "time_guidance_embed.timestep_embedder";
        Ok(Self {
            time: [
                linear(&format!("{time}.linear_1"), config.waves, width)?,
                linear(&format!("{time}.linear_2"), width, width)?,
            ],
            words_change: linear("double_stream_modulation_txt.linear", width, 6 * width)?,
            picture_change: linear("double_stream_modulation_img.linear", width, 6 * width)?,
            single_change: linear("single_stream_modulation.linear", width, 3 * width)?,
            words_in: linear("context_embedder", config.words_width, width)?,
            picture_in: linear("x_embedder", config.channels, width)?,
            double_blocks: (0..config.double_blocks)
                .map(|index| DoubleBlock::load(&config, vb.pp("transformer_blocks").pp(index)))
                .collect::<Result<_>>()?,
            single_blocks: (0..config.single_blocks)
                .map(|index| {
                    SingleBlock::load(&config, vb.pp("single_transformer_blocks").pp(index))
                })
                .collect::<Result<_>>()?,
            last_change: linear("norm_out.linear", width, 2 * width)?,
            picture_out: linear("proj_out", width, config.channels)?,
            place: (dtype, device.clone()),
            config,
        })
    }

    /// Channels of the latents it reads.
    pub fn channels(&self) -> usize {
        self.config.channels
    }

    /// Numbers per token of the words.
    pub fn words_width(&self) -> usize {
        self.config.words_width
    }

    /// Bytes that are alive at once in the widest place for pictures with so many tokens, their words' among them.
    pub fn working_bytes(&self, tokens: usize) -> u64 {
        let width = 16 * self.config.width() + 4 * self.config.feed_forward;
        (tokens * width * self.place.0.size_in_bytes()) as u64
    }

    /// Prepares words `(1, tokens, words width)` and encoded pictures `(1, channels, height, width)` for latents
    /// of some height and width.
    pub fn conditioning(
        &self,
        words: &Tensor,
        references: &[Tensor],
        latent_size: [usize; 2],
    ) -> Result<Conditioning> {
        let (dtype, device) = &self.place;
        let words = self.words_in.forward(&words.to_dtype(*dtype)?)?;
        let mut places: Vec<[f64; 4]> =
            (0..words.dim(1)?).map(|index| [0.0, 0.0, 0.0, index as f64]).collect();
        places.extend(grid(0, latent_size));
        let mut packed = Vec::with_capacity(references.len());
        for (index, reference) in references.iter().enumerate() {
            let (_, _, height, width) = reference.dims4()?;
            places.extend(grid(REFERENCE_TIME * (index + 1), [height, width]));
            packed.push(tokens(&reference.to_dtype(*dtype)?)?);
        }
        let references = match packed.is_empty() {
            true => None,
            false => Some(Tensor::cat(&packed, 1)?),
        };
        let rope = AxisRope::new(&places, self.config.axes, self.config.theta, device)?;
        Ok(Conditioning { words, references, rope, latent_size })
    }

    /// Pictures of one run: a card's kernels count a layer's numbers in 32 bits, and references add to each picture's.
    pub fn pictures_max(&self, conditioning: &Conditioning) -> Result<usize> {
        let [height, width] = conditioning.latent_size;
        let references = conditioning.references.as_ref().map_or(Ok(0), |all| all.dim(1))?;
        let tokens = conditioning.words.dim(1)? + references + height * width;
        let widest = 3 * self.config.width() + 2 * self.config.feed_forward;
        Ok(u32::MAX as usize / (tokens * widest).max(1))
    }

    /// The direction from picture to noise for latents `(pictures, channels, height, width)`; `timestep` goes
    /// from 1000, all noise, to 0.
    pub fn forward(
        &self,
        latents: &Tensor,
        timestep: f64,
        conditioning: &Conditioning,
    ) -> Result<Tensor> {
        let (dtype, device) = &self.place;
        let (batch, channels, height, width) = latents.dims4()?;
        if [height, width] != conditioning.latent_size {
            bail!("the words were made ready for latents of {:?}", conditioning.latent_size);
        }
        let time = sinusoid(timestep, self.config.waves, device)?.to_dtype(*dtype)?;
        let time = self.time[1].forward(&silu(&self.time[0].forward(&time)?)?)?;
        let time = silu(&time)?.repeat((batch, 1))?;
        let words_change = modulations::<2>(&self.words_change, &time)?;
        let picture_change = modulations::<2>(&self.picture_change, &time)?;
        let [single_change] = modulations::<1>(&self.single_change, &time)?;

        let mut picture = tokens(&latents.to_dtype(*dtype)?)?;
        if let Some(references) = &conditioning.references {
            picture = Tensor::cat(&[&picture, &references.repeat((batch, 1, 1))?], 1)?;
        }
        let mut picture = self.picture_in.forward(&picture)?;
        let mut words = match conditioning.words.dim(0)? {
            1 => conditioning.words.repeat((batch, 1, 1))?,
            _ => conditioning.words.clone(),
        };
        let rope = &conditioning.rope;
        for block in &self.double_blocks {
            let changes = (&words_change, &picture_change);
            (words, picture) = block.forward((&words, &picture), changes, rope)?;
        }
        let mut xs = Tensor::cat(&[&words, &picture], 1)?;
        for block in &self.single_blocks {
            xs = block.forward(&xs, &single_change, rope)?;
        }
        let xs = xs.narrow(1, words.dim(1)?, height * width)?;
        let change = self.last_change.forward(&time)?.chunk(2, 1)?;
        let xs = modulated_norm(&xs, (&change[0], &change[1]), self.config.norm_eps)?;
        let out = self.picture_out.forward(&xs)?.to_dtype(DType::F32)?;
        out.transpose(1, 2)?.reshape((batch, channels, height, width))
    }
}

/// The positions of a picture's tokens, row by row.
fn grid(time: usize, [height, width]: [usize; 2]) -> impl Iterator<Item = [f64; 4]> {
    (0..height * width)
        .map(move |index| [time as f64, (index / width) as f64, (index % width) as f64, 0.0])
}

/// From `(batch, channels, height, width)` to `(batch, height · width, channels)`.
fn tokens(latents: &Tensor) -> Result<Tensor> {
    latents.flatten_from(2)?.transpose(1, 2)?.contiguous()
}

/// Shift, scale and gate of each of `PARTS` parts of a block.
fn modulations<const PARTS: usize>(linear: &Linear, time: &Tensor) -> Result<[Modulation; PARTS]> {
    let all = linear.forward(time)?.chunk(3 * PARTS, 1)?;
    let part = |part: usize, index: usize| all[3 * part + index].contiguous();
    let mut found = Vec::with_capacity(PARTS);
    for at in 0..PARTS {
        found.push(Modulation { shift: part(at, 0)?, scale: part(at, 1)?, gate: part(at, 2)? });
    }
    let Ok(found) = found.try_into() else { bail!("a modulation has {} parts", all.len()) };
    Ok(found)
}
