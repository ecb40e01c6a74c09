//! BERT and XLM-RoBERTa in candle's tensors, as a card computes them. Texts of one length attend together.

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;

use super::{bert::BertConfig, embedder::Encoder};
use crate::engines::{
    EngineError,
    checkpoint::load_weights,
    layers::{Activation, LayerNorm, Linear, attention},
};

/// The encoder in f32: its models are small, and their vectors are compared digit by digit.
#[derive(Debug)]
pub(super) struct BertOnCard {
    words: Tensor,
    positions: Tensor,
    kind: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    first_position: usize,
    device: Device,
}

#[derive(Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    attention_norm: LayerNorm,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
    heads: usize,
}

impl BertOnCard {
    pub(super) fn load(folder: &Path, config: &BertConfig, device: &Device) -> Result<Self> {
        let vb = load_weights(folder, "model", (DType::F32, device))?;
        let prefixed = vb.pp(config.prefix.trim_end_matches('.'));
        let is_prefixed = prefixed.contains_tensor("embeddings.LayerNorm.weight");
        let vb = if is_prefixed { prefixed } else { vb };
        let embeddings = vb.pp("embeddings");
        let table = |name: &str, rows: usize| {
            embeddings.get((rows, config.hidden), &format!("{name}_embeddings.weight"))
        };
        Ok(Self {
            words: table("word", config.vocab_size)?,
            positions: table("position", config.positions)?,
            kind: table("token_type", config.kinds)?.narrow(0, 0, 1)?,
            norm: LayerNorm::load(config.hidden, config.eps, embeddings.pp("LayerNorm"))?,
            layers: (0..config.layers)
                .map(|index| Layer::load(config, vb.pp("encoder.layer").pp(index)))
                .collect::<Result<_>>()?,
            first_position: config.first_position,
            device: device.clone(),
        })
    }

    /// States of texts of one length, `(texts, length, hidden)`.
    fn forward(&self, texts: &[&[u32]], length: usize) -> Result<Tensor> {
        let tokens: Vec<u32> = texts.concat();
        let count = tokens.len();
        let words = self.words.index_select(&Tensor::from_vec(tokens, count, &self.device)?, 0)?;
        let positions = self.positions.narrow(0, self.first_position, length)?;
        let mut xs = words
            .reshape((texts.len(), length, ()))?
            .broadcast_add(&positions)?
            .broadcast_add(&self.kind)?;
        xs = self.norm.forward(&xs)?;
        for layer in &self.layers {
            xs = layer.forward(&xs)?;
        }
        Ok(xs)
    }
}

impl Encoder for BertOnCard {
    fn encode(&self, texts: &[&[u32]]) -> std::result::Result<Vec<f32>, EngineError> {
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|index| texts[*index].len());
        let mut states: Vec<Vec<f32>> = vec![Vec::new(); texts.len()];
        for group in order.chunk_by(|left, right| texts[*left].len() == texts[*right].len()) {
            let members: Vec<&[u32]> = group.iter().map(|index| texts[*index]).collect();
            let length = members.first().map_or(0, |text| text.len());
            let found = self.forward(&members, length)?;
            for (index, found) in group.iter().zip(found.chunk(group.len(), 0)?) {
                states[*index] = found.flatten_all()?.to_vec1()?;
            }
        }
        Ok(states.concat())
    }
}

impl Layer {
    fn load(config: &BertConfig, vb: VarBuilder<'_>) -> Result<Self> {
        let &BertConfig { hidden, feed_forward, eps, heads, .. } = config;
        let attention = vb.pp("attention");
        let part = |part: &str| Linear::load(hidden, hidden, attention.pp("self").pp(part));
        let output = attention.pp("output");
        Ok(Self {
            query: part("query")?,
            key: part("key")?,
            value: part("value")?,
            output: Linear::load(hidden, hidden, output.pp("dense"))?,
            attention_norm: LayerNorm::load(hidden, eps, output.pp("LayerNorm"))?,
            up: Linear::load(hidden, feed_forward, vb.pp("intermediate.dense"))?,
            down: Linear::load(feed_forward, hidden, vb.pp("output.dense"))?,
            norm: LayerNorm::load(hidden, eps, vb.pp("output.LayerNorm"))?,
            heads,
        })
    }

    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let (q, k) = (self.query.forward(xs)?, self.key.forward(xs)?);
        let v = self.value.forward(xs)?;
        let mixed = self.output.forward(&attention((&q, &k, &v), self.heads, false)?)?;
        let xs = self.attention_norm.forward(&(xs + mixed)?)?;
        let inner = Activation::Gelu.forward(&self.up.forward(&xs)?)?;
        self.norm.forward(&(&xs + self.down.forward(&inner)?)?)
    }
}
