//! A vocabulary as llguidance reads it: every token's bytes in one tree.

use std::sync::Arc;

use toktrie::{TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use crate::engines::{EngineError, text::vocabulary::Vocabulary};

/// Longer tokens (runs of hundreds of spaces) do not fit the tree's nodes; no grammar needs them.
const LONGEST_TOKEN: usize = 250;

struct TokenTree {
    vocabulary: Arc<Vocabulary>,
    trie: TokTrie,
}

impl TokenizerEnv for TokenTree {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        if !self.vocabulary.is_byte_level() {
            return self.trie.greedy_tokenize(bytes);
        }
        self.trie.tokenize_with_greedy_fallback(bytes, |text| {
            self.vocabulary
                .encode(text)
                .unwrap_or_else(|_| self.trie.greedy_tokenize(text.as_bytes()))
        })
    }

    /// SentencePiece puts a space before a text, so the tokens of a part are not those of the whole.
    fn tokenize_is_canonical(&self) -> bool {
        self.vocabulary.is_byte_level()
    }
}

/// The tree for a model with `vocab_size` logits per row.
pub(super) fn token_tree(
    vocabulary: Arc<Vocabulary>,
    vocab_size: usize,
) -> Result<TokEnv, EngineError> {
    let length = u32::try_from(vocab_size.max(vocabulary.len()))
        .map_err(|_| EngineError::Failed(format!("a vocabulary of {vocab_size} tokens")))?;
    let ends: Vec<u32> =
        vocabulary.end_tokens().iter().copied().filter(|&end| end < length).collect();
    let Some(&first_end) = ends.first() else {
        return Err(EngineError::Failed("no token of the vocabulary ends a text".into()));
    };
    let words: Vec<Vec<u8>> = (0..length)
        .map(|token| {
            let bytes = vocabulary.bytes(token);
            if bytes.len() > LONGEST_TOKEN {
                Vec::new()
            } else if vocabulary.is_control(token) || ends.contains(&token) {
                // A grammar's own text can never be a control token.
                [&[TokTrie::SPECIAL_TOKEN_MARKER], bytes].concat()
            } else {
                bytes.to_vec()
            }
        })
        .collect();
    let trie = TokTrie::from(&TokRxInfo::new(length, first_end), &words).with_eos_tokens(&ends);
    Ok(Arc::new(TokenTree { vocabulary, trie }))
}
