//! Qwen3 as a text encoder: a prompt through the model's own chat template, and the states inside the decoder.

use std::{path::Path, time::SystemTime};

use candle_core::{DType, Device, Error, Result, Tensor, bail};
use serde_json::{Map, Value, json};

use crate::engines::{
    EngineError,
    config_file::ConfigFile,
    layers::has_own_kernels,
    text::{
        config::DecoderConfig,
        decoder::{CardDecoder, CpuDecoder, HiddenStates, PaddedPrompt, SafetensorsSource, Tap},
        vocabulary::{ChatRequest, ChatTemplate, Vocabulary},
    },
};

/// Tokens the image models read of a prompt, the template's among them; what comes after is cut off.
pub const PROMPT_TOKENS: usize = 512;

/// How an image model asks for the states of its prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromptStyle {
    /// Whether the template leaves room for thoughts, or says that there are none.
    pub thinks: bool,
    /// Whether the prompt is filled up to [`PROMPT_TOKENS`], and the filling's states are read too.
    pub is_padded: bool,
}

/// The text engine's decoder with the words of its tokenizer.
#[derive(Debug)]
pub struct Qwen3Encoder {
    decoder: Box<dyn HiddenStates>,
    layers: usize,
    vocabulary: Vocabulary,
    template: ChatTemplate,
    padding: u32,
}

impl Qwen3Encoder {
    /// Reads the decoder from one folder and its words from another; `dtype` is that of a card.
    pub fn load(
        (encoder, tokenizer): (&Path, &Path),
        (dtype, device): (DType, &Device),
    ) -> Result<Self> {
        let config = DecoderConfig::read(encoder)?;
        let layers = config.layers.len();
        let source = SafetensorsSource::open(encoder).map_err(Error::wrap)?;
        let decoder: Box<dyn HiddenStates> = if has_own_kernels(device) {
            Box::new(CpuDecoder::load(config, &source).map_err(Error::wrap)?)
        } else {
            Box::new(CardDecoder::load(config, &source, (dtype, device)).map_err(Error::wrap)?)
        };
        let vocabulary = Vocabulary::load(tokenizer).map_err(Error::wrap)?;
        let Some(template) = ChatTemplate::load(tokenizer).map_err(Error::wrap)? else {
            bail!("{} has no chat template", tokenizer.display());
        };
        let padding = padding_token(tokenizer, &vocabulary)?;
        Ok(Self { decoder, layers, vocabulary, template, padding })
    }

    /// Numbers per token and tap.
    pub fn hidden(&self) -> usize {
        self.decoder.hidden()
    }

    /// Layers of the decoder.
    pub fn layers(&self) -> usize {
        self.layers
    }

    /// The tokens of a prompt and how many of them, the last, are padding.
    ///
    /// Control tokens that a prompt spells out are read as letters: they do not end the user's turn.
    pub fn tokens(
        &self,
        prompt: &str,
        style: PromptStyle,
    ) -> std::result::Result<(Vec<u32>, usize), EngineError> {
        let mut variables = Map::new();
        variables.insert("enable_thinking".to_owned(), Value::Bool(style.thinks));
        let request = ChatRequest {
            messages: &[json!({ "role": "user", "content": prompt })],
            tools: &[],
            adds_generation_prompt: true,
            variables: &variables,
            now: SystemTime::UNIX_EPOCH,
        };
        let written = self.template.render(&request, &self.vocabulary)?;
        let mut tokens = self.vocabulary.encode_prompt(&written)?;
        tokens.truncate(PROMPT_TOKENS);
        let padding = if style.is_padded { PROMPT_TOKENS - tokens.len() } else { 0 };
        tokens.resize(tokens.len() + padding, self.padding);
        Ok((tokens, padding))
    }

    /// `(1, tokens, taps · hidden)`: the states at all taps side by side.
    pub fn encode(
        &self,
        prompt: &str,
        style: PromptStyle,
        taps: &[Tap],
    ) -> std::result::Result<Tensor, EngineError> {
        let (tokens, padding) = self.tokens(prompt, style)?;
        self.encode_tokens(&tokens, padding, taps)
    }

    /// The same for tokens of which the last `padding` are no part of the prompt.
    pub fn encode_tokens(
        &self,
        tokens: &[u32],
        padding: usize,
        taps: &[Tap],
    ) -> std::result::Result<Tensor, EngineError> {
        let prompt = PaddedPrompt { tokens, padding };
        let states = self.decoder.padded_hidden_states(&[prompt], taps)?;
        Ok(Tensor::cat(&states, 1)?.unsqueeze(0)?)
    }
}

/// The token that `tokenizer_config.json` names, as a text or as an object with its `content`.
fn padding_token(folder: &Path, vocabulary: &Vocabulary) -> Result<u32> {
    let named: Value = ConfigFile::read(folder, "tokenizer_config.json")?.require("pad_token")?;
    let text = named.as_str().or_else(|| named["content"].as_str()).unwrap_or_default();
    match vocabulary.token(text) {
        Some(token) => Ok(token),
        None => bail!("tokenizer_config.json: `pad_token` = {named} is not a token"),
    }
}
