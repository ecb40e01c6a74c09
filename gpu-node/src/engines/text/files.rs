//! A text model's folder: a GGUF file that says everything itself, or the separate files of a Hugging Face checkpoint.

use std::path::{Path, PathBuf};

use super::{
    config::DecoderConfig,
    decoder::{Decoder, SafetensorsSource, place_decoder},
    gguf::GgufFile,
    vocabulary::{ChatTemplate, GgufVocabulary, Vocabulary},
};
use crate::engines::{Devices, EngineError};

/// Where to read what of a model. Files beside a GGUF file are believed before its header: they are newer.
#[derive(Debug)]
pub struct TextFiles {
    folder: PathBuf,
    gguf: Option<GgufFile>,
}

impl TextFiles {
    /// Maps the GGUF file of the folder, if it has one; nothing else is read yet.
    pub fn open(folder: &Path) -> Result<Self, EngineError> {
        let gguf = GgufFile::find(folder).map(|path| GgufFile::open(&path)).transpose()?;
        Ok(Self { folder: folder.to_owned(), gguf })
    }

    /// The decoder's shape.
    pub fn config(&self) -> Result<DecoderConfig, EngineError> {
        Ok(match &self.gguf {
            Some(file) => file.config()?,
            None => DecoderConfig::read(&self.folder)?,
        })
    }

    /// The tokens.
    pub fn vocabulary(&self) -> Result<Vocabulary, EngineError> {
        let is_beside = self.folder.join("tokenizer.json").is_file();
        match &self.gguf {
            Some(file) if is_beside => {
                let header = file.vocabulary()?;
                Ok(Vocabulary::load(&self.folder)?.ending_also_at(&header.end_tokens))
            }
            Some(file) => Vocabulary::from_gguf(&file.vocabulary()?),
            None => Vocabulary::load(&self.folder),
        }
    }

    /// How a conversation is written; `None` for models that only continue texts.
    pub fn template(&self) -> Result<Option<ChatTemplate>, EngineError> {
        let beside = ChatTemplate::load(&self.folder)?;
        let Some(file) = self.gguf.as_ref().filter(|_| beside.is_none()) else {
            return Ok(beside);
        };
        let Some(source) = file.chat_template()? else { return Ok(None) };
        let names = named_tokens(&file.vocabulary()?);
        ChatTemplate::from_source(source, names).map(Some)
    }

    /// The network, on a card where there is one.
    pub fn decoder(&self, devices: &Devices) -> Result<Box<dyn Decoder>, EngineError> {
        let config = self.config()?;
        match &self.gguf {
            Some(file) => place_decoder(config, file, devices),
            None => place_decoder(config, &SafetensorsSource::open(&self.folder)?, devices),
        }
    }
}

/// The control tokens a template may ask for by name.
fn named_tokens(vocabulary: &GgufVocabulary) -> Vec<(String, String)> {
    let end = vocabulary.end_tokens.first().copied();
    [("bos_token", vocabulary.start_token), ("eos_token", end)]
        .into_iter()
        .filter_map(|(name, token)| Some((name.to_owned(), vocabulary.text(token?)?.to_owned())))
        .collect()
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
