//! One layer in tensors: projections that read the same rows are one product.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{
    ops::{rms_norm, silu},
    rotary_emb::rope_thd,
};

use super::{
    BLOCK_TOKENS,
    attention::{Attention, SCORES_AT_ONCE},
    batch::Batch,
};
use crate::engines::{
    EngineError,
    text::{
        config::{DecoderConfig, ExpertsConfig, LayerConfig},
        decoder::routing::route,
        weights::WeightSource,
    },
};

/// Keys and values of one layer, `(blocks · tokens, heads · width)`.
#[derive(Debug)]
pub(super) struct LayerCache {
    pub(super) keys: Tensor,
    pub(super) values: Tensor,
}

impl LayerCache {
    pub(super) fn new(
        blocks: usize,
        width: usize,
        (dtype, device): (DType, &Device),
    ) -> Result<Self> {
        let empty = || Tensor::zeros((blocks * BLOCK_TOKENS, width), dtype, device);
        Ok(Self { keys: empty()?, values: empty()? })
    }

    fn store(&self, batch: &Batch, keys: &Tensor, values: &Tensor) -> Result<()> {
        let slots = batch.slots.broadcast_as(keys.shape())?.contiguous()?;
        self.keys.scatter_set(&slots, keys, 0)?;
        self.values.scatter_set(&slots, values, 0)
    }
}

/// One or more projections of the same rows, one below the other.
#[derive(Debug)]
struct Projections {
    weight: Tensor,
    bias: Option<Tensor>,
}

/// Where a layer's weights are and where they go.
#[derive(Clone, Copy)]
struct Loading<'a> {
    source: &'a dyn WeightSource,
    place: (DType, &'a Device),
}

impl Loading<'_> {
    fn projections(
        self,
        parts: &[(String, usize)],
        inputs: usize,
        has_bias: bool,
    ) -> std::result::Result<Projections, EngineError> {
        let (mut weights, mut biases) = (Vec::new(), Vec::new());
        for (name, outputs) in parts {
            let weight = format!("{name}.weight");
            weights.push(self.source.tensor(&weight, &[*outputs, inputs], self.place)?);
            if has_bias {
                let bias = format!("{name}.bias");
                biases.push(self.source.tensor(&bias, &[*outputs], self.place)?);
            }
        }
        let bias = if has_bias { Some(Tensor::cat(&biases, 0)?) } else { None };
        Ok(Projections { weight: Tensor::cat(&weights, 0)?, bias })
    }
}

impl Projections {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let out = xs.matmul(&self.weight.t()?)?;
        match &self.bias {
            Some(bias) => out.broadcast_add(bias),
            None => Ok(out),
        }
    }
}

/// Gate and up in one product, then down.
#[derive(Debug)]
struct FeedForward {
    gate_up: Projections,
    down: Projections,
    width: usize,
}

impl FeedForward {
    fn load(
        loading: Loading<'_>,
        name: &str,
        (hidden, width): (usize, usize),
        has_bias: bool,
    ) -> std::result::Result<Self, EngineError> {
        let part = |part: &str, outputs| (format!("{name}.{part}_proj"), outputs);
        let gate_up = [part("gate", width), part("up", width)];
        Ok(Self {
            gate_up: loading.projections(&gate_up, hidden, has_bias)?,
            down: loading.projections(&[part("down", hidden)], width, has_bias)?,
            width,
        })
    }

    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let both = self.gate_up.forward(xs)?;
        let gate = silu(&both.narrow(1, 0, self.width)?.contiguous()?)?;
        self.down.forward(&(gate * both.narrow(1, self.width, self.width)?)?)
    }
}

/// Experts: the router's scores come to the CPU, which deals the rows out.
#[derive(Debug)]
struct Experts {
    router: Projections,
    experts: Vec<FeedForward>,
    config: ExpertsConfig,
}

impl Experts {
    fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let scores = self.router.forward(xs)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let mut out = xs.zeros_like()?;
        for (expert, shares) in self.experts.iter().zip(route(&scores, self.config)) {
            let count = shares.len();
            if count == 0 {
                continue;
            }
            let rows: Vec<u32> = shares.iter().map(|share| share.row as u32).collect();
            let rows = Tensor::from_vec(rows, count, xs.device())?;
            let weights: Vec<f32> = shares.iter().map(|share| share.weight).collect();
            let weights = Tensor::from_vec(weights, (count, 1), xs.device())?;
            let result = expert.forward(&xs.index_select(&rows, 0)?)?;
            let result = result.broadcast_mul(&weights.to_dtype(xs.dtype())?)?;
            out = out.index_add(&rows, &result, 0)?;
        }
        Ok(out)
    }
}

