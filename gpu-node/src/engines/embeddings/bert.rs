//! BERT (Devlin et al. 2019, <https://arxiv.org/abs/1810.04805>) and XLM-RoBERTa on the CPU.
//!
//! Texts of all lengths are computed together without padding: only attention looks beyond a row, and it knows whose
//! rows are whose.

use std::path::Path;

use candle_core::{Result, bail};
use serde_json::json;

use super::embedder::Encoder;
use crate::engines::{
    EngineError,
    config_file::ConfigFile,
    text::{
        kernels::{
            Attention, BLOCK_TOKENS, BlockShape, LayerCache, LayerNorm, Linear, Place, add,
            gelu_all,
        },
        weights::{Projection, WeightSource},
    },
};

/// The sizes of an encoder.
#[derive(Debug, Clone)]
pub(super) struct BertConfig {
    pub(super) vocab_size: usize,
    pub(super) hidden: usize,
    pub(super) layers: usize,
    pub(super) heads: usize,
    pub(super) feed_forward: usize,
    pub(super) positions: usize,
    /// XLM-RoBERTa numbers positions from after its padding token.
    pub(super) first_position: usize,
    pub(super) kinds: usize,
    pub(super) eps: f64,
    /// What names begin with where the encoder is part of a model with a head.
    pub(super) prefix: &'static str,
}

impl BertConfig {
    /// Reads `<folder>/config.json`; `None` when the model is of another kind.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>> {
        let file = ConfigFile::read(folder, "config.json")?;
        let kind: String = file.require("model_type")?;
        let is_roberta = matches!(kind.as_str(), "xlm-roberta" | "roberta");
        if !is_roberta && kind != "bert" {
            return Ok(None);
        }
        file.only(&[
            ("hidden_act", json!("gelu")),
            ("position_embedding_type", json!("absolute")),
            ("is_decoder", json!(false)),
        ])?;
        let first_position = if is_roberta { file.get("pad_token_id", 1)? + 1 } else { 0 };
        let config = Self {
            vocab_size: file.require("vocab_size")?,
            hidden: file.require("hidden_size")?,
            layers: file.require("num_hidden_layers")?,
            heads: file.require("num_attention_heads")?,
            feed_forward: file.require("intermediate_size")?,
            positions: file.get("max_position_embeddings", 512)?,
            first_position,
            kinds: file.get("type_vocab_size", 2)?,
            eps: file.get("layer_norm_eps", 1e-12)?,
            prefix: if is_roberta { "roberta." } else { "bert." },
        };
        if config.heads == 0 || !config.hidden.is_multiple_of(config.heads) {
            bail!("config.json: {} heads do not divide {}", config.heads, config.hidden);
        }
        if config.positions <= first_position {
            bail!("config.json: {} positions are none", config.positions);
        }
        Ok(Some(config))
    }
}

/// The encoder in f32 rows.
#[derive(Debug)]
pub(super) struct BertEncoder {
    words: Box<dyn Projection>,
    positions: Box<dyn Projection>,
    first_position: usize,
    /// All tokens are of the first kind: there is one text.
    kind: Vec<f32>,
    norm: LayerNorm,
    layers: Vec<Layer>,
    hidden: usize,
    shape: BlockShape,
}

#[derive(Debug)]
struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attention: Attention,
    output: Linear,
    attention_norm: LayerNorm,
    up: Linear,
    down: Linear,
    norm: LayerNorm,
}

fn norm(
    source: &dyn WeightSource,
    name: &str,
    config: &BertConfig,
) -> std::result::Result<LayerNorm, EngineError> {
    Ok(LayerNorm {
        weight: source.vector(&format!("{name}.weight"), config.hidden)?,
        bias: source.vector(&format!("{name}.bias"), config.hidden)?,
        eps: config.eps as f32,
    })
}

