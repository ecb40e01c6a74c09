//! What the door must know of a model's words, read from its files without its weights.

use std::sync::{Arc, Mutex, PoisonError};

use tokenizers::Tokenizer;

use super::{
    listed::ListedFolder,
    load::LoadError,
    manifest::Manifest,
    weights::{checked_folder, is_of_words},
};
use crate::engines::{
    EngineError,
    text::{
        files::TextFiles,
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
    let folder = checked_folder(manifest, &is_of_words(manifest))?;
    let folder = ListedFolder::of(manifest, folder)?;
    let read = || -> Result<Words, EngineError> {
        let files = TextFiles::open(&folder)?;
        let (config, vocabulary) = (files.config()?, Arc::new(files.vocabulary()?));
        let grammars = GrammarCompiler::new(vocabulary.clone(), config.vocab_size)?;
        Ok(Words {
            template: files.template()?,
            grammars: Arc::new(grammars),
            vocabulary,
            vocab_size: config.vocab_size,
            context_tokens: config.context_tokens,
        })
    };
    read().map_err(|error| LoadError::Unsupported {
        model: manifest.name.clone(),
        reason: error.to_string(),
    })
}

/// The words of one model for all who need them: the door and the lane. They stay when the weights leave the memory.
pub struct SharedWords {
    manifest: Manifest,
    read: Mutex<Option<Arc<Words>>>,
}

impl SharedWords {
    /// Nothing is read yet.
    pub fn new(manifest: Manifest) -> Self {
        Self { manifest, read: Mutex::new(None) }
    }

    /// The words, read by whoever comes first; blocking.
    pub fn get(&self) -> Result<Arc<Words>, LoadError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(words) = &*read {
            return Ok(words.clone());
        }
        let words = Arc::new(load_words(&self.manifest)?);
        *read = Some(words.clone());
        Ok(words)
    }
}

/// Reads an embedding model's tokenizer; blocking.
pub fn load_tokenizer(manifest: &Manifest) -> Result<Tokenizer, LoadError> {
    let folder = checked_folder(manifest, &is_of_words(manifest))?;
    let folder = ListedFolder::of(manifest, folder)?;
    let unsupported = |error: tokenizers::Error| LoadError::Unsupported {
        model: manifest.name.clone(),
        reason: error.to_string(),
    };
    let path = folder.join("tokenizer.json");
    let mut tokenizer = Tokenizer::from_file(path).map_err(unsupported)?;
    // Too long a text is refused, not cut without a word.
    tokenizer.with_truncation(None).map_err(unsupported)?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}
