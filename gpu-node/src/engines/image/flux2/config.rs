//! `transformer/config.json` of the FLUX.2 models.

use std::path::Path;

use candle_core::{Result, bail};
use serde_json::json;

use crate::engines::config_file::ConfigFile;

/// What one FLUX.2 transformer computes.
#[derive(Debug, Clone)]
pub(super) struct TransformerConfig {
    /// Of the latents as it reads them, four for each channel of the VAE.
    pub(super) channels: usize,
    pub(super) double_blocks: usize,
    pub(super) single_blocks: usize,
    pub(super) heads: usize,
    pub(super) head_width: usize,
    pub(super) words_width: usize,
    /// Waves a moment is written in.
    pub(super) waves: usize,
    /// Width inside a feed-forward part.
    pub(super) feed_forward: usize,
    /// How much of a head each axis of the positions turns, and how slowly.
    pub(super) axes: [usize; 4],
    pub(super) theta: f64,
    pub(super) norm_eps: f64,
}

impl TransformerConfig {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let file = ConfigFile::read(folder, "config.json")?;
        file.only(&[
            ("_class_name", json!("Flux2Transformer2DModel")),
            ("patch_size", json!(1)),
            ("out_channels", json!(null)),
        ])?;
        // The larger model is told its guidance; the klein ones are not.
        if file.get("guidance_embeds", true)? {
            return file.refuse("guidance_embeds", "true");
        }
        let (heads, head_width) =
            (file.get("num_attention_heads", 48)?, file.get("attention_head_dim", 128)?);
        let ratio: f64 = file.get("mlp_ratio", 3.0)?;
        let config = Self {
            channels: file.get("in_channels", 128)?,
            double_blocks: file.get("num_layers", 8)?,
            single_blocks: file.get("num_single_layers", 48)?,
            heads,
            head_width,
            words_width: file.get("joint_attention_dim", 15_360)?,
            waves: file.get("timestep_guidance_channels", 256)?,
            feed_forward: ((heads * head_width) as f64 * ratio) as usize,
            axes: file.get("axes_dims_rope", [32; 4])?,
            theta: file.get("rope_theta", 2000.0)?,
            norm_eps: file.get("eps", 1e-6)?,
        };
        if config.axes.iter().sum::<usize>() != head_width {
            bail!("config.json: `axes_dims_rope` do not add up to a head");
        }
        Ok(config)
    }

    pub(super) fn width(&self) -> usize {
        self.heads * self.head_width
    }
}