#[derive(Debug)]
enum Inner {
    Dense(FeedForward),
    Sparse(Experts),
}

#[derive(Debug)]
pub(super) struct Layer {
    attention_norm: Tensor,
    query_key_value: Projections,
    /// Norms of each query head and each key head.
    head_norms: Option<(Tensor, Tensor)>,
    attention: Attention,
    output: Projections,
    inner_norm: Tensor,
    inner: Inner,
    eps: f32,
}

impl Layer {
    pub(super) fn load(
        source: &dyn WeightSource,
        config: &DecoderConfig,
        index: usize,
        place: (DType, &Device),
    ) -> std::result::Result<Self, EngineError> {
        let loading = Loading { source, place };
        let LayerConfig { window, is_sparse } = config.layers[index];
        let name = |part: &str| format!("layers.{index}.{part}");
        let norm = |part: &str, width: usize| {
            source.tensor(&name(&format!("{part}.weight")), &[width], place)
        };
        let (hidden, biases) = (config.hidden, config.biases);
        let (query, key) = (config.query_width(), config.key_width());
        let part = |part: &str, outputs| (name(&format!("self_attn.{part}_proj")), outputs);
        let inner = match config.experts.filter(|_| is_sparse) {
            Some(experts) => {
                let router = [(name("mlp.gate"), experts.count)];
                let expert = |expert| {
                    let name = name(&format!("mlp.experts.{expert}"));
                    FeedForward::load(loading, &name, (hidden, experts.width), false)
                };
                Inner::Sparse(Experts {
                    router: loading.projections(&router, hidden, false)?,
                    experts: (0..experts.count)
                        .map(expert)
                        .collect::<std::result::Result<_, _>>()?,
                    config: experts,
                })
            }
            None => {
                let sizes = (hidden, config.feed_forward);
                let inner = FeedForward::load(loading, &name("mlp"), sizes, biases.feed_forward)?;
                Inner::Dense(inner)
            }
        };
        let head_norm = |part: &str| norm(&format!("self_attn.{part}_norm"), config.head_width);
        let reads = [part("q", query), part("k", key), part("v", key)];
        Ok(Self {
            attention_norm: norm("input_layernorm", hidden)?,
            query_key_value: loading.projections(&reads, hidden, biases.qkv)?,
            head_norms: if config.has_head_norms {
                Some((head_norm("q")?, head_norm("k")?))
            } else {
                None
            },
            attention: Attention {
                heads: config.heads,
                kv_heads: config.kv_heads,
                head_width: config.head_width,
                window,
                scores_at_once: SCORES_AT_ONCE,
            },
            output: loading.projections(&[part("o", hidden)], query, biases.output)?,
            inner_norm: norm("post_attention_layernorm", hidden)?,
            inner,
            eps: config.norm_eps,
        })
    }

    /// The rows after this layer; their keys and values are added to the cache.
    pub(super) fn forward(&self, xs: &Tensor, batch: &Batch, cache: &LayerCache) -> Result<Tensor> {
        let Attention { heads, kv_heads, head_width, .. } = self.attention;
        let (query, key) = (heads * head_width, kv_heads * head_width);
        let all = self.query_key_value.forward(&rms_norm(xs, &self.attention_norm, self.eps)?)?;
        let norms = self.head_norms.as_ref();
        let queries = all.narrow(1, 0, query)?.contiguous()?;
        let queries = self.turned(queries, heads, norms.map(|norms| &norms.0), batch)?;
        let keys = all.narrow(1, query, key)?.contiguous()?;
        let keys = self.turned(keys, kv_heads, norms.map(|norms| &norms.1), batch)?;
        let values = all.narrow(1, query + key, key)?.contiguous()?;
        cache.store(batch, &keys, &values)?;
        let mixed = self.attention.forward(&queries, cache, batch)?;
        let xs = (xs + self.output.forward(&mixed)?)?;
        let normed = rms_norm(&xs, &self.inner_norm, self.eps)?;
        match &self.inner {
            Inner::Dense(inner) => xs + inner.forward(&normed)?,
            Inner::Sparse(experts) => xs + experts.forward(&normed)?,
        }
    }

    /// Heads after their norm, turned to their positions.
    fn turned(
        &self,
        xs: Tensor,
        heads: usize,
        norm: Option<&Tensor>,
        batch: &Batch,
    ) -> Result<Tensor> {
        let (rows, width) = xs.dims2()?;
        let mut xs = xs.reshape((1, rows, heads, width / heads))?;
        if let Some(norm) = norm {
            xs = rms_norm(&xs, norm, self.eps)?;
        }
        rope_thd(&xs, &batch.cos, &batch.sin)?.reshape((rows, width))
    }
}