impl BertEncoder {
    pub(super) fn load(
        config: &BertConfig,
        source: &dyn WeightSource,
    ) -> std::result::Result<Self, EngineError> {
        let table = |name: &str, rows| {
            source
                .projection(&format!("embeddings.{name}_embeddings.weight"), (rows, config.hidden))
        };
        let mut kind = vec![0.0; config.hidden];
        table("token_type", config.kinds)?.copy_row(0, &mut kind);
        let head_width = config.hidden / config.heads;
        let shape = BlockShape { kv_heads: config.heads, head_width };
        Ok(Self {
            words: table("word", config.vocab_size)?,
            positions: table("position", config.positions)?,
            first_position: config.first_position,
            kind,
            norm: norm(source, "embeddings.LayerNorm", config)?,
            layers: (0..config.layers)
                .map(|index| Layer::load(config, source, index, shape))
                .collect::<std::result::Result<_, _>>()?,
            hidden: config.hidden,
            shape,
        })
    }

    fn embed(&self, texts: &[&[u32]]) -> Vec<f32> {
        let tokens: usize = texts.iter().map(|text| text.len()).sum();
        let mut xs = vec![0.0; tokens * self.hidden];
        let mut row = vec![0.0; self.hidden];
        let places = texts.iter().flat_map(|text| text.iter().enumerate());
        for ((position, token), out) in places.zip(xs.chunks_exact_mut(self.hidden)) {
            self.words.copy_row(*token as usize, out);
            self.positions.copy_row(self.first_position + position, &mut row);
            add(out, &self.kind);
            add(out, &row);
        }
        self.norm.apply(&mut xs);
        xs
    }
}

impl Encoder for BertEncoder {
    fn encode(&self, texts: &[&[u32]]) -> std::result::Result<Vec<f32>, EngineError> {
        let mut xs = self.embed(texts);
        let needed = |text: &&[u32]| text.len().div_ceil(BLOCK_TOKENS);
        let blocks: Vec<u32> = (0..texts.iter().map(needed).sum::<usize>() as u32).collect();
        let mut cache = LayerCache::new(blocks.len(), self.shape);
        let mut rest = blocks.as_slice();
        let mut places = Vec::new();
        for text in texts {
            let (own, others) = rest.split_at(needed(text));
            rest = others;
            places.extend((0..text.len()).map(|position| Place { blocks: own, position }));
        }
        // Each row sees its whole text: attention is told that it is the last one.
        let lengths = texts.iter().flat_map(|text| std::iter::repeat_n(text.len(), text.len()));
        let ends: Vec<Place<'_>> = places
            .iter()
            .zip(lengths)
            .map(|(place, length)| Place { position: length - 1, ..*place })
            .collect();
        for layer in &self.layers {
            layer.forward(&mut xs, (&places, &ends), &mut cache);
        }
        Ok(xs)
    }
}

impl Layer {
    fn load(
        config: &BertConfig,
        source: &dyn WeightSource,
        index: usize,
        shape: BlockShape,
    ) -> std::result::Result<Self, EngineError> {
        let &BertConfig { hidden, feed_forward, .. } = config;
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        let linear = |part: &str, sizes| Linear::load(source, &name(part), sizes, true);
        Ok(Self {
            query: linear("attention.self.query", (hidden, hidden))?,
            key: linear("attention.self.key", (hidden, hidden))?,
            value: linear("attention.self.value", (hidden, hidden))?,
            attention: Attention { heads: config.heads, shape, window: None },
            output: linear("attention.output.dense", (hidden, hidden))?,
            attention_norm: norm(source, &name("attention.output.LayerNorm"), config)?,
            up: linear("intermediate.dense", (feed_forward, hidden))?,
            down: linear("output.dense", (hidden, feed_forward))?,
            norm: norm(source, &name("output.LayerNorm"), config)?,
        })
    }

    fn forward(
        &self,
        xs: &mut [f32],
        (places, ends): (&[Place<'_>], &[Place<'_>]),
        cache: &mut LayerCache,
    ) {
        cache.store_all(
            self.attention.shape,
            places,
            (&self.key.forward(xs), &self.value.forward(xs)),
        );
        let mixed = self.attention.forward(&self.query.forward(xs), cache, ends);
        add(xs, &self.output.forward(&mixed));
        self.attention_norm.apply(xs);
        let mut inner = self.up.forward(xs);
        gelu_all(&mut inner);
        add(xs, &self.down.forward(&inner));
        self.norm.apply(xs);
    }
}
