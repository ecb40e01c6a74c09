//! The transformer of FLUX.1 (Black Forest Labs 2024), after <https://github.com/black-forest-labs/flux>.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use serde_json::json;

use super::blocks::{DoubleBlock, SingleBlock};
use crate::engines::{
    checkpoint::load_weights,
    config_file::ConfigFile,
    image::dit::{
        AttentionSize, Modulation, NORM_EPS, TimeTextEmbedding, patches, picture_of_channel_first,
    },
    layers::{AxisRope, Linear, modulated_norm},
};

/// Latents on each side that go into one token.
pub(super) const PATCH: usize = 2;
const ROPE_THETA: f64 = 10_000.0;

struct TransformerConfig {
    inputs: usize,
    layers: usize,
    single_layers: usize,
    size: AttentionSize,
    words: usize,
    pooled: usize,
    has_guidance: bool,
    axes: [usize; 3],
}

impl TransformerConfig {
    fn read(folder: &Path) -> Result<Self> {
        let file = ConfigFile::read(folder, "config.json")?;
        let inputs: usize = file.get("in_channels", 64)?;
        file.only(&[("patch_size", json!(1)), ("out_channels", json!(inputs))])?;
        let size = AttentionSize {
            heads: file.get("num_attention_heads", 24)?,
            head_width: file.get("attention_head_dim", 128)?,
            has_norms: true,
        };
        let axes: [usize; 3] = file.get("axes_dims_rope", [16, 56, 56])?;
        if axes.iter().sum::<usize>() != size.head_width {
            return file.refuse("axes_dims_rope", &format!("{axes:?}"));
        }
        Ok(Self {
            inputs,
            layers: file.get("num_layers", 19)?,
            single_layers: file.get("num_single_layers", 38)?,
            size,
            words: file.get("joint_attention_dim", 4096)?,
            pooled: file.get("pooled_projection_dim", 768)?,
            has_guidance: file.get("guidance_embeds", false)?,
            axes,
        })
    }
}

/// What a prompt is to the transformer.
#[derive(Debug, Clone)]
pub struct FluxWords {
    /// `(batch, length, width)`.
    pub hidden: Tensor,
    /// `(batch, width)`.
    pub pooled: Tensor,
}

/// The denoiser.
#[derive(Debug)]
pub struct FluxTransformer {
    inputs: usize,
    width: usize,
    axes: [usize; 3],
    has_guidance: bool,
    picture: Linear,
    words: Linear,
    time_text: TimeTextEmbedding,
    double: Vec<DoubleBlock>,
    single: Vec<SingleBlock>,
    norm_out: Modulation<2>,
    out: Linear,
}

impl FluxTransformer {
    /// Reads `config.json` and the weights of one folder.
    pub fn load(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config = TransformerConfig::read(folder)?;
        let vb = load_weights(folder, "diffusion_pytorch_model", (dtype, device))?;
        let width = config.size.width();
        let double = (0..config.layers)
            .map(|index| DoubleBlock::load(config.size, vb.pp("transformer_blocks").pp(index)))
            .collect::<Result<_>>()?;
        let single = (0..config.single_layers)
            .map(|index| {
                SingleBlock::load(config.size, vb.pp("single_transformer_blocks").pp(index))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            inputs: config.inputs,
            width,
            axes: config.axes,
            has_guidance: config.has_guidance,
            picture: Linear::load(config.inputs, width, vb.pp("x_embedder"))?,
            words: Linear::load(config.words, width, vb.pp("context_embedder"))?,
            time_text: TimeTextEmbedding::load(
                (config.pooled, width),
                config.has_guidance,
                vb.pp("time_text_embed"),
            )?,
            double,
            single,
            norm_out: Modulation::load(width, vb.pp("norm_out"))?,
            out: Linear::load(width, config.inputs, vb.pp("proj_out"))?,
        })
    }

    /// Channels of the latents it reads.
    pub fn latent_channels(&self) -> usize {
        self.inputs / (PATCH * PATCH)
    }

    /// Whether it was distilled to take the guidance as an input.
    pub fn has_guidance(&self) -> bool {
        self.has_guidance
    }

    /// Numbers that are alive at once in the widest place, for each token.
    pub fn working_width(&self) -> usize {
        24 * self.width
    }

    /// From noisy latents `(batch, channels, height, width)` to the predicted flow; `timestep` goes to 1000.
    pub fn forward(
        &self,
        latents: &Tensor,
        timestep: f64,
        guidance: f64,
        words: &FluxWords,
    ) -> Result<Tensor> {
        self.forward_each(latents, timestep, &[guidance], words)
    }

    /// The same with a guidance for each picture, or one for all.
    pub fn forward_each(
        &self,
        latents: &Tensor,
        timestep: f64,
        guidance: &[f64],
        words: &FluxWords,
    ) -> Result<Tensor> {
        let (_, _, height, width) = latents.dims4()?;
        let size = (height / PATCH, width / PATCH);
        let word_count = words.hidden.dim(1)?;
        let rope = self.rope(word_count, size, latents.device())?;
        // The guidance is embedded as if it were a timestep of one thousandth.
        let guidance: Vec<f64> = guidance.iter().map(|guidance| 1000.0 * guidance).collect();
        let embedding = self.time_text.forward(timestep, &guidance, &words.pooled)?;
        let mut picture = self.picture.forward(&patches(latents, PATCH)?)?;
        let mut words = self.words.forward(&words.hidden)?;
        for block in &self.double {
            (words, picture) = block.forward(&words, &picture, &embedding, &rope)?;
        }
        let mut both = Tensor::cat(&[&words, &picture], 1)?;
        for block in &self.single {
            both = block.forward(&both, &embedding, &rope)?;
        }
        let picture = both.narrow(1, word_count, size.0 * size.1)?;
        let [scale, shift] = self.norm_out.forward(&embedding)?;
        let out = self.out.forward(&modulated_norm(&picture, (&scale, &shift), NORM_EPS)?)?;
        picture_of_channel_first(&out, size, PATCH)
    }

    /// Words stand at the origin of all axes, the picture's tokens at their row and column.
    fn rope(
        &self,
        words: usize,
        (rows, columns): (usize, usize),
        device: &Device,
    ) -> Result<AxisRope> {
        let mut positions = vec![[0.0; 3]; words];
        for row in 0..rows {
            positions.extend((0..columns).map(|column| [0.0, row as f64, column as f64]));
        }
        AxisRope::new(&positions, self.axes, ROPE_THETA, device)
    }
}
