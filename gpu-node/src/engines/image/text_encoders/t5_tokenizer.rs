//! From a prompt to the ids T5 reads: the text's tokens, end, padding, always the same length.

use std::path::Path;

use candle_core::{Error, Result, bail};
use tokenizers::Tokenizer;

/// A tokenizer with the ids that end and fill a prompt.
pub struct T5Tokenizer {
    tokenizer: Tokenizer,
    end: u32,
    padding: u32,
    length: usize,
}

impl T5Tokenizer {
    /// Reads `tokenizer.json`; `length` is how many ids every prompt gets.
    pub fn load(folder: &Path, length: usize) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let mut tokenizer = Tokenizer::from_file(&path)
            .map_err(|error| Error::msg(format!("{}: {error}", path.display())))?;
        tokenizer.with_truncation(None).map_err(failed)?;
        tokenizer.with_padding(None);
        let id = |token: &str| match tokenizer.token_to_id(token) {
            Some(id) => Ok(id),
            None => bail!("{} has no {token:?}", path.display()),
        };
        let (end, padding) = (id("</s>")?, id("<pad>")?);
        if length == 0 {
            bail!("a prompt of no ids has no room for its end");
        }
        Ok(Self { tokenizer, end, padding, length })
    }

    /// The ids of one prompt; what does not fit is cut off, as the reference does.
    pub fn encode(&self, prompt: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode(prompt, false).map_err(failed)?;
        let mut ids: Vec<u32> = encoding.get_ids().iter().copied().take(self.length - 1).collect();
        ids.push(self.end);
        ids.resize(self.length, self.padding);
        Ok(ids)
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::msg(format!("tokenizer: {error}"))
}
