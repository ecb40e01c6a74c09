//! The CLIP text encoder (Radford et al. 2021): token ids to one vector per position.
//!
//! <https://arxiv.org/abs/2103.00020>; weights as in `text_encoder/` of diffusers' folders.

use std::path::Path;

use candle_core::{DType, Device, IndexOp, Result, Tensor};
use candle_nn::VarBuilder;
use serde_json::json;

use crate::engines::{
    checkpoint::load_weights,
    config_file::ConfigFile,
    layers::{Activation, LayerNorm, Linear, attention},
};

struct ClipConfig {
    vocabulary: usize,
    width: usize,
    feed_forward: usize,
    layers: usize,
    heads: usize,
    positions: usize,
    activation: Activation,
    eps: f64,
    projection: usize,
    end: u32,
}

impl ClipConfig {
    fn read(folder: &Path) -> Result<Self> {
        let file = ConfigFile::read(folder, "config.json")?;
        file.only(&[("use_attention_mask", json!(false))])?;
        let activation: String = file.get("hidden_act", "quick_gelu".to_owned())?;
        Ok(Self {
            vocabulary: file.get("vocab_size", 49408)?,
            width: file.get("hidden_size", 512)?,
            feed_forward: file.get("intermediate_size", 2048)?,
            layers: file.get("num_hidden_layers", 12)?,
            heads: file.get("num_attention_heads", 8)?,
            positions: file.get("max_position_embeddings", 77)?,
            activation: match Activation::parse(&activation) {
                Some(activation) => activation,
                None => file.refuse("hidden_act", &activation)?,
            },
            eps: file.get("layer_norm_eps", 1e-5)?,
            projection: file.get("projection_dim", 512)?,
            end: file.get("eos_token_id", 49407)?,
        })
    }
}

/// What the encoder makes of its ids; who reads which is a matter of the model.
#[derive(Debug, Clone)]
pub struct ClipStates {
    /// `(batch, length, width)`: the last layer's result after the final norm.
    pub last: Tensor,
    /// What goes into the last layer, without a norm.
    pub penultimate: Tensor,
    /// `(batch, width)`: the last state where a prompt ends, projected where the encoder has a projection.
    pub pooled: Tensor,
}

/// What files from before mid 2023 say a prompt ends with; it means the highest id instead.
const MEANS_HIGHEST: u32 = 2;

/// The encoder, with its projection where there is one.
#[derive(Debug)]
pub struct ClipTextEncoder {
    token_embedding: Tensor,
    position_embedding: Tensor,
    layers: Vec<EncoderLayer>,
    final_norm: LayerNorm,
    projection: Option<Linear>,
    end: u32,
}

impl ClipTextEncoder {
    /// Reads `config.json` and the weights of one folder.
    pub fn load(folder: &Path, dtype: DType, device: &Device) -> Result<Self> {
        let config = ClipConfig::read(folder)?;
        let root = load_weights(folder, "model", (dtype, device))?;
        // Newer files drop the prefix.
        let prefixed = root.pp("text_model");
        let vb = match prefixed.contains_tensor("final_layer_norm.weight") {
            true => prefixed,
            false => root.clone(),
        };
        let projection = root.contains_tensor("text_projection.weight").then(|| {
            Linear::load_no_bias(config.width, config.projection, root.pp("text_projection"))
        });
        let embeddings = vb.pp("embeddings");
        let layers = (0..config.layers)
            .map(|index| EncoderLayer::load(&config, vb.pp("encoder.layers").pp(index)))
            .collect::<Result<_>>()?;
        Ok(Self {
            token_embedding: embeddings
                .get((config.vocabulary, config.width), "token_embedding.weight")?,
            position_embedding: embeddings
                .get((config.positions, config.width), "position_embedding.weight")?,
            layers,
            final_norm: LayerNorm::load(config.width, config.eps, vb.pp("final_layer_norm"))?,
            projection: projection.transpose()?,
            end: config.end,
        })
    }

    /// How many ids it can read.
    pub fn positions(&self) -> Result<usize> {
        self.position_embedding.dim(0)
    }

    /// From ids `(batch, length)` to the last state, `(batch, length, width)`.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        Ok(self.layer_states(ids)?.1)
    }

    /// From ids `(batch, length)` to all that any model reads.
    pub fn states(&self, ids: &Tensor) -> Result<ClipStates> {
        let (penultimate, last) = self.layer_states(ids)?;
        let ends: Vec<Tensor> = ids
            .to_vec2::<u32>()?
            .iter()
            .enumerate()
            .map(|(row, ids)| last.i((row, self.end_of(ids))))
            .collect::<Result<_>>()?;
        let ended = Tensor::stack(&ends, 0)?;
        let pooled = match &self.projection {
            Some(projection) => projection.forward(&ended)?,
            None => ended,
        };
        Ok(ClipStates { last, penultimate, pooled })
    }

    /// Where a prompt ends: the padding behind may be the same id.
    fn end_of(&self, ids: &[u32]) -> usize {
        let end = match self.end {
            MEANS_HIGHEST => ids.iter().copied().max().unwrap_or(0),
            end => end,
        };
        ids.iter().position(|id| *id == end).unwrap_or(0)
    }

    /// What goes into the last layer, and what comes out after the final norm.
    fn layer_states(&self, ids: &Tensor) -> Result<(Tensor, Tensor)> {
        let (batch, length) = ids.dims2()?;
        let width = self.token_embedding.dim(1)?;
        let tokens = self.token_embedding.index_select(&ids.flatten_all()?, 0)?;
        let mut xs = tokens
            .reshape((batch, length, width))?
            .broadcast_add(&self.position_embedding.narrow(0, 0, length)?)?;
        let mut penultimate = xs.clone();
        for layer in &self.layers {
            penultimate = xs;
            xs = layer.forward(&penultimate)?;
        }
        Ok((penultimate, self.final_norm.forward(&xs)?))
    }
}

#[derive(Debug)]
struct EncoderLayer {
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
    activation: Activation,
    heads: usize,
}

impl EncoderLayer {
    fn load(config: &ClipConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let &ClipConfig { width, feed_forward, eps, activation, heads, .. } = config;
        let attention = vb.pp("self_attn");
        Ok(Self {
            norm1: LayerNorm::load(width, eps, vb.pp("layer_norm1"))?,
            query: Linear::load(width, width, attention.pp("q_proj"))?,
            key: Linear::load(width, width, attention.pp("k_proj"))?,
            value: Linear::load(width, width, attention.pp("v_proj"))?,
            out: Linear::load(width, width, attention.pp("out_proj"))?,
            norm2: LayerNorm::load(width, eps, vb.pp("layer_norm2"))?,
            fc1: Linear::load(width, feed_forward, vb.pp("mlp.fc1"))?,
            fc2: Linear::load(feed_forward, width, vb.pp("mlp.fc2"))?,
            activation,
            heads,
        })
    }

    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let normed = self.norm1.forward(xs)?;
        let (q, k) = (self.query.forward(&normed)?, self.key.forward(&normed)?);
        let v = self.value.forward(&normed)?;
        let xs = (xs + self.out.forward(&attention((&q, &k, &v), self.heads, true)?)?)?;
        let hidden = self.fc1.forward(&self.norm2.forward(&xs)?)?;
        &xs + self.fc2.forward(&self.activation.forward(&hidden)?)?
    }
}
