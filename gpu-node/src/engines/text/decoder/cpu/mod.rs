//! The decoder on the CPU: rows of f32, weights as wide as the file has them, all threads.

mod cache;
mod experts;
mod layer;

use candle_core::{Device, Tensor};

use self::{
    cache::PagedCache,
    layer::{Batch, Layer},
};
use super::{
    HiddenStates, PaddedPrompt, Tap,
    pass::{check, last_layer, last_seen, wanted_rows, with_own_blocks},
};
use crate::engines::{
    EngineError,
    text::{
        config::DecoderConfig,
        kernels::{Angles, BLOCK_TOKENS, BlockShape, Place, RmsNorm},
        model::{Logits, ModelShape, SequenceRows, TextModel},
        weights::{Projection, WeightSource},
    },
};

/// A decoder whose rows are bit-identical in any batch and for any cut of the prompt.
#[derive(Debug)]
pub struct CpuDecoder {
    config: DecoderConfig,
    shape: ModelShape,
    embedding: Box<dyn Projection>,
    layers: Vec<Layer>,
    norm: RmsNorm,
    /// Absent where the embedding is used.
    head: Option<Box<dyn Projection>>,
    cache: PagedCache,
}

impl CpuDecoder {
    /// Reads all weights; a cache is made later.
    pub fn load(config: DecoderConfig, source: &dyn WeightSource) -> Result<Self, EngineError> {
        let block = block_shape(&config);
        let shape = ModelShape {
            vocab_size: config.vocab_size,
            context_tokens: config.context_tokens,
            block_tokens: BLOCK_TOKENS,
            block_bytes: block.bytes() * config.layers.len(),
        };
        let table = (config.vocab_size, config.hidden);
        // Text encoders and embedding models come without a head and use none.
        let has_head = !config.has_tied_embeddings && source.contains("lm_head.weight");
        let head = || source.projection("lm_head.weight", table);
        Ok(Self {
            embedding: source.projection("embed_tokens.weight", table)?,
            layers: (0..config.layers.len())
                .map(|index| Layer::load(source, &config, index))
                .collect::<Result<_, _>>()?,
            norm: RmsNorm {
                weight: source.vector("norm.weight", config.hidden)?,
                eps: config.norm_eps,
            },
            head: if has_head { Some(head()?) } else { None },
            cache: PagedCache::default(),
            config,
            shape,
        })
    }

    /// Memory of all matrices.
    pub fn bytes(&self) -> usize {
        let layers: usize = self.layers.iter().map(Layer::bytes).sum();
        let head = self.head.as_ref().map_or(0, |head| head.bytes());
        layers + head + self.embedding.bytes()
    }

    fn pass(&mut self, sequences: &[SequenceRows<'_>]) -> Logits {
        let mut xs = self.embed(sequences);
        let batch = self.batch(sequences, &[]);
        for (layer, cache) in self.layers.iter().zip(&mut self.cache.layers) {
            layer.forward(&mut xs, &batch, cache);
        }
        let mut wanted = self.rows(&xs, wanted_rows(sequences));
        self.norm.apply(&mut wanted);
        let head = self.head.as_deref().unwrap_or(&*self.embedding);
        let mut logits = vec![0.0; wanted.len() / self.config.hidden * self.config.vocab_size];
        head.forward(&wanted, &mut logits);
        Logits::new(logits, self.config.vocab_size)
    }

    fn embed(&self, sequences: &[SequenceRows<'_>]) -> Vec<f32> {
        let tokens = sequences.iter().flat_map(|sequence| sequence.tokens);
        let mut xs = vec![0.0; tokens.clone().count() * self.config.hidden];
        for (token, row) in tokens.zip(xs.chunks_exact_mut(self.config.hidden)) {
            self.embedding.copy_row(*token as usize, row);
        }
        xs
    }

    /// Sequences beyond the end of `padding` have none.
    fn batch<'a>(&self, sequences: &[SequenceRows<'a>], padding: &[usize]) -> Batch<'a> {
        let pairs = self.config.rope.frequencies.len();
        let places: Vec<Place<'a>> = sequences
            .iter()
            .flat_map(|sequence| {
                let SequenceRows { start, blocks, .. } = *sequence;
                (start..start + sequence.tokens.len())
                    .map(move |position| Place { blocks, position })
            })
            .collect();
        let paddings = padding.iter().copied().chain(std::iter::repeat(0));
        let seen = sequences
            .iter()
            .zip(paddings)
            .flat_map(|(sequence, padding)| {
                (sequence.start..sequence.start + sequence.tokens.len()).map(move |position| {
                    let position = last_seen(sequence, padding, position);
                    Place { blocks: sequence.blocks, position }
                })
            })
            .collect();
        let mut angles = Angles { cos: Vec::new(), sin: Vec::new(), pairs };
        for place in &places {
            let (cos, sin) = self.config.rope.angles(place.position);
            angles.cos.extend(cos);
            angles.sin.extend(sin);
        }
        Batch { places, seen, angles }
    }

    fn rows(&self, xs: &[f32], rows: impl Iterator<Item = usize>) -> Vec<f32> {
        let hidden = self.config.hidden;
        rows.flat_map(|row| &xs[row * hidden..(row + 1) * hidden]).copied().collect()
    }
}

fn block_shape(config: &DecoderConfig) -> BlockShape {
    BlockShape { kv_heads: config.kv_heads, head_width: config.head_width }
}

impl TextModel for CpuDecoder {
    fn shape(&self) -> &ModelShape {
        &self.shape
    }

    fn allocate_blocks(&mut self, count: usize) -> Result<(), EngineError> {
        self.cache = PagedCache::new(self.layers.len(), count, block_shape(&self.config));
        Ok(())
    }

    fn forward(&mut self, sequences: &[SequenceRows<'_>]) -> Result<Logits, EngineError> {
        check(sequences, self.config.vocab_size, self.cache.size())?;
        // From within the pool a product starts on all threads at once; from outside each of some 200 would first
        // have to wake one and put the caller to sleep.
        rayon::scope(|_| Ok(self.pass(sequences)))
    }
}

impl HiddenStates for CpuDecoder {
    fn hidden(&self) -> usize {
        self.config.hidden
    }

    fn padded_hidden_states(
        &self,
        prompts: &[PaddedPrompt<'_>],
        taps: &[Tap],
    ) -> Result<Vec<Tensor>, EngineError> {
        let padding: Vec<usize> = prompts.iter().map(|prompt| prompt.padding).collect();
        with_own_blocks(prompts, BLOCK_TOKENS, |sequences, blocks| {
            // Nothing is read again, so each layer has the same small cache.
            let mut cache = PagedCache::new(1, blocks, block_shape(&self.config));
            check(sequences, self.config.vocab_size, cache.size())?;
            let mut xs = self.embed(sequences);
            let batch = self.batch(sequences, &padding);
            let shape = (xs.len() / self.config.hidden, self.config.hidden);
            let last = last_layer(taps, &self.config)?;
            let mut found: Vec<Option<Tensor>> = vec![None; taps.len()];
            for done in 0..=last {
                for (tap, found) in taps.iter().zip(&mut found) {
                    if tap.layers(self.layers.len()) == done {
                        let is_normed = *tap == Tap::Normed;
                        let rows = if is_normed { self.norm.forward(&xs) } else { xs.clone() };
                        *found = Some(Tensor::from_vec(rows, shape, &Device::Cpu)?);
                    }
                }
                if done < last {
                    for cache in &mut cache.layers {
                        self.layers[done].forward(&mut xs, &batch, cache);
                    }
                }
            }
            Ok(found.into_iter().flatten().collect())
        })
    }
}
