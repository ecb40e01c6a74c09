//! The transformer of Stable Diffusion 3 and 3.5 (Esser et al. 2024): words and picture with weights of their own,
//! one attention over both. <https://arxiv.org/abs/2403.03206>

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, bail};
use candle_nn::VarBuilder;

use super::block::Block;
use crate::engines::{
    checkpoint::load_weights,
    config_file::ConfigFile,
    image::dit::{
        AttentionSize, Modulation, NORM_EPS, TimeTextEmbedding, patches, picture_of_channel_last,
    },
    layers::{Linear, modulated_norm},
};

struct TransformerConfig {
    channels: usize,
    outputs: usize,
    patch: usize,
    layers: usize,
    size: AttentionSize,
    words: usize,
    pooled: usize,
    positions: usize,
    /// Blocks in which the picture also looks at itself alone.
    dual: Vec<usize>,
}

impl TransformerConfig {
    fn read(folder: &Path) -> Result<Self> {
        let file = ConfigFile::read(folder, "config.json")?;
        let norm: Option<String> = file.find("qk_norm")?;
        let has_norms = match norm.as_deref() {
            None => false,
            Some("rms_norm") => true,
            Some(other) => return file.refuse("qk_norm", other),
        };
        let channels = file.get("in_channels", 16)?;
        let size = AttentionSize {
            heads: file.get("num_attention_heads", 18)?,
            head_width: file.get("attention_head_dim", 64)?,
            has_norms,
        };
        let projected = file.get("caption_projection_dim", 1152)?;
        if projected != size.width() {
            return file.refuse("caption_projection_dim", &projected.to_string());
        }
        Ok(Self {
            channels,
            outputs: file.get("out_channels", channels)?,
            patch: file.get("patch_size", 2)?,
            layers: file.get("num_layers", 18)?,
            size,
            words: file.get("joint_attention_dim", 4096)?,
            pooled: file.get("pooled_projection_dim", 2048)?,
            positions: file.get("pos_embed_max_size", 96)?,
            dual: file.get("dual_attention_layers", Vec::new())?,
        })
    }
}

/// What a prompt is to the transformer.
#[derive(Debug, Clone)]
pub struct Words {
    /// `(batch, length, width)`.
    pub hidden: Tensor,
    /// `(batch, width)`.
    pub pooled: Tensor,
}

/// The denoiser.
#[derive(Debug)]
pub struct Sd3Transformer {
    channels: usize,
    patch: usize,
    width: usize,
    positions: PositionTable,
    patch_embedding: Linear,
    words: Linear,
    time_text: TimeTextEmbedding,
    blocks: Vec<Block>,
    norm_out: Modulation<2>,
    out: Linear,
}

impl Sd3Transformer {
    /// Reads `config.json` and the weights of one folder.
    pub fn load(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config = TransformerConfig::read(folder)?;
        let vb = load_weights(folder, "diffusion_pytorch_model", (dtype, device))?;
        let (width, patch) = (config.size.width(), config.patch);
        let blocks = (0..config.layers)
            .map(|index| {
                let is_last = index + 1 == config.layers;
                let vb = vb.pp("transformer_blocks").pp(index);
                Block::load(config.size, (is_last, config.dual.contains(&index)), vb)
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            channels: config.channels,
            patch,
            width,
            positions: PositionTable::load(config.positions, width, vb.pp("pos_embed"))?,
            patch_embedding: load_patch_embedding(&config, vb.pp("pos_embed.proj"))?,
            words: Linear::load(config.words, width, vb.pp("context_embedder"))?,
            time_text: TimeTextEmbedding::load(
                (config.pooled, width),
                false,
                vb.pp("time_text_embed"),
            )?,
            blocks,
            norm_out: Modulation::load(width, vb.pp("norm_out"))?,
            out: Linear::load(width, patch * patch * config.outputs, vb.pp("proj_out"))?,
        })
    }

    /// Channels of the latents it reads.
    pub fn latent_channels(&self) -> usize {
        self.channels
    }

    /// Latent sides are multiples of it.
    pub fn patch(&self) -> usize {
        self.patch
    }

    /// The longest side latents may have.
    pub fn side_max(&self) -> usize {
        self.positions.side * self.patch
    }

    /// Numbers that are alive at once in the widest place, for each token.
    pub fn working_width(&self) -> usize {
        24 * self.width
    }

    /// From noisy latents `(batch, channels, height, width)` to the predicted flow; `timestep` goes to 1000.
    pub fn forward(&self, latents: &Tensor, timestep: f64, words: &Words) -> Result<Tensor> {
        let (_, _, height, width) = latents.dims4()?;
        let size = (height / self.patch, width / self.patch);
        let picture = self.patch_embedding.forward(&patches(latents, self.patch)?)?;
        let mut picture = picture.broadcast_add(&self.positions.centre(size)?)?;
        let embedding = self.time_text.forward(timestep, &[], &words.pooled)?;
        let mut words = self.words.forward(&words.hidden)?;
        for block in &self.blocks {
            let (next_words, next_picture) = block.forward(&words, &picture, &embedding)?;
            picture = next_picture;
            if let Some(next) = next_words {
                words = next;
            }
        }
        let [scale, shift] = self.norm_out.forward(&embedding)?;
        let out = self.out.forward(&modulated_norm(&picture, (&scale, &shift), NORM_EPS)?)?;
        picture_of_channel_last(&out, size, self.patch)
    }
}

/// The file has a convolution whose windows do not overlap; its weights are a layer over patches.
fn load_patch_embedding(config: &TransformerConfig, vb: VarBuilder<'_>) -> Result<Linear> {
    let (width, patch) = (config.size.width(), config.patch);
    let weight = vb.get((width, config.channels, patch, patch), "weight")?;
    Linear::new(weight.flatten_from(1)?, Some(vb.get(width, "bias")?))
}

/// Vectors for a square of positions, of which a picture takes the middle.
#[derive(Debug)]
struct PositionTable {
    /// `(side, side, width)`.
    table: Tensor,
    side: usize,
}

impl PositionTable {
    fn load(side: usize, width: usize, vb: VarBuilder<'_>) -> Result<Self> {
        let table = vb.get((1, side * side, width), "pos_embed")?;
        Ok(Self { table: table.reshape((side, side, width))?, side })
    }

    fn centre(&self, (rows, columns): (usize, usize)) -> Result<Tensor> {
        if rows > self.side || columns > self.side {
            bail!("the model knows {0} × {0} positions, not {rows} × {columns}", self.side);
        }
        let (top, left) = ((self.side - rows) / 2, (self.side - columns) / 2);
        let part = self.table.narrow(0, top, rows)?.narrow(1, left, columns)?;
        part.contiguous()?.reshape((1, rows * columns, ()))
    }
}
