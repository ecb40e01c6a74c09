//! `[defaults]` of a manifest: what a request gets that leaves things open, and the sizes its model was made for.

use serde::Deserialize;

use super::manifest::Modality;
use crate::engines::{
    image::ModelDefaults,
    text::{batching::BatchSettings, request::Sampling},
};

/// The `[defaults]` of one kind of model.
#[derive(Debug, Clone, PartialEq)]
pub enum Defaults {
    Image(ModelDefaults),
    Text(TextDefaults),
    Embedding(EmbeddingDefaults),
}

impl Defaults {
    pub(super) fn parse(modality: Modality, table: toml::Table) -> Result<Self, toml::de::Error> {
        match modality {
            Modality::Image => table.try_into().map(Self::Image),
            Modality::Text => table.try_into().map(Self::Text),
            Modality::Embedding => table.try_into().map(Self::Embedding),
        }
    }

    /// Those of an image model.
    pub fn image(&self) -> Option<&ModelDefaults> {
        if let Self::Image(defaults) = self { Some(defaults) } else { None }
    }

    /// Those of a text model.
    pub fn text(&self) -> Option<&TextDefaults> {
        if let Self::Text(defaults) = self { Some(defaults) } else { None }
    }

    /// Those of an embedding model.
    pub fn embedding(&self) -> Option<&EmbeddingDefaults> {
        if let Self::Embedding(defaults) = self { Some(defaults) } else { None }
    }
}

/// What a text model does when a request does not say.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextDefaults {
    /// Most tokens of a prompt and its answer together; what the model was made for when absent.
    pub context_tokens: Option<usize>,
    /// Tokens of an answer that is given no limit; the context's rest when absent.
    pub max_output_tokens: Option<usize>,
    #[serde(default = "one")]
    pub temperature: f32,
    #[serde(default = "one")]
    pub top_p: f32,
    pub top_k: Option<usize>,
    #[serde(default)]
    pub min_p: f32,
    #[serde(default)]
    pub presence_penalty: f32,
    #[serde(default)]
    pub frequency_penalty: f32,
    #[serde(default = "one")]
    pub repetition_penalty: f32,
    /// Memory for keys and values, beside the weights.
    #[serde(default = "cache_bytes")]
    pub cache_bytes: u64,
    /// Answers that run together; what suits the processor when absent.
    pub max_sequences: Option<usize>,
}

impl TextDefaults {
    /// How tokens are chosen unless a request says otherwise.
    pub fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            min_p: self.min_p,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            repetition_penalty: self.repetition_penalty,
            ..Sampling::default()
        }
    }

    /// How many answers run together, and in how much memory.
    pub fn batch_settings(&self, is_card: bool) -> BatchSettings {
        let settings = BatchSettings::new(self.cache_bytes, is_card);
        BatchSettings {
            context_tokens: self.context_tokens,
            max_sequences: self.max_sequences.unwrap_or(settings.max_sequences),
            ..settings
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let positive = [
            ("context_tokens", self.context_tokens),
            ("max_output_tokens", self.max_output_tokens),
            ("top_k", self.top_k),
            ("max_sequences", self.max_sequences),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == Some(0)) {
            return Err(format!("`{key}` must not be 0"));
        }
        let ranges = [
            ("temperature", self.temperature, 0.0..=2.0),
            ("top_p", self.top_p, 0.0..=1.0),
            ("min_p", self.min_p, 0.0..=1.0),
            ("presence_penalty", self.presence_penalty, -2.0..=2.0),
            ("frequency_penalty", self.frequency_penalty, -2.0..=2.0),
            ("repetition_penalty", self.repetition_penalty, 0.1..=10.0),
        ];
        match ranges.iter().find(|(_, value, range)| !range.contains(value)) {
            Some((key, value, range)) => {
                let (from, to) = (range.start(), range.end());
                Err(format!("`{key}` must be between {from} and {to}, not {value}"))
            }
            None => Ok(()),
        }
    }
}

/// What an embedding model was made for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingDefaults {
    /// Most tokens of one text; what the model was made for when absent.
    pub context_tokens: Option<usize>,
    /// Tokens that one pass computes; what suits the processor when absent.
    pub batch_tokens: Option<usize>,
}

impl EmbeddingDefaults {
    /// Tokens of one pass.
    pub fn batch_tokens(&self, is_card: bool) -> usize {
        self.batch_tokens.unwrap_or(if is_card { 4096 } else { 2048 }).max(1)
    }
}

fn one() -> f32 {
    1.0
}

fn cache_bytes() -> u64 {
    256 << 20
}
