//! From a prompt to the ids CLIP reads: start, the text's tokens, end, padding, always the same length.

use std::path::Path;

use candle_core::{Error, Result, bail};
use tokenizers::{
    AddedToken, SplitDelimiterBehavior, Tokenizer,
    models::bpe::BPE,
    normalizers::{Lowercase, NFC, Replace, Sequence as Normalizers, replace::ReplacePattern},
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence as PreTokenizers,
        split::{Split, SplitPattern},
    },
};

use super::special_tokens::SpecialTokens;

/// CLIP's words: contractions, runs of letters, single digits, runs of anything else.
const WORDS: &str =
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// A tokenizer with the ids that frame a prompt.
pub struct PromptTokenizer {
    tokenizer: Tokenizer,
    start: u32,
    end: u32,
    padding: u32,
    length: usize,
}

impl PromptTokenizer {
    /// Reads `tokenizer.json`, or `vocab.json` and `merges.txt`; `length` is how many ids the encoder reads.
    pub fn load(folder: &Path, length: usize) -> Result<Self> {
        let special = SpecialTokens::read(folder)?;
        let mut tokenizer = if folder.join("tokenizer.json").is_file() {
            Tokenizer::from_file(folder.join("tokenizer.json")).map_err(failed)?
        } else {
            from_vocabulary(folder, &special.unknown.content)?
        };
        tokenizer.with_truncation(None).map_err(failed)?;
        tokenizer.with_padding(None);
        special.add_to(&mut tokenizer)?;
        let id = |token: &AddedToken| match tokenizer.token_to_id(&token.content) {
            Some(id) => Ok(id),
            None => bail!("the tokenizer has no {:?}", token.content),
        };
        let (start, end) = (id(&special.start)?, id(&special.end)?);
        let padding = id(&special.padding)?;
        if length < 2 {
            bail!("an encoder of {length} positions has no room for a prompt");
        }
        Ok(Self { tokenizer, start, end, padding, length })
    }

    /// The ids of one prompt; what does not fit is cut off, as the reference does.
    pub fn encode(&self, prompt: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode(prompt, false).map_err(failed)?;
        let mut ids = Vec::with_capacity(self.length);
        ids.push(self.start);
        ids.extend(encoding.get_ids().iter().take(self.length - 2));
        ids.push(self.end);
        ids.resize(self.length, self.padding);
        Ok(ids)
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::msg(format!("tokenizer: {error}"))
}

/// The tokenizer that older folders describe by their vocabulary alone.
fn from_vocabulary(folder: &Path, unknown: &str) -> Result<Tokenizer> {
    let path = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let model = BPE::from_file(&path("vocab.json"), &path("merges.txt"))
        .end_of_word_suffix("</w>".to_owned())
        .unk_token(unknown.to_owned())
        .build()
        .map_err(failed)?;
    let mut tokenizer = Tokenizer::new(model);
    let spaces = Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " ").map_err(failed)?;
    tokenizer
        .with_normalizer(Some(Normalizers::new(vec![NFC.into(), spaces.into(), Lowercase.into()])))
        .map_err(failed)?;
    let pattern = SplitPattern::Regex(WORDS.to_owned());
    let words = Split::new(pattern, SplitDelimiterBehavior::Removed, true).map_err(failed)?;
    let bytes = ByteLevel::new(false, true, true);
    tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(vec![words.into(), bytes.into()])));
    Ok(tokenizer)
}
