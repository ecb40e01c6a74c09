//! One layer: attention to the cached tokens, then a feed-forward part, each added to what came in.

use super::experts::Experts;
use crate::engines::{
    EngineError,
    text::{
        config::{DecoderConfig, LayerConfig},
        kernels::{Angles, Attention, BlockShape, LayerCache, Linear, Place, RmsNorm, add, gate},
        weights::WeightSource,
    },
};

/// Two projections, one gating the other, and a third back.
#[derive(Debug)]
pub(super) struct FeedForward {
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl FeedForward {
    pub(super) fn load(
        source: &dyn WeightSource,
        name: &str,
        (hidden, width): (usize, usize),
        has_bias: bool,
    ) -> Result<Self, EngineError> {
        let linear =
            |part: &str, shape| Linear::load(source, &format!("{name}.{part}"), shape, has_bias);
        Ok(Self {
            gate: linear("gate_proj", (width, hidden))?,
            up: linear("up_proj", (width, hidden))?,
            down: linear("down_proj", (hidden, width))?,
        })
    }

    pub(super) fn forward(&self, xs: &[f32]) -> Vec<f32> {
        let mut inner = self.gate.forward(xs);
        gate(&mut inner, &self.up.forward(xs));
        self.down.forward(&inner)
    }

    pub(super) fn bytes(&self) -> usize {
        self.gate.bytes() + self.up.bytes() + self.down.bytes()
    }
}

#[derive(Debug)]
enum Inner {
    Dense(FeedForward),
    Sparse(Experts),
}

#[derive(Debug)]
pub(super) struct Layer {
    attention_norm: RmsNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    /// Norms of each query head and each key head.
    head_norms: Option<(RmsNorm, RmsNorm)>,
    attention: Attention,
    output: Linear,
    inner_norm: RmsNorm,
    inner: Inner,
}

/// What all layers must know about the rows of one pass.
pub(super) struct Batch<'a> {
    pub(super) places: Vec<Place<'a>>,
    /// The last token that each row sees.
    pub(super) seen: Vec<Place<'a>>,
    pub(super) angles: Angles,
}

impl Layer {
    pub(super) fn load(
        source: &dyn WeightSource,
        config: &DecoderConfig,
        index: usize,
    ) -> Result<Self, EngineError> {
        let LayerConfig { window, is_sparse } = config.layers[index];
        let name = |part: &str| format!("layers.{index}.{part}");
        let norm = |part: &str, width| -> Result<RmsNorm, EngineError> {
            let weight = source.vector(&name(&format!("{part}.weight")), width)?;
            Ok(RmsNorm { weight, eps: config.norm_eps })
        };
        let linear = |part: &str, shape, has_bias| {
            Linear::load(source, &name(&format!("self_attn.{part}")), shape, has_bias)
        };
        let (hidden, biases) = (config.hidden, config.biases);
        let (query, key) = (config.query_width(), config.key_width());
        let inner = match config.experts.filter(|_| is_sparse) {
            Some(experts) => Inner::Sparse(Experts::load(source, &name("mlp"), hidden, experts)?),
            None => {
                let sizes = (hidden, config.feed_forward);
                let inner = FeedForward::load(source, &name("mlp"), sizes, biases.feed_forward)?;
                Inner::Dense(inner)
            }
        };
        let head_norms = || -> Result<_, EngineError> {
            let width = config.head_width;
            Ok((norm("self_attn.q_norm", width)?, norm("self_attn.k_norm", width)?))
        };
        Ok(Self {
            attention_norm: norm("input_layernorm", hidden)?,
            query: linear("q_proj", (query, hidden), biases.qkv)?,
            key: linear("k_proj", (key, hidden), biases.qkv)?,
            value: linear("v_proj", (key, hidden), biases.qkv)?,
            head_norms: if config.has_head_norms { Some(head_norms()?) } else { None },
            attention: Attention {
                heads: config.heads,
                shape: BlockShape { kv_heads: config.kv_heads, head_width: config.head_width },
                window,
            },
            output: linear("o_proj", (hidden, query), biases.output)?,
            inner_norm: norm("post_attention_layernorm", hidden)?,
            inner,
        })
    }

    /// Changes the rows in place and adds their keys and values to the cache.
    pub(super) fn forward(&self, xs: &mut [f32], batch: &Batch<'_>, cache: &mut LayerCache) {
        let normed = self.attention_norm.forward(xs);
        let mut queries = self.query.forward(&normed);
        let mut keys = self.key.forward(&normed);
        let values = self.value.forward(&normed);
        if let Some((query, key)) = &self.head_norms {
            query.apply(&mut queries);
            key.apply(&mut keys);
        }
        let shape = self.attention.shape;
        batch.angles.rotate(&mut queries, self.attention.heads);
        batch.angles.rotate(&mut keys, shape.kv_heads);
        cache.store_all(shape, &batch.places, (&keys, &values));
        let mixed = self.attention.forward(&queries, cache, &batch.seen);
        add(xs, &self.output.forward(&mixed));
        let normed = self.inner_norm.forward(xs);
        let change = match &self.inner {
            Inner::Dense(inner) => inner.forward(&normed),
            Inner::Sparse(experts) => experts.forward(&normed),
        };
        add(xs, &change);
    }

    pub(super) fn bytes(&self) -> usize {
        let inner = match &self.inner {
            Inner::Dense(inner) => inner.bytes(),
            Inner::Sparse(experts) => experts.bytes(),
        };
        let attention = [&self.query, &self.key, &self.value, &self.output];
        inner + attention.into_iter().map(Linear::bytes).sum::<usize>()
    }
}
