//! The tokens and the chat template that a GGUF file carries.

use candle_core::{Result, bail};

use super::{config::END_TOKENS, file::GgufFile, header::Value};
use crate::engines::text::vocabulary::GgufVocabulary;

impl GgufFile {
    /// What the file says about its tokens.
    pub fn vocabulary(&self) -> Result<GgufVocabulary> {
        let model = self.tokenizer_text("model")?.unwrap_or_default();
        // Only byte-level vocabularies say how they split; SentencePiece sets a space before a text by default.
        let is_sentence_piece = model == "llama";
        Ok(GgufVocabulary {
            pre: self.tokenizer_text("pre")?.unwrap_or_default(),
            tokens: self.list("tokens", |value| match value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            })?,
            scores: self.list("scores", |value| match value {
                Value::Float(score) => Some(*score as f32),
                _ => None,
            })?,
            token_types: self.list("token_type", |value| match value {
                Value::Signed(kind) => i32::try_from(*kind).ok(),
                Value::Unsigned(kind) => i32::try_from(*kind).ok(),
                _ => None,
            })?,
            merges: self.list("merges", |value| match value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            })?,
            end_tokens: END_TOKENS
                .iter()
                .map(|key| self.token(key))
                .filter_map(Result::transpose)
                .collect::<Result<_>>()?,
            start_token: self.token("bos_token_id")?,
            adds_start: self.switch("add_bos_token")?.unwrap_or(is_sentence_piece),
            adds_space: self.switch("add_space_prefix")?.unwrap_or(is_sentence_piece),
            model,
        })
    }

    /// The Jinja template of a conversation, if there is one.
    pub fn chat_template(&self) -> Result<Option<&str>> {
        self.text("tokenizer.chat_template")
    }

    fn tokenizer(&self, key: &str) -> Option<&Value> {
        self.metadata.get(&format!("tokenizer.ggml.{key}"))
    }

    fn tokenizer_text(&self, key: &str) -> Result<Option<String>> {
        Ok(self.text(&format!("tokenizer.ggml.{key}"))?.map(str::to_owned))
    }

    /// A token's number.
    pub(super) fn token(&self, key: &str) -> Result<Option<u32>> {
        let token = match self.tokenizer(key) {
            None => return Ok(None),
            Some(Value::Unsigned(token)) => u32::try_from(*token).ok(),
            Some(Value::Signed(token)) => u32::try_from(*token).ok(),
            Some(_) => None,
        };
        match token {
            Some(token) => Ok(Some(token)),
            None => bail!("`tokenizer.ggml.{key}` is no token"),
        }
    }

    fn switch(&self, key: &str) -> Result<Option<bool>> {
        match self.tokenizer(key) {
            None => Ok(None),
            Some(Value::Bool(switch)) => Ok(Some(*switch)),
            Some(other) => bail!("`tokenizer.ggml.{key}` is {other:?}"),
        }
    }

    /// A list whose entries are all of the kind; an absent one is empty.
    fn list<T>(&self, key: &str, entry: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>> {
        let entries = match self.tokenizer(key) {
            None => return Ok(Vec::new()),
            Some(Value::List(values)) => values.iter().map(entry).collect::<Option<_>>(),
            Some(_) => None,
        };
        match entries {
            Some(entries) => Ok(entries),
            None => bail!("`tokenizer.ggml.{key}` is not the list it should be"),
        }
    }
}
