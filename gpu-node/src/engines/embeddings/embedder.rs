//! The engine of embedding models: checks the texts, computes them some thousand tokens at a time, pools.

use std::{fmt::Debug, path::Path};

use candle_core::{DType, Device};

use super::{
    EmbeddingInput, EmbeddingOutput, EmbeddingProgress, Pooling,
    bert::{BertConfig, BertEncoder},
    bert_on_card::BertOnCard,
};
use crate::engines::{
    Devices, Engine, EngineError, Sink,
    config_file::ConfigFile,
    text::{
        config::DecoderConfig,
        decoder::{CardDecoder, CpuDecoder, HiddenStates, SafetensorsSource, Tap},
    },
};

/// Tokens of one pass. More would not be faster, and a caller who hung up is noticed between passes.
const BATCH_TOKENS: usize = 4096;

/// What never changes after loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbeddingShape {
    /// Numbers of a whole vector.
    pub dimensions: usize,
    /// The first numbers of a vector are a vector too.
    pub is_truncatable: bool,
    /// Most tokens of one text.
    pub max_tokens: usize,
    pub vocab_size: usize,
}

/// What turns tokens into states.
pub(super) trait Encoder: Debug + Send {
    /// States of all tokens of all texts, one row after the other.
    fn encode(&self, texts: &[&[u32]]) -> Result<Vec<f32>, EngineError>;
}

#[derive(Debug)]
struct DecoderStates<D>(D);

impl<D: HiddenStates> Encoder for DecoderStates<D> {
    fn encode(&self, texts: &[&[u32]]) -> Result<Vec<f32>, EngineError> {
        let mut states = Vec::new();
        for found in self.0.hidden_states(texts, &[Tap::Normed])? {
            states.extend(found.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(states)
    }
}

/// An embedding model of the BERT, XLM-RoBERTa or decoder kind.
#[derive(Debug)]
pub struct Embedder {
    encoder: Box<dyn Encoder>,
    pooling: Pooling,
    shape: EmbeddingShape,
}

impl Embedder {
    /// Reads a folder in the layout of transformers, with or without the files of sentence-transformers.
    pub fn load(folder: &Path, devices: &Devices) -> Result<Self, EngineError> {
        let device = devices.compute();
        if device.is_cpu() {
            return match BertConfig::read(folder)? {
                Some(config) => {
                    let source = SafetensorsSource::open_prefixed(folder, config.prefix)?;
                    let encoder = Box::new(BertEncoder::load(&config, &source)?);
                    Self::of_bert(folder, encoder, &config)
                }
                None => {
                    let config = DecoderConfig::read(folder)?;
                    let source = SafetensorsSource::open(folder)?;
                    let decoder = CpuDecoder::load(config.clone(), &source)?;
                    Self::of_decoder(folder, Box::new(DecoderStates(decoder)), &config)
                }
            };
        }
        Self::load_on_card(folder, (DType::BF16, device))
    }

    /// The same in candle's tensors, as a card computes it; the device may be any. `dtype` is that of decoders:
    /// models of the BERT kind are small, and stay in f32.
    pub fn load_on_card(
        folder: &Path,
        (dtype, device): (DType, &Device),
    ) -> Result<Self, EngineError> {
        if let Some(config) = BertConfig::read(folder)? {
            let encoder = Box::new(BertOnCard::load(folder, &config, device)?);
            return Self::of_bert(folder, encoder, &config);
        }
        let config = DecoderConfig::read(folder)?;
        let source = SafetensorsSource::open(folder)?;
        let decoder = CardDecoder::load(config.clone(), &source, (dtype, device))?;
        Self::of_decoder(folder, Box::new(DecoderStates(decoder)), &config)
    }

    fn of_bert(
        folder: &Path,
        encoder: Box<dyn Encoder>,
        config: &BertConfig,
    ) -> Result<Self, EngineError> {
        let shape = EmbeddingShape {
            dimensions: config.hidden,
            is_truncatable: false,
            max_tokens: max_tokens(folder, config.positions - config.first_position)?,
            vocab_size: config.vocab_size,
        };
        Ok(Self { encoder, pooling: Pooling::read(folder, Pooling::Mean)?, shape })
    }

    fn of_decoder(
        folder: &Path,
        encoder: Box<dyn Encoder>,
        config: &DecoderConfig,
    ) -> Result<Self, EngineError> {
        let shape = EmbeddingShape {
            dimensions: config.hidden,
            // Qwen3-Embedding was trained for it (Kusupati et al. 2022).
            is_truncatable: true,
            max_tokens: max_tokens(folder, config.context_tokens)?,
            vocab_size: config.vocab_size,
        };
        Ok(Self { encoder, pooling: Pooling::read(folder, Pooling::Last)?, shape })
    }

    /// What a caller must know before it asks.
    pub fn shape(&self) -> EmbeddingShape {
        self.shape
    }

    fn check(&self, input: &EmbeddingInput) -> Result<usize, EngineError> {
        let refuse = |reason: String| Err(EngineError::InvalidInput(reason));
        let EmbeddingShape { dimensions: whole, max_tokens, vocab_size, is_truncatable } =
            self.shape;
        for text in &input.texts {
            if text.is_empty() {
                return refuse("a text has no tokens".to_owned());
            }
            if text.len() > max_tokens {
                let count = text.len();
                return refuse(format!("a text has {count} tokens, the model reads {max_tokens}"));
            }
            if let Some(token) = text.iter().find(|token| **token as usize >= vocab_size) {
                return refuse(format!("there is no token {token}"));
            }
        }
        match input.dimensions {
            None => Ok(whole),
            Some(wanted) if wanted == whole || (is_truncatable && (1..whole).contains(&wanted)) => {
                Ok(wanted)
            }
            Some(wanted) if is_truncatable => {
                refuse(format!("the model's vectors have 1 to {whole} dimensions, not {wanted}"))
            }
            Some(wanted) => {
                refuse(format!("the model's vectors have {whole} dimensions, not {wanted}"))
            }
        }
    }
}

fn max_tokens(folder: &Path, positions: usize) -> candle_core::Result<usize> {
    let name = "sentence_bert_config.json";
    if !folder.join(name).is_file() {
        return Ok(positions);
    }
    Ok(ConfigFile::read(folder, name)?.get("max_seq_length", positions)?.min(positions))
}

impl Engine for Embedder {
    type Input = EmbeddingInput;
    type Event = EmbeddingProgress;
    type Output = EmbeddingOutput;

    fn run(
        &mut self,
        input: EmbeddingInput,
        sink: &mut dyn Sink<EmbeddingProgress>,
    ) -> Result<EmbeddingOutput, EngineError> {
        let dimensions = self.check(&input)?;
        let (count, width) = (input.texts.len(), self.shape.dimensions);
        let tokens = input.texts.iter().map(Vec::len).sum();
        let mut vectors = Vec::with_capacity(count);
        let mut rest = input.texts.iter().map(Vec::as_slice).peekable();
        while rest.peek().is_some() {
            let (mut batch, mut room) = (Vec::new(), BATCH_TOKENS);
            while let Some(text) = rest.next_if(|text| batch.is_empty() || text.len() <= room) {
                room = room.saturating_sub(text.len());
                batch.push(text);
            }
            let states = self.encoder.encode(&batch)?;
            let mut states = states.as_slice();
            for text in batch {
                let (own, others) = states.split_at(text.len() * width);
                vectors.push(self.pooling.apply(own, width, dimensions));
                states = others;
            }
            sink.emit(EmbeddingProgress { texts: vectors.len(), of: count })?;
        }
        Ok(EmbeddingOutput { vectors, tokens })
    }
}
