//! `config.json` of the Hugging Face checkpoints, as versions 4 and 5 of transformers write it.

use std::path::Path;

use candle_core::{Result, bail};
use serde::Deserialize;
use serde_json::json;

use super::{
    Biases, DecoderConfig, ExpertsConfig, LayerConfig, Rope, RopeScaling, check_sizes,
    rope::yarn_attention,
};
use crate::engines::config_file::ConfigFile;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
    Qwen3Moe,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl DecoderConfig {
    /// Reads `<folder>/config.json`; what this decoder does not compute is refused by name.
    pub fn read(folder: &Path) -> Result<Self> {
        let file = ConfigFile::read(folder, "config.json")?;
        let family = family(&file)?;
        file.only(&[("hidden_act", json!("silu")), ("partial_rotary_factor", json!(1.0))])?;
        let hidden: usize = file.require("hidden_size")?;
        let heads: usize = file.require("num_attention_heads")?;
        let kv_heads = match (file.find("num_key_value_heads")?, family) {
            (Some(heads), _) => heads,
            (None, Family::Llama) => heads,
            (None, _) => file.require("num_key_value_heads")?,
        };
        if heads == 0 || kv_heads == 0 || !heads.is_multiple_of(kv_heads) {
            bail!("config.json: {kv_heads} heads of keys do not divide {heads} heads");
        }
        let usual_width = if family == Family::Qwen3 { 128 } else { hidden / heads };
        let head_width = file.get("head_dim", usual_width)?;
        if head_width == 0 || head_width % 2 != 0 {
            bail!("config.json: a head of {head_width} numbers has no halves to rotate");
        }
        let has_bias: bool = match family {
            Family::Mistral => false,
            Family::Qwen2 => true,
            _ => file.get("attention_bias", false)?,
        };
        let vocab_size = file.require("vocab_size")?;
        check_sizes(file.require("num_hidden_layers")?, vocab_size)?;
        Ok(Self {
            vocab_size,
            hidden,
            heads,
            kv_heads,
            head_width,
            feed_forward: file.require("intermediate_size")?,
            layers: layers(&file, family)?,
            experts: experts(&file, family)?,
            norm_eps: file.get("rms_norm_eps", 1e-6)?,
            rope: rope(&file, head_width)?,
            context_tokens: file.require("max_position_embeddings")?,
            has_tied_embeddings: file.get("tie_word_embeddings", false)?,
            biases: Biases {
                qkv: has_bias,
                output: has_bias && family != Family::Qwen2,
                feed_forward: family == Family::Llama && file.get("mlp_bias", false)?,
            },
            has_head_norms: matches!(family, Family::Qwen3 | Family::Qwen3Moe),
            end_tokens: match file.find("eos_token_id")? {
                Some(OneOrMany::One(token)) => vec![token],
                Some(OneOrMany::Many(tokens)) => tokens,
                None => Vec::new(),
            },
        })
    }
}

fn family(file: &ConfigFile) -> Result<Family> {
    let name: String = file.require("model_type")?;
    match name.as_str() {
        "llama" => Ok(Family::Llama),
        "mistral" => Ok(Family::Mistral),
        "qwen2" => Ok(Family::Qwen2),
        "qwen3" => Ok(Family::Qwen3),
        "qwen3_moe" => Ok(Family::Qwen3Moe),
        _ => file.refuse("model_type", &name),
    }
}

