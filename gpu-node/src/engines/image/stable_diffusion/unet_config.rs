//! `unet/config.json`, reduced to what is supported.

use std::path::Path;

use candle_core::{Result, bail};
use serde_json::json;

use super::unet_blocks::BlockConfig;
use crate::engines::{config_file::ConfigFile, image::resnet::NormConfig, layers::Activation};

/// The file as the library that writes it reads it.
pub(super) struct UNetConfig {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) flip_sin_to_cos: bool,
    pub(super) freq_shift: f64,
    pub(super) channels: Vec<usize>,
    pub(super) has_attention: Vec<bool>,
    pub(super) up_has_attention: Vec<bool>,
    pub(super) mid_block: String,
    pub(super) layers: Vec<usize>,
    pub(super) heads: Vec<usize>,
    pub(super) depths: Vec<usize>,
    pub(super) text_width: usize,
    pub(super) downsample_padding: usize,
    pub(super) norm: NormConfig,
    pub(super) added: Option<AddedConfig>,
}

/// What a model is told beside the text of a prompt: the prompt as one vector, and sizes.
#[derive(Debug, Clone, Copy)]
pub(super) struct AddedConfig {
    /// Of the waves that stand for one size.
    pub(super) size_channels: usize,
    /// Of the vector and all sizes together.
    pub(super) width: usize,
}

impl AddedConfig {
    fn read(file: &ConfigFile) -> Result<Option<Self>> {
        match file.find::<String>("addition_embed_type")?.as_deref() {
            None => Ok(None),
            Some("text_time") => Ok(Some(Self {
                size_channels: file.require("addition_time_embed_dim")?,
                width: file.require("projection_class_embeddings_input_dim")?,
            })),
            Some(other) => file.refuse("addition_embed_type", other),
        }
    }
}

impl UNetConfig {
    pub(super) fn read(folder: &Path) -> Result<Self> {
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
            added: AddedConfig::read(&file)?,
            channels,
        })
    }

    pub(super) fn block(&self, index: usize, has_attention: bool) -> BlockConfig {
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
