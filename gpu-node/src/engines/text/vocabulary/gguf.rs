//! The tokenizer a GGUF file describes in its header.

use std::collections::HashMap;

use tokenizers::{
    AddedToken, SplitDelimiterBehavior, Tokenizer,
    decoders::{
        byte_fallback::ByteFallback, fuse::Fuse, sequence::Sequence as Decoders, strip::Strip,
    },
    models::bpe::{BPE, BpeBuilder, Vocab},
    normalizers::{Prepend, Replace, Sequence as Normalizers},
    pre_tokenizers::{
        byte_level::ByteLevel,
        sequence::Sequence as PreTokenizers,
        split::{Split, SplitPattern},
    },
};

use super::vocabulary::failed;
use crate::engines::EngineError;

/// Contractions, words with one sign before them, up to three digits, signs, line ends, spaces: Llama 3's split.
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As Llama 3, but each digit alone: Qwen's split.
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// GPT-2's split.
const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// `tokenizer.ggml.token_type` of a control token.
const CONTROL: i32 = 3;
/// `tokenizer.ggml.token_type` of a token that was added to the vocabulary as plain text.
const USER_DEFINED: i32 = 4;

/// The `tokenizer.ggml.*` fields of a GGUF file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GgufVocabulary {
    /// `model`: `gpt2` is byte-level BPE, `llama` is SentencePiece with byte fallback.
    pub model: String,
    /// `pre`: how byte-level BPE splits a text into words.
    pub pre: String,
    /// `tokens`.
    pub tokens: Vec<String>,
    /// `scores`; only SentencePiece has them.
    pub scores: Vec<f32>,
    /// `token_type`.
    pub token_types: Vec<i32>,
    /// `merges`, each two pieces with a space between; only byte-level BPE has them.
    pub merges: Vec<String>,
    /// `eos_token_id`, `eot_token_id` and the like.
    pub end_tokens: Vec<u32>,
    /// `bos_token_id`.
    pub start_token: Option<u32>,
    /// `add_bos_token`.
    pub adds_start: bool,
    /// `add_space_prefix`.
    pub adds_space: bool,
}

impl GgufVocabulary {
    pub(super) fn tokenizer(&self) -> Result<Tokenizer, EngineError> {
        let mut tokenizer = match self.model.as_str() {
            "gpt2" => self.byte_level()?,
            "llama" => self.sentence_piece()?,
            other => {
                return Err(EngineError::Failed(format!(
                    "GGUF: the tokenizer {other:?} is not known"
                )));
            }
        };
        let of_type = |wanted: i32| {
            self.tokens.iter().zip(&self.token_types).filter(move |&(_, &found)| found == wanted)
        };
        let controls = of_type(CONTROL)
            .map(|(text, _)| AddedToken::from(text.clone(), true).normalized(false))
            .collect::<Vec<_>>();
        let texts = of_type(USER_DEFINED)
            .map(|(text, _)| AddedToken::from(text.clone(), false).normalized(false))
            .collect::<Vec<_>>();
        tokenizer.add_special_tokens(controls).map_err(failed)?;
        tokenizer.add_tokens(texts).map_err(failed)?;
        Ok(tokenizer)
    }

    /// The text of a token, for chat templates.
    pub fn text(&self, token: u32) -> Option<&str> {
        self.tokens.get(token as usize).map(String::as_str)
    }

    fn ids(&self) -> HashMap<&str, u32> {
        (0_u32..).zip(&self.tokens).map(|(id, text)| (text.as_str(), id)).collect()
    }

    fn byte_level(&self) -> Result<Tokenizer, EngineError> {
        let merges = self
            .merges
            .iter()
            .map(|merge| {
                // A piece may be a space sign but never a space, and never empty.
                let at = merge.char_indices().skip(1).find(|&(_, letter)| letter == ' ');
                at.map(|(at, _)| (merge[..at].to_owned(), merge[at + 1..].to_owned()))
                    .ok_or_else(|| EngineError::Failed(format!("GGUF: {merge:?} is not a merge")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        // Llama 3 keeps a word that is a token whole even where its merges do not lead there.
        let is_llama = matches!(self.pre.as_str(), "llama-bpe" | "llama3" | "llama-v3");
        let pattern = match self.pre.as_str() {
            "llama-bpe" | "llama3" | "llama-v3" | "smaug-bpe" => LLAMA_3,
            "qwen2" | "qwen3" | "deepseek-r1-qwen" => QWEN_2,
            "gpt-2" | "default" | "" => GPT_2,
            other => {
                return Err(EngineError::Failed(format!(
                    "GGUF: the splitting {other:?} is not known"
                )));
            }
        };
        let model = self.model_of(merges).ignore_merges(is_llama).build().map_err(failed)?;
        let mut tokenizer = Tokenizer::new(model);
        let pattern = SplitPattern::Regex(pattern.to_owned());
        let words = Split::new(pattern, SplitDelimiterBehavior::Isolated, false).map_err(failed)?;
        let bytes = ByteLevel::new(false, false, false);
        tokenizer.with_pre_tokenizer(Some(PreTokenizers::new(vec![words.into(), bytes.into()])));
        tokenizer.with_decoder(Some(bytes));
        Ok(tokenizer)
    }

    /// SentencePiece joins the two neighbours whose union scores best, so a union's rank is that of its score.
    fn sentence_piece(&self) -> Result<Tokenizer, EngineError> {
        let ids = self.ids();
        let mut merges: Vec<(u32, u32, (String, String))> = Vec::new();
        for (id, text) in (0_u32..).zip(&self.tokens) {
            for (at, _) in text.char_indices().skip(1) {
                let (left, right) = text.split_at(at);
                if let (Some(&left_id), Some(_)) = (ids.get(left), ids.get(right)) {
                    merges.push((id, left_id, (left.to_owned(), right.to_owned())));
                }
            }
        }
        let score = |id: u32| self.scores.get(id as usize).copied().unwrap_or(f32::MIN);
        merges.sort_by(|a, b| score(b.0).total_cmp(&score(a.0)).then(a.1.cmp(&b.1)));
        let merges = merges.into_iter().map(|(_, _, pair)| pair).collect();
        let model = self
            .model_of(merges)
            .unk_token("<unk>".to_owned())
            .fuse_unk(true)
            .byte_fallback(true)
            .build()
            .map_err(failed)?;
        let mut tokenizer = Tokenizer::new(model);
        let spaces = Replace::new(" ", "▁").map_err(failed)?;
        let mut steps = vec![spaces.into()];
        if self.adds_space {
            steps.insert(0, Prepend::new("▁".to_owned()).into());
        }
        tokenizer.with_normalizer(Some(Normalizers::new(steps))).map_err(failed)?;
        let signs = Replace::new("▁", " ").map_err(failed)?;
        let mut steps = vec![signs.into(), ByteFallback::new().into(), Fuse::new().into()];
        if self.adds_space {
            steps.push(Strip::new(' ', 1, 0).into());
        }
        tokenizer.with_decoder(Some(Decoders::new(steps)));
        Ok(tokenizer)
    }

    fn model_of(&self, merges: Vec<(String, String)>) -> BpeBuilder {
        let ids = self.ids().into_iter().map(|(text, id)| (text.to_owned(), id));
        BPE::builder().vocab_and_merges(ids.collect::<Vocab>(), merges)
    }
}
