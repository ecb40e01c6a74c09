//! The encoder of T5 v1.1 (Raffel et al. 2019, Shazeer 2020): token ids to one vector per position.
//!
//! <https://arxiv.org/abs/1910.10683>, <https://arxiv.org/abs/2002.05202>. The models that use it feed padding
//! and look at it, so there is no mask.

use std::path::Path;

use candle_core::{D, DType, Device, Result, Tensor, bail};
use candle_nn::VarBuilder;
use serde_json::json;

use crate::engines::{
    checkpoint::load_weights,
    config_file::ConfigFile,
    layers::{Activation, Linear, RmsNorm},
};

struct T5Config {
    vocabulary: usize,
    width: usize,
    head_width: usize,
    heads: usize,
    feed_forward: usize,
    layers: usize,
    buckets: usize,
    max_distance: usize,
    eps: f64,
}

impl T5Config {
    fn read(folder: &Path) -> Result<Self> {
        let file = ConfigFile::read(folder, "config.json")?;
        file.only(&[("feed_forward_proj", json!("gated-gelu"))])?;
        if !file.names("feed_forward_proj") {
            return file.refuse("feed_forward_proj", "relu");
        }
        let config = Self {
            vocabulary: file.get("vocab_size", 32128)?,
            width: file.get("d_model", 512)?,
            head_width: file.get("d_kv", 64)?,
            heads: file.get("num_heads", 8)?,
            feed_forward: file.get("d_ff", 2048)?,
            layers: file.get("num_layers", 6)?,
            buckets: file.get("relative_attention_num_buckets", 32)?,
            max_distance: file.get("relative_attention_max_distance", 128)?,
            eps: file.get("layer_norm_epsilon", 1e-6)?,
        };
        if config.buckets < 4 || config.max_distance <= config.buckets / 4 {
            bail!("config.json: {} buckets do not reach {}", config.buckets, config.max_distance);
        }
        Ok(config)
    }

    fn inner(&self) -> usize {
        self.heads * self.head_width
    }
}

/// The encoder; its result is the last layer's after the final norm.
#[derive(Debug)]
pub struct T5Encoder {
    tokens: Tensor,
    positions: RelativePositions,
    layers: Vec<Layer>,
    final_norm: RmsNorm,
}

impl T5Encoder {
    /// Reads `config.json` and the weights of one folder.
    pub fn load(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config = T5Config::read(folder)?;
        // Its largest values overflow f16.
        let dtype = if dtype == DType::F16 { DType::BF16 } else { dtype };
        let vb = load_weights(folder, "model", (dtype, device))?;
        let shape = (config.vocabulary, config.width);
        let tokens = match vb.get(shape, "shared.weight") {
            Ok(tokens) => tokens,
            Err(error) => vb.get(shape, "encoder.embed_tokens.weight").map_err(|_| error)?,
        };
        let vb = vb.pp("encoder");
        let layers = (0..config.layers)
            .map(|index| Layer::load(&config, vb.pp("block").pp(index).pp("layer")))
            .collect::<Result<_>>()?;
        Ok(Self {
            tokens,
            positions: RelativePositions::load(&config, vb.pp("block.0.layer.0.SelfAttention"))?,
            layers,
            final_norm: load_norm(&config, vb.pp("final_layer_norm"))?,
        })
    }

    /// Of the vectors it gives.
    pub fn width(&self) -> Result<usize> {
        self.tokens.dim(1)
    }

    /// From ids `(batch, length)` to `(batch, length, width)`.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let (batch, length) = ids.dims2()?;
        let width = self.tokens.dim(1)?;
        let dtype = self.tokens.dtype();
        let tokens = self.tokens.index_select(&ids.flatten_all()?, 0)?;
        // What the layers add up grows large: the sum keeps all digits.
        let mut xs = tokens.reshape((batch, length, width))?.to_dtype(DType::F32)?;
        let bias = self.positions.bias(length)?;
        for layer in &self.layers {
            xs = layer.forward(&xs, &bias, dtype)?;
        }
        self.final_norm.forward(&xs)?.to_dtype(dtype)
    }
}

/// The norms compute in f32, as what they read.
fn load_norm(config: &T5Config, vb: VarBuilder<'_>) -> Result<RmsNorm> {
    RmsNorm::load(config.width, config.eps, vb.to_dtype(DType::F32))
}

/// One number per head for each distance between two positions: near ones apart, far ones in growing groups.
#[derive(Debug)]
struct RelativePositions {
    /// `(buckets, heads)`, f32.
    weight: Tensor,
    max_distance: usize,
}

impl RelativePositions {
    fn load(config: &T5Config, vb: VarBuilder<'_>) -> Result<Self> {
        let shape = (config.buckets, config.heads);
        let weight = vb.get(shape, "relative_attention_bias.weight")?.to_dtype(DType::F32)?;
        Ok(Self { weight, max_distance: config.max_distance })
    }

