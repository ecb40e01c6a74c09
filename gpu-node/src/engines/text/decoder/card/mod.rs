//! The decoder on a card: candle's tensors, the cache in blocks that are gathered for each attention.
//!
//! It runs on any device, so the goldens hold for it where there is no card.

mod attention;
mod batch;
mod layer;

use candle_core::{DType, Device, Tensor};
use candle_nn::ops::rms_norm;

use self::{
    batch::Batch,
    layer::{Layer, LayerCache},
};
use super::{
    HiddenStates, PaddedPrompt, Tap,
    pass::{CacheSize, check, last_layer, wanted_rows, with_own_blocks},
};
use crate::engines::{
    EngineError,
    text::{
        config::DecoderConfig,
        model::{Logits, ModelShape, SequenceRows, TextModel},
        weights::WeightSource,
    },
};

/// Tokens of one block of the cache.
const BLOCK_TOKENS: usize = 64;

/// A decoder in tensors of one type on one device.
#[derive(Debug)]
pub struct CardDecoder {
    config: DecoderConfig,
    shape: ModelShape,
    embedding: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    head: Tensor,
    cache: Vec<LayerCache>,
    size: CacheSize,
    place: (DType, Device),
}

impl CardDecoder {
    /// Reads all weights; a cache is made later.
    pub fn load(
        config: DecoderConfig,
        source: &dyn WeightSource,
        place: (DType, &Device),
    ) -> Result<Self, EngineError> {
        let table = [config.vocab_size, config.hidden];
        let embedding = source.tensor("embed_tokens.weight", &table, place)?;
        // Text encoders and embedding models come without a head and use none.
        let has_head = !config.has_tied_embeddings && source.contains("lm_head.weight");
        let head = if has_head {
            source.tensor("lm_head.weight", &table, place)?
        } else {
            embedding.clone()
        };
        let token_bytes = 2 * config.key_width() * place.0.size_in_bytes();
        let shape = ModelShape {
            vocab_size: config.vocab_size,
            context_tokens: config.context_tokens,
            block_tokens: BLOCK_TOKENS,
            block_bytes: token_bytes * BLOCK_TOKENS * config.layers.len(),
        };
        Ok(Self {
            layers: (0..config.layers.len())
                .map(|index| Layer::load(source, &config, index, place))
                .collect::<Result<_, _>>()?,
            norm: source.tensor("norm.weight", &[config.hidden], place)?,
            cache: Vec::new(),
            size: CacheSize { blocks: 0, block_tokens: BLOCK_TOKENS },
            place: (place.0, place.1.clone()),
            config,
            shape,
            embedding,
            head,
        })
    }

    fn device(&self) -> &Device {
        &self.place.1
    }

    fn embed(&self, sequences: &[SequenceRows<'_>]) -> Result<Tensor, EngineError> {
        let tokens: Vec<u32> =
            sequences.iter().flat_map(|sequence| sequence.tokens).copied().collect();
        let count = tokens.len();
        Ok(self.embedding.index_select(&Tensor::from_vec(tokens, count, self.device())?, 0)?)
    }

    fn batch(
        &self,
        sequences: &[SequenceRows<'_>],
        padding: &[usize],
    ) -> Result<Batch, EngineError> {
        Ok(Batch::new(&self.config, (sequences, padding), (self.place.0, &self.place.1))?)
    }

    fn layer_cache(&self, blocks: usize) -> Result<LayerCache, EngineError> {
        Ok(LayerCache::new(blocks, self.config.key_width(), (self.place.0, self.device()))?)
    }
}

impl TextModel for CardDecoder {
    fn shape(&self) -> &ModelShape {
        &self.shape
    }

    fn allocate_blocks(&mut self, count: usize) -> Result<(), EngineError> {
        // The old cache goes first: both may not fit.
        self.cache.clear();
        self.size.blocks = 0;
        for _ in &self.layers {
            let cache = self.layer_cache(count)?;
            self.cache.push(cache);
        }
        self.size.blocks = count;
        Ok(())
    }

    fn forward(&mut self, sequences: &[SequenceRows<'_>]) -> Result<Logits, EngineError> {
        check(sequences, self.config.vocab_size, self.size)?;
        let wanted: Vec<u32> = wanted_rows(sequences).map(|row| row as u32).collect();
        if sequences.iter().all(|sequence| sequence.tokens.is_empty()) {
            return Ok(Logits::new(Vec::new(), self.config.vocab_size));
        }
        let mut xs = self.embed(sequences)?;
        let batch = self.batch(sequences, &[])?;
        for (layer, cache) in self.layers.iter().zip(&self.cache) {
            xs = layer.forward(&xs, &batch, cache)?;
        }
        let count = wanted.len();
        if count == 0 {
            return Ok(Logits::new(Vec::new(), self.config.vocab_size));
        }
        let wanted = xs.index_select(&Tensor::from_vec(wanted, count, self.device())?, 0)?;
        let normed = rms_norm(&wanted, &self.norm, self.config.norm_eps)?;
        let logits = normed.matmul(&self.head.t()?)?.to_dtype(DType::F32)?;
        Ok(Logits::new(logits.flatten_all()?.to_vec1()?, self.config.vocab_size))
    }
}

impl HiddenStates for CardDecoder {
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
            let size = CacheSize { blocks, block_tokens: BLOCK_TOKENS };
            check(sequences, self.config.vocab_size, size)?;
            let mut xs = self.embed(sequences)?;
            let batch = self.batch(sequences, &padding)?;
            // Nothing is read again, so each layer has the same small cache.
            let cache = self.layer_cache(blocks)?;
            let last = last_layer(taps, &self.config)?;
            let mut found: Vec<Option<Tensor>> = vec![None; taps.len()];
            for done in 0..=last {
                for (tap, found) in taps.iter().zip(&mut found) {
                    if tap.layers(self.layers.len()) == done {
                        *found = Some(match tap {
                            Tap::Normed => rms_norm(&xs, &self.norm, self.config.norm_eps)?,
                            Tap::AfterLayers(_) => xs.clone(),
                        });
                    }
                }
                if done < last {
                    xs = self.layers[done].forward(&xs, &batch, &cache)?;
                }
            }
            Ok(found.into_iter().flatten().collect())
        })
    }
}
