//! A model's tokens: their texts, which of them are control tokens, and which end an answer.

use std::path::Path;

use tokenizers::{Encoding, Tokenizer};

use super::{
    ChatPrompt, GgufVocabulary, files,
    pieces::{Pieces, Spelling},
    prompt::ControlTexts,
};
use crate::engines::{EngineError, text::request::TokenScore};

/// Control tokens that are part of an answer's text: without them a tool call or a thought has no beginning.
const SPOKEN: [&str; 9] = [
    "[TOOL_CALLS]",
    "<|python_tag|>",
    "<tool_call>",
    "</tool_call>",
    "<think>",
    "</think>",
    "[THINK]",
    "[/THINK]",
    "[ARGS]",
];

/// Turns text into a model's tokens and back.
#[derive(Debug)]
pub struct Vocabulary {
    tokenizer: Tokenizer,
    pieces: Pieces,
    controls: ControlTexts,
    /// Per token: whether it is a control token.
    is_control: Vec<bool>,
    is_spoken: Vec<bool>,
    end_tokens: Vec<u32>,
    /// What the model wants before a text.
    start_tokens: Vec<u32>,
}

impl Vocabulary {
    /// Reads `tokenizer.json`, and the tokens that end a text from the files beside it.
    pub fn load(folder: &Path) -> Result<Self, EngineError> {
        let tokenizer = Tokenizer::from_file(folder.join("tokenizer.json")).map_err(failed)?;
        let end_tokens = files::end_tokens(folder, &tokenizer)?;
        let framed = tokenizer.encode_fast("", true).map_err(failed)?;
        let start_tokens =
            framed.get_ids().iter().copied().filter(|id| !end_tokens.contains(id)).collect();
        Self::new(tokenizer, start_tokens, end_tokens)
    }

    /// The vocabulary in a GGUF file's header.
    pub fn from_gguf(header: &GgufVocabulary) -> Result<Self, EngineError> {
        let start_tokens = header.start_token.filter(|_| header.adds_start).into_iter().collect();
        Self::new(header.tokenizer()?, start_tokens, header.end_tokens.clone())
    }

    fn new(
        mut tokenizer: Tokenizer,
        start_tokens: Vec<u32>,
        end_tokens: Vec<u32>,
    ) -> Result<Self, EngineError> {
        tokenizer.with_truncation(None).map_err(failed)?;
        tokenizer.with_padding(None);
        let pieces = Pieces::of(&tokenizer)?;
        let mut is_control = vec![false; pieces.len()];
        let mut is_spoken = vec![true; pieces.len()];
        let mut texts = Vec::new();
        for (id, token) in tokenizer.get_added_tokens_decoder() {
            if token.special {
                is_control[id as usize] = true;
                is_spoken[id as usize] = SPOKEN.contains(&token.content.as_str());
                texts.push(token.content);
            }
        }
        let vocabulary = Self {
            tokenizer,
            pieces,
            controls: ControlTexts::new(texts),
            is_control,
            is_spoken,
            end_tokens: Vec::new(),
            start_tokens,
        };
        Ok(vocabulary.ending_also_at(&end_tokens))
    }

    /// The same, with more tokens that end an answer.
    pub(in crate::engines::text) fn ending_also_at(mut self, tokens: &[u32]) -> Self {
        for &token in tokens {
            if let Some(is_spoken) = self.is_spoken.get_mut(token as usize) {
                *is_spoken = false;
            }
        }
        self.end_tokens.extend(tokens);
        self.end_tokens.sort_unstable();
        self.end_tokens.dedup();
        self
    }

    /// How many ids there are; a model may compute logits for more.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// Whether there is no token at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tokens after which a text is over, ascending.
    pub fn end_tokens(&self) -> &[u32] {
        &self.end_tokens
    }

    /// The token with exactly this text, such as a control token.
    pub fn token(&self, text: &str) -> Option<u32> {
        self.tokenizer.token_to_id(text)
    }

    /// The bytes a token stands for, a control token's name too; empty for an unused id.
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.pieces.bytes(token)
    }

    /// Whether a token steers the conversation and is no text of it.
    pub fn is_control(&self, token: u32) -> bool {
        self.is_control.get(token as usize).copied().unwrap_or(false)
    }

    /// A token as the report of log-probabilities names it.
    pub fn score(&self, token: u32, logprob: f32) -> TokenScore {
        TokenScore { id: token, bytes: self.bytes(token).to_vec(), logprob }
    }

    /// The tokens of a text in which control tokens are mere characters; nothing is put before or after it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        self.encode_prompt(&ChatPrompt::plain(text, &self.controls))
    }

    /// The tokens of a text to be continued: as `encode`, with what the model wants before a text.
    pub fn encode_document(&self, text: &str) -> Result<Vec<u32>, EngineError> {
        let mut tokens = self.start_tokens.clone();
        tokens.extend(self.encode(text)?);
        Ok(tokens)
    }

    /// The tokens of a conversation that a chat template rendered: the template's control tokens are read, those
    /// that users wrote are not.
    pub fn encode_prompt(&self, prompt: &ChatPrompt) -> Result<Vec<u32>, EngineError> {
        let mut tokens = Vec::new();
        for part in prompt.parts() {
            let encoding: Encoding = self.tokenizer.encode_fast(part, false).map_err(failed)?;
            tokens.extend_from_slice(encoding.get_ids());
        }
        Ok(tokens)
    }

    /// The text of a token in an answer; control tokens have none, except those that mark tool calls and thoughts.
    pub(super) fn spoken_bytes(&self, token: u32) -> &[u8] {
        match self.is_spoken.get(token as usize) {
            Some(true) => self.bytes(token),
            _ => &[],
        }
    }

    pub(super) fn drops_first_space(&self) -> bool {
        self.pieces.drops_first_space
    }

    pub(super) fn controls(&self) -> &ControlTexts {
        &self.controls
    }

    /// Whether any part of a text has the same tokens alone as within the text, up to its ends.
    pub(in crate::engines::text) fn is_byte_level(&self) -> bool {
        self.pieces.spelling == Spelling::ByteLevel
    }
}

pub(super) fn failed(error: impl std::fmt::Display) -> EngineError {
    EngineError::Failed(format!("tokenizer: {error}"))
}
