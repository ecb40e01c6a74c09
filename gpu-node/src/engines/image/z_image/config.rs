//! `transformer/config.json` of the Z-Image models.

use std::path::Path;

use candle_core::{Result, bail};
use serde_json::json;

use crate::engines::config_file::ConfigFile;

/// A square of so many latents on a side is one token.
pub(super) const PATCH: usize = 2;

/// What one Z-Image transformer computes.
#[derive(Debug, Clone)]
pub(super) struct TransformerConfig {
    pub(super) latent_channels: usize,
    pub(super) width: usize,
    pub(super) layers: usize,
    pub(super) refiner_layers: usize,
    pub(super) heads: usize,
    pub(super) norm_eps: f64,
    pub(super) caption_width: usize,
    pub(super) time_scale: f64,
    /// How much of a head each axis of the positions turns, and how slowly.
    pub(super) axes: [usize; 3],
    pub(super) theta: f64,
    /// Positions each axis was made for.
    pub(super) axis_lengths: [usize; 3],
}

impl TransformerConfig {
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let file = ConfigFile::read(folder, "config.json")?;
        file.only(&[
            ("_class_name", json!("ZImageTransformer2DModel")),
            ("all_patch_size", json!([PATCH])),
            ("all_f_patch_size", json!([1])),
            ("qk_norm", json!(true)),
            ("siglip_feat_dim", json!(null)),
        ])?;
        let config = Self {
            latent_channels: file.get("in_channels", 16)?,
            width: file.get("dim", 3840)?,
            layers: file.get("n_layers", 30)?,
            refiner_layers: file.get("n_refiner_layers", 2)?,
            heads: file.get("n_heads", 30)?,
            norm_eps: file.get("norm_eps", 1e-5)?,
            caption_width: file.get("cap_feat_dim", 2560)?,
            time_scale: file.get("t_scale", 1000.0)?,
            axes: file.get("axes_dims", [32, 48, 48])?,
            theta: file.get("rope_theta", 256.0)?,
            axis_lengths: file.get("axes_lens", [1024, 512, 512])?,
        };
        if config.axes.iter().sum::<usize>() * config.heads != config.width || config.heads == 0 {
            bail!("config.json: `axes_dims` do not add up to a head");
        }
        Ok(config)
    }

    pub(super) fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// Width inside a feed-forward part.
    pub(super) fn feed_forward(&self) -> usize {
        self.width * 8 / 3
    }

    /// Width of the embedded moment.
    pub(super) fn time_width(&self) -> usize {
        self.width.min(256)
    }
}