fn layers(file: &ConfigFile, family: Family) -> Result<Vec<LayerConfig>> {
    let count: usize = file.require("num_hidden_layers")?;
    let window: Option<usize> = match family {
        Family::Llama => None,
        // The format's default, which a file switches off with `null`.
        Family::Mistral if !file.names("sliding_window") => Some(4096),
        Family::Mistral => file.find("sliding_window")?,
        _ if file.get("use_sliding_window", false)? => Some(file.get("sliding_window", 4096)?),
        _ => None,
    };
    if window == Some(0) {
        return file.refuse("sliding_window", "0");
    }
    // Here the whole model has one mask; in Qwen2 and Qwen3 the first layers see everything.
    let first_windowed = match family {
        Family::Qwen2 | Family::Qwen3 => file.get("max_window_layers", 28)?,
        _ => 0,
    };
    let kinds: Option<Vec<String>> = match family {
        Family::Qwen2 | Family::Qwen3 => file.find("layer_types")?,
        _ => None,
    };
    if kinds.as_ref().is_some_and(|kinds| kinds.len() != count) {
        bail!("config.json: `layer_types` does not have {count} entries");
    }
    let dense: Vec<usize> = file.get("mlp_only_layers", Vec::new())?;
    let step: usize = file.get("decoder_sparse_step", 1)?;
    (0..count)
        .map(|index| {
            let is_windowed = match kinds.as_ref().map(|kinds| kinds[index].as_str()) {
                None => index >= first_windowed,
                Some("sliding_attention") => true,
                Some("full_attention") => false,
                Some(other) => file.refuse("layer_types", other)?,
            };
            let is_sparse = family == Family::Qwen3Moe
                && !dense.contains(&index)
                && step > 0
                && (index + 1).is_multiple_of(step);
            Ok(LayerConfig { window: window.filter(|_| is_windowed), is_sparse })
        })
        .collect()
}

fn experts(file: &ConfigFile, family: Family) -> Result<Option<ExpertsConfig>> {
    if family != Family::Qwen3Moe {
        return Ok(None);
    }
    let count = match file.find("num_local_experts")? {
        Some(count) => count,
        None => file.require("num_experts")?,
    };
    let per_token = file.require("num_experts_per_tok")?;
    if per_token == 0 || per_token > count {
        bail!("config.json: {per_token} of {count} experts cannot be chosen");
    }
    Ok(Some(ExpertsConfig {
        count,
        per_token,
        width: file.require("moe_intermediate_size")?,
        normalises_shares: file.get("norm_topk_prob", false)?,
    }))
}

/// Version 5 keeps everything in `rope_parameters`; version 4 has `rope_theta` and `rope_scaling`.
fn rope(file: &ConfigFile, head_width: usize) -> Result<Rope> {
    let newer = file.section("rope_parameters")?;
    let older = file.section("rope_scaling")?;
    let theta = match &newer {
        Some(section) => section.find("rope_theta")?,
        None => None,
    };
    let theta: f64 = match theta {
        Some(theta) => theta,
        None => file.get("rope_theta", 10_000.0)?,
    };
    let Some(section) = newer.or(older) else {
        return Ok(Rope::new(theta, head_width, RopeScaling::None));
    };
    section.only(&[("partial_rotary_factor", json!(1.0))])?;
    let older_kind: String = section.get("type", "default".to_owned())?;
    let kind: String = section.get("rope_type", older_kind)?;
    let original_context = || -> Result<f64> {
        match section.find("original_max_position_embeddings")? {
            Some(positions) => Ok(positions),
            None => file.require("max_position_embeddings"),
        }
    };
    let scaling = match kind.as_str() {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: section.require("factor")? },
        "llama3" => RopeScaling::Llama3 {
            factor: section.require("factor")?,
            low: section.require("low_freq_factor")?,
            high: section.require("high_freq_factor")?,
            original_context: original_context()?,
        },
        "yarn" => yarn(&section, original_context()?)?,
        other => section.refuse("rope_type", other)?,
    };
    Ok(Rope::new(theta, head_width, scaling))
}

fn yarn(section: &ConfigFile, original_context: f64) -> Result<RopeScaling> {
    let factor: f64 = section.require("factor")?;
    let scales = (section.get("mscale", 0.0)?, section.get("mscale_all_dim", 0.0)?);
    let attention = match (section.find("attention_factor")?, scales) {
        (Some(attention), _) => Some(attention),
        (None, (scale, all)) if scale != 0.0 && all != 0.0 => {
            Some(yarn_attention(factor, scale) / yarn_attention(factor, all))
        }
        _ => None,
    };
    Ok(RopeScaling::Yarn {
        factor,
        fast_turns: section.get("beta_fast", 32.0)?,
        slow_turns: section.get("beta_slow", 1.0)?,
        original_context,
        attention,
        rounds_ramp: section.get("truncate", true)?,
    })
}