    /// `(1, heads, length, length)`.
    fn bias(&self, length: usize) -> Result<Tensor> {
        let (buckets, heads) = self.weight.dims2()?;
        let ids: Vec<u32> = (0..length * length)
            .map(|index| {
                let (query, key) = (index / length, index % length);
                bucket(key as i64 - query as i64, buckets, self.max_distance) as u32
            })
            .collect();
        let ids = Tensor::from_vec(ids, length * length, self.weight.device())?;
        let bias = self.weight.index_select(&ids, 0)?.reshape((length, length, heads))?;
        bias.permute((2, 0, 1))?.contiguous()?.unsqueeze(0)
    }
}

fn bucket(offset: i64, buckets: usize, max_distance: usize) -> usize {
    let half = buckets / 2;
    let first = if offset > 0 { half } else { 0 };
    let (distance, exact) = (offset.unsigned_abs() as usize, half / 2);
    if distance < exact {
        return first + distance;
    }
    // In f32, as the models were trained: at the border of two groups the last digit decides.
    let ratio = (distance as f32 / exact as f32).ln();
    let reach = (max_distance as f64 / exact as f64).ln() as f32;
    let far = exact + (ratio / reach * (half - exact) as f32) as usize;
    first + far.min(half - 1)
}

#[derive(Debug)]
struct Layer {
    attention_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    norm: RmsNorm,
    gate: Linear,
    up: Linear,
    down: Linear,
    heads: usize,
}

impl Layer {
    fn load(config: &T5Config, vb: VarBuilder<'_>) -> Result<Self> {
        let (width, inner, wide) = (config.width, config.inner(), config.feed_forward);
        let attention = vb.pp("0.SelfAttention");
        let feed_forward = vb.pp("1.DenseReluDense");
        Ok(Self {
            attention_norm: load_norm(config, vb.pp("0.layer_norm"))?,
            query: Linear::load_no_bias(width, inner, attention.pp("q"))?,
            key: Linear::load_no_bias(width, inner, attention.pp("k"))?,
            value: Linear::load_no_bias(width, inner, attention.pp("v"))?,
            out: Linear::load_no_bias(inner, width, attention.pp("o"))?,
            norm: load_norm(config, vb.pp("1.layer_norm"))?,
            gate: Linear::load_no_bias(width, wide, feed_forward.pp("wi_0"))?,
            up: Linear::load_no_bias(width, wide, feed_forward.pp("wi_1"))?,
            down: Linear::load_no_bias(wide, width, feed_forward.pp("wo"))?,
            heads: config.heads,
        })
    }

    fn forward(&self, xs: &Tensor, bias: &Tensor, dtype: DType) -> Result<Tensor> {
        let normed = self.attention_norm.forward(xs)?.to_dtype(dtype)?;
        let xs = (xs + self.attend(&normed, bias)?.to_dtype(DType::F32)?)?;
        let normed = self.norm.forward(&xs)?.to_dtype(dtype)?;
        let gate = Activation::GeluTanh.forward(&self.gate.forward(&normed)?)?;
        let hidden = (gate * self.up.forward(&normed)?)?;
        xs + self.down.forward(&hidden)?.to_dtype(DType::F32)?
    }

    /// T5 does not divide by the root of the head's width: its initialisation does.
    fn attend(&self, xs: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let (batch, length, _) = xs.dims3()?;
        let heads = |projection: &Linear| -> Result<Tensor> {
            projection
                .forward(xs)?
                .reshape((batch, length, self.heads, ()))?
                .transpose(1, 2)?
                .contiguous()
        };
        let (q, k, v) = (heads(&self.query)?, heads(&self.key)?, heads(&self.value)?);
        let scores = q.matmul(&k.transpose(2, 3)?.contiguous()?)?.to_dtype(DType::F32)?;
        let weights = candle_nn::ops::softmax(&scores.broadcast_add(bias)?, D::Minus1)?;
        let seen = weights.to_dtype(v.dtype())?.matmul(&v)?.transpose(1, 2)?;
        self.out.forward(&seen.contiguous()?.flatten_from(2)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_fall_into_the_reference_s_buckets() {
        let found: Vec<usize> = [
            0, -1, -7, -8, -11, -12, -15, -16, -22, -23, -31, -32, -45, -46, -63, -64, -90, -91,
            -127, -128, -500, 1, 7, 8, 16, 32, 64, 128, 500,
        ]
        .map(|offset| bucket(offset, 32, 128))
        .to_vec();
        let expected = [
            0, 1, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15, 15, 15, 17, 23,
            24, 26, 28, 30, 31, 31,
        ];
        assert_eq!(found, expected);
    }
}
