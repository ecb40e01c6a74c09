//! What the door must know of a model's words, read from its files without its weights.

use std::sync::Arc;

use tokenizers::Tokenizer;

use super::{
    load::LoadError,
    manifest::Manifest,
    weights::{check_sizes, folder_of},
};
use crate::engines::{
    EngineError,
    text::{
        config::DecoderConfig,
        grammar::GrammarCompiler,
        vocabulary::{ChatTemplate, Vocabulary},
    },
};

/// A model's vocabulary, its chat template if it has one, and the sizes it was made for.
pub struct Words {
    pub vocabulary: Arc<Vocabulary>,
    pub template: Option<ChatTemplate>,
    pub grammars: Arc<GrammarCompiler>,
    pub vocab_size: usize,
    pub context_tokens: usize,
}

/// Reads them; blocking, a moment for large vocabularies.
pub fn load_words(manifest: &Manifest) -> Result<Words, LoadError> {
    check_sizes(manifest)?;
    let folder = folder_of(manifest)?;
    let unsupported = |error: EngineError| LoadError::Unsupported {
        model: manifest.name.clone(),
        reason: error.to_string(),
    };
    let config = DecoderConfig::read(&folder).map_err(|error| unsupported(error.into()))?;
    let vocabulary = Arc::new(Vocabulary::load(&folder).map_err(unsupported)?);
    let (vocab_size, context_tokens) = (config.vocab_size, config.context_tokens);
    let grammars = GrammarCompiler::new(vocabulary.clone(), vocab_size).map_err(unsupported)?;
    Ok(Words {
        template: ChatTemplate::load(&folder).map_err(unsupported)?,
        grammars: Arc::new(grammars),
        vocabulary,
        vocab_size,
        context_tokens,
    })
}

/// Reads an embedding model's tokenizer; blocking.
pub fn load_tokenizer(manifest: &Manifest) -> Result<Tokenizer, LoadError> {
    check_sizes(manifest)?;
    let unsupported = |error: tokenizers::Error| LoadError::Unsupported {
        model: manifest.name.clone(),
        reason: error.to_string(),
    };
    let path = folder_of(manifest)?.join("tokenizer.json");
    let mut tokenizer = Tokenizer::from_file(path).map_err(unsupported)?;
    // Too long a text is refused, not cut without a word.
    tokenizer.with_truncation(None).map_err(unsupported)?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}
